"""The venue config: one struct per TOML table, with a default for every setting that may be left out.

Types and value domains are checked here; what only makes sense together (grids, tiers, references) is checked
where the settings are compiled into integers, in `engine.spec`. Settings of the contract whose value is not
listed here are refused by name rather than ignored.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from schemas.fields import INT64_MAX, Decimal, Id, SignedDecimal, check_id, check_not_negative, check_signed

Duration = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,8}(s|m|h|d)$", description='like "90s", "10m", "8h", "7d"')]
TimeOfDay = Annotated[
    str,
    Meta(
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9][+-](0[0-9]|1[0-4]):[0-5][0-9]$",
        description='time of day with its offset from UTC, like "16:00+08:00"',
    ),
]
Count = Annotated[int, Meta(ge=1, le=INT64_MAX)]


class ConfigError(ValueError):
    """A config that cannot be used: says which setting, what it is and what was expected."""


class _Table(Struct, forbid_unknown_fields=True, frozen=True):
    pass


class AssetConfig(_Table):
    """A settlement asset. One unit is 10^-decimals of it."""

    decimals: Annotated[int, Meta(ge=0, le=18)]


class LimitsConfig(_Table):
    """Every bound of the core, by name."""

    liquidations_per_command: Count = 200
    max_open_residuals: Count = 10_000
    max_price_levels: Count = 100_000
    closed_order_memory: Duration = "60s"
    transfer_memory: Duration = "7d"


class FundConfig(_Table):
    """An insurance fund and the rules it is run by."""

    asset: Id
    minimum: Decimal = "0"
    opening: Decimal = "0"
    transfer: Literal["immediate"] = "immediate"
    reconcile_at: TimeOfDay = "16:00+08:00"
    takeover: Literal["whole"] = "whole"
    takeover_slippage: Decimal = "0"
    takeover_band: Decimal = "0.05"
    takeover_max_age: Duration = "10m"
    adl_trigger: Literal["balance"] = "balance"
    rebalance: Literal[False] = False

    def __post_init__(self) -> None:
        check_id("asset", self.asset)
        check_not_negative("minimum", self.minimum)
        check_not_negative("opening", self.opening)
        check_not_negative("takeover_slippage", self.takeover_slippage)
        check_not_negative("takeover_band", self.takeover_band)


class ShardConfig(_Table):
    """Markets whose accounts share collateral: one Kafka partition, one single-threaded engine."""

    asset: Id
    partition: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    position_detail: bool = False

    def __post_init__(self) -> None:
        check_id("asset", self.asset)


class TierConfig(_Table):
    """A risk tier: up to `up_to` of notional, these margin rates hold."""

    up_to: Decimal
    initial: Decimal
    maintenance: Decimal

    def __post_init__(self) -> None:
        check_not_negative("up_to", self.up_to)
        check_not_negative("initial", self.initial)
        check_not_negative("maintenance", self.maintenance)


class MarketConfig(_Table):
    """A futures contract with its grids, fees, margin tiers and the fund behind it."""

    shard: Id
    fund: Id
    tick: Decimal
    lot: Decimal
    tiers: Annotated[tuple[TierConfig, ...], Meta(min_length=1)]
    contract: Literal["linear"] = "linear"
    multiplier: Decimal = "1"
    maker_fee: SignedDecimal = "0"
    taker_fee: SignedDecimal = "0"
    fund_fee_share: Decimal = "0"
    default_mode: Literal["isolated"] = "isolated"
    default_leverage: Decimal = "10"
    liquidation_fee: Decimal = "0"
    surplus: Literal["fund", "account"] = "fund"
    partial: Literal["none"] = "none"
    adl_ranking: Literal["pnl_leverage"] = "pnl_leverage"
    deficit_hold: Decimal = "0"

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
            "deficit_hold",
        ):
            check_not_negative(name, getattr(self, name))


class VenueConfig(_Table):
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


def parse_config(text: str) -> VenueConfig:
    """Decode a venue config from TOML text. Raises ConfigError naming the setting and what was expected."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not valid TOML: {error}") from None
    try:
        return msgspec.convert(raw, VenueConfig, strict=True)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        where = path.rstrip("`").lstrip(".")
        raise ConfigError(f"{where}: {message}" if where else message) from None


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
