"""Every command of the contract: what outside producers may ask of an engine or of settlement.

A command is decoded into one of these structs or becomes a dead letter. What the record alone can tell
(types, domains, which fields go together) is checked here; what depends on the state is answered by the
engine with a `*.rejected` event.
"""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct

from schemas.fields import (
    Decimal,
    Id,
    MarginMode,
    NonZeroDecimal,
    OrderKind,
    PositiveDecimal,
    SelfTradePrevention,
    Side,
    SignedDecimal,
    TimeInForce,
    Timestamp,
    TriggerSource,
    TriggerWhen,
    check_id,
    check_not_negative,
    check_order_ids,
    check_positive,
    check_settings,
    check_signed,
)


class Command(Struct, tag_field="type", forbid_unknown_fields=True, frozen=True, gc=False):
    """What all commands share: `type` (the tag) and event time."""

    topic: ClassVar[str]

    ts: Timestamp


class OrderNew(Command, tag="order.new", frozen=True):
    """A limit or market order. A market order takes what it can at once; its remainder is cancelled."""

    topic = "orders"

    market: Id
    account: Id
    order_id: Id
    side: Side
    kind: OrderKind
    qty: PositiveDecimal
    price: PositiveDecimal | None = None
    tif: TimeInForce = "gtc"
    expire_at: Annotated[Timestamp | None, Meta(description="with gtt: the event time at which it leaves")] = None
    post_only: bool = False
    reduce_only: bool = False
    stp: SelfTradePrevention = "cancel_taker"
    trigger_price: Annotated[PositiveDecimal | None, Meta(description="a stop or take-profit order waits for it")] = (
        None
    )
    trigger_when: Annotated[TriggerWhen | None, Meta(description="with trigger_price: from which side")] = None
    trigger_by: TriggerSource = "mark"
    display_qty: Annotated[
        PositiveDecimal | None, Meta(description="an iceberg order, which rests, shows so much at a time")
    ] = None

    def __post_init__(self) -> None:
        check_order_ids(self.market, self.account, self.order_id)
        check_positive("qty", self.qty)
        if self.trigger_price is not None:
            check_positive("trigger_price", self.trigger_price)
        if (self.trigger_price is None) != (self.trigger_when is None):
            raise ValueError("trigger_when: expected with trigger_price and only then")
        if self.display_qty is not None:
            check_positive("display_qty", self.display_qty)
            if self.kind == "market":
                raise ValueError(f"display_qty: expected none, as kind is market; got {self.display_qty!r}")
            if self.tif not in ("gtc", "gtt"):
                raise ValueError(f"tif: expected gtc or gtt with display_qty, got {self.tif!r}")
        if self.kind == "limit":
            if self.price is None:
                raise ValueError("price: expected a decimal string, as kind is limit; it is missing")
            check_positive("price", self.price)
            if self.post_only and self.tif not in ("gtc", "gtt"):
                raise ValueError(f"tif: expected gtc or gtt with post_only, got {self.tif!r}")
        elif self.price is not None:
            raise ValueError(f"price: expected none, as kind is market; got {self.price!r}")
        elif self.post_only:
            raise ValueError("post_only: expected false, as kind is market")
        elif self.tif == "gtt":
            raise ValueError("tif: expected gtc, ioc or fok, as kind is market; got 'gtt'")
        if (self.tif == "gtt") != (self.expire_at is not None):
            found = "missing" if self.expire_at is None else "given"
            raise ValueError(f"expire_at: expected with tif gtt and only then; tif is {self.tif!r} and it is {found}")


class OrderCancel(Command, tag="order.cancel", frozen=True):
    """Take one open order out of the book."""

    topic = "orders"

    market: Id
    account: Id
    order_id: Id

    def __post_init__(self) -> None:
        check_order_ids(self.market, self.account, self.order_id)


class OrderAmend(Command, tag="order.amend", frozen=True):
    """Change price or remaining quantity. A pure decrease of quantity keeps the place in the queue."""

    topic = "orders"

    market: Id
    account: Id
    order_id: Id
    price: PositiveDecimal | None = None
    qty: Annotated[PositiveDecimal | None, Meta(description="the new remaining quantity")] = None

    def __post_init__(self) -> None:
        check_order_ids(self.market, self.account, self.order_id)
        if self.price is None and self.qty is None:
            raise ValueError("price, qty: expected at least one of them")
        if self.price is not None:
            check_positive("price", self.price)
        if self.qty is not None:
            check_positive("qty", self.qty)


class OrderCancelAll(Command, tag="order.cancel_all", frozen=True):
    """Take all of an account's open orders out, in one market or in all markets of the shard."""

    topic = "orders"

    account: Id
    shard: Id
    market: Id | None = None

    def __post_init__(self) -> None:
        check_id("account", self.account)
        check_id("shard", self.shard)
        if self.market is not None:
            check_id("market", self.market)


class PriceMark(Command, tag="price.mark", frozen=True):
    """The mark price (and, for information, the index price) of a market from now on."""

    topic = "mark-prices"

    market: Id
    price: PositiveDecimal
    index: PositiveDecimal | None = None

    def __post_init__(self) -> None:
        check_id("market", self.market)
        check_positive("price", self.price)
        if self.index is not None:
            check_positive("index", self.index)


class PriceFunding(Command, tag="price.funding", frozen=True):
    """A funding of a market now: by a positive rate longs pay shorts this share of their value at the mark."""

    topic = "mark-prices"

    market: Id
    rate: SignedDecimal

    def __post_init__(self) -> None:
        check_id("market", self.market)
        check_signed("rate", self.rate)


class AccountDeposit(Command, tag="account.deposit", frozen=True):
    """Money that arrived for an account. `transfer_id` makes a repeated delivery harmless."""

    topic = "accounts"

    shard: Id
    account: Id
    amount: PositiveDecimal
    transfer_id: Id

    def __post_init__(self) -> None:
        check_id("shard", self.shard)
        check_id("account", self.account)
        check_id("transfer_id", self.transfer_id)
        check_positive("amount", self.amount)


class AccountWithdraw(Command, tag="account.withdraw", frozen=True):
    """Money that leaves an account's free balance. `transfer_id` makes a repeated delivery harmless."""

    topic = "accounts"

    shard: Id
    account: Id
    amount: PositiveDecimal
    transfer_id: Id

    def __post_init__(self) -> None:
        check_id("shard", self.shard)
        check_id("account", self.account)
        check_id("transfer_id", self.transfer_id)
        check_positive("amount", self.amount)


class AccountLeverage(Command, tag="account.leverage", frozen=True):
    """The leverage that an account's orders in a market are margined at from now on."""

    topic = "accounts"

    market: Id
    account: Id
    leverage: PositiveDecimal

    def __post_init__(self) -> None:
        check_id("market", self.market)
        check_id("account", self.account)
        check_positive("leverage", self.leverage)


class AccountMarginMode(Command, tag="account.margin_mode", frozen=True):
    """Isolated or cross margin for an account in a market."""

    topic = "accounts"

    market: Id
    account: Id
    mode: MarginMode

    def __post_init__(self) -> None:
        check_id("market", self.market)
        check_id("account", self.account)


class AccountMargin(Command, tag="account.margin", frozen=True):
    """Move money from the wallet into an isolated position's margin or, with a minus, back."""

    topic = "accounts"

    market: Id
    account: Id
    amount: NonZeroDecimal

    def __post_init__(self) -> None:
        check_id("market", self.market)
        check_id("account", self.account)
        check_signed("amount", self.amount)
        check_positive("amount", self.amount.removeprefix("-"))


class AccountCancelAfter(Command, tag="account.cancel_after", frozen=True):
    """A dead-man switch: unless it is set again, all orders of the account leave after so many seconds.

    Zero switches it off. The clock is event time.
    """

    topic = "accounts"

    shard: Id
    account: Id
    seconds: Annotated[int, Meta(ge=0, le=604_800)]

    def __post_init__(self) -> None:
        check_id("shard", self.shard)
        check_id("account", self.account)


class FundDeposit(Command, tag="fund.deposit", frozen=True):
    """Money from outside into a fund."""

    topic = "fund-admin"

    fund: Id
    amount: PositiveDecimal
    kind: Literal["injection", "donation"]
    transfer_id: Id
    index: Annotated[
        PositiveDecimal | None,
        Meta(description="of a donation: the index price it is valued at, USD per 1 of the asset"),
    ] = None

    def __post_init__(self) -> None:
        check_id("fund", self.fund)
        check_id("transfer_id", self.transfer_id)
        check_positive("amount", self.amount)
        if self.index is not None:
            check_positive("index", self.index)
            if self.kind != "donation":
                raise ValueError(f"index: expected only with kind donation, got {self.index!r}")


class FundWithdraw(Command, tag="fund.withdraw", frozen=True):
    """Money out of a fund, at most what stands above its minimum and its reservations."""

    topic = "fund-admin"

    fund: Id
    amount: PositiveDecimal
    transfer_id: Id

    def __post_init__(self) -> None:
        check_id("fund", self.fund)
        check_id("transfer_id", self.transfer_id)
        check_positive("amount", self.amount)


class FundMinimum(Command, tag="fund.minimum", frozen=True):
    """A new minimum for a fund."""

    topic = "fund-admin"

    fund: Id
    amount: Decimal

    def __post_init__(self) -> None:
        check_id("fund", self.fund)
        check_not_negative("amount", self.amount)


class FundTransfer(Command, tag="fund.transfer", frozen=True):
    """Money from one fund to another of the same asset."""

    topic = "fund-admin"

    fund: Id
    to: Id
    amount: PositiveDecimal
    transfer_id: Id

    def __post_init__(self) -> None:
        check_id("fund", self.fund)
        check_id("to", self.to)
        check_id("transfer_id", self.transfer_id)
        check_positive("amount", self.amount)
        if self.fund == self.to:
            raise ValueError(f"to: expected another fund than {self.fund!r}")


class ConfigSet(Command, tag="config.set", frozen=True):
    """Changes to the venue config after genesis, in the shape of the config file."""

    topic = "admin"

    changes: dict[str, Any]

    def __post_init__(self) -> None:
        check_settings("changes", self.changes)


class ClockTick(Command, tag="clock.tick", frozen=True):
    """Time passes with no activity. Goes to every stream."""

    topic = "admin"


OutsideCommand = (
    OrderNew
    | OrderCancel
    | OrderAmend
    | OrderCancelAll
    | PriceMark
    | PriceFunding
    | AccountDeposit
    | AccountWithdraw
    | AccountLeverage
    | AccountMarginMode
    | AccountMargin
    | AccountCancelAfter
    | FundDeposit
    | FundWithdraw
    | FundMinimum
    | FundTransfer
    | ConfigSet
    | ClockTick
)
COMMAND_TYPES: tuple[type[Command], ...] = OutsideCommand.__args__
