"""The marks within which a cross account is provably safe, so that nobody has to look at it.

An account with equity E = W + Σ uPnL above Σ MM stands in the trigger index of each of its markets with a share M_i of
its wallet, Σ M_i = W. Its trigger there is that of an isolated position with margin M_i: the first mark at which
M_i + uPnL_i ≤ MM_i.

    Proof of safety. While no mark has reached the trigger in its market, M_i + uPnL_i > MM_i holds for every i.
    Summed up, W + Σ uPnL = Σ (M_i + uPnL_i) > Σ MM_i: the account is not due. Only a mark, a change of one of its
    positions or of its wallet moves these terms; a change has the account indexed anew before the next mark is
    judged. So an account that is due is always looked at. Nobody is liquidated early, as whoever is looked at is
    judged by its true sums.

With one position M = W, and the trigger is exact. With several the slack E − Σ MM is split by mark value, so that each
market may move by about the same share: M_i = slack_i − uPnL_i + MM_i. A band that is left costs one look, which splits
what slack remains; each time a mark goes on to the account's liquidation price the slack shrinks by a constant factor.
"""

from engine.account import Pool
from engine.fixed import share_down
from engine.margin import reckon, trigger_price


def place_pool(pool: Pool) -> bool:
    """Place an account's cross positions in the trigger indexes of their markets; False, and nowhere, if it is due."""
    positions = list(pool.positions.values())
    reckonings = [reckon(position) for position in positions]
    at_stake = [reckoning.profit - reckoning.maintenance for reckoning in reckonings]
    slack = pool.account.wallet.balance + sum(at_stake)
    if slack <= 0:
        remove_pool(pool)
        return False
    shares = _split(slack, [reckoning.value for reckoning in reckonings])
    for position, share, stake in zip(positions, shares, at_stake, strict=True):
        position.market.triggers.place(position, trigger_price(position, share - stake))
    return True


def remove_pool(pool: Pool) -> None:
    """Take an account's cross positions out of the trigger indexes."""
    for position in pool.positions.values():
        position.market.triggers.discard(position)


def _split(slack: int, values: list[int]) -> list[int]:
    """By mark value, rounded down; the odd units go to the first. Any split is safe that sums to the slack."""
    whole = sum(values)
    if not whole:
        return [slack] + [0] * (len(values) - 1)
    shares = [share_down(slack, value, whole) for value in values]
    shares[0] += slack - sum(shares)
    return shares
