"""Open orders leaving the book other than by trading."""

from engine.account import Account
from engine.book import IcebergOrder, Order
from engine.pool import unreserved
from engine.position import Position
from engine.state import ShardState
from engine.stops import StopOrder
from schemas.events import OrderAmended, OrderCancelled
from schemas.fields import CancelReason


def cancel_order(state: ShardState, order: Order, reason: CancelReason) -> None:
    """Take an open order out of the book, give its margin back and say why."""
    position = order.position
    market = position.market
    lots = order.lots
    (market.book.bids if order.sign > 0 else market.book.asks).remove(order)
    position.shrink_order(order, lots)
    position.refresh_reserve()
    close_order_id(state, position, order.order_id)
    state.emit(
        OrderCancelled(
            market=market.spec.name,
            account=position.account.name,
            order_id=order.order_id,
            remaining=market.spec.lots.text(lots),
            reason=reason,
        )
    )


def cancel_stop(state: ShardState, stop: StopOrder, reason: CancelReason) -> None:
    """Take a stop order that still waits out of the market."""
    stop.position.market.stops.discard(stop)
    end_stop(state, stop, reason)


def end_stop(state: ShardState, stop: StopOrder, reason: CancelReason, code: str | None = None) -> None:
    """Say that a stop order, which waits for no price any more, is over without having been an order."""
    position = stop.position
    spec = position.market.spec
    del position.stops[stop.command.order_id]
    close_order_id(state, position, stop.command.order_id)
    lots = spec.lots.parse(stop.command.qty)
    assert lots is not None, "the quantity was parsed when it was accepted"
    event = OrderCancelled(
        market=spec.name,
        account=position.account.name,
        order_id=stop.command.order_id,
        remaining=spec.lots.text(lots),
        reason=reason,
    )
    if code is not None:
        event.code = code
    state.emit(event)


def cancel_everything(state: ShardState, position: Position, reason: CancelReason) -> None:
    """Cancel all orders of a position, then all its stop orders that still wait."""
    for order in list(position.orders.values()):
        cancel_order(state, order, reason)
    for stop in list(position.stops.values()):
        cancel_stop(state, stop, reason)


def close_order_id(state: ShardState, position: Position, order_id: str) -> None:
    """Remember the id of an order that is over, so that a repeated `order.new` is not a second order."""
    state.closed_orders.note((position.market.spec.name, position.account.name, order_id), state.outbox.event_time, "")


def shrink_in_place(position: Position, order: Order, lots: int) -> None:
    """Leave `lots` of an open order, at its place in the queue. Of an iceberg the hidden part goes first."""
    cut = order.lots - lots
    position.shrink_order(order, cut)
    if isinstance(order, IcebergOrder):
        order.hidden = max(0, order.hidden - cut)


def fit_reduce_only(state: ShardState, position: Position) -> None:
    """Shrink or cancel reduce-only orders that would do more than close the position."""
    for order in list(position.orders.values()):
        if not order.reduce_only:
            continue
        if order.sign != -position.sign:
            cancel_order(state, order, "reduce_only")
        elif order.lots > position.parcel.lots:
            shrink_in_place(position, order, position.parcel.lots)
            spec = position.market.spec
            state.emit(
                OrderAmended(
                    market=spec.name,
                    account=position.account.name,
                    order_id=order.order_id,
                    price=spec.ticks.text(order.price),
                    remaining=spec.lots.text(order.lots),
                )
            )


def after_change(state: ShardState, position: Position) -> None:
    """What follows from a new size: the position is in its pool, its orders fit, it is to be indexed and published."""
    if position.is_cross:
        position.join_pool()
    if position.reduce_only_orders:
        fit_reduce_only(state, position)
    position.refresh_reserve()
    state.make_stale(position)
    state.touch(position)


def cancel_risk_increasing(state: ShardState, position: Position) -> None:
    """Cancel what a liquidation must not meet: every order that is not reduce-only, and every stop order."""
    for order in list(position.orders.values()):
        if not order.reduce_only:
            cancel_order(state, order, "liquidation")
    for stop in list(position.stops.values()):
        cancel_stop(state, stop, "liquidation")


def cancel_unaffordable(state: ShardState, account: Account, position: Position) -> None:
    """After ADL: cancel the account's orders in the market, the youngest first, until the wallet carries the rest."""
    for order in reversed(list(position.orders.values())):
        if unreserved(account) >= 0:
            return
        if not order.reduce_only:
            cancel_order(state, order, "adl")
