"""One engine: the state machine of a shard. Commands and decisions in, events out.

    Shard(spec).apply(command) -> events

Each command runs to its end before the next: event time moves on, timers that are due go off, funding and liquidations
that an earlier cap left over run, then the command itself, then what it changed is published once per position and
account, and the money it moved as one posting.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from engine.activation import run_triggered
from engine.adl_lights import run_lights
from engine.decisions import decide
from engine.digest import hash_rows
from engine.fixed import AMOUNT_LIMIT
from engine.funding import continue_rounds, pay_account
from engine.liquidation import pool_name, queue_payers, run_waiting
from engine.market import Market
from engine.marks import pass_time, set_funding, set_mark
from engine.orders import amend, cancel, cancel_all, new_order
from engine.reject import Refused
from engine.rows import Row
from engine.sequence import Incoming
from engine.shard_config import set_config
from engine.spec import ShardSpec, next_boundary
from engine.state import ShardState
from engine.timers import run_timers
from engine.transfers import cancel_after, deposit, move_margin, set_leverage, set_margin_mode, withdraw
from schemas.claims import DECISION_TYPES, AnyDecision, Decision
from schemas.commands import (
    AccountCancelAfter,
    AccountDeposit,
    AccountLeverage,
    AccountMargin,
    AccountMarginMode,
    AccountWithdraw,
    ClockTick,
    Command,
    ConfigSet,
    OrderAmend,
    OrderCancel,
    OrderCancelAll,
    OrderNew,
    PriceFunding,
    PriceMark,
)
from schemas.config import VenueConfig
from schemas.envelope import Event
from schemas.events import AccountRejected, ConfigRejected, OrderRejected, PriceRejected

_HANDLERS: Final[dict[type, Callable[[ShardState, Any], None]]] = {
    OrderNew: new_order,
    OrderCancel: cancel,
    OrderCancelAll: cancel_all,
    OrderAmend: amend,
    PriceMark: set_mark,
    PriceFunding: set_funding,
    AccountDeposit: deposit,
    AccountWithdraw: withdraw,
    AccountLeverage: set_leverage,
    AccountMarginMode: set_margin_mode,
    AccountMargin: move_margin,
    AccountCancelAfter: cancel_after,
    ClockTick: pass_time,
    ConfigSet: set_config,
    **dict.fromkeys(DECISION_TYPES, decide),
}


class Shard:
    """The engine of one shard. `apply` is a pure function of the state and the command.

    The spec it is made from is that of the config of the moment: at genesis, or as changes have left it.
    """

    def __init__(self, spec: ShardSpec) -> None:
        self.state = ShardState(spec)
        self.decisions = Incoming(f"decision for shard {spec.name}:")

    @property
    def stream(self) -> str:
        """The name under which this machine emits."""
        return self.state.outbox.stream

    @property
    def event_time(self) -> int:
        """The largest `ts` applied so far, in µs."""
        return self.state.now

    @property
    def config(self) -> VenueConfig:
        """The config of the moment."""
        return self.state.spec.config

    @property
    def applied(self) -> int:
        """The number of the last input that was applied."""
        return self.state.outbox.cause

    def genesis(self) -> list[Event]:
        """Nothing comes before the first input of a shard."""
        return []

    def apply(self, command: Command | AnyDecision) -> list[Event]:
        """Apply one input and return what it caused. Raises BrokenStream when a decision is missing."""
        state = self.state
        handler = _HANDLERS[type(command)]
        if handler is decide:
            assert isinstance(command, Decision)
            if not self.decisions.accept(command.decision):
                return []
        state.outbox.begin(command.ts)
        if state.outbox.event_time >= state.period_end:
            _begin_period(state)
        limits = state.spec.limits
        state.liquidations_left = limits.liquidations_per_command
        state.funding_left = limits.funding_payments_per_command
        state.stops_left = limits.stops_per_command
        if state.timers:
            run_timers(state)
        if state.funding:
            # Settlement's decisions, marks and ticks are nobody's.
            pay_account(state, getattr(command, "account", ""))
            continue_rounds(state)
            queue_payers(state)
        if state.waiting:
            run_waiting(state)
        # A stop order that this command brings is none of what traded before it.
        if state.triggered or state.printed:
            run_triggered(state)
        try:
            handler(state, command)
        except Refused as refusal:
            _reject(state, command, refusal)
        if state.payers:
            _liquidate_payers(state)
        if state.triggered or state.printed:
            run_triggered(state)
            while state.payers:
                _liquidate_payers(state)
                run_triggered(state)
        if state.outbox.event_time >= state.lights_at:
            run_lights(state)
        return state.finish_command()

    def state_hash(self) -> str:
        """SHA-256 over everything that can influence a later event."""
        return hash_rows(self.rows())

    def rows(self) -> Iterator[Row]:
        """The state as rows of plain values, each collection in the order in which it is worked through.

        `engine.restoration` reads them.
        """
        state = self.state
        yield from state.outbox.rows()
        yield "config", state.spec.config_hash
        yield (
            "shard",
            state.claims,
            self.decisions.last,
            state.liquidations,
            state.open_residuals,
            state.marks,
            state.period_end,
            state.external.balance,
            state.fees.balance,
            state.transit.balance,
        )
        for account in state.accounts.values():
            pool = account.pool
            yield "account", account.name, account.wallet.balance, account.cancel_at, pool.left_residual, pool.waiting
        for market in state.markets.values():
            yield from _market_rows(market)
        for market in state.funding:
            if market.funding is not None:
                yield from market.funding.rows(market.spec.name)
        for waiting in state.waiting:
            yield "waiting", *pool_name(waiting)
        for stop, price in state.triggered:
            # One that was cancelled meanwhile has its turn, too, and another may have its id by then.
            is_open = stop.position.stops.get(stop.command.order_id) is stop
            yield "triggered", stop.position.market.spec.name, price, is_open, *stop.row()[1:]
        for timer in sorted(state.timers):
            yield "timer", *timer
        yield from state.transfers.rows("transfer")
        yield from state.closed_orders.rows("closed_order")

    def report_rows(self) -> Iterator[Row]:
        """What only a report needs, no later event: nothing."""
        return iter(())


def _market_rows(market: Market) -> Iterator[Row]:
    yield (
        "market",
        market.spec.name,
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
    )
    for position in market.positions.values():
        yield position.row()
        # Their age orders the cancelling of all of them, and of what ADL leaves unaffordable.
        if position.orders:
            yield "open_orders", *position.orders
        if position.stops:
            yield "open_stops", *position.stops
    for side in (market.book.bids, market.book.asks):
        for level in side:
            for order in level:
                yield order.row()
    yield from market.stops.rows()
    for light in market.lights:
        yield "light", light.account, light.side, light.light
    for name, amount in market.realised.items():
        yield "realised", name, amount
    for residual in market.residuals.values():
        yield residual.row()


def _liquidate_payers(state: ShardState) -> None:
    """Liquidate those whom paying funding has made due. Their orders meet others, who may have to pay first."""
    while state.payers:
        queue_payers(state)
        run_waiting(state)


def _begin_period(state: ShardState) -> None:
    """Start the reconciliation periods whose boundary event time has reached: realised PnL counts from here."""
    now = state.now
    for market in state.markets.values():
        # What a loss that is being asked about will be socialised over stays until it is.
        if now >= market.period_end and not any(residual.balance < 0 for residual in market.residuals.values()):
            market.realised.clear()
            market.period_end = next_boundary(now, market.spec.fund.reconcile_phase)
    state.period_end = min((market.period_end for market in state.markets.values()), default=AMOUNT_LIMIT)


def _reject(state: ShardState, command: Command | AnyDecision, refusal: Refused) -> None:
    code, reason = refusal.code, refusal.reason
    if isinstance(command, OrderNew | OrderCancel | OrderAmend):
        state.emit(
            OrderRejected(
                market=command.market,
                account=command.account,
                order_id=command.order_id,
                code=code,
                reason=reason,
            )
        )
    elif isinstance(command, OrderCancelAll):
        event = OrderRejected(account=command.account, code=code, reason=reason)
        if command.market is not None:
            event.market = command.market
        state.emit(event)
    elif isinstance(command, PriceMark | PriceFunding):
        state.emit(PriceRejected(market=command.market, code=code, reason=reason))
    elif isinstance(command, AccountDeposit | AccountWithdraw):
        state.emit(AccountRejected(account=command.account, code=code, reason=reason, transfer_id=command.transfer_id))
    elif isinstance(command, AccountLeverage | AccountMarginMode | AccountMargin):
        state.emit(AccountRejected(account=command.account, code=code, reason=reason, market=command.market))
    elif isinstance(command, AccountCancelAfter):
        state.emit(AccountRejected(account=command.account, code=code, reason=reason))
    elif isinstance(command, ConfigSet):
        state.emit(ConfigRejected(code=code, reason=reason))
    else:
        raise TypeError(f"{type(command).__name__} cannot be refused")
