"""Every event of the contract: what engines and settlement publish, and what they tell each other.

Optional fields that do not apply are left out of the JSON; a price that does not exist is null. The header
(`stream`, `seq`, `prev`, `ts`, `cause`) is filled by the outbox of the machine that emits the event. Events
with a `claim` go from an engine to settlement, events with a `decision` go back; both are numbered without
gaps per shard.
"""

from typing import Annotated, ClassVar, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from schemas.fields import (
    CancelReason,
    CauseKind,
    Decimal,
    DerivedId,
    Id,
    MarginMode,
    PositionSide,
    Price8,
    Ratio,
    Sequence,
    Side,
    SignedDecimal,
    Timestamp,
)


class Event(Struct, tag_field="type", kw_only=True, forbid_unknown_fields=True, gc=False):
    """The header that all events share."""

    topic: ClassVar[str]

    stream: str = ""
    seq: Sequence = 0
    prev: Annotated[Sequence, Meta(description="seq of the stream's previous event on this topic")] = 0
    ts: Timestamp = 0
    cause: Annotated[Sequence, Meta(description="journal number of the command that caused it")] = 0


class Claim(Event, kw_only=True):
    """What an engine tells settlement: on `liquidations`, numbered per shard."""

    topic = "liquidations"

    claim: Sequence = 0


class Decision(Event, kw_only=True):
    """What settlement answers to one shard: on `decisions`, numbered per asset and shard."""

    topic = "decisions"

    shard: Id
    decision: Sequence = 0


# --- executions ---------------------------------------------------------------------------------------------


class OrderAccepted(Event, tag="order.accepted", kw_only=True):
    """An order passed every check. `remaining` is what it will try to trade (reduce-only: maybe less)."""

    topic = "executions"

    market: Id
    account: DerivedId
    order_id: DerivedId
    remaining: Decimal


class OrderRejected(Event, tag="order.rejected", kw_only=True):
    """A command about an order that makes no sense for the state. Nothing changed."""

    topic = "executions"

    account: DerivedId
    code: str
    reason: str
    market: Id | UnsetType = UNSET
    order_id: DerivedId | UnsetType = UNSET


class OrderCancelled(Event, tag="order.cancelled", kw_only=True):
    """An order left the book, or its remainder never entered it."""

    topic = "executions"

    market: Id
    account: DerivedId
    order_id: DerivedId
    remaining: Annotated[Decimal, Meta(description="what was cancelled")]
    reason: CancelReason


class OrderAmended(Event, tag="order.amended", kw_only=True):
    """An order has another price or remaining quantity; also when a reduce-only order shrinks."""

    topic = "executions"

    market: Id
    account: DerivedId
    order_id: DerivedId
    price: Decimal
    remaining: Decimal


class TradeSide(Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """One side of a trade. A negative fee is a rebate."""

    account: DerivedId
    order_id: DerivedId
    fee: SignedDecimal


class TradeExecuted(Event, tag="trade.executed", kw_only=True):
    """A print, at the maker's price. Funds that unwind trade as account `fund:<name>`."""

    topic = "executions"

    trade_id: str
    market: Id
    price: Decimal
    qty: Decimal
    taker_side: Side
    maker: TradeSide
    taker: TradeSide
    liquidation_id: DerivedId | UnsetType = UNSET


class PriceRejected(Event, tag="price.rejected", kw_only=True):
    """A mark price that cannot be used. The last mark stays."""

    topic = "executions"

    market: Id
    code: str
    reason: str


class ConfigRejected(Event, tag="config.rejected", kw_only=True):
    """A config change that cannot be made. Nothing changed."""

    topic = "executions"

    code: str
    reason: str


# --- positions ----------------------------------------------------------------------------------------------


class PositionUpdated(Event, tag="position.updated", kw_only=True):
    """A position as it stands after a command. `realised_pnl` is what this command realised, before fees."""

    topic = "positions"

    market: Id
    account: DerivedId
    side: PositionSide
    qty: Decimal
    entry_value: Decimal
    margin: Decimal
    mode: MarginMode
    leverage: Decimal
    realised_pnl: SignedDecimal
    wallet: Decimal
    entry_price: Price8 | UnsetType | None = UNSET
    liquidation_price: Price8 | UnsetType | None = UNSET
    bankruptcy_price: Price8 | UnsetType | None = UNSET


class AccountUpdated(Event, tag="account.updated", kw_only=True):
    """A wallet that no `position.updated` of the same command carries, or a dead-man switch that was set."""

    topic = "positions"

    shard: Id
    account: DerivedId
    wallet: Decimal
    cancel_at: Annotated[Timestamp, Meta(description="when the switch goes off; 0: it is off")] | UnsetType = UNSET


class AccountRejected(Event, tag="account.rejected", kw_only=True):
    """An account command that makes no sense for the state. Nothing changed."""

    topic = "positions"

    account: DerivedId
    code: str
    reason: str
    market: Id | UnsetType = UNSET
    transfer_id: Id | UnsetType = UNSET


class TransferKnown(Event, tag="transfer.known", kw_only=True):
    """The answer to a transfer that was applied before: it is not applied again."""

    topic = "positions"

    transfer_id: Id
    account: DerivedId


# --- liquidations: lifecycle --------------------------------------------------------------------------------


class LiquidationStarted(Event, tag="liquidation.started", kw_only=True):
    """A position fell to its maintenance margin: the numbers that decided it."""

    topic = "liquidations"

    liquidation_id: DerivedId
    market: Id
    account: DerivedId
    side: PositionSide
    qty: Decimal
    mark_price: Decimal
    bankruptcy_price: Price8 | None
    bankruptcy_value: SignedDecimal
    equity: SignedDecimal
    maintenance_margin: Decimal


class LiquidationOrdered(Event, tag="liquidation.ordered", kw_only=True):
    """The liquidation order that goes into the book at the bankruptcy price."""

    topic = "liquidations"

    liquidation_id: DerivedId
    order_id: DerivedId
    market: Id
    side: Side
    qty: Decimal
    price: Decimal
    tif: Literal["ioc"] = "ioc"


# --- liquidations: claims -----------------------------------------------------------------------------------


class LiquidationSettled(Claim, tag="liquidation.settled", kw_only=True):
    """What the liquidation order filled, and what is left of the margin after the fee."""

    liquidation_id: DerivedId
    market: Id
    filled_qty: Decimal
    average_price: Price8 | None
    fee: Decimal
    surplus: Decimal
    to: Literal["fund", "account"]


class LiquidationResidual(Claim, tag="liquidation.residual", kw_only=True):
    """What the book did not take, carried at bankruptcy value: settlement must decide."""

    liquidation_id: DerivedId
    round: Sequence
    market: Id
    side: PositionSide
    qty: Decimal
    bankruptcy_price: Price8 | None
    bankruptcy_value: Decimal
    mark_price: Decimal
    expected_loss: Decimal


class TakeoverFilled(Claim, tag="takeover.filled", kw_only=True):
    """A fund's inventory was unwound by `qty` at the average `price`."""

    liquidation_id: DerivedId
    round: Sequence
    market: Id
    fund: Id
    qty: Decimal
    price: Price8
    pnl: SignedDecimal


class TakeoverExhausted(Claim, tag="takeover.exhausted", kw_only=True):
    """What is left of a takeover would lose more than its budget, or is too old: settlement decides anew."""

    liquidation_id: DerivedId
    round: Sequence
    market: Id
    side: PositionSide
    qty: Decimal
    bankruptcy_value: Decimal
    mark_price: Decimal
    expected_loss: Decimal
    reason: Literal["budget", "max_age"]


class TakeoverClosed(Claim, tag="takeover.closed", kw_only=True):
    """A takeover is unwound to the last lot: its reservation can go. `pnl` is that of all its fills."""

    liquidation_id: DerivedId
    round: Sequence
    market: Id
    fund: Id
    qty: Annotated[Decimal, Meta(description="all that the takeover sold or bought back")]
    price: Annotated[Price8 | None, Meta(description="average over all fills")]
    pnl: SignedDecimal


class LiquidationUncovered(Claim, tag="liquidation.uncovered", kw_only=True):
    """The last resort closed what ADL could not place, at the mark: can the fund pay this loss?"""

    liquidation_id: DerivedId
    round: Sequence
    market: Id
    loss: Decimal


class LiquidationClosed(Claim, tag="liquidation.closed", kw_only=True):
    """A residual that settlement answered with ADL is gone, and who paid."""

    liquidation_id: DerivedId
    round: Sequence
    market: Id
    adl_qty: Decimal
    surplus: Decimal
    socialised: Decimal
    deficit: Decimal


class FeeShareAccrued(Claim, tag="fee_share.accrued", kw_only=True):
    """The fund's share of the trading fees of one command."""

    market: Id
    fund: Id
    amount: Decimal


class DecisionRejected(Claim, tag="decision.rejected", kw_only=True):
    """A decision for a question that is no longer open. Releases its reservation."""

    liquidation_id: DerivedId
    round: Sequence
    code: str
    reason: str


# --- decisions ----------------------------------------------------------------------------------------------


class TakeoverApproved(Decision, tag="takeover.approved", kw_only=True):
    """The fund takes `qty` over at bankruptcy value and may lose `loss_budget` unwinding it."""

    liquidation_id: DerivedId
    round: Sequence
    fund: Id
    qty: Decimal
    loss_budget: Decimal


class AdlTriggered(Decision, tag="adl.triggered", kw_only=True):
    """The fund cannot take `qty`: the best-ranked opposing positions are closed against it."""

    liquidation_id: DerivedId
    round: Sequence
    market: Id
    side: PositionSide
    qty: Decimal
    bankruptcy_value: Decimal
    fund: Id
    fund_balance: Decimal
    expected_loss: Decimal
    reason: Literal["fund_insufficient", "takeover_expired"]


class LossCovered(Decision, tag="loss.covered", kw_only=True):
    """What the fund pays of a loss that neither book nor ADL could place; the rest is socialised."""

    liquidation_id: DerivedId
    round: Sequence
    fund: Id
    amount: Decimal


class DeficitRepaid(Decision, tag="deficit.repaid", kw_only=True):
    """Money from a fund's later credits that pays back a market's deficit."""

    market: Id
    fund: Id
    amount: Decimal


# --- adl ----------------------------------------------------------------------------------------------------


class AdlExecuted(Event, tag="adl.executed", kw_only=True):
    """One counterparty was deleveraged: its place in the ranking and why. `side` is its position's side."""

    topic = "adl"

    liquidation_id: DerivedId
    market: Id
    account: DerivedId
    side: PositionSide
    qty: Decimal
    price: Price8
    rank: Annotated[Sequence, Meta(description="1 is deleveraged first; 0: last resort, pro rata")]
    score: SignedDecimal
    leverage: Ratio
    profit_ratio: Ratio
    realised_pnl: SignedDecimal


class AdlCompleted(Event, tag="adl.completed", kw_only=True):
    """All of one ADL round: how much loss had to be placed, how much open profit was closed to place it."""

    topic = "adl"

    liquidation_id: DerivedId
    market: Id
    qty: Decimal
    counterparties: Sequence
    remaining: Annotated[Decimal, Meta(description="left to the last resort")]
    needed: Annotated[Decimal, Meta(description="loss at the mark of what was placed")]
    taken: Annotated[Decimal, Meta(description="unrealised profit at the mark of what was given up")]


class LossSocialised(Event, tag="loss.socialised", kw_only=True):
    """One winner's share of an uncovered loss."""

    topic = "adl"

    liquidation_id: DerivedId
    market: Id
    account: DerivedId
    amount: Decimal
    rate: Ratio


class LossDeficit(Event, tag="loss.deficit", kw_only=True):
    """What nobody could pay: it stands as the market's deficit until credits of its fund repay it."""

    topic = "adl"

    liquidation_id: DerivedId
    market: Id
    amount: Decimal
    deficit: Annotated[Decimal, Meta(description="the market's deficit after it")]


# --- settlements --------------------------------------------------------------------------------------------


class FundCredited(Event, tag="fund.credited", kw_only=True):
    """Money into a fund, with the balance after it."""

    topic = "settlements"

    fund: Id
    amount: Decimal
    balance: Decimal
    cause_kind: CauseKind
    market: Id | UnsetType = UNSET
    liquidation_id: DerivedId | UnsetType = UNSET


class FundDebited(Event, tag="fund.debited", kw_only=True):
    """Money out of a fund, with the balance after it."""

    topic = "settlements"

    fund: Id
    amount: Decimal
    balance: Decimal
    cause_kind: CauseKind
    market: Id | UnsetType = UNSET
    liquidation_id: DerivedId | UnsetType = UNSET


class FundBelowMinimum(Event, tag="fund.below_minimum", kw_only=True):
    """A fund's balance crossed below its minimum. Raised once per crossing."""

    topic = "settlements"

    fund: Id
    balance: Decimal
    minimum: Decimal


class FundReconciled(Event, tag="fund.reconciled", kw_only=True):
    """One reconciliation period of a fund, from boundary to boundary of event time."""

    topic = "settlements"

    fund: Id
    period_start: Timestamp
    period_end: Timestamp
    opening_balance: Decimal
    closing_balance: Decimal
    surplus_count: Sequence
    surplus_sum: Decimal
    loss_count: Sequence
    loss_sum: Decimal
    adl_count: Sequence
    adl_sum: Annotated[Decimal, Meta(description="expected losses that ADL was triggered for")]


class FundUpdated(Event, tag="fund.updated", kw_only=True):
    """A fund's setting changed, or a known transfer was answered; the balance did not move."""

    topic = "settlements"

    fund: Id
    balance: Decimal
    minimum: Decimal
    transfer_id: Id | UnsetType = UNSET


class FundRejected(Event, tag="fund.rejected", kw_only=True):
    """A fund command that makes no sense for the state. Nothing changed."""

    topic = "settlements"

    fund: Id
    code: str
    reason: str
    transfer_id: Id | UnsetType = UNSET


# --- ledger -------------------------------------------------------------------------------------------------


class LedgerLine(Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """Move `amount` from account `debit` to account `credit`."""

    debit: str
    credit: str
    amount: Decimal
    cause_kind: str


class LedgerPosted(Event, tag="ledger.posted", kw_only=True):
    """All money moved by one command in one asset. Line n (from 1) has the idempotent id `posting_id`/n."""

    topic = "ledger"

    posting_id: str
    asset: Id
    lines: list[LedgerLine]


AnyClaim = (
    LiquidationSettled
    | LiquidationResidual
    | TakeoverFilled
    | TakeoverExhausted
    | TakeoverClosed
    | LiquidationUncovered
    | LiquidationClosed
    | FeeShareAccrued
    | DecisionRejected
)
AnyDecision = TakeoverApproved | AdlTriggered | LossCovered | DeficitRepaid
CLAIM_TYPES: tuple[type[Claim], ...] = AnyClaim.__args__
DECISION_TYPES: tuple[type[Decision], ...] = AnyDecision.__args__
AnyEvent = (
    OrderAccepted
    | OrderRejected
    | OrderCancelled
    | OrderAmended
    | TradeExecuted
    | PriceRejected
    | ConfigRejected
    | PositionUpdated
    | AccountUpdated
    | AccountRejected
    | TransferKnown
    | LiquidationStarted
    | LiquidationOrdered
    | AnyClaim
    | AnyDecision
    | AdlExecuted
    | AdlCompleted
    | LossSocialised
    | LossDeficit
    | FundCredited
    | FundDebited
    | FundBelowMinimum
    | FundReconciled
    | FundUpdated
    | FundRejected
    | LedgerPosted
)
EVENT_TYPES: tuple[type[Event], ...] = AnyEvent.__args__
