"""Random venue configs, from a seed: what the settings allow, and limits so small that they bind.

A world is small, so that looking at everything costs little: a few accounts and markets. One lot is worth a few
units of `scale` at the first price, so that the same histories make sense in every asset.
"""

import random
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, get_args

import msgspec

from schemas.config import AdlRanking, VenueConfig

FEATURES = frozenset({"inverse", "cross", "iceberg", "funding", "config"})
"""What is tried beyond isolated margin on linear contracts; what is not named here stays off everywhere."""

ADL_RANKINGS: tuple[str, ...] = get_args(AdlRanking)

RICH = "rich"
"""In every second world there is one whose orders are there when others are liquidated."""


@dataclass(frozen=True)
class MarketSketch:
    """What a history needs to know of a market: its grids, its first price and what a lot is worth there."""

    name: str
    shard: str
    tick: Fraction
    lot: Fraction
    price: int
    lot_value: Fraction


@dataclass(frozen=True)
class World:
    """A venue config and what histories are made from.

    `arrivals` is the chance that what is on its way between engine and settlement arrives before the next command;
    None where both answer at once.
    """

    config: VenueConfig
    settings: dict[str, Any]
    markets: list[MarketSketch]
    funds: list[str]
    shards: list[str]
    scale: dict[str, Fraction]
    decimals: dict[str, int]
    accounts: list[str]
    features: frozenset[str]
    arrivals: float | None


def make_world(seed: int, features: frozenset[str] = FEATURES) -> World:
    """The world of a seed."""
    rng = random.Random(f"world {seed}")
    assets = {"USDT": {"decimals": rng.choice([2, 4, 6, 8])}}
    scale = {"USDT": Fraction(1)}
    if "inverse" in features and rng.random() < 0.5:
        assets["BTC"] = {"decimals": rng.choice([5, 8])}
        scale["BTC"] = Fraction(1, 1000)
    shards = {f"{name.lower()}{i}": name for name in assets for i in range(rng.choice([1, 1, 1, 2]))}
    funds = {f"fund-{name.lower()}-{i}": name for name in assets for i in range(rng.choice([1, 2, 2, 3]))}
    sketches: list[MarketSketch] = []
    markets: dict[str, Any] = {}
    for shard, asset in shards.items():
        for i in range(rng.choice([1, 2, 2, 3])):
            fund = rng.choice([name for name, of in funds.items() if of == asset])
            sketch, grids = random_contract(rng, f"M{i}-{shard}", shard, asset == "BTC", scale[asset])
            sketches.append(sketch)
            markets[sketch.name] = {
                "shard": shard,
                "fund": fund,
                **grids,
                **random_market(rng, scale[asset], assets[asset]["decimals"], sketch, features),
            }
    prices = random.Random(f"ADL price {seed}")  # drawn apart, so that what else a seed's world has stays the same
    for market in markets.values():
        market["adl_price"] = prices.choice(["worse", "mark"])
    settings = {
        "assets": assets | ({"USDT": {**assets["USDT"], "usd": "0.9997"}} if seed % 3 == 0 else {}),
        "limits": random_limits(rng),
        "funds": {
            name: random_fund(rng, asset, scale[asset], assets[asset]["decimals"]) for name, asset in funds.items()
        },
        "shards": {
            name: {"asset": asset, "position_detail": rng.random() < 0.5, "free_profit": rng.random() < 0.3}
            for name, asset in shards.items()
        },
        "markets": markets,
    }
    return World(
        msgspec.convert(settings, VenueConfig),
        settings,
        sketches,
        list(funds),
        list(shards),
        {shard: scale[asset] for shard, asset in shards.items()},
        {shard: assets[asset]["decimals"] for shard, asset in shards.items()},
        [f"a{i}" for i in range(rng.choice([4, 6, 8, 12]))] + [RICH] * (rng.random() < 0.5),
        features,
        rng.choice([None, None, None, 0.6, 0.2, 0.05]),
    )


def text(value: Fraction, places: int) -> str:
    """A decimal text, cut after so many places."""
    steps = int(value * 10**places)
    return f"{steps // 10**places}.{steps % 10**places:0{places}}" if places else str(steps)


def random_contract(
    rng: random.Random, name: str, shard: str, inverse: bool, scale: Fraction
) -> tuple[MarketSketch, dict[str, str]]:
    """Grids at which a lot is worth about 0.05 to 40 times the scale at the first price."""
    tick = Fraction(rng.choice(["0.01", "0.1", "0.5", "1", "2.5"]))
    price = rng.choice([90, 700, 10_000, 40_000])
    wanted = scale * rng.choice([Fraction(1, 20), Fraction(1), Fraction(5), Fraction(40)])
    settings: dict[str, str] = {}
    if inverse:
        lot = Fraction(rng.choice([1, 1, 10]))
        multiplier = Fraction(max(1, int(wanted * price * tick / lot)))
        lot_value = lot * multiplier / (price * tick)
        settings["contract"] = "inverse"
    else:
        # A tick of a lot is worth a whole number of hundredths, which are units of the coarsest asset.
        lot = Fraction(rng.choice(["0.001", "0.1", "1"]))
        hundredths = max(1, round(wanted / price * 100))
        multiplier = Fraction(hundredths, 100) / (tick * lot)
        if (multiplier * 10**9).denominator != 1:
            tick, multiplier = Fraction(1), Fraction(hundredths, 100) / lot
        lot_value = price * tick * lot * multiplier
    settings |= {"tick": text(tick, 3), "lot": text(lot, 3), "multiplier": text(multiplier, 9)}
    return MarketSketch(name, shard, tick, lot, price, lot_value), settings


def random_market(
    rng: random.Random, scale: Fraction, decimals: int, sketch: MarketSketch, features: frozenset[str]
) -> dict[str, Any]:
    """Everything of a market but its grids."""
    rates = rng.choice(
        [
            [("0.01", "0.005")],
            [("0.1", "0.05"), ("0.2", "0.08")],
            [("0.01", "0.005"), ("0.03", "0.013"), ("0.1", "0.04")],
            [("0.02", "0.01"), ("0.02", "0.015"), ("0.5", "0.2")],
        ]
    )
    ends = [Fraction(500), Fraction(3_000), Fraction(100_000)]
    tiers = [
        {"up_to": text(end * scale, decimals), "initial": initial, "maintenance": maintenance}
        for end, (initial, maintenance) in zip(ends[-len(rates) :], rates, strict=True)
    ]
    maker, taker = rng.choice([("0", "0"), ("0.0002", "0.0005"), ("-0.0001", "0.0005"), ("0.001", "-0.0005")])
    settings: dict[str, Any] = {
        "tiers": tiers,
        "maker_fee": maker,
        "taker_fee": taker,
        "fund_fee_share": rng.choice(["0", "0", "0.3", "1"]),
        "liquidation_fee": rng.choice(["0", "0.001", "0.01"]),
        "default_leverage": rng.choice(["1", "3.3", *[str(int(1 / Fraction(rates[0][0])))] * 3]),
        "surplus": rng.choice(["fund", "account"]),
        "partial": rng.choice(["none", "tier"]),
        "adl_ranking": rng.choice(ADL_RANKINGS),
        "deficit_hold": rng.choice(["0", "0", text(50 * scale, decimals)]),
    }
    if rng.random() < 0.1:
        settings["max_order_qty"] = text(int(5_000 * scale / sketch.lot_value + 1) * sketch.lot, 3)
    if rng.random() < 0.1:
        settings["max_order_notional"] = text(5_000 * scale, decimals)
    if rng.random() < 0.3:
        settings["price_band"] = rng.choice(["0.01", "0.05", "0.3"])
    if settings["adl_ranking"] in ("capped_pro_rata", "risk_weighted"):
        settings["adl_cap"] = rng.choice(["1", "0.5", "0.01"])
    if rng.random() < 0.3:
        settings["adl_lights"] = rng.choice(["1s", "10s", "5m"])
    if "cross" in features and rng.random() < 0.5:
        settings["default_mode"] = "cross"
    return settings


def random_fund(rng: random.Random, asset: str, scale: Fraction, decimals: int) -> dict[str, Any]:
    """Everything of a fund."""
    settings: dict[str, Any] = {
        "asset": asset,
        "opening": text(scale * rng.choice([0, 0, 50, 500, 3_000, 100_000]), decimals),
        "minimum": text(scale * rng.choice([0, 0, 60, 400]), decimals),
        "reconcile_at": rng.choice(["16:00+08:00", "00:00-05:30", "23:59+00:00"]),
        "takeover_slippage": rng.choice(["0", "0.01", "0.2"]),
        "takeover_band": rng.choice(["0.05", "0.5", "0.002"]),
        "takeover_max_age": rng.choice(["10m", "20s", "1d"]),
        "takeover_slice": rng.choice(["1", "1", "0.5", "0.1", "0.000000001"]),
        "takeover_interval": rng.choice([None, None, "1s", "10s", "5m"]),
        "takeover": rng.choice(["whole", "partial"]),
        "transfer": rng.choice(["immediate", "daily"]),
        "rebalance": rng.random() < 0.5,
    }
    inclusive, window = rng.random() < 0.5, rng.choice(["90s", "10m", "8h"])
    if rng.random() < 0.2:
        start, stop = rng.choice([("0.3", "0.25"), ("0.05", "0"), ("1", "0.5")])
        trigger = {"kind": "drawdown", "window": window, "start": start, "stop": stop, "inclusive": inclusive}
        settings["adl_trigger"] = trigger
    elif rng.random() < 0.2:
        cut = text(scale * rng.choice([0, 5, 100]), decimals)
        settings["adl_trigger"] = {"kind": "average", "window": window, "cut": cut, "inclusive": inclusive}
    if rng.random() < 0.2:
        settings["treasury"] = rng.choice(["ops", "reserve"])
    return settings


def random_limits(rng: random.Random) -> dict[str, Any]:
    """Every limit is tiny in some worlds."""
    tiny: dict[str, list[int]] = {
        "liquidations_per_command": [1, 2],
        "max_open_residuals": [1],
        "max_open_orders": [2, 5],
        "max_price_levels": [2, 5],
        "max_fills_per_order": [1, 2, 5],
        "max_iceberg_parts": [1, 3, 10],
        "funding_payments_per_command": [1, 2],
        "reconciliations_per_command": [1, 3],
        "timers_per_command": [1, 2],
        "adl_lights_per_command": [1, 3],
        "stops_per_command": [1, 2],
    }
    limits: dict[str, Any] = {name: rng.choice(values) for name, values in tiny.items() if rng.random() < 0.2}
    if rng.random() < 0.3:
        limits["liquidations_per_command"] = 1
    return limits | {
        "closed_order_memory": rng.choice(["2s", "60s", "1h"]),
        "transfer_memory": rng.choice(["30s", "1h", "7d"]),
    }
