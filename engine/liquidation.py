"""Liquidation of isolated positions: what a mark price triggers, and how one position is closed.

The bankruptcy value BV = EV − s × M bounds what the trader can lose. The liquidation order goes into the book
with the price of BV as its limit, rounded so that no fill can be worse (sell: up, buy: down):

    value of the fills V for f of q lots, share of BV = floor(BV × f ÷ q)
    surplus = s × (V − share), never negative
    residual: the other q − f lots leave the account at BV − share, and settlement decides about them

Where the market says `partial = "tier"`, a position above the first risk tier is reduced first, by the fewest lots
that leave it healthy in a lower tier; what that realises stays in its margin, and what does not fill stays open. If
it is due again at the next mark, the whole goes.
"""

from engine.fills import close_lots
from engine.fixed import divide_down, divide_up, share_down
from engine.funding import pay_first
from engine.margin import (
    bankruptcy_value,
    equity,
    fee,
    health,
    is_liquidatable,
    maintenance_margin,
    mark_value,
    tier_of,
    trigger_price,
)
from engine.market import Market
from engine.matching import Taken, Taker, take
from engine.position import Parcel, Position
from engine.residual import Residual
from engine.resting import after_change, cancel_risk_increasing
from engine.state import POSITION_SIDES, ShardState
from schemas.claims import LiquidationResidual, LiquidationSettled
from schemas.events import LiquidationOrdered, LiquidationStarted


def index_stale(market: Market) -> None:
    """Place every position that changed since the last mark where its trigger is now."""
    for position in market.stale:
        position.stale = False
        if not position.waiting:
            market.triggers.place(position, trigger_price(position))
    market.stale.clear()


def liquidate_triggered(state: ShardState, market: Market) -> None:
    """Queue what the mark has triggered, lowest E ÷ MM first, then account name; run what the cap allows."""
    _queue(state, market.triggers.take(market.mark))
    run_waiting(state)


def queue_payers(state: ShardState) -> None:
    """Queue those whom paying funding has made due at the current marks, in the same order."""
    # A position that paid twice, at the end of one round and in the next, is looked at once.
    due = [position for position in dict.fromkeys(state.payers) if not position.waiting and is_liquidatable(position)]
    state.payers.clear()
    for position in due:
        position.market.triggers.discard(position)
    _queue(state, due)


def _queue(state: ShardState, due: list[Position]) -> None:
    due.sort(key=lambda position: (health(position), position.account.name, position.market.spec.name))
    for position in due:
        position.waiting = True
        position.account.waiting += 1
    state.waiting.extend(due)


def run_waiting(state: ShardState) -> None:
    """Liquidate from the head of the queue while the command's cap lasts; who is healthy again is let go."""
    done = 0
    for position in state.waiting:
        if not state.liquidations_left:
            break
        done += 1
        position.waiting = False
        position.account.waiting -= 1
        has_paid = position.owes_funding
        pay_first(state, position)
        if is_liquidatable(position):
            state.liquidations_left -= 1
            part = lots_to_reduce(position) if position.market.spec.partial_by_tier else None
            if part is None:
                liquidate(state, position)
            else:
                reduce(state, position, part)
        else:
            # To let somebody go costs nothing, but the funding that was booked for it is bounded, too.
            state.liquidations_left -= has_paid
            state.make_stale(position)
    del state.waiting[:done]


def lots_to_reduce(position: Position) -> int | None:
    """The fewest lots that, closed at the mark, leave the position healthy in a lower tier; None if no part does.

    Closing at the mark leaves equity as it is, and maintenance margin falls with what is left.
    """
    market = position.market
    spec = market.spec
    tier = spec.tiers.index(tier_of(spec, mark_value(position)))
    if tier == 0 or position.reduced_at == market.marks - 1:
        return None
    own, ceiling = equity(position), spec.tiers[tier - 1].up_to
    kept, too_many = 0, position.parcel.lots
    while too_many - kept > 1:
        middle = (kept + too_many) // 2
        value = spec.value(market.mark, middle)
        if value <= ceiling and maintenance_margin(spec, value) < own:
            kept = middle
        else:
            too_many = middle
    return position.parcel.lots - kept if kept else None


def reduce(state: ShardState, position: Position, lots: int) -> None:
    """Sell or buy back part of a position at its bankruptcy price or better. What does not fill stays as it is."""
    cancel_risk_increasing(state, position)
    market = position.market
    spec = market.spec
    side, value = position.sign, bankruptcy_value(position)
    whole = position.parcel.lots
    liquidation_id = _announce(state, position, value)
    taken = _send_order(state, position, liquidation_id, lots, _limit_price(spec.lot_value, side, whole, value))
    charge = 0
    if taken.lots:
        carried = position.parcel.part(taken.lots)
        close_lots(position, taken.lots, carried)
        realised = side * (taken.value - carried)
        state.ledger.move(market.clearing, position.margin, realised, "realised_pnl")
        state.realise(position, realised)
        left = max(0, side * (taken.value - share_down(value, taken.lots, whole)))
        charge = min(fee(taken.value, spec.liquidation_fee), left, position.margin.balance)
        state.ledger.move(position.margin, state.transit, charge, "liquidation_fee")
    _claim_settled(state, position, liquidation_id, taken, charge, 0, to_account=False)
    position.reduced_at = market.marks
    after_change(state, position)


def liquidate(state: ShardState, position: Position) -> None:
    """Close a whole position: cancel orders, send the liquidation order, settle what filled, pass on the rest."""
    cancel_risk_increasing(state, position)
    market = position.market
    spec = market.spec
    side, lots = position.sign, position.parcel.lots
    value = bankruptcy_value(position)
    liquidation_id = _announce(state, position, value)
    taken = _send_order(state, position, liquidation_id, lots, _limit_price(spec.lot_value, side, lots, value))
    left = lots - taken.lots
    residual_value = value - share_down(value, taken.lots, lots)
    _close_position(state, position, side * (taken.value + residual_value - position.parcel.value))
    _settle(state, position, liquidation_id, taken, to_account=spec.surplus_to_account and not left)
    if left:
        residual = Residual(state.liquidations, liquidation_id, side, Parcel(left, residual_value))
        market.residuals[liquidation_id] = residual
        state.ask(residual)
        ask_settlement(state, market, residual)
    after_change(state, position)


def _announce(state: ShardState, position: Position, value: int) -> str:
    """Begin a liquidation and publish the numbers that decided it; its id."""
    state.liquidations += 1
    liquidation_id = f"{state.spec.name}:{state.liquidations}"
    market = position.market
    spec = market.spec
    amount = spec.asset.text
    state.emit(
        LiquidationStarted(
            liquidation_id=liquidation_id,
            market=spec.name,
            account=position.account.name,
            side=POSITION_SIDES[position.sign],
            qty=spec.lots.text(position.parcel.lots),
            mark_price=spec.ticks.text(market.mark),
            bankruptcy_price=spec.price_text(value, position.parcel.lots),
            bankruptcy_value=amount(value),
            equity=amount(equity(position)),
            maintenance_margin=amount(maintenance_margin(spec, mark_value(position))),
        )
    )
    return liquidation_id


def _send_order(state: ShardState, position: Position, liquidation_id: str, lots: int, limit: int) -> Taken:
    """Send the liquidation order into the book."""
    market = position.market
    spec = market.spec
    order_id = f"liquidation:{liquidation_id}"
    state.emit(
        LiquidationOrdered(
            liquidation_id=liquidation_id,
            order_id=order_id,
            market=spec.name,
            side="sell" if position.sign > 0 else "buy",
            qty=spec.lots.text(lots),
            price=spec.ticks.text(limit),
        )
    )
    taker = Taker(position.account.name, order_id, liquidation_id=liquidation_id)
    return take(state, market, taker, -position.sign, limit, lots)


def _limit_price(lot_value: int, side: int, lots: int, value: int) -> int:
    """The bankruptcy price in ticks such that no fill is worse; at least one tick."""
    divide = divide_up if side > 0 else divide_down
    return max(1, divide(value, lots * lot_value))


def _close_position(state: ShardState, position: Position, realised: int) -> None:
    """Flatten: what was sold and what becomes a residual both leave; the PnL of both goes through the margin."""
    state.ledger.move(position.market.clearing, position.margin, realised, "realised_pnl")
    state.realise(position, realised)
    position.sign = 0
    position.parcel = Parcel()
    assert position.margin.balance >= 0, "no fill is worse than bankruptcy"


def _settle(state: ShardState, position: Position, liquidation_id: str, taken: Taken, *, to_account: bool) -> None:
    """Charge the liquidation fee from what is left of the margin, and send on the surplus."""
    spec = position.market.spec
    charge = min(fee(taken.value, spec.liquidation_fee), position.margin.balance)
    surplus = position.margin.balance - charge
    state.ledger.move(position.margin, state.transit, charge, "liquidation_fee")
    state.ledger.move(position.margin, position.wallet if to_account else state.transit, surplus, "surplus")
    _claim_settled(state, position, liquidation_id, taken, charge, surplus, to_account=to_account)


def _claim_settled(
    state: ShardState,
    position: Position,
    liquidation_id: str,
    taken: Taken,
    charge: int,
    surplus: int,
    *,
    to_account: bool,
) -> None:
    spec = position.market.spec
    amount = spec.asset.text
    state.claim(
        LiquidationSettled(
            liquidation_id=liquidation_id,
            market=spec.name,
            filled_qty=spec.lots.text(taken.lots),
            average_price=spec.price_text(taken.value, taken.lots),
            fee=amount(charge),
            surplus=amount(surplus),
            to="account" if to_account else "fund",
        )
    )


def ask_settlement(state: ShardState, market: Market, residual: Residual) -> None:
    """Put the question what to do with a residual, which is open already."""
    spec = market.spec
    parcel = residual.parcel
    amount = spec.asset.text
    state.claim(
        LiquidationResidual(
            liquidation_id=residual.liquidation_id,
            round=residual.round,
            market=spec.name,
            side=POSITION_SIDES[residual.side],
            qty=spec.lots.text(parcel.lots),
            bankruptcy_price=spec.price_text(parcel.value, parcel.lots),
            bankruptcy_value=amount(parcel.value),
            mark_price=spec.ticks.text(market.mark),
            expected_loss=amount(residual.expected_loss(spec.value(market.mark, parcel.lots))),
        )
    )
