"""Settlement: the state machine of one asset's insurance funds. Claims in, decisions out.

It knows of the engines only what they claim, and answers each question with exactly one decision:

    available = balance − reservations
    expected_loss ≤ available  ⇒  takeover, loss_budget = min(available, expected_loss + slippage × MV), reserved
    otherwise                  ⇒  ADL; with takeover = "partial" first a takeover of the lots that can be carried

ADL of a market with adl_price = "mark" gets a loss_budget = expected_loss if that is available, reserved until the
engine says what the residual lost.

A takeover's losses are bounded by its reservation and reservations by the balance, so no fund goes below zero.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from engine.fixed import RATE, divide_up, share_down
from engine.fund import Fund
from engine.fund_commands import FundCommand, apply_command
from engine.fund_config import set_config
from engine.funds import Counterpart, Funds
from engine.minimum import check_minimums
from engine.reconciliation import reconcile
from engine.residual import value_of_part
from engine.rows import Row, RowReader
from engine.sequence import BrokenStream
from engine.spec import AssetSpec, MarketSpec, VenueSpec
from schemas.claims import (
    AdlTriggered,
    Claim,
    DecisionRejected,
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
from schemas.commands import ClockTick, Command, ConfigSet
from schemas.config import VenueConfig
from schemas.envelope import Event

Question = LiquidationResidual | TakeoverExhausted


class _Carried(NamedTuple):
    """What a fund takes over of a residual: lots, their value at the mark, and what they would lose at it, in units."""

    lots: int
    mark_value: int
    expected_loss: int


class Settlement:
    """The funds of one asset. `apply` is a pure function of the state and the input.

    The spec it is made from is that of the config of the moment: at genesis, or as changes have left it.
    """

    def __init__(self, spec: VenueSpec, asset: AssetSpec) -> None:
        self._funds = funds = Funds(spec, asset)
        self.outbox = funds.outbox
        self.ledger = funds.ledger
        self.treasury = funds.treasury
        self.treasuries = funds.treasuries
        self.funds = funds.by_name
        self.shards = funds.shards
        self.reservations = funds.reservations
        self._claim_handlers: Final[dict[type[Claim], Callable[[Counterpart, Any], None]]] = {
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

    @property
    def event_time(self) -> int:
        """The largest `ts` applied so far, in µs."""
        return self.outbox.event_time

    @property
    def config(self) -> VenueConfig:
        """The config of the moment."""
        return self._funds.spec.config

    @property
    def applied(self) -> int:
        """The number of the last input that was applied."""
        return self.outbox.cause

    @property
    def asset(self) -> AssetSpec:
        """The asset whose funds these are."""
        return self._funds.asset

    @property
    def period_end(self) -> int:
        """When the next reconciliation period of a fund ends."""
        return self._funds.period_end

    @property
    def from_outside(self) -> int:
        """What ever came into the funds from outside, net, in units."""
        return self._funds.from_outside

    def genesis(self) -> list[Event]:
        """The opening balances, which come before the first input."""
        for fund in self.funds.values():
            self._funds.credit(fund, self.treasury, fund.spec.opening, "opening")
        check_minimums(self._funds)
        self._funds.watch()
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
            if isinstance(record, FundCommand):
                apply_command(self._funds, record)
            elif isinstance(record, ConfigSet):
                set_config(self._funds, record)
            elif not isinstance(record, ClockTick):
                raise TypeError(f"{type(record).__name__} is no command for settlement")
        check_minimums(self._funds)
        self._funds.watch()
        return self._finish()

    def state_hash(self) -> str:
        """SHA-256 over everything that can influence a later event."""
        return self._funds.state_hash()

    def rows(self) -> Iterator[Row]:
        """What influences later events, as rows of plain values."""
        return self._funds.rows()

    def report_rows(self) -> Iterator[Row]:
        """What only a report needs, as rows of plain values."""
        return self._funds.report_rows()

    def restore(self, rows: RowReader) -> None:
        """Be what `rows` and `report_rows`, one after the other, tell of; only for `engine.restoration`."""
        self._funds.restore(rows)

    # --- claims -------------------------------------------------------------------------------------------------

    def _on_settled(self, shard: Counterpart, claim: LiquidationSettled) -> None:
        fund = self._funds.of_market(claim.market)
        self._funds.credit(fund, shard.transit, self._funds.units(claim.fee), "fee", claim.market, claim.liquidation_id)
        if claim.to == "fund":
            self._credit_surplus(fund, shard, claim)

    def _on_residual(self, shard: Counterpart, claim: LiquidationResidual) -> None:
        self._funds.release(claim.liquidation_id)  # of an ADL that found nobody
        self._decide(shard, claim, may_take_over=True)

    def _on_exhausted(self, shard: Counterpart, claim: TakeoverExhausted) -> None:
        self._funds.release(claim.liquidation_id)
        self._decide(shard, claim, may_take_over=claim.reason == "budget")

    def _on_filled(self, shard: Counterpart, claim: TakeoverFilled) -> None:
        held = self.reservations[claim.liquidation_id]
        pnl = self._funds.units(claim.pnl)
        self._funds.unwound(held, shard, pnl, claim.market, claim.liquidation_id)

    def _on_takeover_closed(self, shard: Counterpart, claim: TakeoverClosed) -> None:
        del shard
        self._funds.release(claim.liquidation_id)

    def _on_uncovered(self, shard: Counterpart, claim: LiquidationUncovered) -> None:
        fund = self._funds.of_market(claim.market)
        held = self._funds.take_back(claim.liquidation_id)
        paid = min(fund.available, self._funds.units(claim.loss))
        if paid:
            self._funds.lose(fund, shard.transit, paid, "loss", claim.market, claim.liquidation_id)
        self._funds.answer(
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
        if held is not None:
            self._funds.repay_from_free(fund)

    def _on_closed(self, shard: Counterpart, claim: Outcome) -> None:
        self._funds.release(claim.liquidation_id)
        fund = self._funds.of_market(claim.market)
        deficit = self._funds.units(claim.deficit)
        if deficit:
            fund.deficits[claim.market] = fund.deficits.get(claim.market, 0) + deficit
        self._credit_surplus(fund, shard, claim)

    def _on_fee_share(self, shard: Counterpart, claim: FeeShareAccrued) -> None:
        fund = self._funds.of_market(claim.market)
        self._funds.credit(fund, shard.transit, self._funds.units(claim.amount), "fee_share", claim.market)

    def _on_decision_rejected(self, shard: Counterpart, claim: DecisionRejected) -> None:
        del shard
        held = self.reservations.get(claim.liquidation_id)
        if held is not None and held.round == claim.round:
            self._funds.release(claim.liquidation_id)

    def _decide(self, shard: Counterpart, claim: Question, *, may_take_over: bool) -> None:
        """Answer the question what to do with a residual."""
        market = self._funds.market(claim.market)
        fund = self._funds.of_market(claim.market)
        expected_loss = self._funds.units(claim.expected_loss)
        is_triggered = fund.adl_trigger is not None and fund.adl_trigger.is_active
        carried = self._carry(fund, market, claim, expected_loss) if may_take_over and not is_triggered else None
        if carried is not None:
            slippage = divide_up(carried.mark_value * fund.spec.takeover_slippage, RATE)
            budget = min(fund.available, carried.expected_loss + slippage)
            self._funds.reserve(fund, claim.liquidation_id, claim.round, budget)
            self._funds.answer(
                shard,
                TakeoverApproved(
                    shard=shard.name,
                    liquidation_id=claim.liquidation_id,
                    round=claim.round,
                    market=claim.market,
                    fund=fund.spec.name,
                    qty=market.lots.text(carried.lots),
                    loss_budget=self.asset.text(budget),
                ),
            )
            return
        if claim.round == 1 or isinstance(claim, TakeoverExhausted):  # else it waits and is asked about again
            fund.deleveraged.add(expected_loss)
        decision = AdlTriggered(
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
            reason=(
                "takeover_expired" if not may_take_over else "trigger_active" if is_triggered else "fund_insufficient"
            ),
        )
        if market.adl_at_mark and 0 < expected_loss <= fund.available:
            self._funds.reserve(fund, claim.liquidation_id, claim.round, expected_loss)
            decision.loss_budget = claim.expected_loss
        self._funds.answer(shard, decision)

    def _carry(self, fund: Fund, market: MarketSpec, claim: Question, expected_loss: int) -> _Carried | None:
        """What of a residual the fund can take over: all of it; of a `partial` fund, the lots whose loss is available.

        These are floor(lots × available ÷ expected loss). Where the rounding of inverse values has them lose a unit
        more, the budget is that unit short, and what is not unwound is asked about again at the next mark.
        """
        mark, lots = market.ticks.parse(claim.mark_price), market.lots.parse(claim.qty)
        if mark is None or not lots:
            raise BrokenStream(
                f"claim {claim.claim} is off the grid of {market.name}: {claim.qty} at {claim.mark_price}"
            )
        if expected_loss <= fund.available:
            return _Carried(lots, market.value(mark, lots), expected_loss)
        if not fund.spec.partial:
            return None
        exposure = market.direction if claim.side == "long" else -market.direction
        value = self._funds.units(claim.bankruptcy_value)
        part = share_down(lots, fund.available, expected_loss)
        mark_value = market.value(mark, part)
        loss = max(0, exposure * (value_of_part(value, part, lots, exposure) - mark_value))
        return _Carried(part, mark_value, min(loss, fund.available)) if part else None

    def _credit_surplus(self, fund: Fund, shard: Counterpart, claim: LiquidationSettled | Outcome) -> None:
        surplus = self._funds.units(claim.surplus)
        self._funds.gain(fund, shard.transit, surplus, "surplus", claim.market, claim.liquidation_id)
        if surplus:
            fund.surpluses.add(surplus)

    def _begin(self, ts: int) -> None:
        self.outbox.begin(ts)
        reconcile(self._funds)
        self._funds.watch()

    def _finish(self) -> list[Event]:
        self.outbox.post(self.ledger, self.asset)
        return self.outbox.take()
