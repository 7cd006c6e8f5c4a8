"""What funds hold: residuals that settlement has taken over, unwound into the book within their budget and band."""

from schemas.claims import TakeoverClosed, TakeoverExhausted, TakeoverFilled
from tests.reference.exact import ceil, floor
from tests.reference.funding import pay_residual
from tests.reference.liquidation import ask, expected_loss, worst_price
from tests.reference.matching import Taker, take
from tests.reference.state import SIDES, Market, Residual, Shard


def inventory(market: Market) -> list[Residual]:
    """What a fund holds and no question is open about, the oldest liquidation first."""
    return [residual for residual in market.residuals if residual.fund is not None and not residual.is_open]


def raise_exhausted(shard: Shard, market: Market) -> None:
    """Ask anew about what its budget does not cover at the mark, or what is too old."""
    rules, amount = market.rules, shard.rules.asset.text
    for residual in market.residuals:
        pay_residual(shard, market, residual)
    for residual in inventory(market):
        loss = expected_loss(market, residual)
        is_too_old = shard.stream.now >= residual.taken_over_at + rules.fund.max_age
        if loss > residual.budget - residual.loss or is_too_old:
            residual.round += 1
            residual.is_open = True
            shard.claim(
                TakeoverExhausted(
                    liquidation_id=residual.liquidation_id,
                    round=residual.round,
                    market=market.name,
                    side=SIDES[residual.side],
                    qty=rules.lots_text(residual.parcel.lots),
                    bankruptcy_value=amount(residual.parcel.value),
                    mark_price=rules.ticks_text(market.mark),
                    expected_loss=amount(loss),
                    reason="max_age" if is_too_old else "budget",
                )
            )


def ask_again(shard: Shard, market: Market) -> None:
    """What could not be placed at all at an earlier mark is a new question."""
    for residual in market.residuals:
        if residual.fund is None and not residual.is_open:
            ask(shard, market, residual)


def unwind_all(shard: Shard, market: Market) -> None:
    """Offer all inventory to the book."""
    for residual in inventory(market):
        unwind(shard, market, residual)


def unwind(shard: Shard, market: Market, residual: Residual) -> None:
    """An order for a slice, if it is time, at a price that keeps the budget of all and the fund's band."""
    fund = market.rules.fund
    if market.rules.is_halted or shard.stream.now < residual.next_slice_at:
        return
    side, lots, band = residual.side, residual.parcel.lots, fund.band
    # What the lots must bring (or may cost) for the loss to stay within the budget.
    value = residual.parcel.value - side * market.rules.direction * (residual.budget - residual.loss)
    by_budget = worst_price(market, side, lots, value)
    if by_budget is None:
        return
    if side > 0:
        if expected_loss(market, residual) <= residual.budget - residual.loss:
            # The mark keeps the budget, though the exact price of an inverse value that is rounded down may lie above.
            by_budget = min(by_budget, market.mark)
        limit = max(by_budget, ceil(market.mark * (1 - band)))
    else:
        limit = min(by_budget, max(1, floor(market.mark * (1 + band))))
    taker = Taker(f"fund:{residual.fund}", f"unwind:{residual.liquidation_id}", liquidation_id=residual.liquidation_id)
    residual.next_slice_at = shard.stream.now + fund.interval
    taken = take(shard, market, taker, -side, limit, min(lots, residual.slice_lots))
    if taken.lots:
        book_unwound(shard, market, residual, taken.lots, taken.value)


def book_unwound(shard: Shard, market: Market, residual: Residual, lots: int, value: int) -> None:
    """Book what inventory closed for `value` gained or lost; with its last lot the takeover is closed."""
    rules, amount = market.rules, shard.rules.asset.text
    side = residual.side * rules.direction
    carried = residual.parcel.share(lots)
    if lots < residual.parcel.lots:
        # The odd unit stays with what remains rather than push the loss beyond the budget.
        bound = value + side * (residual.budget - residual.loss)
        carried = min(carried, bound) if side > 0 else max(carried, bound)
    pnl = side * (value - carried)
    residual.parcel.lots -= lots
    residual.parcel.value -= carried
    residual.loss = max(0, residual.loss - pnl)
    residual.traded_lots += lots
    residual.traded_value += value
    residual.pnl += pnl
    shard.stream.move(shard.purse("clearing", market.name), shard.transit, pnl, "takeover_pnl")
    assert residual.fund is not None
    shard.claim(
        TakeoverFilled(
            liquidation_id=residual.liquidation_id,
            round=residual.round,
            market=market.name,
            fund=residual.fund,
            qty=rules.lots_text(lots),
            price=rules.price_text(value, lots) or "0",
            pnl=amount(pnl),
        )
    )
    if not residual.parcel.lots:
        market.residuals.remove(residual)
        shard.claim(
            TakeoverClosed(
                liquidation_id=residual.liquidation_id,
                round=residual.round,
                market=market.name,
                fund=residual.fund,
                qty=rules.lots_text(residual.traded_lots),
                price=rules.price_text(residual.traded_value, residual.traded_lots),
                pnl=amount(residual.pnl),
            )
        )
