"""Every event of the contract: what engines and settlement publish. What they tell each other is in `schemas.claims`.

Optional fields that do not apply are left out of the JSON; a price that does not exist is null. The header is
filled by the outbox of the machine that emits the event.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from schemas.claims import AnyClaim, AnyDecision
from schemas.envelope import Event
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

ConfigHash = Annotated[str, Meta(description="SHA-256 of a config", extra_json_schema={"pattern": "^[0-9a-f]{64}$"})]

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
    code: Annotated[str, Meta(description="with refused: the code as of order.rejected")] | UnsetType = UNSET


class OrderTriggered(Event, tag="order.triggered", kw_only=True):
    """A stop or take-profit order became an order: the price that did it. What follows is as for a new order."""

    topic = "executions"

    market: Id
    account: DerivedId
    order_id: DerivedId
    trigger_price: Decimal
    price: Decimal


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
    """A mark price or a funding rate that cannot be used. Nothing changed, and the last mark stays."""

    topic = "executions"

    market: Id
    code: str
    reason: str


class ConfigRejected(Event, tag="config.rejected", kw_only=True):
    """A config change that cannot be made. Nothing changed."""

    topic = "executions"

    code: str
    reason: str


class SettingChange(Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """One setting before and after. What had, or has, its default is left out; lists are given as JSON."""

    setting: Annotated[str, Meta(description="path in the config, like markets.BTC-USDT.tiers")]
    old: str | UnsetType = UNSET
    new: str | UnsetType = UNSET


class ConfigChanged(Event, tag="config.changed", kw_only=True):
    """The config of the venue as this stream holds it from now on: the hashes before and after, and what differs."""

    topic = "executions"

    before: ConfigHash
    after: ConfigHash
    changes: list[SettingChange]


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
    wallet: SignedDecimal
    entry_price: Price8 | UnsetType | None = UNSET
    liquidation_price: Price8 | UnsetType | None = UNSET
    bankruptcy_price: Price8 | UnsetType | None = UNSET


class FundingPaid(Event, tag="funding.paid", kw_only=True):
    """What one position paid or received in one funding of its market. One per position and funding.

    Instead of an account, a residual has the id of its liquidation.
    """

    topic = "positions"

    market: Id
    round: Annotated[Sequence, Meta(description="1, 2, 3 … counts the fundings of the market")]
    side: PositionSide
    qty: Decimal
    mark_price: Annotated[Decimal, Meta(description="the mark when the funding began")]
    rate: SignedDecimal
    amount: Annotated[SignedDecimal, Meta(description="what it received; with a minus, what it paid")]
    capitalised: Annotated[
        SignedDecimal, Meta(description="what of the amount went into the entry value, not the margin")
    ]
    account: DerivedId | UnsetType = UNSET
    liquidation_id: DerivedId | UnsetType = UNSET


class FundingSettled(Event, tag="funding.settled", kw_only=True):
    """All positions have paid or received one funding of a market: what that came to."""

    topic = "positions"

    market: Id
    round: Annotated[Sequence, Meta(description="1, 2, 3 … counts the fundings of the market")]
    rate: SignedDecimal
    mark_price: Annotated[Decimal, Meta(description="the mark when the funding began")]
    paid: Decimal
    received: Decimal
    dust: Annotated[SignedDecimal, Meta(description="paid − received, which goes to the fees held")]
    positions: Annotated[Sequence, Meta(description="how many were open, residuals included")]


class AccountUpdated(Event, tag="account.updated", kw_only=True):
    """A wallet that no `position.updated` of the same command carries, or a dead-man switch that was set."""

    topic = "positions"

    shard: Id
    account: DerivedId
    wallet: SignedDecimal
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
    """A margin pool fell to its maintenance margin: the numbers that decided it. Cross: those of the whole account."""

    topic = "liquidations"

    liquidation_id: DerivedId
    market: Id
    account: DerivedId
    side: PositionSide
    qty: Decimal
    mark_price: Decimal
    bankruptcy_price: Price8 | None
    bankruptcy_value: SignedDecimal
    mode: MarginMode
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
    rank: Annotated[Sequence, Meta(description="place by score, 1 is the first; 0: last resort, pro rata")]
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


class AdlLight(Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """The light of one position: the fifth of its side's ADL ranking that it stands in, 5 being the first to go."""

    account: DerivedId
    side: PositionSide
    light: Annotated[int, Meta(ge=1, le=5)]


class AdlLights(Event, tag="adl.lights", kw_only=True):
    """How near the positions of a market were to their turn in ADL, or a part of them, longs before shorts.

    Who is due for liquidation is not ranked and has no light.
    """

    topic = "positions"

    market: Id
    ranked_at: Annotated[Timestamp, Meta(description="event time for which they were reckoned")]
    lights: list[AdlLight]


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
    usd_value: (
        Annotated[Decimal, Meta(description="of a donation whose price is known: its value in USD, down to a cent")]
        | UnsetType
    ) = UNSET


class FundDebited(Event, tag="fund.debited", kw_only=True):
    """Money out of a fund, with the balance after it."""

    topic = "settlements"

    fund: Id
    amount: Decimal
    balance: Decimal
    cause_kind: CauseKind
    market: Id | UnsetType = UNSET
    liquidation_id: DerivedId | UnsetType = UNSET


class FundPending(Event, tag="fund.pending", kw_only=True):
    """A surplus or loss that moves into or out of the fund at the reconciliation. The balance did not move."""

    topic = "settlements"

    fund: Id
    amount: Annotated[SignedDecimal, Meta(description="a gain, or with a minus a loss, that waits now")]
    pending_gains: Annotated[Decimal, Meta(description="all gains that wait; they are not available")]
    pending_losses: Annotated[
        Decimal, Meta(description="all losses that wait, net of what a gain of the same takeover gave back")
    ]
    cause_kind: CauseKind
    market: Id
    liquidation_id: DerivedId


class FundBelowMinimum(Event, tag="fund.below_minimum", kw_only=True):
    """A fund's balance crossed below its minimum. Raised once per crossing."""

    topic = "settlements"

    fund: Id
    balance: Decimal
    minimum: Decimal


class _AdlTriggerChanged(Event, kw_only=True):
    topic = "settlements"

    fund: Id
    kind: Literal["drawdown", "average"]
    worth: Annotated[Decimal, Meta(description="balance less pending losses")]
    level: Annotated[Decimal, Meta(description="the peak, or the average, of the window that it is compared with")]


class AdlActivated(_AdlTriggerChanged, tag="adl.activated", kw_only=True):
    """A fund's ADL trigger begins: residuals of its markets go to ADL, whatever the fund has."""


class AdlDeactivated(_AdlTriggerChanged, tag="adl.deactivated", kw_only=True):
    """A fund's ADL trigger ends: the fund takes residuals over again."""


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


AnyEvent = (
    OrderAccepted
    | OrderRejected
    | OrderCancelled
    | OrderTriggered
    | OrderAmended
    | TradeExecuted
    | PriceRejected
    | ConfigRejected
    | ConfigChanged
    | PositionUpdated
    | FundingPaid
    | FundingSettled
    | AccountUpdated
    | AccountRejected
    | TransferKnown
    | LiquidationStarted
    | LiquidationOrdered
    | AnyClaim
    | AnyDecision
    | AdlExecuted
    | AdlCompleted
    | AdlLights
    | LossSocialised
    | LossDeficit
    | FundCredited
    | FundDebited
    | FundPending
    | FundBelowMinimum
    | AdlActivated
    | AdlDeactivated
    | FundReconciled
    | FundUpdated
    | FundRejected
    | LedgerPosted
)
EVENT_TYPES: tuple[type[Event], ...] = AnyEvent.__args__
