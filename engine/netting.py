"""Takeovers of opposite sides in one market: closed against each other at the mark before either goes into the book.

Both inventories are booked at the same value V, so nothing is traded, no price is printed and no spread is paid:

    PnL of each = exposure × (V − its share of BV);  of both together the difference of what they were carried at

Each PnL is charged to the budget of its own liquidation. A budget is judged at the mark, so one that covers its
takeover there covers any part closed there; one that does not takes no part until settlement has been asked anew.
"""

from engine.funding import pay_residual
from engine.market import Market
from engine.residual import Residual
from engine.state import ShardState
from engine.takeover import book_unwound, inventory


def net_inventory(state: ShardState, market: Market) -> None:
    """Close inventories of the two sides against each other, the oldest liquidation of each side first.

    Every pair uses up one of the two, so there are fewer pairs than takeovers. Neither slices nor intervals bind it:
    they are there to spare the book.
    """
    held = inventory(market)
    if len({residual.side for residual in held}) < 2:
        return
    for residual in held:
        pay_residual(state, market, residual)
    # The oldest last, from where it is taken.
    longs, shorts = ([residual for residual in reversed(held) if residual.side == side] for side in (1, -1))
    while longs and shorts:
        # Judged for each pair: the parts of inverse values are rounded, and the last one's may have cost a unit more.
        uncovered = next((side for side in (longs, shorts) if not _is_covered(market, side[-1])), None)
        if uncovered is not None:
            uncovered.pop()
            continue
        _close_pair(state, market, longs[-1], shorts[-1])
        for side in (longs, shorts):
            if not side[-1].parcel.lots:
                side.pop()


def _close_pair(state: ShardState, market: Market, long: Residual, short: Residual) -> None:
    """Close as much as the smaller of the two has. The older one is told first."""
    lots = min(long.parcel.lots, short.parcel.lots)
    value = market.spec.value(market.mark, lots)
    older, younger = (long, short) if long.number < short.number else (short, long)
    book_unwound(state, market, older, lots, value, against=younger)
    book_unwound(state, market, younger, lots, value, against=older)


def _is_covered(market: Market, residual: Residual) -> bool:
    """Whether its budget bears what closing all of it at the mark would lose."""
    return residual.is_covered(market.spec.value(market.mark, residual.parcel.lots))
