"""ADL in shares: the policies of the literature, which take a part of many positions instead of all of the first.

Every opposing position has a weight w, its score, and a limit c, the most lots it may and can give. Shares are whole
lots, sum exactly to what is wanted, or to all that there is where that is less, and exceed no limit:

    pro_rata           x = η w                         w = max(0, uPnL); odd lots one each in rank order
    integer_pro_rata   x = η w                         odd lots to the largest remainders
    capped_pro_rata    x = min(η w, c)                 c = adl_cap of the position; odd lots to the largest remainders
    risk_weighted      x = min(η w, c)                 w = max(0, uPnL) × leverage, c as above
    min_leverage       the largest leverage is as low as can be; a lot at a time from the most leveraged

c is never more than what the position can carry. Whoever can give less than its share gives c, and the others more: the
level η (τ of risk weights), the same for all, rises until the sum is met (water-filling). Weights and limits are in
rank order: the highest weight first, ties by account name.
"""

from collections.abc import Callable, Sequence
from functools import cmp_to_key
from typing import Final

from engine.fixed import SCORE, divide_up, largest_remainders, shares_in_order

Rounding = Callable[[int, Sequence[int]], list[int]]


def water_fill(total: int, weights: Sequence[int], limits: Sequence[int], rounding: Rounding) -> list[int]:
    """Split `total` in proportion to `weights`, nobody above its limit; what has no weight gets nothing.

    The limits are met one after the other as the level rises, in the order of limit ÷ weight. Below its limit a share
    may be rounded up: the limit is a whole number.
    """
    shares = [0] * len(weights)
    left, weight_left = total, sum(weights)

    def by_level(i: int, j: int) -> int:
        return limits[i] * weights[j] - limits[j] * weights[i]

    rising = sorted((i for i, weight in enumerate(weights) if weight), key=cmp_to_key(by_level))
    met = 0
    for i in rising:
        if limits[i] * weight_left > left * weights[i]:
            break
        shares[i] = limits[i]
        left -= limits[i]
        weight_left -= weights[i]
        met += 1
    rest = sorted(rising[met:])
    if left and rest:
        for i, share in zip(rest, rounding(left, [weights[i] for i in rest]), strict=True):
            shares[i] = share
    return shares


def flatten(total: int, leverages: Sequence[tuple[int, int, int]], limits: Sequence[int]) -> list[int]:
    """Take `total` lots one by one, each from whoever is the most leveraged then, the earlier first.

    `leverages` are mark value, equity and lots of each; what is kept of the lots is leveraged floor(kept × value × 2^64
    ÷ (lots × equity)): the equity stays. The k-th lot of each has a leverage at which its turn comes, so the lots that
    go are the `total` with the highest; the lowest of those is found by bisection.
    """
    total = min(total, sum(limits))

    def taken(level: int) -> list[int]:
        """How many lots of each have their turn at this leverage or above."""
        shares = []
        for (value, own, lots), limit in zip(leverages, limits, strict=True):
            # floor(k × value × SCORE ÷ (lots × own)) ≥ level ⇔ k ≥ level × lots × own ÷ (value × SCORE)
            stay = divide_up(level * lots * own, value * SCORE) - 1 if level else 0
            shares.append(min(limit, max(0, lots - stay)))
        return shares

    low, high = 0, max((value * SCORE // own + 1 for value, own, _ in leverages), default=1)
    while high - low > 1:
        middle = (low + high) // 2
        if sum(taken(middle)) >= total:
            low = middle
        else:
            high = middle
    shares = taken(high)
    left = total - sum(shares)
    for i, most in enumerate(taken(low)):
        more = min(left, most - shares[i])
        shares[i] += more
        left -= more
    return shares


ROUNDINGS: Final[dict[str, Rounding]] = {
    "pro_rata": shares_in_order,
    "integer_pro_rata": largest_remainders,
    "capped_pro_rata": largest_remainders,
    "risk_weighted": largest_remainders,
}
"""How the policies that split by weight deal with odd lots, by the names of `adl_ranking`."""

SHARED: Final = frozenset({*ROUNDINGS, "min_leverage"})
"""The names of `adl_ranking` that close in shares."""

CAPPED: Final = frozenset({"capped_pro_rata", "risk_weighted"})
"""Those to which `adl_cap` applies."""
