"""What the state keeps twice agrees with itself: books, indexes and sums over open orders, against a full scan.

Conservation says that no money is lost; this says that no order is. It costs much more, so a replay asks less often.
"""

from collections.abc import Iterable

from engine.adl_queue import rank_anew
from engine.book import Order
from engine.conservation import InvariantBroken
from engine.market import Market
from engine.position import Position
from engine.residual import Residual
from engine.shard import Shard


def check_consistency(shard: Shard) -> None:
    """Scan all that is derived. Raises InvariantBroken."""
    state = shard.state
    for account in state.accounts.values():
        reserved = sum(position.reserve for position in account.positions.values())
        _require(account.reserved == reserved, f"reserve of {account.name} is {account.reserved}, not {reserved}")
        waiting = account.pool.waiting + sum(position.waiting for position in account.positions.values())
        cross = {name: position for name, position in account.positions.items() if position.is_cross and position.sign}
        _require(account.pool.positions == cross, f"the pool of {account.name} is not its open cross positions")
        _require(account.waiting == waiting, f"{account.name} waits {account.waiting} times, not {waiting}")
    running = [market for market in state.markets.values() if market.funding is not None]
    _require({*state.funding} == {*running}, f"{len(state.funding)} rounds of funding are listed, {len(running)} run")
    _require(not state.payers, f"{len(state.payers)} positions paid funding and were not looked at")
    open_residuals = 0
    ranked = [market for market in state.markets.values() if market.adl_queues]
    _require(
        {*state.queued} == {*ranked}, f"{len(state.queued)} markets are listed with ADL queues, {len(ranked)} have"
    )
    for market in state.markets.values():
        _check_market(market)
        for sign, queue in market.adl_queues.items():
            _require(
                queue.order() == rank_anew(market, sign), f"an ADL queue of {market.spec.name} is not what ranking says"
            )
        open_residuals += sum(residual.is_open for residual in market.residuals.values())
    _require(state.open_residuals == open_residuals, f"{state.open_residuals} questions counted, {open_residuals} open")


def _check_market(market: Market) -> None:
    try:
        market.book.check()
        market.triggers.check()
    except AssertionError as error:
        raise InvariantBroken(f"{market.spec.name}: {error}") from None
    entry_value = resting = 0
    for position in market.positions.values():
        _check_position(position)
        entry_value += position.signed_entry_value
        resting += len(position.orders)
    entry_value += sum(residual.exposure * residual.parcel.value for residual in market.residuals.values())
    suspense = sum(residual.balance for residual in market.residuals.values())
    _require(
        market.suspense.balance == suspense, f"{market.suspense.name} is {market.suspense.balance}, not {suspense}"
    )
    clearing = market.clearing.balance
    _require(clearing == -entry_value, f"{market.clearing.name} is {clearing}, entry values are {entry_value}")
    _check_funding(market)
    waiting = sum(len(position.stops) for position in market.positions.values())
    _require(
        len(market.stops) <= waiting, f"{market.spec.name}: {len(market.stops)} stops wait, accounts know {waiting}"
    )
    in_book = sum(1 for side in (market.book.bids, market.book.asks) for level in side for _ in level)
    _require(resting == in_book, f"{market.spec.name}: {in_book} orders rest in the book, accounts know of {resting}")


def _check_funding(market: Market) -> None:
    name, funding, purse = market.spec.name, market.funding, market.funding_purse
    stakes: list[Position | Residual] = [*market.positions.values(), *market.residuals.values()]
    owing = [stake for stake in stakes if stake.owes_funding]
    if funding is None:
        _require(not owing, f"{len(owing)} positions of {name} owe funding to no round")
        _require(not purse.balance, f"{purse.name} is {purse.balance} outside of a round")
        return
    listed = [stake for stake in funding.stakes[funding.next :] if stake.owes_funding]
    _require(
        listed == owing, f"{len(owing)} positions of {name} owe funding, not the {len(listed)} that the round lists"
    )
    _require(len(owing) == funding.owing > 0, f"{funding.owing} of {name} counted that owe funding, not {len(owing)}")
    _require(all(stake.parcel.lots for stake in owing), f"a position of {name} was closed before it paid its funding")
    held = funding.paid - funding.received
    _require(purse.balance == held, f"{purse.name} is {purse.balance}, the round says {held}")


def _check_position(position: Position) -> None:
    where = f"{position.market.spec.name}/{position.account.name}"
    parcel, orders = position.parcel, position.orders.values()
    flat = position.sign == 0
    _require(flat == (parcel.lots == 0), f"{where} has sign {position.sign} and {parcel.lots} lots")
    _require(not flat or parcel.value == 0, f"{where} is flat with entry value {parcel.value}")
    _require(not flat or position.margin.balance == 0, f"{where} is flat with margin {position.margin.balance}")
    _require(not position.is_cross or position.margin.balance == 0, f"{where} is cross and has a margin of its own")
    need = position.need(position.buy_lots, position.buy_cost, position.sell_lots, position.sell_cost)
    _require(position.reserve == need, f"{where} holds {position.reserve} back, not {need}")
    for order in orders:
        _require(order.level is not None, f"order {order.order_id} of {where} is open but not in the book")
        fits = not order.reduce_only or (order.sign == -position.sign and order.lots <= parcel.lots)
        _require(fits, f"reduce-only order {order.order_id} of {where} exceeds the position")
    _require(
        (position.buy_lots, position.buy_cost) == _sums(orders, 1)
        and (position.sell_lots, position.sell_cost) == _sums(orders, -1)
        and position.reduce_only_orders == sum(order.reduce_only for order in orders),
        f"sums over the open orders of {where} are off",
    )


def _sums(orders: Iterable[Order], sign: int) -> tuple[int, int]:
    """Lots and cost of the orders of one side that may increase a position."""
    counted = [order for order in orders if order.sign == sign and not order.reduce_only]
    return sum(order.lots for order in counted), sum(order.cost for order in counted)


def _require(holds: bool, what: str) -> None:  # noqa: FBT001 -- an assertion whose message is built beside it
    if not holds:
        raise InvariantBroken(what)
