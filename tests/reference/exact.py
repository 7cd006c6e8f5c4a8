"""Exact numbers, the slow way: fractions, and every rounding spelled out."""

import math
from collections.abc import Sequence
from fractions import Fraction

LIMIT = 2**63
"""Amounts, in units, stay below this."""


def floor(number: Fraction | int) -> int:
    """Rounded towards −∞."""
    return math.floor(number)


def ceil(number: Fraction | int) -> int:
    """Rounded towards +∞: what is charged."""
    return math.ceil(number)


def written(steps: int, places: int) -> str:
    """steps × 10^-places with exactly that many places."""
    sign, digits = ("-" if steps < 0 else ""), str(abs(steps)).rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else sign + digits


def price8(price: Fraction) -> str:
    """A derived price for print: 8 places, half up. It is above zero."""
    return written(floor(price * 10**8 + Fraction(1, 2)), 8)


def ratio18(ratio: Fraction) -> str:
    """A ratio for print: cut after 18 places."""
    return written(math.trunc(ratio * 10**18), 18)


def largest_remainders(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in proportion to the weights; the odd units go one each to the largest remainders, the earlier first."""
    exact = [Fraction(total * weight, sum(weights)) for weight in weights]
    shares = [floor(share) for share in exact]
    by_remainder = sorted(range(len(weights)), key=lambda i: shares[i] - exact[i])
    for i in by_remainder[: total - sum(shares)]:
        shares[i] += 1
    return shares
