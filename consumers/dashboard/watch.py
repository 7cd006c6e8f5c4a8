"""Collects what the page shows from the stream of commands and events, in memory that does not grow with the run.

It grows with the number of positions and open liquidations, as the venue itself does. Everything else is bounded
by the constants below, and what they cut is counted and said on the page.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from msgspec import Struct

from consumers.dashboard.cases import Case, Largest
from consumers.dashboard.page import render_page
from consumers.dashboard.timeline import Bars, Line
from consumers.dead_letters import DeadLetter
from consumers.exact import ZERO, minus, plus, quotient, times
from consumers.replay.tally import Tally
from schemas import claims
from schemas import events as wire
from schemas.commands import Command, ConfigSet, PriceMark
from schemas.config import VenueConfig
from schemas.config_change import change_config
from schemas.envelope import Event

MARKERS_MAX: Final = 600
ADL_ROWS_MAX: Final = 100
DEAD_LETTER_ROWS_MAX: Final = 50
OPEN_CASES_MAX: Final = 20_000
_EXCERPT_CHARACTERS: Final = 200


class DeadLetterRow(Struct, frozen=True):
    """A dead letter as the page shows it: the beginning of its line only."""

    place: str
    code: str
    reason: str
    excerpt: str


class MarketWatch:
    """One market over time."""

    def __init__(self, name: str, config: VenueConfig) -> None:
        settings = config.markets[name]
        self.name = name
        self.asset = config.shards[settings.shard].asset
        self.fund = settings.fund
        self._multiplier = Decimal(settings.multiplier)
        self._decimals = config.assets[self.asset].decimals
        self._is_inverse = settings.contract == "inverse"
        self.marks = Line()
        self.longs = Line()
        self.shorts = Line()
        self.bars = Bars()
        self.liquidated_notional = ZERO
        self.filled_notional = ZERO
        self.taken_over = 0
        self.cases: Largest[Case] = Largest(MARKERS_MAX)
        self.adl_executions: Largest[wire.AdlExecuted] = Largest(ADL_ROWS_MAX)
        self._positions: dict[str, Decimal] = {}
        self._sums = {"long": ZERO, "short": ZERO}

    def notional(self, qty: str, price: str) -> Decimal:
        """What a quantity is worth at a price, in the settlement asset."""
        contracts = times(Decimal(qty), self._multiplier)
        if self._is_inverse:
            return quotient(contracts, Decimal(price), self._decimals)
        return times(contracts, Decimal(price))

    def position(self, account: str, side: str, qty: Decimal) -> None:
        """Follow the users' open interest."""
        before = self._positions.pop(account, ZERO)
        if before:
            held = "long" if before > 0 else "short"
            self._sums[held] = minus(self._sums[held], abs(before))
        if qty:
            self._positions[account] = qty if side == "long" else -qty
            self._sums[side] = plus(self._sums[side], qty)

    def draw_open_interest(self, ts: int) -> None:
        """Add a point if the open interest has moved."""
        for line, side in ((self.longs, "long"), (self.shorts, "short")):
            if line.last != self._sums[side]:
                line.add(ts, self._sums[side])


class FundWatch:
    """One fund over time."""

    def __init__(self, name: str, *, asset: str, minimum: Decimal) -> None:
        self.name = name
        self.asset = asset
        self.opening = ZERO
        self.balance = Line()
        self.reserved = Line()
        self.minimum = Line()
        self._opening_minimum = minimum

    def begin(self, ts: int) -> None:
        """Start the lines where event time starts: genesis itself has none."""
        self.balance.add(ts, self.opening)
        self.reserved.add(ts, ZERO)
        self.minimum.add(ts, self._opening_minimum)


class Dashboard:
    """Watches a run and renders its page."""

    def __init__(self, config: VenueConfig) -> None:
        self.markets = {name: MarketWatch(name, config) for name in config.markets}
        self.funds = {
            name: FundWatch(name, asset=fund.asset, minimum=Decimal(fund.minimum))
            for name, fund in config.funds.items()
        }
        self.dead_letters: list[DeadLetterRow] = []
        self._config = config
        self._now = 0
        self._began: int | None = None
        self._moved: set[str] = set()
        self._open: dict[str, Case] = {}
        self._finished: list[Case] = []
        self._budgets: dict[str, tuple[str, Decimal]] = {}
        self._approved: dict[str, Decimal] = {}
        self._handlers: dict[type[Event], Callable[[Any], None]] = {
            wire.PositionUpdated: self._position,
            wire.LiquidationStarted: self._started,
            wire.LiquidationOrdered: self._ordered,
            claims.LiquidationSettled: self._settled,
            claims.LiquidationResidual: self._residual,
            claims.TakeoverApproved: self._takeover_approved,
            claims.TakeoverFilled: self._takeover_filled,
            claims.TakeoverExhausted: self._takeover_exhausted,
            claims.TakeoverClosed: self._takeover_closed,
            claims.AdlTriggered: self._adl_triggered,
            wire.AdlExecuted: self._adl_executed,
            claims.LiquidationUncovered: self._uncovered,
            claims.LiquidationClosed: self._closed,
            claims.LiquidationPartlyClosed: self._partly_closed,
            wire.FundCredited: self._fund_moved,
            wire.FundDebited: self._fund_moved,
            wire.FundUpdated: self._fund_updated,
        }

    def genesis(self, events: list[Event]) -> None:
        """See the events before the first command."""
        for event in events:
            if isinstance(event, wire.FundCredited | wire.FundDebited):
                self.funds[event.fund].opening = Decimal(event.balance)

    def applied(self, command: Command, events: list[Event]) -> None:
        """See a command and what came of it."""
        self._now = max(self._now, command.ts)
        if self._began is None:
            self._began = self._now
            for fund in self.funds.values():
                fund.begin(self._now)
        if isinstance(command, ConfigSet) and any(isinstance(event, wire.ConfigChanged) for event in events):
            self._config_changed(command, events)
        if isinstance(command, PriceMark) and not any(isinstance(event, wire.PriceRejected) for event in events):
            market = self.markets.get(command.market)
            if market is not None:
                market.marks.add(self._now, Decimal(command.price))
        for event in events:
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(event)
        if self._moved:
            for name in sorted(self._moved):
                self.markets[name].draw_open_interest(self._now)
            self._moved.clear()
        if self._finished:
            for case in self._finished:
                if case.is_finished and case.liquidation_id in self._open:
                    self._file(case)
            self._finished.clear()

    def dead_letter(self, letter: DeadLetter) -> None:
        """See a line that was no command."""
        if len(self.dead_letters) < DEAD_LETTER_ROWS_MAX:
            beginning = letter.line.raw[: 4 * _EXCERPT_CHARACTERS].decode("utf-8", "backslashreplace")
            excerpt = beginning[:_EXCERPT_CHARACTERS] + ("…" if len(beginning) > _EXCERPT_CHARACTERS else "")
            self.dead_letters.append(DeadLetterRow(letter.line.place, letter.code, letter.reason, excerpt))

    def render(self, report: Mapping[str, Any], tally: Tally) -> bytes:
        """The page, once the run is over."""
        for case in list(self._open.values()):
            self._file(case)
        for market in self.markets.values():
            market.bars.fit(self._began or 0, self._now)
            for line in (market.longs, market.shorts):
                line.hold(self._now)
        for fund in self.funds.values():
            for line in (fund.balance, fund.reserved, fund.minimum):
                line.hold(self._now)
        return render_page(
            report=report, tally=tally, markets=self.markets, funds=self.funds, dead_letters=self.dead_letters
        )

    def _config_changed(self, command: ConfigSet, events: list[Event]) -> None:
        """Watch the markets and funds that were added, too; a fund's opening balance is credited by this command."""
        self._config = config = change_config(self._config, command.changes)
        for name in config.markets:
            if name not in self.markets:
                self.markets[name] = MarketWatch(name, config)
        for name, settings in config.funds.items():
            if name not in self.funds:
                fund = FundWatch(name, asset=settings.asset, minimum=Decimal(settings.minimum))
                for event in events:
                    if isinstance(event, wire.FundCredited) and event.fund == name and event.cause_kind == "opening":
                        fund.opening = Decimal(event.amount)
                fund.begin(self._now)
                self.funds[name] = fund

    def _file(self, case: Case) -> None:
        market = self.markets[case.market]
        market.cases.add(case.notional, case)
        self._open.pop(case.liquidation_id, None)

    def _position(self, event: wire.PositionUpdated) -> None:
        self.markets[event.market].position(event.account, event.side, Decimal(event.qty))
        self._moved.add(event.market)

    def _started(self, event: wire.LiquidationStarted) -> None:
        if len(self._open) >= OPEN_CASES_MAX:
            self._file(next(iter(self._open.values())))
        self._open[event.liquidation_id] = Case(
            liquidation_id=event.liquidation_id,
            market=event.market,
            account=event.account,
            side=event.side,
            ts=self._now,
            qty=Decimal(event.qty),
            mark_price=event.mark_price,
            notional=ZERO,
            equity=event.equity,
            maintenance_margin=event.maintenance_margin,
            bankruptcy_price=event.bankruptcy_price,
        )

    def _ordered(self, event: wire.LiquidationOrdered) -> None:
        """How much goes: of a partial liquidation it is less than the position."""
        if (case := self._open.get(event.liquidation_id)) is not None:
            market = self.markets[event.market]
            case.qty = Decimal(event.qty)
            case.notional = market.notional(event.qty, case.mark_price)
            market.liquidated_notional = plus(market.liquidated_notional, case.notional)
            market.bars.add(self._now, case.side, case.notional)

    def _settled(self, event: claims.LiquidationSettled) -> None:
        if (case := self._open.get(event.liquidation_id)) is not None:
            case.filled_qty = plus(case.filled_qty, Decimal(event.filled_qty))
            case.average_price = event.average_price
            market = self.markets[event.market]
            market.filled_notional = plus(market.filled_notional, market.notional(event.filled_qty, case.mark_price))
            case.surplus = plus(case.surplus, Decimal(event.surplus))
            case.is_settled = True
            self._finished.append(case)

    def _residual(self, event: claims.LiquidationResidual) -> None:
        self._release(event.liquidation_id)
        if (case := self._open.get(event.liquidation_id)) is not None:
            case.residual_qty = Decimal(event.qty)
            case.expected_loss = Decimal(event.expected_loss)
            case.owes_answer = True

    def _takeover_approved(self, event: claims.TakeoverApproved) -> None:
        self._approved[event.liquidation_id] = Decimal(event.loss_budget)
        self._reserve(event.liquidation_id, event.fund, Decimal(event.loss_budget))
        if (case := self._open.get(event.liquidation_id)) is not None:
            self.markets[case.market].taken_over += case.fund is None
            case.fund = event.fund
            case.owes_answer = False
            case.is_held = True

    def _takeover_filled(self, event: claims.TakeoverFilled) -> None:
        if (case := self._open.get(event.liquidation_id)) is not None:
            case.takeover_pnl = plus(case.takeover_pnl, Decimal(event.pnl))
        if (budget := self._budgets.get(event.liquidation_id)) is not None:
            fund, left = budget
            # A gain gives back what was lost before, never more than was approved.
            left = min(plus(left, Decimal(event.pnl)), self._approved[event.liquidation_id])
            self._reserve(event.liquidation_id, fund, left)

    def _takeover_exhausted(self, event: claims.TakeoverExhausted) -> None:
        self._release(event.liquidation_id)
        if (case := self._open.get(event.liquidation_id)) is not None:
            case.expected_loss = Decimal(event.expected_loss)
            case.owes_answer = True

    def _takeover_closed(self, event: claims.TakeoverClosed) -> None:
        self._release(event.liquidation_id)
        if (case := self._open.get(event.liquidation_id)) is not None:
            case.is_held = False
            self._finished.append(case)

    def _adl_triggered(self, event: claims.AdlTriggered) -> None:
        self._release(event.liquidation_id)
        if event.loss_budget:
            self._reserve(event.liquidation_id, event.fund, Decimal(event.loss_budget))
        if (case := self._open.get(event.liquidation_id)) is not None:
            case.owes_answer = False
            case.is_held = True

    def _adl_executed(self, event: wire.AdlExecuted) -> None:
        market = self.markets[event.market]
        qty = Decimal(event.qty)
        market.bars.add(self._now, "deleveraged", qty)
        market.bars.add(self._now, "counterparties", Decimal(1))
        market.adl_executions.add(qty, event)
        if (case := self._open.get(event.liquidation_id)) is not None:
            case.adl_qty = plus(case.adl_qty, qty)
            case.adl_counterparties += 1
            case.reached_last_resort |= event.rank == 0

    def _uncovered(self, event: claims.LiquidationUncovered) -> None:
        has_budget = event.liquidation_id in self._budgets  # of ADL at the mark, which needs no last resort to lose
        self._release(event.liquidation_id)
        if (case := self._open.get(event.liquidation_id)) is not None:
            case.reached_last_resort |= not has_budget

    def _partly_closed(self, event: claims.LiquidationPartlyClosed) -> None:
        self._release(event.liquidation_id)

    def _closed(self, event: claims.LiquidationClosed) -> None:
        self._release(event.liquidation_id)
        if (case := self._open.get(event.liquidation_id)) is not None:
            case.socialised = Decimal(event.socialised)
            case.deficit = Decimal(event.deficit)
            case.is_held = case.owes_answer = False
            self._finished.append(case)

    def _fund_moved(self, event: wire.FundCredited | wire.FundDebited) -> None:
        self.funds[event.fund].balance.add(self._now, Decimal(event.balance))

    def _fund_updated(self, event: wire.FundUpdated) -> None:
        self.funds[event.fund].minimum.add(self._now, Decimal(event.minimum))

    def _reserve(self, liquidation_id: str, fund: str, budget: Decimal) -> None:
        """Follow what the fund may still lose, on a takeover, whose losses use the budget up, or ADL at the mark."""
        _, before = self._budgets.get(liquidation_id, (fund, ZERO))
        self._budgets[liquidation_id] = (fund, budget)
        self._draw_reserved(fund, minus(budget, before))

    def _release(self, liquidation_id: str) -> None:
        self._approved.pop(liquidation_id, None)
        if (reserved := self._budgets.pop(liquidation_id, None)) is not None:
            fund, budget = reserved
            self._draw_reserved(fund, minus(ZERO, budget))

    def _draw_reserved(self, fund: str, change: Decimal) -> None:
        if change:
            line = self.funds[fund].reserved
            line.add(self._now, plus(line.last or ZERO, change))
