"""A fund's inventory: residuals that settlement has taken over, and their unwinding into the book.

The unwinding order of n lots carried at value v, with a of the loss budget left, may trade at prices at which the n
lots are worth V with exposure × (v − V) ≤ a, and within the fund's band around the mark. So however much of it fills,
the loss stays within the budget. It is for a slice of them: a share of what was taken over, and not before an interval
has passed since the slice before. The price keeps the budget for all n lots, so no slice uses up what the next needs.
"""

from engine.fixed import RATE, divide_down, divide_up
from engine.funding import pay_residuals
from engine.market import Market
from engine.matching import Taker, take
from engine.residual import Residual
from engine.state import POSITION_SIDES, ShardState
from schemas.claims import TakeoverClosed, TakeoverExhausted, TakeoverFilled


def raise_exhausted(state: ShardState, market: Market) -> None:
    """Ask settlement anew about every inventory that its budget no longer covers at the mark, or that is too old."""
    spec = market.spec
    if market.funding is not None:
        pay_residuals(state, market)
    for residual in inventory(market):
        loss = residual.expected_loss(spec.value(market.mark, residual.parcel.lots))
        too_old = state.now - residual.taken_over_at >= spec.fund.takeover_max_age
        if loss <= residual.allowed_loss and not too_old:
            continue
        state.ask(residual)
        parcel = residual.parcel
        state.claim(
            TakeoverExhausted(
                liquidation_id=residual.liquidation_id,
                round=residual.round,
                market=spec.name,
                side=POSITION_SIDES[residual.side],
                qty=spec.lots.text(parcel.lots),
                bankruptcy_value=spec.asset.text(parcel.value),
                mark_price=spec.ticks.text(market.mark),
                expected_loss=spec.asset.text(loss),
                reason="max_age" if too_old else "budget",
            )
        )


def take_over(state: ShardState, market: Market, residual: Residual, fund: str) -> None:
    """A fund takes a residual over. Its slices are a share of this quantity, whatever is sold or asked about later."""
    residual.fund = fund
    residual.taken_over_at = state.now
    residual.slice_lots = divide_up(residual.parcel.lots * market.spec.fund.takeover_slice, RATE)
    residual.next_slice_at = state.now


def unwind_all(state: ShardState, market: Market) -> None:
    """Offer every inventory to the book, in the order of the liquidations."""
    for residual in inventory(market):
        unwind(state, market, residual)


def unwind(state: ShardState, market: Market, residual: Residual) -> None:
    """Offer a slice of one inventory to the book, if it is time, as far as its budget and the fund's band allow.

    What the book did not take of it waits for the next slice. If no price keeps the budget, there was none.
    """
    if state.now < residual.next_slice_at or market.spec.is_halted:
        return
    taker = Taker(f"fund:{residual.fund}", f"unwind:{residual.liquidation_id}", liquidation_id=residual.liquidation_id)
    limit = _limit_price(market, residual)
    if limit is None:
        return
    residual.next_slice_at = state.now + market.spec.fund.takeover_interval
    lots = min(residual.slice_lots, residual.parcel.lots)
    taken = take(state, market, taker, -residual.side, limit, lots)
    if taken.lots:
        book_unwound(state, market, residual, taken.lots, taken.value)


def book_unwound(state: ShardState, market: Market, residual: Residual, lots: int, value: int) -> None:
    """Book the PnL of inventory that was closed for `value`, and close the takeover with its last lot."""
    spec = market.spec
    amount = spec.asset.text
    pnl = residual.take_out(lots, value, within_budget=True)
    assert residual.loss <= residual.budget, "unwinding stays within its budget"
    residual.traded_lots += lots
    residual.traded_value += value
    residual.pnl += pnl
    state.ledger.move(market.clearing, state.transit, pnl, "takeover_pnl")
    assert residual.fund is not None
    state.claim(
        TakeoverFilled(
            liquidation_id=residual.liquidation_id,
            round=residual.round,
            market=spec.name,
            fund=residual.fund,
            qty=spec.lots.text(lots),
            price=spec.price_text(value, lots) or "0",
            pnl=amount(pnl),
        )
    )
    if not residual.parcel.lots:
        del market.residuals[residual.liquidation_id]
        state.claim(
            TakeoverClosed(
                liquidation_id=residual.liquidation_id,
                round=residual.round,
                market=spec.name,
                fund=residual.fund,
                qty=spec.lots.text(residual.traded_lots),
                price=spec.price_text(residual.traded_value, residual.traded_lots),
                pnl=amount(residual.pnl),
            )
        )


def inventory(market: Market) -> list[Residual]:
    """What funds hold and may unwind, in the order of the liquidations: no question is open about it."""
    return [residual for residual in market.residuals.values() if residual.fund is not None and not residual.is_open]


def _limit_price(market: Market, residual: Residual) -> int | None:
    """The worst price, in ticks, that keeps both the budget and the band; None if no price keeps the budget."""
    spec, lots = market.spec, residual.parcel.lots
    band = spec.fund.takeover_band
    bound = residual.parcel.value - residual.exposure * residual.allowed_loss
    by_budget = spec.contract.limit_price(bound, lots, residual.side)
    if by_budget is None:
        return None
    if residual.side > 0:
        if residual.expected_loss(spec.value(market.mark, lots)) <= residual.allowed_loss:
            # The mark keeps the budget for all lots, and `take_out` for some of them. The value of an inverse contract
            # is rounded down, so the price at which it is the bound exactly may lie above.
            by_budget = min(by_budget, market.mark)
        return max(1, by_budget, divide_up(market.mark * (RATE - band), RATE))
    return min(by_budget, max(1, divide_down(market.mark * (RATE + band), RATE)))
