"""The commands about orders. Each checks everything before it changes anything."""

from fractions import Fraction

from schemas.commands import OrderAmend, OrderCancel, OrderCancelAll, OrderNew
from schemas.events import OrderAccepted, OrderCancelled, OrderTriggered
from schemas.fields import CancelReason
from tests.reference.book import (
    cancel_everything,
    cancel_order,
    cancel_stop,
    close_id,
    emit_amended,
    has_room,
    line_up,
    take_off,
    would_take,
)
from tests.reference.exact import LIMIT, ceil, floor
from tests.reference.margin import counted_pnl, need, open_sums, order_cost, reserve, reserved
from tests.reference.matching import Taker, can_fill_whole, take
from tests.reference.state import (
    Market,
    Order,
    Position,
    Shard,
    Stop,
    find_account,
    find_market,
    parse_lots,
    parse_ticks,
    refuse_halted,
    refuse_other_shard,
    refuse_waiting,
)
from tests.reference.stream import Refused


def new_order(shard: Shard, command: OrderNew) -> None:
    """Check, accept, match, rest; or, with a trigger price, check and wait."""
    market = find_market(shard, command.market)
    find_account(shard, command.account)
    refuse_waiting(shard, command.account)
    refuse_halted(market)
    now = shard.stream.now
    if not market.mark:
        raise Refused("no_mark")
    shard.closed_ids.refuse_too_old(command.ts, now)
    position = shard.position(command.account, command.market)
    is_open = any(item.order_id == command.order_id for item in _open_items(shard, position))
    if is_open or shard.closed_ids.recall((market.name, command.account, command.order_id), now):
        raise Refused("duplicate_order_id")
    if command.expire_at is not None and command.expire_at <= now:
        raise Refused("expired")
    if command.trigger_price is None:
        place(shard, position, command, None)
    else:
        _wait(shard, position, command, command.trigger_price)


def _wait(shard: Shard, position: Position, command: OrderNew, trigger_price: str) -> None:
    """Accept a stop order."""
    market = shard.market_of(position)
    if command.price is not None:
        parse_ticks(market.rules, command.price)
    lots = parse_lots(market.rules, command.qty)
    _parse_display(shard, market, command, lots)
    trigger = parse_ticks(market.rules, trigger_price)
    rises = 1 if command.trigger_when == "rises_to" else -1
    if command.trigger_by == "mark" and (market.mark - trigger) * rises >= 0:
        raise Refused("would_trigger")
    _check_open_orders(shard, position)
    shard.register(position)
    market.stops.append(Stop(command.account, command.market, command.order_id, command, trigger, rises, lots))
    _set_timer(shard, position, command.order_id, command.expire_at or 0)
    _emit_accepted(shard, position, command.order_id, lots)


def activate(shard: Shard, stop: Stop, price: int) -> None:
    """A stop order whose price has come becomes an order."""
    rules = shard.market_of(stop).rules
    shard.stream.emit(
        OrderTriggered(
            market=stop.market,
            account=stop.account,
            order_id=stop.order_id,
            trigger_price=rules.ticks_text(stop.trigger),
            price=rules.ticks_text(price),
        )
    )
    if shard.is_waiting(stop.account):
        cancel_stop(shard, stop, "liquidation")
        return
    try:
        refuse_halted(shard.market_of(stop))
        place(shard, shard.position(stop.account, stop.market), stop.command, stop)
    except Refused as refusal:
        cancel_stop(shard, stop, "refused", refusal.code)


def place(shard: Shard, position: Position, command: OrderNew, stop: Stop | None) -> None:
    """Check an order, accept it (a stop order has been accepted before), match it and let it rest."""
    market = shard.market_of(position)
    rules = market.rules
    sign = 1 if command.side == "buy" else -1
    limit = None if command.price is None else parse_ticks(rules, command.price)
    lots = parse_lots(rules, command.qty)
    display = _parse_display(shard, market, command, lots)
    _check_size_and_band(market, limit, lots)
    if not command.reduce_only:
        _check_new_risk(shard, position, sign, limit or market.mark, lots)
    elif position.sign != -sign:
        raise Refused("reduce_only")
    else:
        lots = min(lots, position.parcel.lots)
    rests = command.kind == "limit" and command.tif in ("gtc", "gtt")
    if limit is not None and rests:
        if not would_take(market, sign, limit):
            _check_room(shard, market, sign, limit)
        elif command.post_only:
            raise Refused("post_only")
        if stop is None:
            _check_open_orders(shard, position)
    if limit is None and rules.price_band is not None:
        limit = _band(market)[sign]
    shard.register(position)
    if stop is None:
        _emit_accepted(shard, position, command.order_id, lots)
    else:
        market.stops.remove(stop)
    order = Order(
        account=command.account,
        market=command.market,
        order_id=command.order_id,
        sign=sign,
        price=limit or 0,
        lots=lots,
        cost=0,
        reduce_only=command.reduce_only,
        post_only=command.post_only,
        stp=command.stp,
        expire_at=command.expire_at or 0,
        display=display,
        shown=0,
    )
    if command.tif == "fok" and not can_fill_whole(shard, market, position, command.stp, sign, limit, lots):
        _end(shard, order, "fok")
        return
    _match_and_rest(shard, position, order, limit, rests=rests)


def cancel(shard: Shard, command: OrderCancel) -> None:
    """One open order, or stop order, leaves."""
    found = _find_open(shard, command.market, command.account, command.order_id)
    if isinstance(found, Order):
        cancel_order(shard, found, "requested")
    else:
        cancel_stop(shard, found, "requested")


def cancel_all(shard: Shard, command: OrderCancelAll) -> None:
    """All open orders of an account leave, market by market in the order of the config."""
    refuse_other_shard(shard, command.shard)
    find_account(shard, command.account)
    refuse_waiting(shard, command.account)
    for name in shard.markets if command.market is None else [find_market(shard, command.market).name]:
        cancel_everything(shard, shard.position(command.account, name), "requested")


def amend(shard: Shard, command: OrderAmend) -> None:
    """A pure decrease keeps the place in the queue; anything else is a new order under the old id."""
    order = _find_open(shard, command.market, command.account, command.order_id)
    if isinstance(order, Stop):
        raise Refused("not_supported")
    market, position = shard.market_of(order), shard.position(order.account, order.market)
    refuse_halted(market)
    price = order.price if command.price is None else parse_ticks(market.rules, command.price)
    lots = order.lots if command.qty is None else parse_lots(market.rules, command.qty)
    if order.reduce_only:
        lots = min(lots, position.parcel.lots)
    if price == order.price and lots <= order.lots:
        if lots < order.lots:
            take_off(market, order, order.lots - lots)
        emit_amended(shard, order, price, lots)
        return
    _check_size_and_band(market, price, lots)
    if order.display is not None:
        _check_display(shard, min(order.display, lots), lots)
    if not order.reduce_only:
        _check_new_risk(shard, position, order.sign, price, lots, instead_of=order)
    takes = would_take(market, order.sign, price)
    if order.post_only and takes:
        raise Refused("post_only")
    alone = not any(
        other.sign == order.sign and other.price == order.price for other in market.orders if other is not order
    )
    if not takes and not alone:
        _check_room(shard, market, order.sign, price)
    market.orders.remove(order)
    emit_amended(shard, order, price, lots)
    order.price, order.lots = price, lots
    _match_and_rest(shard, position, order, price, rests=True)


def _match_and_rest(shard: Shard, position: Position, order: Order, limit: int | None, *, rests: bool) -> None:
    """Take what crosses; what is left rests, or is cancelled."""
    market = shard.market_of(position)
    if would_take(market, order.sign, limit):
        taker = Taker(order.account, order.order_id, position, order.stp)
        taken = take(shard, market, taker, order.sign, limit, order.lots)
        order.lots -= taken.lots
        if not order.lots:
            close_id(shard, order.account, order.market, order.order_id)
            return
        if taken.stop:
            _end(shard, order, taken.stop)  # type: ignore[arg-type]
            return
    if limit is None or not rests:
        _end(shard, order, "ioc")
    elif not has_room(shard, market, order.sign, limit):
        _end(shard, order, "book_full")
    else:
        order.cost = 0 if order.reduce_only else order_cost(shard, position, order.sign, limit, order.lots)
        market.orders.append(order)
        line_up(market, order)
        _set_timer(shard, position, order.order_id, order.expire_at)


def _end(shard: Shard, order: Order, reason: CancelReason) -> None:
    """What is left of an order never enters the book."""
    close_id(shard, order.account, order.market, order.order_id)
    shard.stream.emit(
        OrderCancelled(
            market=order.market,
            account=order.account,
            order_id=order.order_id,
            remaining=shard.market_of(order).rules.lots_text(order.lots),
            reason=reason,
        )
    )


def _emit_accepted(shard: Shard, position: Position, order_id: str, lots: int) -> None:
    remaining = shard.market_of(position).rules.lots_text(lots)
    shard.stream.emit(
        OrderAccepted(market=position.market, account=position.account, order_id=order_id, remaining=remaining)
    )


def _set_timer(shard: Shard, position: Position, order_id: str, due: int) -> None:
    if due:
        shard.timers.append((due, position.account, position.market, order_id))


def _open_items(shard: Shard, position: Position) -> list[Order | Stop]:
    return [*shard.orders_of(position), *shard.stops_of(position)]


def _find_open(shard: Shard, market_name: str, account: str, order_id: str) -> Order | Stop:
    find_market(shard, market_name)
    find_account(shard, account)
    position = shard.position(account, market_name)
    for item in _open_items(shard, position):
        if item.order_id == order_id:
            refuse_waiting(shard, account)
            return item
    raise Refused("unknown_order")


# --- checks --------------------------------------------------------------------------------------------------


def _check_size_and_band(market: Market, limit: int | None, lots: int) -> None:
    """The trading rules: how large an order may be, and how far from the mark."""
    rules = market.rules
    value = rules.value(limit or market.mark, lots)
    if max(value, market.value_at_mark(lots)) >= LIMIT:
        raise Refused("amount_too_large")
    if lots > rules.max_order_lots or value > rules.max_order_value:
        raise Refused("order_too_large")
    if limit is not None and rules.price_band is not None:
        band = _band(market)
        if not band[-1] <= limit <= band[1]:
            raise Refused("price_band")


def _parse_display(shard: Shard, market: Market, command: OrderNew, lots: int) -> int | None:
    """How much an iceberg order shows at a time; None where it is none."""
    if command.display_qty is None:
        return None
    display = parse_lots(market.rules, command.display_qty)
    _check_display(shard, display, lots)
    return display


def _check_display(shard: Shard, display: int, lots: int) -> None:
    if display > lots:
        raise Refused("display_too_large")
    if ceil(Fraction(lots, display)) > shard.rules.limits.max_iceberg_parts:
        raise Refused("display_too_small")


def _band(market: Market) -> dict[int, int]:
    """The highest (+1) and lowest (−1) limit price within mark × (1 ± band)."""
    band = market.rules.price_band or Fraction(0)
    return {1: floor(market.mark * (1 + band)), -1: max(1, ceil(market.mark * (1 - band)))}


def _check_open_orders(shard: Shard, position: Position) -> None:
    if len(_open_items(shard, position)) >= shard.rules.limits.max_open_orders:
        raise Refused("too_many_orders")


def _check_room(shard: Shard, market: Market, sign: int, price: int) -> None:
    if not has_room(shard, market, sign, price):
        raise Refused("book_full")


def _check_new_risk(
    shard: Shard, position: Position, sign: int, price: int, lots: int, instead_of: Order | None = None
) -> None:
    """Tier and margin of an order as if it were open beside the others, `instead_of` one of them."""
    market, account = shard.market_of(position), position.account
    sums = open_sums(shard, position)
    if instead_of is not None:
        sums[sign] = (sums[sign][0] - instead_of.lots, sums[sign][1] - instead_of.cost)
    sums[sign] = (sums[sign][0] + lots, sums[sign][1] + order_cost(shard, position, sign, price, lots))
    opened = sign * position.sign * position.parcel.lots + sums[sign][0]
    if opened > 0 and market.rules.is_reduce_only:
        raise Refused("market_reduce_only")
    if opened > 0 and shard.open_questions() > shard.rules.limits.max_open_residuals:
        raise Refused("settlement_behind")
    if opened > 0 and market.value_at_mark(opened) > market.rules.notional_limit(position.leverage):
        raise Refused("position_limit")
    more = need(position, sums) - reserve(shard, position)
    if more > 0 and shard.wallet(account) + counted_pnl(shard, account) < reserved(shard, account) + more:
        raise Refused("insufficient_margin")
