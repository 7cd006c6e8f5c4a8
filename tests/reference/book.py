"""The order book as a list that is sorted on each use, and orders that leave it other than by trading."""

from fractions import Fraction

from schemas.events import OrderAmended, OrderCancelled
from schemas.fields import CancelReason
from tests.reference.exact import floor
from tests.reference.margin import counted_pnl, reserved
from tests.reference.state import Market, Order, Position, Shard, Stop


def queue(market: Market, sign: int) -> list[Order]:
    """The orders on one side in the order in which they trade: best price first, oldest first."""
    resting = [order for order in market.orders if order.sign == sign]
    return sorted(resting, key=lambda order: (-order.price * sign, order.place))


def line_up(market: Market, order: Order) -> None:
    """Show an order, or the next part of it, behind all others at its price."""
    market.places += 1
    order.place = market.places
    order.shown = order.lots if order.display is None else min(order.display, order.lots)


def would_take(market: Market, sign: int, limit: int | None) -> bool:
    """Whether an order would meet another at once."""
    resting = queue(market, -sign)
    return bool(resting) and (limit is None or crosses(resting[0], limit))


def crosses(maker: Order, limit: int | None) -> bool:
    """Whether an order of the other side with this limit reaches the resting one."""
    return limit is None or (limit - maker.price) * -maker.sign >= 0


def has_room(shard: Shard, market: Market, sign: int, price: int) -> bool:
    """Whether an order may rest at this price without a price level too many."""
    prices = {order.price for order in market.orders if order.sign == sign}
    return price in prices or len(prices) < shard.rules.limits.max_price_levels


def close_id(shard: Shard, account: str, market: str, order_id: str) -> None:
    """The order is over: its id is remembered for a while."""
    shard.closed_ids.note((market, account, order_id), shard.stream.now)


def take_off(market: Market, order: Order, lots: int) -> None:
    """Take lots and their share of the cost off an order, hidden ones first; without lots it leaves the book."""
    order.cost -= floor(Fraction(order.cost * lots, order.lots))
    order.lots -= lots
    order.shown = min(order.shown, order.lots)
    if not order.lots:
        market.orders.remove(order)


def emit_cancelled(shard: Shard, item: Order | Stop, lots: int, reason: CancelReason, code: str | None = None) -> None:
    """Say that an order is over."""
    close_id(shard, item.account, item.market, item.order_id)
    event = OrderCancelled(
        market=item.market,
        account=item.account,
        order_id=item.order_id,
        remaining=shard.market_of(item).rules.lots_text(lots),
        reason=reason,
    )
    if code is not None:
        event.code = code
    shard.stream.emit(event)


def emit_amended(shard: Shard, order: Order, price: int, lots: int) -> None:
    """Say what an order is now."""
    rules = shard.market_of(order).rules
    shard.stream.emit(
        OrderAmended(
            market=order.market,
            account=order.account,
            order_id=order.order_id,
            price=rules.ticks_text(price),
            remaining=rules.lots_text(lots),
        )
    )


def cancel_order(shard: Shard, order: Order, reason: CancelReason) -> None:
    """Take an order out of the book."""
    shard.market_of(order).orders.remove(order)
    emit_cancelled(shard, order, order.lots, reason)


def cancel_stop(shard: Shard, stop: Stop, reason: CancelReason, code: str | None = None) -> None:
    """End a stop order."""
    shard.market_of(stop).stops.remove(stop)
    emit_cancelled(shard, stop, stop.lots, reason, code)


def cancel_everything(shard: Shard, position: Position, reason: CancelReason) -> None:
    """All orders, then all stop orders."""
    for order in shard.orders_of(position):
        cancel_order(shard, order, reason)
    for stop in shard.stops_of(position):
        cancel_stop(shard, stop, reason)


def cancel_risk_increasing(shard: Shard, position: Position) -> None:
    """What a liquidation must not meet: every order that is not reduce-only, and every stop order."""
    for order in shard.orders_of(position):
        if not order.reduce_only:
            cancel_order(shard, order, "liquidation")
    for stop in shard.stops_of(position):
        cancel_stop(shard, stop, "liquidation")


def cancel_unaffordable(shard: Shard, position: Position) -> None:
    """After ADL: the youngest orders leave until the wallet carries the rest."""
    for order in reversed(shard.orders_of(position)):
        name = position.account
        if reserved(shard, name) <= shard.wallet(name) + counted_pnl(shard, name):
            return
        if not order.reduce_only:
            cancel_order(shard, order, "adl")


def fit_reduce_only(shard: Shard, position: Position) -> None:
    """Reduce-only orders shrink with the position, or go when there is nothing left to reduce."""
    market = shard.market_of(position)
    for order in shard.orders_of(position):
        if order.reduce_only and order.sign != -position.sign:
            cancel_order(shard, order, "reduce_only")
        elif order.reduce_only and order.lots > position.parcel.lots:
            take_off(market, order, order.lots - position.parcel.lots)
            emit_amended(shard, order, order.price, order.lots)
