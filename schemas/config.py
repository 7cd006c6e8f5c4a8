"""The venue config: one struct per TOML table, with a default for every setting that may be left out.

Types and value domains are checked here; what only makes sense together (grids, tiers, references) is checked
where the settings are compiled into integers, in `engine.spec`. Settings of the contract whose value is not
listed here are refused by name rather than ignored.
"""

import tomllib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct, field

from schemas.fields import (
    INT64_MAX,
    Decimal,
    Id,
    PositiveDecimal,
    SignedDecimal,
    check_id,
    check_not_negative,
    check_positive,
    check_signed,
)
from schemas.refusals import read_refusal

# In Python `$` also matches before a last newline; `(?!\n)` forbids it and means nothing elsewhere.
Duration = Annotated[
    str,
    Meta(pattern=r"^[1-9][0-9]{0,8}(s|m|h|d)$(?!\n)", description='duration like "90s", "10m", "8h", "7d"'),
]
TimeOfDay = Annotated[
    str,
    Meta(
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9][+-](0[0-9]|1[0-4]):[0-5][0-9]$(?!\n)",
        description='time of day with its offset from UTC, like "16:00+08:00"',
    ),
]
AdlRanking = Literal[
    "pnl_leverage",
    "pnl_margin_ratio",
    "roi_mmr",
    "price_leverage",
    "margin_price",
    "pro_rata",
    "integer_pro_rata",
    "capped_pro_rata",
    "risk_weighted",
    "min_leverage",
]
Count = Annotated[int, Meta(ge=1, le=INT64_MAX)]


class ConfigError(ValueError):
    """A config that cannot be used: says which setting, what it is and what was expected."""


class _Table(Struct, forbid_unknown_fields=True, frozen=True):
    pass


class AssetConfig(_Table, frozen=True):
    """A settlement asset. One unit is 10^-decimals of it."""

    decimals: Annotated[int, Meta(ge=0, le=18)]
    usd: PositiveDecimal | None = None

    def __post_init__(self) -> None:
        if self.usd is not None:
            check_positive("usd", self.usd)


class LimitsConfig(_Table, frozen=True):
    """Every bound of the core, by name."""

    liquidations_per_command: Count = 200
    max_open_residuals: Count = 10_000
    max_open_orders: Count = 10_000
    max_price_levels: Count = 100_000
    max_fills_per_order: Count = 1_000
    max_iceberg_parts: Count = 100
    reconciliations_per_command: Count = 400
    timers_per_command: Count = 1_000
    stops_per_command: Count = 200
    funding_payments_per_command: Count = 1_000
    adl_lights_per_command: Count = 1_000
    closed_order_memory: Duration = "60s"
    transfer_memory: Duration = "7d"
    fund_history: Count = 400


class DrawdownTrigger(_Table, frozen=True, tag_field="kind", tag="drawdown"):
    """ADL while the fund lies too far below its peak over a rolling window: from `start` on, until `stop`."""

    window: Duration
    start: Decimal
    stop: Decimal
    inclusive: bool = False

    def __post_init__(self) -> None:
        check_not_negative("start", self.start)
        check_not_negative("stop", self.stop)


class AverageTrigger(_Table, frozen=True, tag_field="kind", tag="average"):
    """ADL while the fund lies below its average over a rolling window less `cut`."""

    window: Duration
    cut: Decimal
    inclusive: bool = False

    def __post_init__(self) -> None:
        check_not_negative("cut", self.cut)


class FundConfig(_Table, frozen=True):
    """An insurance fund and the rules it is run by."""

    asset: Id
    minimum: Decimal = "0"
    opening: Decimal = "0"
    transfer: Literal["immediate", "daily"] = "immediate"
    reconcile_at: TimeOfDay = "16:00+08:00"
    takeover: Literal["whole", "partial"] = "whole"
    takeover_slippage: Decimal = "0"
    takeover_band: Decimal = "0.05"
    takeover_max_age: Duration = "10m"
    takeover_slice: Decimal = "1"
    takeover_interval: Duration | None = None
    adl_trigger: Literal["balance"] | DrawdownTrigger | AverageTrigger = "balance"
    rebalance: bool = False
    treasury: Id | None = None

    def __post_init__(self) -> None:
        check_id("asset", self.asset)
        if self.treasury is not None:
            check_id("treasury", self.treasury)
        check_not_negative("minimum", self.minimum)
        check_not_negative("opening", self.opening)
        check_not_negative("takeover_slippage", self.takeover_slippage)
        check_not_negative("takeover_band", self.takeover_band)
        check_not_negative("takeover_slice", self.takeover_slice)


class ShardConfig(_Table, frozen=True):
    """Markets whose accounts share collateral: one Kafka partition, one single-threaded engine."""

    asset: Id
    partition: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    position_detail: bool = False
    free_profit: bool = False

    def __post_init__(self) -> None:
        check_id("asset", self.asset)


class TierConfig(_Table, frozen=True):
    """A risk tier: up to `up_to` of notional, these margin rates hold."""

    up_to: Decimal
    initial: Decimal
    maintenance: Decimal

    def __post_init__(self) -> None:
        check_not_negative("up_to", self.up_to)
        check_not_negative("initial", self.initial)
        check_not_negative("maintenance", self.maintenance)


class MarketConfig(_Table, frozen=True):
    """A futures contract with its grids, fees, margin tiers and the fund behind it."""

    shard: Id
    fund: Id
    tick: Decimal
    lot: Decimal
    tiers: Annotated[tuple[TierConfig, ...], Meta(min_length=1)]
    contract: Literal["linear", "inverse"] = "linear"
    multiplier: Decimal = "1"
    maker_fee: SignedDecimal = "0"
    taker_fee: SignedDecimal = "0"
    fund_fee_share: Decimal = "0"
    default_mode: Literal["isolated", "cross"] = "isolated"
    default_leverage: Decimal = "10"
    liquidation_fee: Decimal = "0"
    surplus: Literal["fund", "account"] = "fund"
    partial: Literal["none", "tier"] = "none"
    adl_ranking: AdlRanking = "pnl_leverage"
    adl_cap: Decimal = "1"
    adl_price: Literal["worse", "mark"] = "worse"
    adl_lights: Duration | None = None
    deficit_hold: Decimal = "0"
    max_order_qty: Decimal | None = None
    max_order_notional: Decimal | None = None
    price_band: Decimal | None = None
    status: Literal["open", "reduce_only", "halted"] = "open"

    def __post_init__(self) -> None:
        check_id("shard", self.shard)
        check_id("fund", self.fund)
        check_signed("maker_fee", self.maker_fee)
        check_signed("taker_fee", self.taker_fee)
        for name in (
            "tick",
            "lot",
            "multiplier",
            "fund_fee_share",
            "default_leverage",
            "liquidation_fee",
            "adl_cap",
            "deficit_hold",
        ):
            check_not_negative(name, getattr(self, name))
        for name in ("max_order_qty", "max_order_notional", "price_band"):
            if getattr(self, name) is not None:
                check_not_negative(name, getattr(self, name))


class VenueConfig(_Table, frozen=True):
    """The whole venue: the genesis of every state machine."""

    assets: dict[str, AssetConfig]
    funds: dict[str, FundConfig]
    shards: dict[str, ShardConfig]
    markets: dict[str, MarketConfig]
    limits: LimitsConfig = field(default_factory=LimitsConfig)

    def __post_init__(self) -> None:
        for kind, table in (
            ("assets", self.assets),
            ("funds", self.funds),
            ("shards", self.shards),
            ("markets", self.markets),
        ):
            for name in table:
                if not 1 <= len(name) <= 64:
                    raise ValueError(f"{kind}: expected names of 1 to 64 characters, got {name!r}")
                check_id(kind, name)


_TABLES: Final[Mapping[str, type[_Table]]] = MappingProxyType(
    {"assets": AssetConfig, "funds": FundConfig, "shards": ShardConfig, "markets": MarketConfig}
)


def parse_config(text: str) -> VenueConfig:
    """Decode a venue config from TOML text. Raises ConfigError naming the setting and what was expected."""
    try:
        raw = tomllib.loads(text)
    except RecursionError:
        raise ConfigError("not valid TOML: nested too deeply") from None
    except ValueError as error:
        raise ConfigError(f"not valid TOML: {error}") from None
    return decode_config(raw)


def decode_config(raw: dict[str, Any]) -> VenueConfig:
    """Decode a config that is plain values already. Raises ConfigError naming the setting and what was expected."""
    try:
        return msgspec.convert(raw, VenueConfig, strict=True)
    except msgspec.ValidationError as error:
        refusal = read_refusal(error, VenueConfig)
        raise ConfigError(f"{_named(raw, refusal.field)}: {refusal.reason}") from None


def config_document(config: VenueConfig) -> dict[str, Any]:
    """A config as plain values in the shape of the file, without settings that have their default.

    So a setting that is added later, and has a default, changes no document of a config that does not name it. The
    order of the tables is kept, as it decides the order of events.
    """
    return _document(config)


def config_hash(config: VenueConfig) -> str:
    """SHA-256, as hex, of the config's document as JSON without white space."""
    return sha256(msgspec.json.encode(config_document(config))).hexdigest()


def _document(table: Struct) -> dict[str, Any]:
    """Settings in the order of the type, names of tables in that of the config."""
    document: dict[str, Any] = {}
    tag = table.__struct_config__
    if tag.tag_field is not None:
        document[tag.tag_field] = tag.tag
    for setting in msgspec.structs.fields(table):
        value = getattr(table, setting.name)
        default = setting.default if setting.default_factory is msgspec.NODEFAULT else setting.default_factory()
        if value != default:
            document[setting.name] = _plain(value)
    return document


def _plain(value: Any) -> Any:
    if isinstance(value, Struct):
        return _document(value)
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return value


def _named(raw: dict[str, Any], field: str) -> str:
    """msgspec writes `markets[...].tick`; put the name of the first refused market in place of the dots."""
    kind, dots, rest = field.partition("[...]")
    if not dots:
        return field or "config"
    for name, settings in raw[kind].items():
        try:
            msgspec.convert(settings, _TABLES[kind], strict=True)
        except msgspec.ValidationError:
            return f"{kind}.{name}{rest}"
    return f"{kind}{rest}"


def load_config(path: Path) -> VenueConfig:
    """Read and decode a venue config file. Raises ConfigError when it cannot be read or is not valid."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: expected UTF-8 text") from None
    try:
        return parse_config(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
