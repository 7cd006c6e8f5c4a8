"""Settlement: the state machine of one asset's insurance funds. Claims in, decisions out.

It knows of the engines only what they claim, and answers each question with exactly one decision:

    available = balance − reservations
    expected_loss ≤ available  ⇒  takeover, loss_budget = min(available, expected_loss + slippage × MV), reserved
    otherwise                  ⇒  ADL

A takeover's losses are bounded by its reservation and reservations by the balance, so no fund goes below zero.
"""

from collections.abc import Callable
from typing import Any, Final

from engine.amounts import parse_amount
from engine.digest import hash_rows
from engine.fixed import AMOUNT_LIMIT, RATE, divide_up
from engine.fund import Fund, Reservation
from engine.outbox import Outbox
from engine.purse import Ledger, Purse
from engine.reject import Refused
from engine.remembered import Remembered
from engine.sequence import BrokenStream, Incoming
from engine.spec import AssetSpec, MarketSpec, VenueSpec, last_boundary, next_boundary
from schemas.claims import (
    AdlTriggered,
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
    Outcome,
    TakeoverApproved,
    TakeoverClosed,
    TakeoverExhausted,
    TakeoverFilled,
)
from schemas.commands import ClockTick, Command, FundDeposit, FundMinimum, FundTransfer, FundWithdraw
from schemas.envelope import Event
from schemas.events import FundBelowMinimum, FundCredited, FundDebited, FundReconciled, FundRejected, FundUpdated
from schemas.fields import CauseKind

FundCommand = FundDeposit | FundWithdraw | FundMinimum | FundTransfer


class _Counterpart:
    """What settlement knows of one shard: how far its claims and our decisions have come."""

    __slots__ = ("claims", "decisions", "name", "transit")

    def __init__(self, name: str) -> None:
        self.name = name
        self.claims = Incoming(f"claim of shard {name}:")
        self.decisions = 0
        self.transit = Purse(f"transit/{name}")


class Settlement:
    """The funds of one asset. `apply` is a pure function of the state and the input."""

    def __init__(self, spec: VenueSpec, asset: AssetSpec) -> None:
        self.asset = asset
        self.outbox = Outbox(f"settlement:{asset.name}")
        self.ledger = Ledger(asset)
        self.treasury = Purse(f"treasury/{asset.name}")
        self.funds = {name: Fund(fund) for name, fund in spec.funds.items() if fund.asset.name == asset.name}
        shards = [shard for shard in spec.shards.values() if shard.asset.name == asset.name]
        self.shards = {shard.name: _Counterpart(shard.name) for shard in shards}
        self._markets: dict[str, MarketSpec] = {
            name: market for shard in shards for name, market in shard.markets.items()
        }
        self._shard_of_market = spec.shard_of_market
        self.reservations: dict[str, Reservation] = {}
        self._transfers = Remembered(spec.limits.transfer_memory)
        self._reconciliations_max = spec.limits.reconciliations_per_command
        self.period_end = 0
        self._claim_handlers: Final[dict[type[Claim], Callable[[_Counterpart, Any], None]]] = {
            LiquidationSettled: self._on_settled,
            LiquidationResidual: self._on_residual,
            TakeoverFilled: self._on_filled,
            TakeoverExhausted: self._on_exhausted,
            TakeoverClosed: self._on_takeover_closed,
            LiquidationUncovered: self._on_uncovered,
            LiquidationClosed: self._on_closed,
            LiquidationPartlyClosed: self._on_closed,
            FeeShareAccrued: self._on_fee_share,
            DecisionRejected: self._on_decision_rejected,
        }

    @property
    def stream(self) -> str:
        """The name under which this machine emits."""
        return self.outbox.stream

    def genesis(self) -> list[Event]:
        """The opening balances, which come before the first input."""
        for fund in self.funds.values():
            self._credit(fund, self.treasury, fund.spec.opening, "opening")
            self._check_minimum(fund)
        return self._finish()

    def apply(self, record: Command | Claim) -> list[Event]:
        """Apply one claim or command and return what it caused. Raises BrokenStream when a claim is missing."""
        if isinstance(record, Claim):
            shard = self.shards.get(record.stream.partition(":")[2])
            if shard is None:
                raise BrokenStream(f"claim of {record.stream}, which is no shard of {self.asset.name}")
            if not shard.claims.accept(record.claim):
                return []
            self._begin(record.ts)
            self._claim_handlers[type(record)](shard, record)
        else:
            self._begin(record.ts)
            if not isinstance(record, ClockTick):
                self._command(record)
        for fund in self.funds.values():
            self._check_minimum(fund)
        return self._finish()

    def state_hash(self) -> str:
        """SHA-256 over everything that can influence a later event."""
        return hash_rows(self.rows())

    def rows(self) -> list[tuple[object, ...]]:
        """The state as rows of plain values, each collection in the order in which it is worked through."""
        rows = self.outbox.rows()
        rows.append(("settlement", self.asset.name, self.treasury.balance, self.period_end))
        for shard in self.shards.values():
            rows.append(("counterpart", shard.name, shard.claims.last, shard.decisions, shard.transit.balance))
        for fund in self.funds.values():
            rows.extend(fund.rows())
        for liquidation_id, held in self.reservations.items():
            rows.append(("reservation", liquidation_id, held.fund.spec.name, held.round, held.budget, held.loss))
        rows.extend(self._transfers.rows("transfer"))
        return rows

    # --- claims -------------------------------------------------------------------------------------------------

    def _on_settled(self, shard: _Counterpart, claim: LiquidationSettled) -> None:
        fund = self._fund_of(claim.market)
        self._credit(fund, shard.transit, self._units(claim.fee), "fee", claim.market, claim.liquidation_id)
        if claim.to == "fund":
            self._credit_surplus(fund, shard, claim)

    def _on_residual(self, shard: _Counterpart, claim: LiquidationResidual) -> None:
        self._decide(shard, claim, may_take_over=True)

    def _on_exhausted(self, shard: _Counterpart, claim: TakeoverExhausted) -> None:
        self._release(claim.liquidation_id)
        self._decide(shard, claim, may_take_over=claim.reason == "budget")

    def _on_filled(self, shard: _Counterpart, claim: TakeoverFilled) -> None:
        held = self.reservations[claim.liquidation_id]
        fund = held.fund
        pnl = self._units(claim.pnl)
        fund.reserved -= held.budget - held.loss
        held.loss = max(0, held.loss - pnl)
        fund.reserved += held.budget - held.loss
        if pnl >= 0:
            self._credit(fund, shard.transit, pnl, "takeover_pnl", claim.market, claim.liquidation_id)
        else:
            fund.losses.add(-pnl)
            self._debit(fund, shard.transit, -pnl, "takeover_pnl", claim.market, claim.liquidation_id)

    def _on_takeover_closed(self, shard: _Counterpart, claim: TakeoverClosed) -> None:
        del shard
        self._release(claim.liquidation_id)

    def _on_uncovered(self, shard: _Counterpart, claim: LiquidationUncovered) -> None:
        fund = self._fund_of(claim.market)
        paid = min(fund.available, self._units(claim.loss))
        if paid:
            fund.losses.add(paid)
            self._debit(fund, shard.transit, paid, "loss", claim.market, claim.liquidation_id)
        self._answer(
            shard,
            LossCovered(
                shard=shard.name,
                liquidation_id=claim.liquidation_id,
                round=claim.round,
                market=claim.market,
                fund=fund.spec.name,
                amount=self.asset.text(paid),
            ),
        )

    def _on_closed(self, shard: _Counterpart, claim: Outcome) -> None:
        fund = self._fund_of(claim.market)
        deficit = self._units(claim.deficit)
        if deficit:
            fund.deficits[claim.market] = fund.deficits.get(claim.market, 0) + deficit
        self._credit_surplus(fund, shard, claim)

    def _on_fee_share(self, shard: _Counterpart, claim: FeeShareAccrued) -> None:
        fund = self._fund_of(claim.market)
        self._credit(fund, shard.transit, self._units(claim.amount), "fee_share", claim.market)

    def _on_decision_rejected(self, shard: _Counterpart, claim: DecisionRejected) -> None:
        del shard
        held = self.reservations.get(claim.liquidation_id)
        if held is not None and held.round == claim.round:
            self._release(claim.liquidation_id)

    def _decide(
        self, shard: _Counterpart, claim: LiquidationResidual | TakeoverExhausted, *, may_take_over: bool
    ) -> None:
        """Answer the question what to do with a residual."""
        market = self._markets[claim.market]
        fund = self._fund_of(claim.market)
        expected_loss = self._units(claim.expected_loss)
        if may_take_over and expected_loss <= fund.available:
            slippage = divide_up(_mark_value(market, claim) * fund.spec.takeover_slippage, RATE)
            budget = min(fund.available, expected_loss + slippage)
            self.reservations[claim.liquidation_id] = Reservation(fund, claim.round, budget)
            fund.reserved += budget
            self._answer(
                shard,
                TakeoverApproved(
                    shard=shard.name,
                    liquidation_id=claim.liquidation_id,
                    round=claim.round,
                    market=claim.market,
                    fund=fund.spec.name,
                    qty=claim.qty,
                    loss_budget=self.asset.text(budget),
                ),
            )
            return
        if claim.round == 1 or isinstance(claim, TakeoverExhausted):  # else it waits and is asked about again
            fund.deleveraged.add(expected_loss)
        self._answer(
            shard,
            AdlTriggered(
                shard=shard.name,
                liquidation_id=claim.liquidation_id,
                round=claim.round,
                market=claim.market,
                side=claim.side,
                qty=claim.qty,
                bankruptcy_value=claim.bankruptcy_value,
                fund=fund.spec.name,
                fund_balance=self.asset.text(fund.purse.balance),
                expected_loss=claim.expected_loss,
                reason="fund_insufficient" if may_take_over else "takeover_expired",
            ),
        )

    def _answer(self, shard: _Counterpart, decision: Decision) -> None:
        shard.decisions += 1
        decision.decision = shard.decisions
        self.outbox.emit(decision)

    def _release(self, liquidation_id: str) -> None:
        held = self.reservations.pop(liquidation_id, None)
        if held is not None:
            held.fund.reserved -= held.budget - held.loss
            if held.fund.deficits:
                self._repay_deficits(held.fund, held.fund.available)

    # --- commands -----------------------------------------------------------------------------------------------

    def _command(self, command: Command) -> None:
        if not isinstance(command, FundCommand):
            raise TypeError(f"{type(command).__name__} is no command for settlement")
        transfer_id = None if isinstance(command, FundMinimum) else command.transfer_id
        try:
            self._execute(command, transfer_id)
        except Refused as refusal:
            event = FundRejected(fund=command.fund, code=refusal.code, reason=refusal.reason)
            if transfer_id is not None:
                event.transfer_id = transfer_id
            self.outbox.emit(event)

    def _execute(self, command: FundCommand, transfer_id: str | None) -> None:
        fund = self._find_fund(command.fund)
        amount = parse_amount(self.asset, command.amount)
        now, note = self.outbox.event_time, _transfer_note(command, amount)
        if transfer_id is not None and self._transfers.is_repetition(transfer_id, command.ts, now, note):
            self._emit_updated(fund, transfer_id)
            return
        if isinstance(command, FundDeposit):
            if amount - self.treasury.balance >= AMOUNT_LIMIT:
                raise Refused("amount_too_large", f"the funds of {self.asset.name} would reach 2^63 units")
            self._credit(fund, self.treasury, amount, command.kind)
        elif isinstance(command, FundWithdraw):
            self._check_withdrawable(fund, amount)
            self._debit(fund, self.treasury, amount, "withdrawal")
        elif isinstance(command, FundTransfer):
            to = self._find_fund(command.to)
            self._check_withdrawable(fund, amount)
            self._debit(fund, to.purse, amount, "transfer")
            self._note_credit(to, amount, "transfer")
        else:
            fund.minimum = amount
            self._emit_updated(fund)
        if transfer_id is not None:
            self._transfers.note((transfer_id,), now, note)

    def _emit_updated(self, fund: Fund, transfer_id: str | None = None) -> None:
        event = FundUpdated(
            fund=fund.spec.name,
            balance=self.asset.text(fund.purse.balance),
            minimum=self.asset.text(fund.minimum),
        )
        if transfer_id is not None:
            event.transfer_id = transfer_id
        self.outbox.emit(event)

    def _find_fund(self, name: str) -> Fund:
        fund = self.funds.get(name)
        if fund is None:
            raise Refused("unknown_fund", f"{self.asset.name} has no fund {name}")
        return fund

    def _check_withdrawable(self, fund: Fund, amount: int) -> None:
        if amount > fund.withdrawable:
            text = self.asset.text
            raise Refused(
                "insufficient_balance",
                f"{text(amount)} asked for, {text(fund.withdrawable)} stands above reservations and minimum",
            )

    # --- money --------------------------------------------------------------------------------------------------

    def _credit_surplus(self, fund: Fund, shard: _Counterpart, claim: LiquidationSettled | Outcome) -> None:
        surplus = self._units(claim.surplus)
        self._credit(fund, shard.transit, surplus, "surplus", claim.market, claim.liquidation_id)
        if surplus:
            fund.surpluses.add(surplus)

    def _credit(
        self,
        fund: Fund,
        source: Purse,
        amount: int,
        kind: CauseKind,
        market: str = "",
        liquidation_id: str = "",
    ) -> None:
        """Book money into a fund. A deficit of its markets is repaid first from it."""
        if not amount:
            return
        self.ledger.move(source, fund.purse, amount, kind)
        self._note_credit(fund, amount, kind, market, liquidation_id)

    def _note_credit(
        self, fund: Fund, amount: int, kind: CauseKind, market: str = "", liquidation_id: str = ""
    ) -> None:
        """Publish a credit that the ledger has booked, and repay deficits from it."""
        fund.credited[kind] = fund.credited.get(kind, 0) + amount
        self._publish(FundCredited, fund, amount, kind, market, liquidation_id)
        if fund.deficits:
            self._repay_deficits(fund, amount)

    def _debit(
        self,
        fund: Fund,
        target: Purse,
        amount: int,
        kind: CauseKind,
        market: str = "",
        liquidation_id: str = "",
    ) -> None:
        self.ledger.move(fund.purse, target, amount, kind)
        assert fund.purse.balance >= fund.reserved >= 0, "a fund is never below its reservations"
        fund.debited[kind] = fund.debited.get(kind, 0) + amount
        self._publish(FundDebited, fund, amount, kind, market, liquidation_id)

    def _publish(
        self,
        movement: type[FundCredited | FundDebited],
        fund: Fund,
        amount: int,
        kind: CauseKind,
        market: str,
        liquidation_id: str,
    ) -> None:
        event = movement(
            fund=fund.spec.name,
            amount=self.asset.text(amount),
            balance=self.asset.text(fund.purse.balance),
            cause_kind=kind,
        )
        if market:
            event.market = market
        if liquidation_id:
            event.liquidation_id = liquidation_id
        self.outbox.emit(event)

    def _repay_deficits(self, fund: Fund, credit: int) -> None:
        """Pay the fund's markets what they miss, the oldest deficit first, from this credit."""
        for market in list(fund.deficits):
            paid = min(fund.deficits[market], credit, fund.available)
            if paid <= 0:
                return
            credit -= paid
            fund.deficits[market] -= paid
            if not fund.deficits[market]:
                del fund.deficits[market]
            shard = self.shards[self._shard_of_market[market]]
            self._debit(fund, shard.transit, paid, "deficit", market)
            self._answer(
                shard,
                DeficitRepaid(shard=shard.name, market=market, fund=fund.spec.name, amount=self.asset.text(paid)),
            )

    def _check_minimum(self, fund: Fund) -> None:
        below = fund.purse.balance < fund.minimum
        if below and not fund.is_below_minimum:
            self.outbox.emit(
                FundBelowMinimum(
                    fund=fund.spec.name,
                    balance=self.asset.text(fund.purse.balance),
                    minimum=self.asset.text(fund.minimum),
                )
            )
        fund.is_below_minimum = below

    # --- time ---------------------------------------------------------------------------------------------------

    def _begin(self, ts: int) -> None:
        self.outbox.begin(ts)
        if self.outbox.event_time >= self.period_end:
            for fund in self.funds.values():
                self._reconcile(fund)
            self.period_end = min((fund.period_end for fund in self.funds.values()), default=AMOUNT_LIMIT)

    def _reconcile(self, fund: Fund) -> None:
        """Close every period whose boundary event time has reached; the first input begins the first period.

        `limits.reconciliations_per_command` bounds the events; beyond it the last one spans all idle periods.
        """
        now = self.outbox.event_time
        if not fund.period_end:
            fund.period_start = now
            fund.period_end = next_boundary(now, fund.spec.reconcile_phase)
        closed = 0
        while now >= fund.period_end:
            closed += 1
            if closed == self._reconciliations_max:
                # After so many boundaries nothing has happened since the first: the last event tells of all of them.
                fund.period_end = last_boundary(now, fund.spec.reconcile_phase)
            self._close_period(fund)

    def _close_period(self, fund: Fund) -> None:
        text = self.asset.text
        self.outbox.emit(
            FundReconciled(
                fund=fund.spec.name,
                period_start=fund.period_start,
                period_end=fund.period_end,
                opening_balance=text(fund.period_opening),
                closing_balance=text(fund.purse.balance),
                surplus_count=fund.surpluses.count,
                surplus_sum=text(fund.surpluses.total),
                loss_count=fund.losses.count,
                loss_sum=text(fund.losses.total),
                adl_count=fund.deleveraged.count,
                adl_sum=text(fund.deleveraged.total),
            )
        )
        fund.period_start = fund.period_end
        fund.period_end = next_boundary(fund.period_start, fund.spec.reconcile_phase)
        fund.period_opening = fund.purse.balance
        for tally in (fund.surpluses, fund.losses, fund.deleveraged):
            tally.clear()

    def _finish(self) -> list[Event]:
        self.outbox.post(self.ledger, self.asset)
        return self.outbox.take()

    def _fund_of(self, market: str) -> Fund:
        return self.funds[self._markets[market].fund.name]

    def _units(self, text: str) -> int:
        amount = self.asset.parse(text)
        if amount is None:
            raise BrokenStream(f"a claim carries the amount {text}, finer than a unit of {self.asset.name}")
        return amount


def _mark_value(market: MarketSpec, claim: LiquidationResidual | TakeoverExhausted) -> int:
    mark, lots = market.ticks.parse(claim.mark_price), market.lots.parse(claim.qty)
    if mark is None or lots is None:
        raise BrokenStream(f"claim {claim.claim} is off the grid of {market.name}: {claim.qty} at {claim.mark_price}")
    return market.value(mark, lots)


def _transfer_note(command: FundCommand, amount: int) -> str:
    """What a repetition of a transfer must agree with."""
    detail = command.to if isinstance(command, FundTransfer) else ""
    if isinstance(command, FundDeposit):
        detail = command.kind
    return f"{type(command).__name__} {command.fund} {detail} {amount}"
