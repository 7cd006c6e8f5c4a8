"""One engine of the model: an input at a time, from the timers that are due to the posting of what it moved."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from schemas.claims import (
    AdlTriggered,
    AnyDecision,
    DecisionRejected,
    DeficitRepaid,
    FeeShareAccrued,
    LossCovered,
    TakeoverApproved,
)
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
from schemas.envelope import Event
from schemas.events import (
    AccountRejected,
    AccountUpdated,
    ConfigRejected,
    OrderRejected,
    PositionUpdated,
    PriceRejected,
)
from tests.reference.changes import announcement, changed_config
from tests.reference.deleveraging import close_at_mark, conclude, cover, deleverage, publish_lights
from tests.reference.exact import LIMIT, ceil
from tests.reference.funding import continue_rounds, pay_account, pay_residual, set_funding
from tests.reference.inventory import ask_again, raise_exhausted, unwind, unwind_all
from tests.reference.liquidation import liquidate_payers, queue_due, queue_payers, run_queue, split_off
from tests.reference.margin import bankruptcy_value, liquidation_price_text
from tests.reference.orders import amend, cancel, cancel_all, new_order
from tests.reference.rules import ShardRules, VenueRules, duration, next_boundary
from tests.reference.state import SIDES, Market, Position, Residual, Shard, find_market, mode_of, parse_ticks
from tests.reference.stream import Refused, Stream
from tests.reference.transfers import cancel_after, deposit, move_margin, set_leverage, set_margin_mode, withdraw
from tests.reference.waiting import run_timers, run_triggered, trigger_by_mark


class ShardModel:
    """Commands and decisions in, events out."""

    def __init__(self, rules: ShardRules) -> None:
        self.shard = Shard(rules)

    @property
    def stream(self) -> Stream:
        """What it writes."""
        return self.shard.stream

    def apply(self, record: Command | Event) -> list[Event]:
        """Apply one command or decision."""
        shard, limits = self.shard, self.shard.rules.limits
        shard.stream.begin(record.ts)
        _begin_periods(shard)
        shard.liquidations_left = limits.liquidations_per_command
        shard.stops_left = limits.stops_per_command
        shard.funding_left = limits.funding_payments_per_command
        run_timers(shard)
        if shard.rounds:
            pay_account(shard, getattr(record, "account", ""))
            continue_rounds(shard)
            queue_payers(shard)
        run_queue(shard)
        run_triggered(shard)
        try:
            _HANDLERS[type(record)](shard, record)
        except Refused as refusal:
            shard.stream.emit(_rejected(record, refusal.code))
        liquidate_payers(shard)
        run_triggered(shard)
        while shard.payers:
            liquidate_payers(shard)
            run_triggered(shard)
        publish_lights(shard)
        _publish(shard)
        return shard.stream.finish()


def _begin_periods(shard: Shard) -> None:
    """At a reconciliation boundary realised PnL counts anew, unless a loss is being asked about."""
    for market in shard.markets.values():
        is_asked_about = any(residual.balance < 0 for residual in market.residuals)
        if shard.stream.now >= market.period_end and not is_asked_about:
            market.realised.clear()
            market.period_end = next_boundary(shard.stream.now, market.rules.fund.phase)


def set_mark(shard: Shard, command: PriceMark) -> None:
    """A mark price: exhausted takeovers, open questions, liquidations, unwinding, stop orders."""
    market = find_market(shard, command.market)
    mark = parse_ticks(market.rules, command.price)
    held = [position.parcel for position in shard.open_positions(market=market.name)]
    held.extend(residual.parcel for residual in market.residuals)
    if any(market.rules.value(mark, lots) >= LIMIT for lots in (1, *(parcel.lots for parcel in held))):
        raise Refused("amount_too_large")
    market.mark = mark
    market.marks += 1
    shard.marks += 1
    if not market.rules.is_halted:
        raise_exhausted(shard, market)
        ask_again(shard, market)
    queue_due(shard, market)
    run_queue(shard)
    if not market.rules.is_halted:
        unwind_all(shard, market)
        trigger_by_mark(shard, market)


def pass_time(shard: Shard, command: ClockTick) -> None:
    """What time alone does: takeovers grow too old."""
    for market in shard.markets.values():
        if not market.rules.is_halted:
            raise_exhausted(shard, market)


def set_config(shard: Shard, command: ConfigSet) -> None:
    """Go by another config: there is little to do, as everything else looks its rules up."""
    assert shard.rules.venue is not None
    before = shard.rules.venue.config
    after = changed_config(before, command.changes)
    shard.stream.emit(announcement(before, after))
    shard.rules = VenueRules(after).shards[shard.rules.name]
    for name, rules in shard.rules.markets.items():
        if name not in shard.markets:
            shard.markets[name] = Market(rules)
            shard.markets[name].period_end = next_boundary(shard.stream.now, rules.fund.phase)
        elif rules.adl_lights != shard.markets[name].rules.adl_lights:
            shard.markets[name].lights_at = 0
        shard.markets[name].rules = rules
    shard.transfers.change_span(duration(after.limits.transfer_memory), shard.stream.now)
    shard.closed_ids.change_span(duration(after.limits.closed_order_memory), shard.stream.now)


def decide(shard: Shard, decision: AnyDecision) -> None:
    """An answer of settlement."""
    shard.decisions += 1
    assert decision.decision == shard.decisions, "decisions arrive without gaps"
    asset = shard.rules.asset
    if isinstance(decision, DeficitRepaid):
        deficit = shard.purse("deficit", decision.market)
        shard.stream.move(shard.transit, deficit, int(asset.units(decision.amount)), "deficit")
        return
    question = _find_question(shard, decision.liquidation_id, decision.round)
    if question is None:
        reason = "no question of this liquidation and round is open"
        shard.claim(
            DecisionRejected(
                liquidation_id=decision.liquidation_id, round=decision.round, code="wrong_round", reason=reason
            )
        )
        return
    market, residual = question
    pay_residual(shard, market, residual)
    residual.is_open = False
    if isinstance(decision, TakeoverApproved):
        lots = int(Fraction(decision.qty) / market.rules.lot)
        if residual.fund is None:
            residual.taken_over_at = residual.next_slice_at = shard.stream.now
            residual.slice_lots = ceil(lots * market.rules.fund.slice)
        residual.fund, residual.loss = decision.fund, 0
        residual.budget = int(asset.units(decision.loss_budget))
        if lots < residual.parcel.lots:
            split_off(shard, market, residual, lots)
        unwind(shard, market, residual)
    elif isinstance(decision, AdlTriggered):
        residual.fund, residual.budget, residual.loss = None, 0, 0
        budget = int(asset.units(decision.loss_budget or "0"))
        deleverage(shard, market, residual, budget)
        if residual.parcel.lots:
            close_at_mark(shard, market, residual)
        conclude(shard, market, residual)
    else:
        cover(shard, market, residual, int(asset.units(decision.amount)))


def _find_question(shard: Shard, liquidation_id: str, round_: int) -> tuple[Market, Residual] | None:
    for market, residual in shard.residuals():
        if residual.liquidation_id == liquidation_id and residual.is_open and residual.round == round_:
            return market, residual
    return None


_HANDLERS: dict[type, Callable[[Shard, Any], None]] = {
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
    TakeoverApproved: decide,
    AdlTriggered: decide,
    LossCovered: decide,
    DeficitRepaid: decide,
}


# --- publishing ----------------------------------------------------------------------------------------------


def _publish(shard: Shard) -> None:
    """Once per input: the funds' share of fees, the positions, the wallets that no position carries."""
    amount = shard.rules.asset.text
    for name, share in shard.fee_shares.items():
        fund = shard.markets[name].rules.fund.name
        shard.stream.move(shard.purse("fees"), shard.transit, share, "fee_share")
        shard.claim(FeeShareAccrued(market=name, fund=fund, amount=amount(share)))
    for position in shard.touched:
        shard.stream.emit(_described(shard, position))
        position.realised = 0
    carried = [position.account for position in shard.touched]
    for name in shard.touched_accounts:
        if name not in carried:
            wallet = amount(shard.wallet(name))
            shard.stream.emit(AccountUpdated(shard=shard.rules.name, account=name, wallet=wallet))
    shard.fee_shares, shard.touched, shard.touched_accounts = {}, [], []


def _described(shard: Shard, position: Position) -> PositionUpdated:
    rules, parcel, amount = shard.market_of(position).rules, position.parcel, shard.rules.asset.text
    leverage = position.leverage
    event = PositionUpdated(
        market=position.market,
        account=position.account,
        side=SIDES[position.sign],
        qty=rules.lots_text(parcel.lots),
        entry_value=amount(parcel.value),
        margin=amount(shard.margin(position)),
        mode=mode_of(position),
        leverage=leverage_text(leverage.numerator * 10**9 // leverage.denominator),
        realised_pnl=amount(position.realised),
        wallet=amount(shard.wallet(position.account)),
    )
    if shard.rules.detail:
        event.entry_price = rules.price_text(parcel.value, parcel.lots)
        event.liquidation_price = liquidation_price_text(shard, position)
        event.bankruptcy_price = rules.price_text(bankruptcy_value(shard, position), parcel.lots)
    return event


def leverage_text(billionths: int) -> str:
    """A leverage without trailing zeros."""
    whole, rest = divmod(billionths, 10**9)
    return f"{whole}.{rest:09}".rstrip("0").rstrip(".")


def _rejected(record: Command | Event, code: str) -> Event:
    """The answer to a command that makes no sense now. The reason is for people and not compared."""
    match record:
        case OrderNew() | OrderCancel() | OrderAmend():
            return OrderRejected(
                market=record.market, account=record.account, order_id=record.order_id, code=code, reason=""
            )
        case OrderCancelAll():
            event = OrderRejected(account=record.account, code=code, reason="")
            if record.market is not None:
                event.market = record.market
            return event
        case PriceMark() | PriceFunding():
            return PriceRejected(market=record.market, code=code, reason="")
        case AccountDeposit() | AccountWithdraw():
            return AccountRejected(account=record.account, code=code, reason="", transfer_id=record.transfer_id)
        case AccountLeverage() | AccountMarginMode() | AccountMargin():
            return AccountRejected(account=record.account, code=code, reason="", market=record.market)
        case AccountCancelAfter():
            return AccountRejected(account=record.account, code=code, reason="")
        case _:
            return ConfigRejected(code=code, reason="")
