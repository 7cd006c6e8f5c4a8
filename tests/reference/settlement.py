"""The model of settlement: the funds of one asset, their reservations, and one answer to each question."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from schemas.claims import (
    AdlTriggered,
    AnyClaim,
    Claim,
    Decision,
    DecisionRejected,
    DeficitRepaid,
    FeeShareAccrued,
    LiquidationClosed,
    LiquidationPartlyClosed,
    LiquidationResidual,
    LiquidationSettled,
    LiquidationUncovered,
    LossCovered,
    TakeoverApproved,
    TakeoverClosed,
    TakeoverExhausted,
    TakeoverFilled,
)
from schemas.commands import ClockTick, Command, ConfigSet, FundDeposit, FundMinimum, FundTransfer, FundWithdraw
from schemas.config import DrawdownTrigger
from schemas.envelope import Event
from schemas.events import (
    AdlActivated,
    AdlDeactivated,
    ConfigRejected,
    FundBelowMinimum,
    FundCredited,
    FundDebited,
    FundPending,
    FundReconciled,
    FundRejected,
    FundUpdated,
)
from schemas.fields import CauseKind
from tests.reference.adl_trigger import Watched
from tests.reference.changes import announcement, changed_config
from tests.reference.exact import LIMIT, ceil, floor, written
from tests.reference.rules import DAY, Asset, FundRules, MarketRules, VenueRules, duration, next_boundary
from tests.reference.stream import Memory, Refused, Stream, parse_amount

Question = LiquidationResidual | TakeoverExhausted
Outcome = LiquidationClosed | LiquidationPartlyClosed
Liquidated = LiquidationSettled | LiquidationUncovered | TakeoverFilled | Outcome
FundCommand = FundDeposit | FundWithdraw | FundTransfer | FundMinimum


@dataclass
class Reservation:
    """What a takeover may still lose: budget − loss. Of the loss, `pending` is not booked yet."""

    fund: str
    round: int
    budget: int
    loss: int = 0
    pending: int = 0


@dataclass
class Fund:
    """An insurance fund; its balance is in the ledger. The last three lists are of the current period.

    `pending` are the gains and losses, by cause, that a daily fund books at the reconciliation.
    """

    rules: FundRules
    minimum: int
    period_opening: int
    is_below: bool = False
    deficits: dict[str, int] = field(default_factory=dict)
    pending: dict[tuple[str, CauseKind], int] = field(default_factory=dict)
    watched: Watched | None = None
    period_start: int = 0
    period_end: int = 0
    surpluses: list[int] = field(default_factory=list)
    losses: list[int] = field(default_factory=list)
    deleveraged: list[int] = field(default_factory=list)


class SettlementModel:
    """Claims and fund commands in, decisions and fund events out."""

    def __init__(self, rules: VenueRules, asset: Asset) -> None:
        self.rules = rules
        self.asset = asset
        self.stream = Stream(f"settlement:{asset.name}", asset)
        self.funds = {
            name: Fund(fund, fund.minimum, fund.opening) for name, fund in rules.funds.items() if fund.asset == asset
        }
        for fund in self.funds.values():
            fund.watched = None if fund.rules.trigger is None else Watched(fund.rules.trigger)
        self.decisions: dict[str, int] = {}
        self.reservations: dict[str, Reservation] = {}
        self.transfers = Memory(duration(rules.limits.transfer_memory))

    @property
    def next_boundary(self) -> int:
        """When the next period of a fund ends; the first input begins the first period."""
        return 0 if not self.stream.cause else min((fund.period_end for fund in self.funds.values()), default=LIMIT)

    def genesis(self) -> list[Event]:
        """The opening balances."""
        for fund in self.funds.values():
            self._credit(fund, self._treasury, fund.rules.opening, "opening")
        self._check_minimums()
        self._watch()
        return self.stream.finish()

    def apply(self, record: Command | Event) -> list[Event]:
        """Apply one command or claim."""
        self.stream.begin(record.ts)
        for fund in self.funds.values():
            self._reconcile(fund)
        self._watch()
        if isinstance(record, Claim):
            self._on_claim(record)  # type: ignore[arg-type]
        elif isinstance(record, FundCommand):
            self._on_command(record)
        elif isinstance(record, ConfigSet):
            self._on_config(record)
        else:
            assert isinstance(record, ClockTick)
        self._check_minimums()
        self._watch()
        return self.stream.finish()

    # --- claims ----------------------------------------------------------------------------------------------

    def _on_claim(self, claim: AnyClaim) -> None:
        shard = claim.stream.removeprefix("engine:")
        match claim:
            case LiquidationSettled():
                fund = self._fund_of(claim.market)
                self._credit(fund, self._transit(shard), self._units(claim.fee), "fee", claim)
                if claim.to == "fund":
                    self._credit_surplus(fund, shard, claim)
            case LiquidationResidual():
                self._release(claim.liquidation_id)
                self._answer_question(shard, claim)
            case TakeoverExhausted():
                self._release(claim.liquidation_id)
                self._answer_question(shard, claim)
            case TakeoverFilled():
                self._book_unwound(shard, claim)
            case TakeoverClosed():
                self._release(claim.liquidation_id)
            case LiquidationUncovered():
                self._cover(shard, claim)
            case LiquidationClosed() | LiquidationPartlyClosed():
                self._release(claim.liquidation_id)
                fund, deficit = self._fund_of(claim.market), self._units(claim.deficit)
                if deficit:
                    fund.deficits[claim.market] = fund.deficits.get(claim.market, 0) + deficit
                self._credit_surplus(fund, shard, claim)
            case FeeShareAccrued():
                fund = self._fund_of(claim.market)
                self._credit(fund, self._transit(shard), self._units(claim.amount), "fee_share", claim)
            case DecisionRejected():
                held = self.reservations.get(claim.liquidation_id)
                if held is not None and held.round == claim.round:
                    self._release(claim.liquidation_id)

    def _answer_question(self, shard: str, claim: Question) -> None:
        """Takeover where the fund can bear the expected loss, else ADL."""
        fund, market = self._fund_of(claim.market), self._market(claim.market)
        loss, available = self._units(claim.expected_loss), self._available(fund)
        is_too_old = isinstance(claim, TakeoverExhausted) and claim.reason == "max_age"
        lots = int(Fraction(claim.qty) / market.lot)
        is_triggered = fund.watched is not None and fund.watched.is_active
        part = 0 if is_too_old or is_triggered else lots if loss <= available else self._carried(fund, market, claim)
        if part:
            value = market.value(int(Fraction(claim.mark_price) / market.tick), part)
            own_loss = loss if part == lots else self._loss_of(market, claim, part)
            budget = min(available, own_loss + ceil(value * fund.rules.slippage))
            self.reservations[claim.liquidation_id] = Reservation(fund.rules.name, claim.round, budget)
            self._answer(
                shard,
                TakeoverApproved(
                    shard=shard,
                    liquidation_id=claim.liquidation_id,
                    round=claim.round,
                    market=claim.market,
                    fund=fund.rules.name,
                    qty=market.lots_text(part),
                    loss_budget=self.asset.text(budget),
                ),
            )
            return
        if claim.round == 1 or isinstance(claim, TakeoverExhausted):
            fund.deleveraged.append(loss)
        decision = AdlTriggered(
            shard=shard,
            liquidation_id=claim.liquidation_id,
            round=claim.round,
            market=claim.market,
            side=claim.side,
            qty=claim.qty,
            bankruptcy_value=claim.bankruptcy_value,
            fund=fund.rules.name,
            fund_balance=self.asset.text(self._balance(fund)),
            expected_loss=claim.expected_loss,
            reason="takeover_expired" if is_too_old else "trigger_active" if is_triggered else "fund_insufficient",
        )
        if market.adl_at_mark and loss and loss <= available:
            self.reservations[claim.liquidation_id] = Reservation(fund.rules.name, claim.round, loss)
            decision.loss_budget = self.asset.text(loss)
        self._answer(shard, decision)

    def _carried(self, fund: Fund, market: MarketRules, claim: Question) -> int:
        """As many lots as what is available in proportion to the loss of all; none where all or nothing is taken."""
        loss, available = self._units(claim.expected_loss), self._available(fund)
        return floor(Fraction(claim.qty) / market.lot * available / loss) if fund.rules.partial else 0

    def _loss_of(self, market: MarketRules, claim: Question, lots: int) -> int:
        """What a part would lose at the mark, carried at its share of the value, rounded in its favour."""
        side = market.direction if claim.side == "long" else -market.direction
        share = self._units(claim.bankruptcy_value) * lots / (Fraction(claim.qty) / market.lot)
        carried = floor(share) if side > 0 else ceil(share)
        return max(0, side * (carried - market.value(int(Fraction(claim.mark_price) / market.tick), lots)))

    def _watch(self) -> None:
        """Say which funds' ADL triggers began or ended."""
        for fund in self.funds.values():
            worth = self._balance(fund) + self.stream.balances[self._waiting(fund, "losses")]
            watched = fund.watched
            if watched is not None and watched.observe(self.asset, self.stream.now, worth):
                changed = AdlActivated if watched.is_active else AdlDeactivated
                self._publish_watched(changed, fund, watched, worth)

    def _publish_watched(
        self, changed: type[AdlActivated | AdlDeactivated], fund: Fund, watched: Watched, worth: int
    ) -> None:
        text = self.asset.text
        kind: Literal["drawdown", "average"] = "drawdown" if isinstance(watched.rule, DrawdownTrigger) else "average"
        self.stream.emit(changed(fund=fund.rules.name, kind=kind, worth=text(worth), level=text(watched.level)))

    def _book_unwound(self, shard: str, claim: TakeoverFilled) -> None:
        held = self.reservations[claim.liquidation_id]
        fund, pnl = self.funds[held.fund], self._units(claim.pnl)
        restored = max(0, min(held.loss, pnl))
        held.loss += -pnl if pnl < 0 else -restored
        if pnl < 0:
            fund.losses.append(-pnl)
            held.pending += -pnl if fund.rules.daily else 0
            self._book(fund, shard, pnl, "takeover_pnl", claim)
            return
        if fund.rules.daily:
            # What is at risk again comes from what is lost and not booked, or has to be there at once.
            taken_back = min(restored, held.pending)
            held.pending -= taken_back
            if taken_back:
                self._pend(fund, shard, "losses", "takeover_pnl", -taken_back, claim)
            self._credit(fund, self._transit(shard), restored - taken_back, "takeover_pnl", claim)
            pnl -= restored
        self._book(fund, shard, pnl, "takeover_pnl", claim)

    def _book(self, fund: Fund, shard: str, amount: int, kind: CauseKind, claim: Liquidated) -> None:
        """A surplus or, with a minus, a loss: it moves now or, of a daily fund, at the reconciliation."""
        if not amount:
            return
        if fund.rules.daily:
            self._pend(fund, shard, "gains" if amount > 0 else "losses", kind, abs(amount), claim)
        elif amount > 0:
            self._credit(fund, self._transit(shard), amount, kind, claim)
        else:
            self._debit(fund, self._transit(shard), -amount, kind, claim)

    def _pend(self, fund: Fund, shard: str, which: str, kind: CauseKind, amount: int, claim: Liquidated) -> None:
        """So much more of the gains or losses waits; with a minus, less."""
        gained = amount if which == "gains" else -amount
        self.stream.move(self._transit(shard), self._waiting(fund, which), gained, kind)
        fund.pending[which, kind] = fund.pending.get((which, kind), 0) + amount
        text, balances = self.asset.text, self.stream.balances
        self.stream.emit(
            FundPending(
                fund=fund.rules.name,
                amount=text(gained),
                pending_gains=text(balances[self._waiting(fund, "gains")]),
                pending_losses=text(-balances[self._waiting(fund, "losses")]),
                cause_kind=kind,
                market=claim.market,
                liquidation_id=claim.liquidation_id,
            )
        )

    def _book_pending(self, fund: Fund) -> None:
        """The reconciliation moves what waited, gains first, each cause for itself."""
        kinds: list[tuple[str, CauseKind]] = [
            ("gains", "surplus"),
            ("gains", "takeover_pnl"),
            ("losses", "takeover_pnl"),
            ("losses", "loss"),
        ]
        for which, kind in kinds:
            amount, waiting = fund.pending.pop((which, kind), 0), self._waiting(fund, which)
            if which == "gains":
                self._credit(fund, waiting, amount, kind)
            elif amount:
                self._debit(fund, waiting, amount, kind)
        for held in self.reservations.values():
            if held.fund == fund.rules.name:
                held.pending = 0

    def _cover(self, shard: str, claim: LiquidationUncovered) -> None:
        fund = self._fund_of(claim.market)
        had_budget = self.reservations.pop(claim.liquidation_id, None) is not None
        paid = min(self._available(fund), self._units(claim.loss))
        if paid:
            fund.losses.append(paid)
            self._book(fund, shard, -paid, "loss", claim)
        self._answer(
            shard,
            LossCovered(
                shard=shard,
                liquidation_id=claim.liquidation_id,
                round=claim.round,
                market=claim.market,
                fund=fund.rules.name,
                amount=self.asset.text(paid),
            ),
        )
        if had_budget:
            self._repay_deficits(fund, self._available(fund))

    def _answer(self, shard: str, decision: Decision) -> None:
        self.decisions[shard] = decision.decision = self.decisions.get(shard, 0) + 1
        self.stream.emit(decision)

    def _release(self, liquidation_id: str) -> None:
        """A reservation ends; deficits are repaid from what it sets free."""
        held = self.reservations.pop(liquidation_id, None)
        if held is not None:
            fund = self.funds[held.fund]
            self._repay_deficits(fund, self._available(fund))

    # --- commands --------------------------------------------------------------------------------------------

    def _on_command(self, command: FundCommand) -> None:
        transfer_id = None if isinstance(command, FundMinimum) else command.transfer_id
        try:
            self._execute(command, transfer_id)
        except Refused as refusal:
            event = FundRejected(fund=command.fund, code=refusal.code, reason="")
            if transfer_id is not None:
                event.transfer_id = transfer_id
            self.stream.emit(event)

    def _on_config(self, command: ConfigSet) -> None:
        before = self.rules.config
        try:
            after = changed_config(before, command.changes)
        except Refused as refusal:
            self.stream.emit(ConfigRejected(code=refusal.code, reason=""))
            return
        self.stream.emit(announcement(before, after))
        self.rules = VenueRules(after)
        self.asset = self.rules.assets[self.asset.name]
        for name, rules in self.rules.funds.items():
            if rules.asset != self.asset:
                continue
            if name in self.funds:
                self._change_fund(self.funds[name], rules)
                if "minimum" in command.changes.get("funds", {}).get(name, {}):
                    self.funds[name].minimum = rules.minimum
                    self._emit_updated(self.funds[name], None)
            else:
                self._add_fund(rules)
        self.transfers.change_span(duration(after.limits.transfer_memory), self.stream.now)

    def _add_fund(self, rules: FundRules) -> None:
        """With its opening balance, as far as there is room below 2^63 units."""
        now, opening = self.stream.now, min(rules.opening, LIMIT - 1 - self._from_outside)
        fund = self.funds[rules.name] = Fund(rules, rules.minimum, opening)
        fund.period_start, fund.period_end = now, next_boundary(now, rules.phase)
        fund.watched = None if rules.trigger is None else Watched(rules.trigger, [(now, 0)])
        self._credit(fund, self._treasury, opening, "opening")

    def _change_fund(self, fund: Fund, rules: FundRules) -> None:
        before, fund.rules = fund.rules, rules
        if before.trigger != rules.trigger:
            watched = fund.watched
            if watched is not None and rules.trigger is not None and watched.is_like(rules.trigger):
                watched.rule = rules.trigger
            else:
                worth = self._balance(fund) + self.stream.balances[self._waiting(fund, "losses")]
                if watched is not None and watched.is_active:
                    self._publish_watched(AdlDeactivated, fund, watched, worth)
                fund.watched = None if rules.trigger is None else Watched(rules.trigger, [(self.stream.now, worth)])
        if before.daily and not rules.daily:
            self._book_pending(fund)

    def _execute(self, command: FundCommand, transfer_id: str | None) -> None:
        fund = self._find(command.fund)
        amount = parse_amount(self.asset, command.amount)
        index = Fraction(command.index) if isinstance(command, FundDeposit) and command.index is not None else None
        detail = getattr(command, "to", None), getattr(command, "kind", None), index
        contents = (type(command), command.fund, amount, detail)
        if transfer_id is not None and self.transfers.is_repetition(transfer_id, command.ts, self.stream.now, contents):
            self._emit_updated(fund, transfer_id)
            return
        match command:
            case FundDeposit():
                if amount + self._from_outside >= LIMIT:
                    raise Refused("amount_too_large")
                price = self.asset.usd if index is None else index
                cents = None if price is None or command.kind == "injection" else self._cents(amount, price)
                self.stream.move(self._treasury, self._purse(fund), amount, command.kind)
                self._publish_credit(fund, amount, command.kind, cents=cents)
            case FundWithdraw():
                self._check_withdrawable(fund, amount)
                self._debit(fund, self._treasury, amount, "withdrawal")
            case FundTransfer():
                to = self._find(command.to)
                self._check_withdrawable(fund, amount)
                self._move(fund, to, amount, "transfer")
            case FundMinimum():
                fund.minimum = amount
                self._emit_updated(fund, None)
        if transfer_id is not None:
            self.transfers.note(transfer_id, self.stream.now, contents)

    def _cents(self, amount: int, price: Fraction) -> int:
        """What an amount is worth in USD, rounded down to a cent."""
        cents = floor(Fraction(amount, 10**self.asset.decimals) * price * 100)
        if cents >= LIMIT:
            raise Refused("amount_too_large")
        return cents

    def _check_withdrawable(self, fund: Fund, amount: int) -> None:
        """Reservations, minimum and deficits stay."""
        if amount > self._excess(fund):
            raise Refused("insufficient_balance")

    def _emit_updated(self, fund: Fund, transfer_id: str | None) -> None:
        text = self.asset.text
        event = FundUpdated(fund=fund.rules.name, balance=text(self._balance(fund)), minimum=text(fund.minimum))
        if transfer_id is not None:
            event.transfer_id = transfer_id
        self.stream.emit(event)

    def _find(self, name: str) -> Fund:
        if name not in self.funds:
            raise Refused("wrong_asset" if name in self.rules.funds else "unknown_fund")
        return self.funds[name]

    # --- money -----------------------------------------------------------------------------------------------

    @property
    def _treasury(self) -> str:
        return f"treasury/{self.asset.name}"

    @property
    def _from_outside(self) -> int:
        """What ever came into the funds from outside, net."""
        return -sum(units for name, units in self.stream.balances.items() if name.startswith("treasury/"))

    def _excess(self, fund: Fund) -> int:
        """What may leave the fund."""
        return max(0, self._available(fund) - fund.minimum - sum(fund.deficits.values()))

    def _transit(self, shard: str) -> str:
        return f"transit/{shard}"

    def _purse(self, fund: Fund) -> str:
        return f"fund/{fund.rules.name}"

    def _waiting(self, fund: Fund, which: str) -> str:
        return f"pending_{which}/{fund.rules.name}"

    def _balance(self, fund: Fund) -> int:
        return self.stream.balances[self._purse(fund)]

    def _available(self, fund: Fund) -> int:
        held = [held for held in self.reservations.values() if held.fund == fund.rules.name]
        lost = -self.stream.balances[self._waiting(fund, "losses")]
        return self._balance(fund) - lost - sum(each.budget - each.loss for each in held)

    def _units(self, text: str) -> int:
        return int(self.asset.units(text))

    def _market(self, name: str) -> MarketRules:
        return self.rules.shards[self.rules.shard_of_market[name]].markets[name]

    def _fund_of(self, market: str) -> Fund:
        return self.funds[self._market(market).fund.name]

    def _credit_surplus(
        self, fund: Fund, shard: str, claim: LiquidationSettled | LiquidationClosed | LiquidationPartlyClosed
    ) -> None:
        surplus = self._units(claim.surplus)
        if surplus:
            self._book(fund, shard, surplus, "surplus", claim)
            fund.surpluses.append(surplus)

    def _credit(self, fund: Fund, source: str, amount: int, kind: CauseKind, claim: AnyClaim | None = None) -> None:
        if amount:
            self.stream.move(source, self._purse(fund), amount, kind)
            self._publish_credit(fund, amount, kind, claim)

    def _publish_credit(
        self, fund: Fund, amount: int, kind: CauseKind, claim: AnyClaim | None = None, cents: int | None = None
    ) -> None:
        """Say so, and repay deficits of the fund's markets from it."""
        self._publish(FundCredited, fund, amount, kind, claim, cents=cents)
        self._repay_deficits(fund, amount)

    def _debit(
        self, fund: Fund, target: str, amount: int, kind: CauseKind, claim: AnyClaim | None = None, market: str = ""
    ) -> None:
        self.stream.move(self._purse(fund), target, amount, kind)
        self._publish(FundDebited, fund, amount, kind, claim, market)

    def _move(self, fund: Fund, to: Fund, amount: int, kind: CauseKind) -> None:
        self._debit(fund, self._purse(to), amount, kind)
        self._publish_credit(to, amount, kind)

    def _publish(
        self,
        movement: type[FundCredited | FundDebited],
        fund: Fund,
        amount: int,
        kind: CauseKind,
        claim: AnyClaim | None,
        market: str = "",
        cents: int | None = None,
    ) -> None:
        text = self.asset.text
        event = movement(fund=fund.rules.name, amount=text(amount), balance=text(self._balance(fund)), cause_kind=kind)
        market = getattr(claim, "market", market)
        if market:
            event.market = market
        liquidation_id = getattr(claim, "liquidation_id", None)
        if liquidation_id is not None:
            event.liquidation_id = liquidation_id
        if cents is not None and isinstance(event, FundCredited):
            event.usd_value = written(cents, 2)
        self.stream.emit(event)

    def _repay_deficits(self, fund: Fund, credit: int) -> None:
        """Markets get what they miss, the oldest deficit first, from this credit."""
        for market, missing in list(fund.deficits.items()):
            paid = min(missing, credit, self._available(fund))
            if paid <= 0:
                return
            credit -= paid
            fund.deficits[market] -= paid
            if not fund.deficits[market]:
                del fund.deficits[market]
            shard = self.rules.shard_of_market[market]
            self._debit(fund, self._transit(shard), paid, "deficit", market=market)
            self._answer(
                shard,
                DeficitRepaid(shard=shard, market=market, fund=fund.rules.name, amount=self.asset.text(paid)),
            )

    def _check_minimums(self) -> None:
        """Say once per crossing that a fund is below its minimum, and fill it up: sisters first, then its treasury."""
        text = self.asset.text
        for fund in self.funds.values():
            if self._balance(fund) < fund.minimum and not fund.is_below:
                self.stream.emit(
                    FundBelowMinimum(
                        fund=fund.rules.name, balance=text(self._balance(fund)), minimum=text(fund.minimum)
                    )
                )
            sisters = [each for each in self.funds.values() if each is not fund and each.rules.rebalance]
            for sister in sisters if fund.rules.rebalance else []:
                given = min(self._needed(fund), self._excess(sister))
                if given:
                    self._move(sister, fund, given, "rebalance")
            if fund.rules.treasury is not None:
                injected = max(0, min(self._needed(fund), LIMIT - 1 - self._from_outside))
                self._credit(fund, f"{self._treasury}/{fund.rules.treasury}", injected, "injection")
            fund.is_below = self._balance(fund) < fund.minimum

    def _needed(self, fund: Fund) -> int:
        """What lifts a fund that is below its minimum to it, as a credit repays deficits first."""
        missing = fund.minimum - self._balance(fund)
        return missing + sum(fund.deficits.values()) if missing > 0 else 0

    # --- time ------------------------------------------------------------------------------------------------

    def _reconcile(self, fund: Fund) -> None:
        """Close every period whose boundary event time has reached; the last of too many spans the idle rest."""
        now, phase = self.stream.now, fund.rules.phase
        if not fund.period_end:
            fund.period_start, fund.period_end = now, next_boundary(now, phase)
        if now >= fund.period_end:
            self._book_pending(fund)
        for left in reversed(range(self.rules.limits.reconciliations_per_command)):
            if now < fund.period_end:
                return
            if not left:
                fund.period_end = max(fund.period_end, next_boundary(now, phase) - DAY)
            self._close_period(fund)

    def _close_period(self, fund: Fund) -> None:
        text, closing = self.asset.text, self._balance(fund)
        self.stream.emit(
            FundReconciled(
                fund=fund.rules.name,
                period_start=fund.period_start,
                period_end=fund.period_end,
                opening_balance=text(fund.period_opening),
                closing_balance=text(closing),
                surplus_count=len(fund.surpluses),
                surplus_sum=text(sum(fund.surpluses)),
                loss_count=len(fund.losses),
                loss_sum=text(sum(fund.losses)),
                adl_count=len(fund.deleveraged),
                adl_sum=text(sum(fund.deleveraged)),
            )
        )
        fund.period_start, fund.period_end = fund.period_end, next_boundary(fund.period_end, fund.rules.phase)
        fund.period_opening = closing
        fund.surpluses, fund.losses, fund.deleveraged = [], [], []
