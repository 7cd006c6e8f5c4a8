"""The venue config compiled into integers, and every check that needs more than one setting.

Raises `schemas.config.ConfigError` with the path of the setting, what it is and what was expected.
"""

from typing import Final, Literal, NamedTuple, TypeVar

from engine.adl_shares import CAPPED
from engine.contract import Contract, Inverse, Linear
from engine.fixed import AMOUNT_LIMIT, RATE, RATE_PLACES, Grid, decimal_text, scaled, trimmed_text
from schemas.config import (
    AverageTrigger,
    ConfigError,
    DrawdownTrigger,
    FundConfig,
    MarketConfig,
    VenueConfig,
    config_hash,
)

T = TypeVar("T")

SECOND: Final = 1_000_000
"""Event time is in microseconds."""

DAY: Final = 86_400 * SECOND

USD_PRICE_PLACES: Final = 18
"""As many as a decimal of the wire can have, so that a price in USD is never rounded."""

RESERVED_SHARDS: Final = ("fund", "pending_gains", "pending_losses", "transit", "treasury")

_DURATION_UNITS: Final = {"s": SECOND, "m": 60 * SECOND, "h": 3_600 * SECOND, "d": DAY}


class AssetSpec:
    """A settlement asset. `usd` is what 1 of it is worth where a donation has no index price, in 10^-18 USD."""

    __slots__ = ("_one", "_zero", "decimals", "name", "usd")

    def __init__(self, name: str, decimals: int, usd: int | None) -> None:
        self.name = name
        self.decimals = decimals
        self.usd = usd
        self._one = 10**decimals
        self._zero = decimal_text(0, decimals)

    def text(self, units: int) -> str:
        """An amount in canonical form."""
        if not units:
            return self._zero
        # What nearly all amounts are, without the detour over `decimal_text`.
        decimals = self.decimals
        if units > 0 and decimals:
            digits = str(units)
            if units >= self._one:
                return digits[:-decimals] + "." + digits[-decimals:]
            return "0." + digits.rjust(decimals, "0")
        return decimal_text(units, decimals)

    def parse(self, text: str) -> int | None:
        """An amount in units, or None when it is finer than one unit."""
        return scaled(text, self.decimals)


class LimitsSpec(NamedTuple):
    """The bounds of the core; durations in µs of event time."""

    liquidations_per_command: int
    max_open_residuals: int
    max_open_orders: int
    max_price_levels: int
    max_fills_per_order: int
    max_iceberg_parts: int
    reconciliations_per_command: int
    timers_per_command: int
    stops_per_command: int
    funding_payments_per_command: int
    adl_lights_per_command: int
    closed_order_memory: int
    transfer_memory: int
    fund_history: int


class TriggerSpec(NamedTuple):
    """When ADL starts although the fund could pay: window in µs, start and stop as rates of 10^-9, cut in units."""

    kind: Literal["drawdown", "average"]
    window: int
    start: int
    stop: int
    cut: int
    inclusive: bool


class FundSpec(NamedTuple):
    """A fund: amounts in units, rates of 10^-9, durations in µs.

    A `daily` fund books surpluses and losses at the reconciliation. `reconcile_phase` is the µs after midnight UTC at
    which its reconciliation periods end. Funds of an asset that `rebalance` are sisters. `treasury` names the account
    that fills it up to its minimum; None: nobody does. A `partial` fund takes over what it can carry. `takeover_slice`
    is the share of a takeover that is offered to the book at a time, `takeover_interval` what lies between two of them.
    """

    name: str
    asset: AssetSpec
    minimum: int
    opening: int
    daily: bool
    reconcile_phase: int
    partial: bool
    takeover_slippage: int
    takeover_band: int
    takeover_max_age: int
    takeover_slice: int
    takeover_interval: int
    rebalance: bool
    treasury: str | None
    adl_trigger: TriggerSpec | None


class TierSpec(NamedTuple):
    """A risk tier. `deduction` is c of MM = MV × maintenance − c, in 10^-9 units, so MM is continuous."""

    up_to: int
    initial: int
    maintenance: int
    deduction: int


class MarketSpec:
    """A market's settings in integers.

    `value`, `price_text` and `direction` are those of its contract, which is asked too often for a detour.
    """

    __slots__ = (
        "adl_at_mark",
        "adl_cap",
        "adl_lights",
        "adl_ranking",
        "asset",
        "contract",
        "dearer_fee",
        "default_cross",
        "default_leverage",
        "default_leverage_text",
        "default_notional_limit",
        "deficit_hold",
        "direction",
        "fund",
        "fund_fee_share",
        "is_halted",
        "is_reduce_only",
        "liquidation_fee",
        "lots",
        "maker_fee",
        "max_order_lots",
        "max_order_value",
        "name",
        "partial_by_tier",
        "price_band",
        "price_text",
        "surplus_to_account",
        "taker_fee",
        "ticks",
        "tiers",
        "value",
    )

    def __init__(self, name: str, config: MarketConfig, fund: FundSpec) -> None:
        where = f"markets.{name}"
        self.name = name
        self.fund = fund
        self.asset = fund.asset
        self.ticks = _grid(f"{where}.tick", config.tick)
        self.lots = _grid(f"{where}.lot", config.lot)
        self.contract = _contract(where, config, self.ticks, self.lots, self.asset)
        self.value = self.contract.value
        self.price_text = self.contract.price_text
        self.direction = self.contract.direction
        self.maker_fee = _rate(f"{where}.maker_fee", config.maker_fee)
        self.taker_fee = _rate(f"{where}.taker_fee", config.taker_fee)
        if self.maker_fee + self.taker_fee < 0:
            raise ConfigError(
                f"{where}: expected maker_fee + taker_fee >= 0, got {config.maker_fee} and {config.taker_fee}"
            )
        self.dearer_fee = max(self.maker_fee, self.taker_fee, 0)
        self.fund_fee_share = _rate(f"{where}.fund_fee_share", config.fund_fee_share)
        if self.fund_fee_share > RATE:
            raise ConfigError(f"{where}.fund_fee_share: expected at most 1, got {config.fund_fee_share}")
        self.liquidation_fee = _rate(f"{where}.liquidation_fee", config.liquidation_fee)
        self.surplus_to_account = config.surplus == "account"
        self.partial_by_tier = config.partial == "tier"
        self.adl_ranking: str = config.adl_ranking
        self.adl_cap = _rate(f"{where}.adl_cap", config.adl_cap)
        if not 0 < self.adl_cap <= RATE:
            raise ConfigError(f"{where}.adl_cap: expected above 0 and at most 1, got {config.adl_cap}")
        if self.adl_cap < RATE and self.adl_ranking not in CAPPED:
            raise ConfigError(f"{where}.adl_cap: expected only with adl_ranking = {' or '.join(sorted(CAPPED))}")
        self.adl_at_mark = config.adl_price == "mark"
        self.adl_lights = None if config.adl_lights is None else duration(config.adl_lights)
        self.deficit_hold = _amount(f"{where}.deficit_hold", config.deficit_hold, self.asset)
        self.max_order_lots = AMOUNT_LIMIT
        if config.max_order_qty is not None:
            lots = self.lots.parse(config.max_order_qty)
            if not lots:
                raise ConfigError(f"{where}.max_order_qty: expected a multiple of the lot above zero")
            self.max_order_lots = lots
        self.max_order_value: int | None = None
        if config.max_order_notional is not None:
            self.max_order_value = _amount(f"{where}.max_order_notional", config.max_order_notional, self.asset)
            if not self.max_order_value:
                raise ConfigError(f"{where}.max_order_notional: expected an amount above zero")
        self.price_band = None if config.price_band is None else _rate(f"{where}.price_band", config.price_band)
        if self.price_band is not None and self.price_band > RATE:
            raise ConfigError(f"{where}.price_band: expected at most 1, got {config.price_band}")
        self.is_halted = config.status == "halted"
        self.is_reduce_only = config.status == "reduce_only"
        self.tiers = _tiers(where, config, self.asset)
        self.default_cross = config.default_mode == "cross"
        self.default_leverage = _rate(f"{where}.default_leverage", config.default_leverage)
        self.default_leverage_text = trimmed_text(self.default_leverage, RATE_PLACES)
        self.default_notional_limit = self.notional_limit(self.default_leverage) if self.default_leverage else 0
        if not self.default_notional_limit:
            raise ConfigError(
                f"{where}.default_leverage: expected above 0 and at most 1/initial of the first tier, "
                f"got {config.default_leverage}"
            )

    def notional_limit(self, leverage: int) -> int:
        """The largest notional that may be opened at a leverage: up to that tier, leverage ≤ 1/initial holds.

        For opening, the last tier does end. Zero when the leverage is too high for any tier.
        """
        return max((tier.up_to for tier in self.tiers if leverage * tier.initial <= RATE * RATE), default=0)


class ShardSpec(NamedTuple):
    """A shard and its markets, in the order of the config; and the whole config that says so."""

    name: str
    asset: AssetSpec
    position_detail: bool
    free_profit: bool
    markets: dict[str, MarketSpec]
    limits: LimitsSpec
    config: VenueConfig
    config_hash: str


class VenueSpec(NamedTuple):
    """The whole venue in integers, and the config that says so."""

    limits: LimitsSpec
    assets: dict[str, AssetSpec]
    funds: dict[str, FundSpec]
    shards: dict[str, ShardSpec]
    shard_of_market: dict[str, str]
    config: VenueConfig
    config_hash: str


def compile_venue(config: VenueConfig) -> VenueSpec:
    """Compile a config whose types are checked. Raises ConfigError for what does not make sense together."""
    assets = {
        name: AssetSpec(name, asset.decimals, None if asset.usd is None else scaled(asset.usd, USD_PRICE_PLACES))
        for name, asset in config.assets.items()
    }
    funds = {name: _fund(name, fund, assets) for name, fund in config.funds.items()}
    limits = LimitsSpec(
        config.limits.liquidations_per_command,
        config.limits.max_open_residuals,
        config.limits.max_open_orders,
        config.limits.max_price_levels,
        config.limits.max_fills_per_order,
        config.limits.max_iceberg_parts,
        config.limits.reconciliations_per_command,
        config.limits.timers_per_command,
        config.limits.stops_per_command,
        config.limits.funding_payments_per_command,
        config.limits.adl_lights_per_command,
        duration(config.limits.closed_order_memory),
        duration(config.limits.transfer_memory),
        config.limits.fund_history,
    )
    hash_ = config_hash(config)
    for name in RESERVED_SHARDS:
        if name in config.shards:
            raise ConfigError(f"shards.{name}: expected another name; the ledger has accounts that begin with {name}/")
    shards = {
        name: ShardSpec(
            name,
            _known(f"shards.{name}.asset", shard.asset, assets),
            shard.position_detail,
            shard.free_profit,
            {},
            limits,
            config,
            hash_,
        )
        for name, shard in config.shards.items()
    }
    shard_of_market: dict[str, str] = {}
    for name, market in config.markets.items():
        shard = _known(f"markets.{name}.shard", market.shard, shards)
        fund = _known(f"markets.{name}.fund", market.fund, funds)
        if fund.asset.name != shard.asset.name:
            raise ConfigError(
                f"markets.{name}.fund: expected a fund in {shard.asset.name}, the asset of shard {shard.name}; "
                f"{fund.name} is in {fund.asset.name}"
            )
        shard.markets[name] = MarketSpec(name, market, fund)
        shard_of_market[name] = shard.name
    if not shard_of_market:
        raise ConfigError("markets: expected at least one")
    return VenueSpec(limits, assets, funds, shards, shard_of_market, config, hash_)


def duration(text: str) -> int:
    """A duration like "10m" in µs."""
    return int(text[:-1]) * _DURATION_UNITS[text[-1]]


def last_boundary(now: int, phase: int) -> int:
    """The last time up to and including `now` that lies `phase` µs after a midnight UTC."""
    return now - (now - phase) % DAY


def next_boundary(now: int, phase: int) -> int:
    """The first time after `now` that lies `phase` µs after a midnight UTC."""
    return last_boundary(now, phase) + DAY


def _known(where: str, name: str, table: dict[str, T]) -> T:
    if name not in table:
        raise ConfigError(f"{where}: expected one of {', '.join(table) or '(none is defined)'}; got {name}")
    return table[name]


def _grid(where: str, text: str) -> Grid:
    places = len(text.partition(".")[2].rstrip("0"))
    step = scaled(text, places)
    if not step:
        raise ConfigError(f"{where}: expected a decimal string above zero, got {text}")
    return Grid(step, places)


def _rate(where: str, text: str) -> int:
    value = scaled(text, RATE_PLACES)
    if value is None or abs(value) >= AMOUNT_LIMIT:
        raise ConfigError(f"{where}: expected at most {RATE_PLACES} decimals and less than 2^63 of them, got {text}")
    return value


def _amount(where: str, text: str, asset: AssetSpec) -> int:
    value = asset.parse(text)
    if value is None or value >= AMOUNT_LIMIT:
        raise ConfigError(
            f"{where}: expected at most {asset.decimals} decimals (of {asset.name}) and below 2^63 units, got {text}"
        )
    return value


def _contract(where: str, config: MarketConfig, ticks: Grid, lots: Grid, asset: AssetSpec) -> Contract:
    multiplier = _grid(f"{where}.multiplier", config.multiplier)
    if config.contract == "inverse":
        return Inverse(
            lots.step * multiplier.step * 10 ** (asset.decimals + ticks.places),
            ticks.step * 10 ** (lots.places + multiplier.places),
            ticks,
        )
    numerator: int = ticks.step * lots.step * multiplier.step * 10**asset.decimals
    denominator: int = 10 ** (ticks.places + lots.places + multiplier.places)
    if numerator % denominator:
        raise ConfigError(
            f"{where}: expected tick × lot × multiplier to be a whole number of units of {asset.name} "
            f"({asset.decimals} decimals), got {config.tick} × {config.lot} × {config.multiplier}"
        )
    return Linear(numerator // denominator, ticks)


def _tiers(where: str, config: MarketConfig, asset: AssetSpec) -> tuple[TierSpec, ...]:
    tiers: list[TierSpec] = []
    floor = 0
    deduction = 0
    previous_initial = previous_maintenance = 0
    for i, tier in enumerate(config.tiers):
        here = f"{where}.tiers[{i}]"
        up_to = _amount(f"{here}.up_to", tier.up_to, asset)
        initial = _rate(f"{here}.initial", tier.initial)
        maintenance = _rate(f"{here}.maintenance", tier.maintenance)
        if up_to <= floor:
            raise ConfigError(f"{here}.up_to: expected more than the tier before, got {tier.up_to}")
        if not 0 < maintenance < initial <= RATE:
            raise ConfigError(
                f"{here}: expected 0 < maintenance < initial <= 1, got {tier.maintenance} and {tier.initial}"
            )
        if initial < previous_initial or maintenance < previous_maintenance:
            raise ConfigError(f"{here}: expected rates that do not fall from tier to tier")
        deduction += floor * (maintenance - previous_maintenance)
        tiers.append(TierSpec(up_to, initial, maintenance, deduction))
        floor, previous_initial, previous_maintenance = up_to, initial, maintenance
    return tuple(tiers)


def _fund(name: str, config: FundConfig, assets: dict[str, AssetSpec]) -> FundSpec:
    where = f"funds.{name}"
    asset = _known(f"{where}.asset", config.asset, assets)
    clock, offset = config.reconcile_at[:5], config.reconcile_at[5:]
    phase = _minutes(clock) - (_minutes(offset[1:]) if offset[0] == "+" else -_minutes(offset[1:]))
    band = _rate(f"{where}.takeover_band", config.takeover_band)
    if band > RATE:
        raise ConfigError(f"{where}.takeover_band: expected at most 1, got {config.takeover_band}")
    slice_ = _rate(f"{where}.takeover_slice", config.takeover_slice)
    if not 0 < slice_ <= RATE:
        raise ConfigError(f"{where}.takeover_slice: expected above 0 and at most 1, got {config.takeover_slice}")
    return FundSpec(
        name,
        asset,
        _amount(f"{where}.minimum", config.minimum, asset),
        _amount(f"{where}.opening", config.opening, asset),
        config.transfer == "daily",
        phase * 60 * SECOND % DAY,
        config.takeover == "partial",
        _rate(f"{where}.takeover_slippage", config.takeover_slippage),
        band,
        duration(config.takeover_max_age),
        slice_,
        0 if config.takeover_interval is None else duration(config.takeover_interval),
        config.rebalance,
        config.treasury,
        _trigger(f"{where}.adl_trigger", config.adl_trigger, asset),
    )


def _trigger(
    where: str, config: Literal["balance"] | DrawdownTrigger | AverageTrigger, asset: AssetSpec
) -> TriggerSpec | None:
    if isinstance(config, DrawdownTrigger):
        start, stop = _rate(f"{where}.start", config.start), _rate(f"{where}.stop", config.stop)
        if not stop < start <= RATE:
            raise ConfigError(f"{where}: expected stop < start <= 1, got {config.stop} and {config.start}")
        return TriggerSpec("drawdown", duration(config.window), start, stop, 0, config.inclusive)
    if isinstance(config, AverageTrigger):
        cut = _amount(f"{where}.cut", config.cut, asset)
        return TriggerSpec("average", duration(config.window), 0, 0, cut, config.inclusive)
    return None


def _minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])
