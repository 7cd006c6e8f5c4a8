"""Counts and sums over the commands and events of a run, in one pass, in memory that does not grow with it."""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from msgspec import Struct, field

from consumers.exact import ZERO, plus
from consumers.service.stream import Message
from schemas import claims
from schemas import events as wire
from schemas.envelope import Event
from schemas.events import EVENT_TYPES

_TAGS: Final[dict[type[Event], str]] = {kind: str(kind.__struct_config__.tag) for kind in EVENT_TYPES}
_REJECTIONS: Final = tuple(
    kind for kind, tag in _TAGS.items() if tag.endswith(".rejected") and kind is not claims.DecisionRejected
)


class FundFlows(Struct):
    """What moved a fund, by cause. `opening` is what it held before the first command, `lowest` its lowest balance."""

    balance: Decimal = ZERO
    lowest: Decimal | None = None
    below_minimum: int = 0
    credited: dict[str, Decimal] = field(default_factory=dict)
    debited: dict[str, Decimal] = field(default_factory=dict)

    @property
    def opening(self) -> Decimal:
        return self.credited.get("opening", ZERO)

    @property
    def causes(self) -> list[str]:
        """Why money moved after the opening."""
        return sorted({*self.credited, *self.debited} - {"opening"})


class MarketTally(Struct):
    """Liquidations and ADL of one market. `netted` counts pairs of takeovers that were closed against each other."""

    liquidations: int = 0
    liquidated_qty: Decimal = ZERO
    filled_qty: Decimal = ZERO
    fees: Decimal = ZERO
    surplus: Decimal = ZERO
    residuals: int = 0
    residual_qty: Decimal = ZERO
    takeovers: int = 0
    takeovers_closed: int = 0
    takeover_pnl: Decimal = ZERO
    netted: int = 0
    netted_qty: Decimal = ZERO
    worst_takeover: Decimal = ZERO
    worst_takeover_id: str = ""
    adl_triggered: int = 0
    adl_executions: int = 0
    adl_qty: Decimal = ZERO
    adl_needed: Decimal = ZERO
    adl_taken: Decimal = ZERO
    socialised: Decimal = ZERO
    deficit: Decimal = ZERO


class Tally:
    """Watches a run: feed it every command, every event and every dead letter."""

    def __init__(self) -> None:
        self.commands = 0
        self.first_ts: int | None = None
        self.last_ts: int | None = None
        self.dead_letters: Counter[str] = Counter()
        self.reject_codes: Counter[str] = Counter()
        self.funds: dict[str, FundFlows] = {}
        self.markets: dict[str, MarketTally] = {}
        self._held: set[str] = set()
        self._filled_against = ("", "")
        self._events: Counter[type[Event]] = Counter()
        self._handlers: dict[type[Event], Callable[[Any], None]] = {
            **dict.fromkeys(_REJECTIONS, self._rejected),
            wire.LiquidationStarted: self._started,
            wire.LiquidationOrdered: self._ordered,
            claims.LiquidationSettled: self._settled,
            claims.LiquidationResidual: self._residual,
            claims.LiquidationClosed: self._closed,
            claims.TakeoverApproved: self._takeover_approved,
            claims.TakeoverFilled: self._takeover_filled,
            claims.TakeoverClosed: self._takeover_closed,
            claims.AdlTriggered: self._adl_triggered,
            wire.AdlExecuted: self._adl_executed,
            wire.AdlCompleted: self._adl_completed,
            wire.LossSocialised: self._socialised,
            wire.LossDeficit: self._deficit,
            wire.FundCredited: self._credited,
            wire.FundDebited: self._debited,
            wire.FundBelowMinimum: self._below_minimum,
        }

    def command(self, command: Message) -> None:
        """Count an input that was applied: a command or, of one machine, also what the others told it."""
        self.commands += 1
        ts = command.ts
        if self.last_ts is None:
            self.first_ts = self.last_ts = ts
        elif ts > self.last_ts:
            self.last_ts = ts

    def event(self, event: Event) -> None:
        """Count an event."""
        kind = type(event)
        self._events[kind] += 1
        handler = self._handlers.get(kind)
        if handler is not None:
            handler(event)

    def dead_letter(self, code: str) -> None:
        """Count a line that was no command."""
        self.dead_letters[code] += 1

    @property
    def by_event_type(self) -> dict[str, int]:
        return {tag: self._events[kind] for kind, tag in _TAGS.items() if self._events[kind]}

    def counts(self) -> dict[str, Any]:
        """The `counts` of the report."""
        events = self._events
        return {
            "commands": self.commands,
            "events": sum(events.values()),
            "dead_letters": sum(self.dead_letters.values()),
            "rejected": sum(events[kind] for kind in _REJECTIONS),
            "trades": events[wire.TradeExecuted],
            "liquidations": events[wire.LiquidationStarted],
            "residuals": sum(market.residuals for market in self.markets.values()),
            "takeovers": sum(market.takeovers for market in self.markets.values()),
            "adl": events[claims.AdlTriggered],
            "adl_executions": events[wire.AdlExecuted],
            "socialised": events[wire.LossSocialised],
            "cancelled": events[wire.OrderCancelled],
            "by_event_type": dict(sorted(self.by_event_type.items())),
            "reject_codes": dict(sorted(self.reject_codes.items())),
            "dead_letter_codes": dict(sorted(self.dead_letters.items())),
        }

    def _market(self, name: str) -> MarketTally:
        market = self.markets.get(name)
        if market is None:
            market = self.markets[name] = MarketTally()
        return market

    def _fund(self, name: str) -> FundFlows:
        fund = self.funds.get(name)
        if fund is None:
            fund = self.funds[name] = FundFlows()
        return fund

    def _rejected(self, event: wire.OrderRejected) -> None:
        self.reject_codes[event.code] += 1

    def _started(self, event: wire.LiquidationStarted) -> None:
        self._market(event.market).liquidations += 1

    def _ordered(self, event: wire.LiquidationOrdered) -> None:
        market = self._market(event.market)
        market.liquidated_qty = plus(market.liquidated_qty, Decimal(event.qty))

    def _settled(self, event: claims.LiquidationSettled) -> None:
        market = self._market(event.market)
        market.filled_qty = plus(market.filled_qty, Decimal(event.filled_qty))
        market.fees = plus(market.fees, Decimal(event.fee))
        market.surplus = plus(market.surplus, Decimal(event.surplus))

    def _residual(self, event: claims.LiquidationResidual) -> None:
        market = self._market(event.market)
        if event.round == 1:  # later rounds ask again about the same quantity
            market.residuals += 1
            market.residual_qty = plus(market.residual_qty, Decimal(event.qty))

    def _closed(self, event: claims.LiquidationClosed) -> None:
        market = self._market(event.market)
        market.surplus = plus(market.surplus, Decimal(event.surplus))

    def _takeover_approved(self, event: claims.TakeoverApproved) -> None:
        if event.liquidation_id not in self._held:  # else a larger budget for a takeover that goes on
            self._held.add(event.liquidation_id)
            self._market(event.market).takeovers += 1

    def _takeover_filled(self, event: claims.TakeoverFilled) -> None:
        market = self._market(event.market)
        market.takeover_pnl = plus(market.takeover_pnl, Decimal(event.pnl))
        if not event.against:
            return
        # Of two takeovers each names the other; what the last resort closes against one is told of that one only.
        if self._filled_against == (event.against, event.liquidation_id):
            market.netted += 1
            market.netted_qty = plus(market.netted_qty, Decimal(event.qty))
        self._filled_against = (event.liquidation_id, event.against)

    def _takeover_closed(self, event: claims.TakeoverClosed) -> None:
        market = self._market(event.market)
        market.takeovers_closed += 1
        self._held.discard(event.liquidation_id)
        pnl = Decimal(event.pnl)
        if pnl < market.worst_takeover:
            market.worst_takeover, market.worst_takeover_id = pnl, event.liquidation_id

    def _adl_triggered(self, event: claims.AdlTriggered) -> None:
        self._market(event.market).adl_triggered += 1
        self._held.discard(event.liquidation_id)

    def _adl_executed(self, event: wire.AdlExecuted) -> None:
        market = self._market(event.market)
        market.adl_executions += 1
        market.adl_qty = plus(market.adl_qty, Decimal(event.qty))

    def _adl_completed(self, event: wire.AdlCompleted) -> None:
        market = self._market(event.market)
        market.adl_needed = plus(market.adl_needed, Decimal(event.needed))
        market.adl_taken = plus(market.adl_taken, Decimal(event.taken))

    def _socialised(self, event: wire.LossSocialised) -> None:
        market = self._market(event.market)
        market.socialised = plus(market.socialised, Decimal(event.amount))

    def _deficit(self, event: wire.LossDeficit) -> None:
        self._market(event.market).deficit = Decimal(event.deficit)

    def _credited(self, event: wire.FundCredited) -> None:
        fund = self._fund(event.fund)
        fund.credited[event.cause_kind] = plus(fund.credited.get(event.cause_kind, ZERO), Decimal(event.amount))
        self._balance(fund, event.balance)

    def _debited(self, event: wire.FundDebited) -> None:
        fund = self._fund(event.fund)
        fund.debited[event.cause_kind] = plus(fund.debited.get(event.cause_kind, ZERO), Decimal(event.amount))
        self._balance(fund, event.balance)

    def _below_minimum(self, event: wire.FundBelowMinimum) -> None:
        self._fund(event.fund).below_minimum += 1

    def _balance(self, fund: FundFlows, balance: str) -> None:
        fund.balance = Decimal(balance)
        if fund.lowest is None or fund.balance < fund.lowest:
            fund.lowest = fund.balance
