"""The commands about orders: new, cancel, cancel-all, amend. Each checks everything before it changes anything."""

from engine.account import Account
from engine.book import IcebergOrder, Order
from engine.fixed import AMOUNT_LIMIT
from engine.margin import order_cost
from engine.market import Market
from engine.matching import Taker, can_fill_whole, take
from engine.pool import unreserved
from engine.position import Position
from engine.reject import Refused
from engine.resting import (
    cancel_everything,
    cancel_order,
    cancel_stop,
    close_order_id,
    end_stop,
    shrink_in_place,
)
from engine.rules import check_display, check_open_orders, check_order, market_limit
from engine.state import ShardState
from engine.stops import FALLING, RISING, StopOrder
from engine.timers import expire_at
from schemas.commands import OrderAmend, OrderCancel, OrderCancelAll, OrderNew
from schemas.events import OrderAccepted, OrderAmended, OrderCancelled, OrderTriggered
from schemas.fields import CancelReason, SelfTradePrevention


def new_order(state: ShardState, command: OrderNew) -> None:
    """Check, accept, match, rest. Raises Refused."""
    market = find_market(state, command.market)
    account = find_account(state, command.account)
    spec = market.spec
    now = state.outbox.event_time
    refuse_waiting(account)
    refuse_halted(market)
    if not market.mark:
        raise Refused("no_mark", f"market {spec.name} has no mark price yet")
    if state.closed_orders.is_too_old(command.ts, now):
        raise Refused("too_old", f"ts {command.ts} is too far behind event time {now} to rule out a repetition")
    position = account.positions.get(spec.name) or Position(account, market)
    if (
        command.order_id in position.orders
        or command.order_id in position.stops
        or state.closed_orders.recall((spec.name, account.name, command.order_id), now) is not None
    ):
        raise Refused("duplicate_order_id", f"order id {command.order_id} is open or was closed moments ago")
    if command.expire_at is not None and command.expire_at <= now:
        raise Refused("expired", f"expire_at {command.expire_at} is not after event time {now}")
    if command.trigger_price is not None:
        _wait_for_trigger(state, position, command, command.trigger_price)
    else:
        _place(state, position, command)


def activate(state: ShardState, stop: StopOrder, price: int) -> None:
    """Make a stop order, whose price has come, an order: checked and matched as if it were new."""
    position = stop.position
    spec = position.market.spec
    state.emit(
        OrderTriggered(
            market=spec.name,
            account=position.account.name,
            order_id=stop.command.order_id,
            trigger_price=spec.ticks.text(stop.trigger),
            price=spec.ticks.text(price),
        )
    )
    if position.account.waiting:
        end_stop(state, stop, "liquidation")
        return
    try:
        refuse_halted(position.market)
        _place(state, position, stop.command, stop)
    except Refused as refusal:
        end_stop(state, stop, "refused", refusal.code)


def _wait_for_trigger(state: ShardState, position: Position, command: OrderNew, trigger_price: str) -> None:
    """Accept a stop order: its grids are checked now, everything else when it is triggered."""
    market = position.market
    if command.price is not None:
        parse_price(market, command.price)
    lots = parse_lots(market, command.qty)
    _parse_display(state, market, command, lots)
    trigger = parse_price(market, trigger_price)
    direction = RISING if command.trigger_when == "rises_to" else FALLING
    if command.trigger_by == "mark" and (market.mark - trigger) * direction >= 0:
        raise Refused("would_trigger", f"the mark {market.spec.ticks.text(market.mark)} has reached {trigger_price}")
    check_open_orders(position, state.spec.limits.max_open_orders)
    if not position.is_known:
        state.register(position)
    stop = StopOrder(position, command, trigger, direction)
    market.stops.add(stop)
    position.stops[command.order_id] = stop
    if command.expire_at is not None:
        expire_at(state, position, command.order_id, command.expire_at)
    _emit_accepted(state, position, command.order_id, lots)


def _place(state: ShardState, position: Position, command: OrderNew, activated: StopOrder | None = None) -> None:
    """Check an order, accept it unless it was accepted as a stop order before, match it, let it rest."""
    market = position.market
    sign = 1 if command.side == "buy" else -1
    limit = None if command.price is None else parse_price(market, command.price)
    lots = parse_lots(market, command.qty)
    display = _parse_display(state, market, command, lots)
    check_order(market, limit, lots)
    if command.reduce_only:
        if position.sign != -sign:
            raise Refused("reduce_only", f"there is no position that a {command.side} would reduce")
        lots = min(lots, position.parcel.lots)
        cost = 0
    else:
        cost = _check_new_risk(state, position, sign, limit or market.mark, lots)
    rests = command.kind == "limit" and command.tif in ("gtc", "gtt")
    if limit is not None and rests:
        if command.post_only and market.book.would_take(sign, limit):
            raise Refused("post_only", f"a {command.side} at {command.price} would trade at once")
        if not market.book.would_take(sign, limit):
            _check_room(state, market, sign, limit)
    if rests and activated is None:  # a stop order has been counted already
        check_open_orders(position, state.spec.limits.max_open_orders)
    if limit is None:
        limit = market_limit(market, sign)
    if not position.is_known:
        state.register(position)
    if activated is None:
        _emit_accepted(state, position, command.order_id, lots)
    else:
        del position.stops[command.order_id]
    if command.tif == "fok" and not can_fill_whole(state, market, position, command.stp, sign, limit, lots):
        _end(state, position, command.order_id, lots, "fok")
        return
    _match_and_rest(
        state,
        position,
        command.order_id,
        sign,
        limit,
        lots,
        command.stp,
        cost,
        rests=rests,
        reduce_only=command.reduce_only,
        post_only=command.post_only,
        expires=command.expire_at or 0,
        display=display,
    )


def cancel(state: ShardState, command: OrderCancel) -> None:
    """Take one open order out. Raises Refused, `unknown_order` also for an order of somebody else."""
    found = _find_open(state, command.market, command.account, command.order_id)
    if isinstance(found, Order):
        cancel_order(state, found, "requested")
    else:
        cancel_stop(state, found, "requested")


def cancel_all(state: ShardState, command: OrderCancelAll) -> None:
    """Take all open orders of an account out, market by market in the order of the config. Raises Refused."""
    refuse_other_shard(state, command.shard)
    account = find_account(state, command.account)
    refuse_waiting(account)
    names = list(state.markets) if command.market is None else [find_market(state, command.market).spec.name]
    for name in names:
        position = account.positions.get(name)
        if position is not None:
            cancel_everything(state, position, "requested")


def amend(state: ShardState, command: OrderAmend) -> None:
    """Change price or remaining quantity. Raises Refused, and then the order stays as it was.

    A pure decrease keeps the place in the queue. Anything else leaves the book and comes back like a new order:
    margin is checked for the new size, and it may trade.
    """
    order = _find_open(state, command.market, command.account, command.order_id)
    if not isinstance(order, Order):
        raise Refused("not_supported", "a stop order that waits cannot be amended; cancel it and send another")
    position = order.position
    market = position.market
    refuse_halted(market)
    price = order.price if command.price is None else parse_price(market, command.price)
    lots = order.lots if command.qty is None else parse_lots(market, command.qty)
    if order.reduce_only:
        lots = min(lots, position.parcel.lots)
    if price == order.price and lots <= order.lots:
        if lots < order.lots:
            shrink_in_place(position, order, lots)
            position.refresh_reserve()
        _emit_amended(state, order, price, lots)
        return
    check_order(market, price, lots)
    if order.display:
        check_display(market, min(order.display, lots), lots, state.spec.limits.max_iceberg_parts)
    cost = 0
    if not order.reduce_only:
        cost = _check_new_risk(state, position, order.sign, price, lots, instead_of=order)
    if order.post_only and market.book.would_take(order.sign, price):
        raise Refused("post_only", f"order {order.order_id} is post-only and would trade at once")
    level = order.level
    assert level is not None
    if level.first is not level.last and not market.book.would_take(order.sign, price):
        _check_room(state, market, order.sign, price)
    market.book.side(order.sign).remove(order)
    position.shrink_order(order, order.lots)
    position.refresh_reserve()
    _emit_amended(state, order, price, lots)
    _match_and_rest(
        state,
        position,
        order.order_id,
        order.sign,
        price,
        lots,
        order.stp,
        cost,
        rests=True,
        reduce_only=order.reduce_only,
        post_only=order.post_only,
        expires=order.expire_at,
        display=order.display,
    )


def find_market(state: ShardState, name: str) -> Market:
    """The market of that name in this shard. Raises Refused."""
    market = state.markets.get(name)
    if market is None:
        other = state.spec.config.markets.get(name)
        if other is not None:
            raise Refused("wrong_shard", f"market {name} is in shard {other.shard}, this is shard {state.spec.name}")
        raise Refused("unknown_market", f"shard {state.spec.name} has no market {name}")
    return market


def find_account(state: ShardState, name: str) -> Account:
    """The account of that name. Raises Refused."""
    account = state.accounts.get(name)
    if account is None:
        raise Refused("unknown_account", f"account {name} has never had a deposit in shard {state.spec.name}")
    return account


def refuse_halted(market: Market) -> None:
    """While the matching of a market is suspended, orders can only be cancelled. Raises Refused."""
    if market.spec.is_halted:
        raise Refused("market_halted", f"market {market.spec.name} is halted: orders can only be cancelled")


def refuse_waiting(account: Account) -> None:
    """An account whose liquidation waits for its turn may do nothing but receive money. Raises Refused."""
    if account.waiting:
        raise Refused("in_liquidation", f"account {account.name} is being liquidated")


def refuse_other_shard(state: ShardState, name: str) -> None:
    """A command that names its shard must name this one. Raises Refused."""
    if name != state.spec.name:
        raise Refused("wrong_shard", f"this is shard {state.spec.name}, not {name}")


def parse_price(market: Market, text: str) -> int:
    """A price in ticks. Raises Refused off the grid, and from 2^63 ticks on."""
    ticks = market.spec.ticks.parse(text)
    if ticks is None:
        raise Refused("off_tick", f"price {text} is not a multiple of the tick {market.spec.ticks.text(1)}")
    if ticks >= AMOUNT_LIMIT:
        raise Refused("amount_too_large", f"price {text} is 2^63 ticks or more")
    return ticks


def parse_lots(market: Market, text: str, field: str = "qty") -> int:
    """A quantity in lots. Raises Refused off the grid."""
    lots = market.spec.lots.parse(text)
    if lots is None:
        raise Refused("off_lot", f"{field} {text} is not a multiple of the lot {market.spec.lots.text(1)}")
    return lots


def _parse_display(state: ShardState, market: Market, command: OrderNew, lots: int) -> int:
    """How many lots of an order of so many show at a time; 0 if all do. Raises Refused."""
    if command.display_qty is None:
        return 0
    display = parse_lots(market, command.display_qty, "display_qty")
    check_display(market, display, lots, state.spec.limits.max_iceberg_parts)
    return display


def _find_open(state: ShardState, market_name: str, account_name: str, order_id: str) -> Order | StopOrder:
    market = find_market(state, market_name)
    account = find_account(state, account_name)
    position = account.positions.get(market.spec.name)
    order = (position.orders.get(order_id) or position.stops.get(order_id)) if position is not None else None
    if order is None:
        raise Refused("unknown_order", f"account {account_name} has no open order {order_id} in {market_name}")
    refuse_waiting(account)
    return order


def _check_room(state: ShardState, market: Market, sign: int, price: int) -> None:
    levels_max = state.spec.limits.max_price_levels
    if not market.book.has_room(sign, price, levels_max):
        raise Refused("book_full", f"the side has {levels_max} price levels already")


def _check_new_risk(
    state: ShardState, position: Position, sign: int, price: int, lots: int, instead_of: Order | None = None
) -> int:
    """Check tier and margin of an order as if it were open beside the others; return its cost.

    The account must carry the worse of its two sides. What does not raise that need is always carried, so that a
    trader under water can still reduce. `instead_of` is an open order that would leave.
    """
    buy_lots, buy_cost = position.buy_lots, position.buy_cost
    sell_lots, sell_cost = position.sell_lots, position.sell_cost
    if instead_of is not None:
        if sign > 0:
            buy_lots, buy_cost = buy_lots - instead_of.lots, buy_cost - instead_of.cost
        else:
            sell_lots, sell_cost = sell_lots - instead_of.lots, sell_cost - instead_of.cost
    market = position.market
    cost = order_cost(position, sign, price, lots)
    if sign > 0:
        buy_lots, buy_cost = buy_lots + lots, buy_cost + cost
        opened = position.signed_lots + buy_lots
    else:
        sell_lots, sell_cost = sell_lots + lots, sell_cost + cost
        opened = sell_lots - position.signed_lots
    if opened > 0 and market.spec.is_reduce_only:
        raise Refused("market_reduce_only", f"market {market.spec.name} takes only orders that reduce a position")
    if opened > 0 and state.open_residuals > state.spec.limits.max_open_residuals:
        raise Refused("settlement_behind", f"{state.open_residuals} residuals wait for settlement; only reducing")
    if opened > 0 and market.spec.value(market.mark, opened) > position.notional_limit:
        raise Refused("position_limit", "position and orders would exceed what their risk tier allows at this leverage")
    need = position.need(buy_lots, buy_cost, sell_lots, sell_cost)
    if need > position.reserve:
        there = unreserved(position.account) + position.reserve
        if there < need:
            amount = market.spec.asset.text
            raise Refused(
                "insufficient_margin",
                f"position and orders need {amount(need)} in {market.spec.name}, {amount(there)} is there",
            )
    return cost


def _match_and_rest(
    state: ShardState,
    position: Position,
    order_id: str,
    sign: int,
    limit: int | None,
    lots: int,
    stp: SelfTradePrevention,
    cost: int,
    *,
    rests: bool,
    reduce_only: bool,
    post_only: bool,
    expires: int,
    display: int,
) -> None:
    market = position.market
    left = lots
    if limit is None or market.book.would_take(sign, limit):
        taken = take(state, market, Taker(position.account.name, order_id, position, stp), sign, limit, lots)
        left = lots - taken.lots
        if not left:
            close_order_id(state, position, order_id)
            return
        if taken.stop:
            _end(state, position, order_id, left, taken.stop)
            return
        if limit is not None and not reduce_only:
            cost = order_cost(position, sign, limit, left)
    if limit is None or not rests:
        _end(state, position, order_id, left, "ioc")
    elif not market.book.has_room(sign, limit, state.spec.limits.max_price_levels):
        _end(state, position, order_id, left, "book_full")
    else:
        terms = (position, order_id, sign, limit, left, cost, reduce_only, post_only, stp, expires)
        order = IcebergOrder(*terms, display) if display else Order(*terms)
        market.book.side(sign).add(order)
        position.add_order(order)
        position.refresh_reserve()
        if expires:
            expire_at(state, position, order_id, expires)


def _end(state: ShardState, position: Position, order_id: str, lots: int, reason: CancelReason) -> None:
    """An order that was never in the book is over."""
    spec = position.market.spec
    close_order_id(state, position, order_id)
    state.emit(
        OrderCancelled(
            market=spec.name,
            account=position.account.name,
            order_id=order_id,
            remaining=spec.lots.text(lots),
            reason=reason,
        )
    )


def _emit_accepted(state: ShardState, position: Position, order_id: str, lots: int) -> None:
    spec = position.market.spec
    account = position.account.name
    state.emit(OrderAccepted(market=spec.name, account=account, order_id=order_id, remaining=spec.lots.text(lots)))


def _emit_amended(state: ShardState, order: Order, price: int, lots: int) -> None:
    spec = order.position.market.spec
    state.emit(
        OrderAmended(
            market=spec.name,
            account=order.position.account.name,
            order_id=order.order_id,
            price=spec.ticks.text(price),
            remaining=spec.lots.text(lots),
        )
    )
