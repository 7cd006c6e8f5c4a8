"""A state machine brought back from the rows of its state: it goes on exactly as the one that they were taken from.

What `rows` hold is read back; all else is derived from it and made anew. So are sums over open orders and what they
hold back, cross pools, trigger indexes and the bands of cross accounts (those of the marks as they are now, which move
no event: see `engine.bands`), the book's levels, and the ADL queues, which are made when they are asked for.

Nothing is left stale but who is due for liquidation already, and who has left a residual in a liquidation that is not
over: both are judged at the next mark, as they would have been.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Generic, TypeVar

from engine.account import Account
from engine.adl_lights import schedule_lights
from engine.bands import place_pool
from engine.book import Order, order_of_row
from engine.digest import hash_rows
from engine.funding import FundingRound
from engine.margin import trigger_price
from engine.market import Market
from engine.position import Position
from engine.residual import residual_of_row
from engine.rows import BrokenDump, Row, RowReader, check_config, reorder
from engine.settlement import Settlement
from engine.shard import Shard
from engine.spec import AssetSpec, ShardSpec, VenueSpec
from engine.state import ShardState
from engine.stops import StopOrder, stop_of_row
from schemas.events import AdlLight

MachineT = TypeVar("MachineT", Shard, Settlement)
OrderT = TypeVar("OrderT", Order, StopOrder)

_WRONG_ROWS: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What rows that do not belong together bring about while they are read."""


def restore_shard(spec: ShardSpec, rows: Iterable[Row], state_hash: str) -> Shard:
    """The engine that `rows` and `report_rows`, one after the other, were taken from, which had this hash.

    `spec` is what it was then, else the hash differs or the rows make no sense. Raises BrokenDump.
    """
    return _restore(Shard(spec), _read_shard, rows, state_hash)


def restore_settlement(spec: VenueSpec, asset: AssetSpec, rows: Iterable[Row], state_hash: str) -> Settlement:
    """As `restore_shard`, the settlement of an asset. Its genesis is in its past. Raises BrokenDump."""
    return _restore(Settlement(spec, asset), Settlement.restore, rows, state_hash)


def _restore(
    machine: MachineT, read: Callable[[MachineT, RowReader], None], rows: Iterable[Row], state_hash: str
) -> MachineT:
    reader = RowReader(rows)
    try:
        read(machine, reader)
        reader.end()
        again = RowReader(machine.rows())
        found = hash_rows(again)
        count = again.number + sum(1 for _ in machine.report_rows())
    except _WRONG_ROWS as error:
        reason = str(error) if isinstance(error, BrokenDump) else f"{type(error).__name__}: {error}"
        raise BrokenDump(f"{machine.stream}: rows cannot be restored, at row {reader.number}: {reason}") from error
    if found != state_hash:
        raise BrokenDump(f"{machine.stream}: the restored state has the hash {found}, not {state_hash}")
    if count != reader.number:  # one that is there twice may tell of nothing new
        raise BrokenDump(f"{machine.stream}: there were {reader.number} rows, and of the restored state are {count}")
    return machine


class _Open(Generic[OrderT]):
    """Orders of one kind, which a position knows in another order than that in which the rows tell of them."""

    def __init__(self) -> None:
        self._lists: list[tuple[Position, tuple[str, ...]]] = []
        self._found: dict[tuple[Position, str], OrderT] = {}

    def list_ids(self, position: Position, order_ids: tuple[str, ...]) -> None:
        """Note the ids of all orders of a position, in its order."""
        self._lists.append((position, order_ids))

    def find(self, position: Position, order_id: str, order: OrderT) -> None:
        """Note an order."""
        self._found[position, order_id] = order

    def match(self) -> Iterator[tuple[Position, str, OrderT]]:
        """Every order, in the order of its position. Raises BrokenDump if ids and orders are not the same."""
        found = self._found
        for position, order_ids in self._lists:
            for order_id in order_ids:
                order = found.pop((position, order_id), None)
                if order is None:
                    raise BrokenDump(f"order {order_id} of {position.account.name} is listed and is not in the rows")
                yield position, order_id, order
        for position, order_id in found:
            raise BrokenDump(f"order {order_id} of {position.account.name} is in the rows and is not listed")


def _read_shard(shard: Shard, rows: RowReader) -> None:
    state = shard.state
    state.outbox.restore(rows)
    check_config(state.spec.config_hash, rows)
    (
        _,
        state.claims,
        shard.decisions.last,
        state.liquidations,
        state.open_residuals,
        state.marks,
        state.period_end,
        state.external.balance,
        state.fees.balance,
        state.transit.balance,
    ) = rows.take("shard")
    _read_accounts(state, rows)
    stops: _Open[StopOrder] = _Open()
    markets = {}
    while rows.kind == "market":
        row = rows.take("market")
        markets[row[1]] = market = state.markets[row[1]]
        _read_market(state, market, row, stops, rows)
    reorder(state.markets, markets, "market")
    while rows.kind == "funding":
        row = rows.take("funding")
        market = state.markets[row[1]]
        market.funding = FundingRound.restore(market, row, rows)
        state.funding.append(market)
    for _, account, name in rows.each("waiting"):
        state.waiting.append(state.markets[name].positions[account] if name else state.accounts[account].pool)
    for _, name, price, is_open, *of_stop in rows.each("triggered"):
        position = state.markets[name].positions[of_stop[0]]
        stop = stop_of_row(position, ("stop", *of_stop))
        if is_open:
            stops.find(position, stop.command.order_id, stop)
        state.triggered.append((stop, price))
    for position, order_id, stop in stops.match():
        position.stops[order_id] = stop
    for _, due, account, name, order_id in rows.each("timer"):
        state.timers.append((due, account, name, order_id))  # sorted, so it is a heap
    state.transfers.restore("transfer", rows)
    state.closed_orders.restore("closed_order", rows)
    _place_all(state)
    schedule_lights(state)
    _check_counts(state)


def _read_accounts(state: ShardState, rows: RowReader) -> None:
    shard, free_profit = state.spec.name, state.spec.free_profit
    accounts = state.accounts
    for _, name, balance, cancel_at, left_residual, is_waiting in rows.each("account"):
        accounts[name] = account = Account(shard, name, free_profit=free_profit)
        account.wallet.balance = balance
        account.cancel_at = cancel_at
        pool = account.pool
        pool.left_residual = left_residual
        pool.waiting = is_waiting
        account.waiting += is_waiting


def _read_market(
    state: ShardState, market: Market, row: tuple[Any, ...], stops: _Open[StopOrder], rows: RowReader
) -> None:
    (
        _,
        name,
        market.mark,
        market.cheapest_mark,
        market.marks,
        market.trades,
        market.period_end,
        market.clearing.balance,
        market.suspense.balance,
        market.deficit.balance,
        market.fundings,
        market.funding_purse.balance,
        market.lights_at,
        market.lights_of,
        market.largest_notional,
    ) = row
    orders: _Open[Order] = _Open()
    positions, accounts = market.positions, state.accounts
    while rows.kind == "position":
        for row in rows.each("position"):
            account = accounts[row[1]]
            position = Position(account, market)
            position.restore(row)
            position.is_known = True
            account.positions[name] = positions[account.name] = position
            if position.waiting:
                account.waiting += 1
            if position.is_cross and position.sign:
                account.pool.positions[name] = position
        for _, *order_ids in rows.each("open_orders"):
            orders.list_ids(position, tuple(order_ids))
        for _, *order_ids in rows.each("open_stops"):
            stops.list_ids(position, tuple(order_ids))
    for row in rows.each("order"):
        position = positions[row[1]]
        order = order_of_row(position, row)
        market.book.side(order.sign).add(order)
        orders.find(position, order.order_id, order)
    for position, _, order in orders.match():
        position.add_order(order)
    for position in positions.values():
        if position.orders or position.is_cross:
            position.refresh_reserve()
    for row in rows.each("stop"):
        position = positions[row[1]]
        stop = stop_of_row(position, row)
        market.stops.add(stop)
        stops.find(position, stop.command.order_id, stop)
    for _, account_name, side, light in rows.each("light"):
        market.lights.append(AdlLight(account=account_name, side=side, light=light))
    for _, account_name, amount in rows.each("realised"):
        market.realised[account_name] = amount
    for row in rows.each("residual"):
        residual = residual_of_row(market.spec.direction, row)
        market.residuals[residual.liquidation_id] = residual


def _place_all(state: ShardState) -> None:
    """Have all margin pools stand in the trigger indexes, but for those that wait for their liquidation."""
    for market in state.markets.values():
        market.triggers.fill(
            (position, trigger_price(position, position.margin.balance))
            for position in market.positions.values()
            if position.sign and not position.is_cross and not position.waiting
        )
    for account in state.accounts.values():
        pool = account.pool
        if not pool.positions or pool.waiting:
            continue
        if not place_pool(pool) or pool.left_residual:
            state.make_pool_stale(pool)


def _check_counts(state: ShardState) -> None:
    """What the rows say twice must agree."""
    waiting = sum(account.waiting for account in state.accounts.values())
    if waiting != len(state.waiting):
        raise BrokenDump(f"{waiting} margin pools wait for their liquidation, {len(state.waiting)} are listed")
    is_open = sum(residual.is_open for market in state.markets.values() for residual in market.residuals.values())
    if is_open != state.open_residuals:
        raise BrokenDump(f"{is_open} residuals wait for settlement, {state.open_residuals} are counted")
