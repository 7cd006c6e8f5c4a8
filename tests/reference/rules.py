"""The venue config as the model reads it: decimal texts become fractions, and amounts whole units."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from schemas.config import (
    AverageTrigger,
    DrawdownTrigger,
    FundConfig,
    LimitsConfig,
    MarketConfig,
    ShardConfig,
    VenueConfig,
)
from tests.reference.exact import LIMIT, floor, price8, written

SECOND = 1_000_000
DAY = 86_400 * SECOND
_DURATIONS = {"s": SECOND, "m": 60 * SECOND, "h": 3_600 * SECOND, "d": DAY}


class _Fixed:
    """What never changes is not copied when the model tries something on a copy of its state."""

    def __deepcopy__(self, memo: object) -> Self:
        return self


def duration(text: str) -> int:
    """A duration like "90s" in µs."""
    return int(text[:-1]) * _DURATIONS[text[-1]]


def places_of(step: Fraction) -> int:
    """How many decimals a step like 0.05 has."""
    places = 0
    while (step * 10**places).denominator != 1:
        places += 1
    return places


@dataclass(frozen=True)
class Asset(_Fixed):
    """A settlement asset. `usd` is what a donation of 1 is worth that says no price."""

    name: str
    decimals: int
    usd: Fraction | None

    def units(self, text: str) -> Fraction:
        """An amount in units; a fraction of one where it is finer."""
        return Fraction(text) * Fraction(10**self.decimals)

    def text(self, units: int) -> str:
        """An amount in canonical form."""
        return written(units, self.decimals)


@dataclass(frozen=True)
class Tier(_Fixed):
    """MM = MV × maintenance − deduction for a mark value up to `up_to`."""

    up_to: int
    initial: Fraction
    maintenance: Fraction
    deduction: Fraction


@dataclass(frozen=True)
class FundRules(_Fixed):
    """A fund as it begins."""

    name: str
    asset: Asset
    minimum: int
    opening: int
    daily: bool
    phase: int
    partial: bool
    slippage: Fraction
    band: Fraction
    max_age: int
    slice: Fraction
    interval: int
    rebalance: bool
    treasury: str | None
    trigger: DrawdownTrigger | AverageTrigger | None


class MarketRules(_Fixed):
    """A futures contract. `direction` is +1 where a long gains when its value rises (linear), else −1 (inverse)."""

    def __init__(self, name: str, config: MarketConfig, fund: FundRules) -> None:
        contract: str = config.contract
        mode: str = config.default_mode
        self.name = name
        self.fund = fund
        self.asset = asset = fund.asset
        self.direction = -1 if contract == "inverse" else 1
        self.default_mode = mode
        self.tick, self.lot = Fraction(config.tick), Fraction(config.lot)
        self.tick_places, self.lot_places = places_of(self.tick), places_of(self.lot)
        self.lot_units = self.lot * Fraction(config.multiplier) * Fraction(10**asset.decimals)
        self.maker_fee, self.taker_fee = Fraction(config.maker_fee), Fraction(config.taker_fee)
        self.fund_fee_share = Fraction(config.fund_fee_share)
        self.liquidation_fee = Fraction(config.liquidation_fee)
        self.surplus_to_account = config.surplus == "account"
        self.partial = config.partial == "tier"
        self.adl_ranking: str = config.adl_ranking
        self.adl_lights = None if config.adl_lights is None else duration(config.adl_lights)
        self.adl_cap = Fraction(config.adl_cap)
        self.adl_at_mark = config.adl_price == "mark"
        self.deficit_hold = int(asset.units(config.deficit_hold))
        self.default_leverage = Fraction(config.default_leverage)
        self.max_order_lots = LIMIT if config.max_order_qty is None else int(Fraction(config.max_order_qty) / self.lot)
        self.max_order_value = (
            LIMIT if config.max_order_notional is None else int(asset.units(config.max_order_notional))
        )
        status: str = config.status
        self.is_halted, self.is_reduce_only = status == "halted", status == "reduce_only"
        self.price_band = None if config.price_band is None else Fraction(config.price_band)
        self.tiers: list[Tier] = []
        floor_, rate, deduction = 0, Fraction(0), Fraction(0)
        for tier in config.tiers:
            deduction += floor_ * (Fraction(tier.maintenance) - rate)
            floor_, rate = int(asset.units(tier.up_to)), Fraction(tier.maintenance)
            self.tiers.append(Tier(floor_, Fraction(tier.initial), rate, deduction))

    def exact_value(self, price: int, lots: int) -> Fraction:
        """What `lots` are worth at `price` ticks, in units of the asset."""
        if self.direction > 0:
            return lots * self.lot_units * price * self.tick
        return lots * self.lot_units / (price * self.tick)

    def value(self, price: int, lots: int) -> int:
        """The value that is booked: rounded down. Linear values are whole."""
        return floor(self.exact_value(price, lots))

    def exact_price(self, value: Fraction | int, lots: int) -> Fraction:
        """The price in ticks at which `lots` are worth `value` units, which is above zero."""
        if self.direction > 0:
            return value / (lots * self.lot_units * self.tick)
        return lots * self.lot_units / (value * self.tick)

    def price_text(self, value: Fraction | int, lots: int) -> str | None:
        """The price at which `lots` are worth `value`, for print; None where there is none above zero."""
        if value <= 0 or not lots:
            return None
        return price8(self.exact_price(value, lots) * self.tick)

    def ticks_text(self, ticks: int) -> str:
        """A price in canonical form."""
        return written(int(ticks * self.tick * 10**self.tick_places), self.tick_places)

    def lots_text(self, lots: int) -> str:
        """A quantity in canonical form."""
        return written(int(lots * self.lot * 10**self.lot_places), self.lot_places)

    def tier(self, value: int) -> Tier:
        """The tier of a mark value; the last one has no end."""
        return next((tier for tier in self.tiers if value <= tier.up_to), self.tiers[-1])

    def maintenance(self, value: int) -> int:
        """MM of a mark value, rounded down."""
        tier = self.tier(value)
        return floor(value * tier.maintenance - tier.deduction)

    def notional_limit(self, leverage: Fraction) -> int:
        """The largest notional that may be opened at a leverage: the last tier with leverage ≤ 1 ÷ initial."""
        return max((tier.up_to for tier in self.tiers if leverage * tier.initial <= 1), default=0)


class ShardRules(_Fixed):
    """A shard and its markets in the order of the config."""

    def __init__(self, name: str, asset: Asset, config: ShardConfig, limits: LimitsConfig) -> None:
        self.name = name
        self.asset = asset
        self.detail = config.position_detail
        self.free_profit = config.free_profit
        self.limits = limits
        self.markets: dict[str, MarketRules] = {}
        self.venue: VenueRules | None = None


class VenueRules(_Fixed):
    """Everything the config says."""

    def __init__(self, config: VenueConfig) -> None:
        self.config = config
        self.limits = config.limits
        self.assets = {
            name: Asset(name, asset.decimals, None if asset.usd is None else Fraction(asset.usd))
            for name, asset in config.assets.items()
        }
        self.funds = {name: _fund(name, fund, self.assets[fund.asset]) for name, fund in config.funds.items()}
        self.shards = {
            name: ShardRules(name, self.assets[shard.asset], shard, config.limits)
            for name, shard in config.shards.items()
        }
        for shard in self.shards.values():
            shard.venue = self
        self.shard_of_market = {name: market.shard for name, market in config.markets.items()}
        for name, market in config.markets.items():
            self.shards[market.shard].markets[name] = MarketRules(name, market, self.funds[market.fund])


def _fund(name: str, config: FundConfig, asset: Asset) -> FundRules:
    clock, sign, offset = config.reconcile_at[:5], config.reconcile_at[5], config.reconcile_at[6:]
    minutes = _minutes(clock) - (_minutes(offset) if sign == "+" else -_minutes(offset))
    return FundRules(
        name,
        asset,
        int(asset.units(config.minimum)),
        int(asset.units(config.opening)),
        str(config.transfer) == "daily",
        minutes * 60 * SECOND % DAY,
        str(config.takeover) == "partial",
        Fraction(config.takeover_slippage),
        Fraction(config.takeover_band),
        duration(config.takeover_max_age),
        Fraction(config.takeover_slice),
        0 if config.takeover_interval is None else duration(config.takeover_interval),
        config.rebalance,
        config.treasury,
        None if isinstance(config.adl_trigger, str) else config.adl_trigger,
    )


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return 60 * int(hours) + int(minutes)


def next_boundary(now: int, phase: int) -> int:
    """The first time after `now` that lies `phase` µs after a midnight UTC."""
    boundary = now // DAY * DAY - DAY + phase
    while boundary <= now:
        boundary += DAY
    return boundary
