"""What engines and settlement tell each other: claims one way, decisions the other, numbered without gaps per shard.

They are events like all others, and settlement acts on nothing else.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from schemas.envelope import Event
from schemas.fields import Decimal, DerivedId, Id, PositionSide, Price8, Sequence, SignedDecimal


class Claim(Event, kw_only=True):
    """What an engine tells settlement: on `liquidations`, numbered per shard."""

    topic = "liquidations"

    claim: Sequence = 0


class Decision(Event, kw_only=True):
    """What settlement answers to one shard: on `decisions`, numbered per asset and shard."""

    topic = "decisions"

    shard: Id
    decision: Sequence = 0


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
    bankruptcy_value: SignedDecimal
    mark_price: Decimal
    expected_loss: Decimal
    part_of: (
        Annotated[DerivedId, Meta(description="the liquidation whose fund took the other part of the quantity over")]
        | UnsetType
    ) = UNSET


class TakeoverFilled(Claim, tag="takeover.filled", kw_only=True):
    """A fund's inventory was unwound by `qty` at the average `price`."""

    liquidation_id: DerivedId
    round: Sequence
    market: Id
    fund: Id
    qty: Decimal
    price: Price8
    pnl: SignedDecimal
    against: (
        Annotated[
            DerivedId,
            Meta(
                description="the liquidation whose opposite quantity it was closed against at the mark, without a trade"
            ),
        ]
        | UnsetType
    ) = UNSET


class TakeoverExhausted(Claim, tag="takeover.exhausted", kw_only=True):
    """What is left of a takeover would lose more than its budget, or is too old: settlement decides anew."""

    liquidation_id: DerivedId
    round: Sequence
    market: Id
    side: PositionSide
    qty: Decimal
    bankruptcy_value: SignedDecimal
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
    """What was closed at the mark, by ADL with a loss budget or in the last resort, lost this: can the fund pay it?"""

    liquidation_id: DerivedId
    round: Sequence
    market: Id
    loss: Decimal


class Outcome(Claim, kw_only=True):
    """What became of a residual that settlement answered with ADL, or of a part of it."""

    liquidation_id: DerivedId
    round: Sequence
    market: Id
    adl_qty: Decimal
    surplus: Decimal
    socialised: Decimal
    deficit: Decimal


class LiquidationClosed(Outcome, tag="liquidation.closed", kw_only=True):
    """A residual that settlement answered with ADL is gone, and who paid."""


class LiquidationPartlyClosed(Outcome, tag="liquidation.partly_closed", kw_only=True):
    """As `liquidation.closed`, for a part: the rest found nobody yet and is asked about again at the next mark."""


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
    market: Id
    fund: Id
    qty: Decimal
    loss_budget: Decimal


class AdlTriggered(Decision, tag="adl.triggered", kw_only=True):
    """The fund does not take `qty`: the best-ranked opposing positions are closed against it."""

    liquidation_id: DerivedId
    round: Sequence
    market: Id
    side: PositionSide
    qty: Decimal
    bankruptcy_value: SignedDecimal
    fund: Id
    fund_balance: Decimal
    expected_loss: Decimal
    reason: Literal["fund_insufficient", "takeover_expired", "trigger_active"]
    loss_budget: (
        Annotated[Decimal, Meta(description="reserved for the loss of closing at the mark instead")] | UnsetType
    ) = UNSET


class LossCovered(Decision, tag="loss.covered", kw_only=True):
    """What the fund pays of a loss that closing at the mark left; the rest is socialised."""

    liquidation_id: DerivedId
    round: Sequence
    market: Id
    fund: Id
    amount: Decimal


class DeficitRepaid(Decision, tag="deficit.repaid", kw_only=True):
    """Money from a fund's later credits that pays back a market's deficit."""

    market: Id
    fund: Id
    amount: Decimal


AnyClaim = (
    LiquidationSettled
    | LiquidationResidual
    | TakeoverFilled
    | TakeoverExhausted
    | TakeoverClosed
    | LiquidationUncovered
    | LiquidationClosed
    | LiquidationPartlyClosed
    | FeeShareAccrued
    | DecisionRejected
)
AnyDecision = TakeoverApproved | AdlTriggered | LossCovered | DeficitRepaid
CLAIM_TYPES: tuple[type[Claim], ...] = AnyClaim.__args__
DECISION_TYPES: tuple[type[Decision], ...] = AnyDecision.__args__
