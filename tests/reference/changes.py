"""`config.set` a second time: what a patch makes of a config, written out in full, defaults and all."""

from fractions import Fraction
from itertools import pairwise
from typing import Any

import msgspec

from schemas.config import TierConfig, VenueConfig, config_document, config_hash
from schemas.events import ConfigChanged, SettingChange
from tests.reference.stream import Refused

NEVER = [
    *(("assets", name) for name in ("decimals",)),
    *(("funds", name) for name in ("asset", "opening")),
    *(("shards", name) for name in ("asset", "partition")),
    *(("markets", name) for name in ("shard", "fund", "contract", "tick", "lot", "multiplier")),
]
TABLES = ("assets", "funds", "shards", "markets")


def changed_config(config: VenueConfig, patch: dict[str, Any]) -> VenueConfig:
    """The config after a change. Raises Refused."""
    before = msgspec.to_builtins(config)
    try:
        after = msgspec.convert(_patched(before, patch), VenueConfig)
    except msgspec.ValidationError:
        raise Refused("invalid_config") from None
    there, now = before, msgspec.to_builtins(after)
    if any(name not in now[table] for table in TABLES for name in there[table]):
        raise Refused("unsupported_change")
    for table, setting in NEVER:
        if any(there[table][name][setting] != now[table][name][setting] for name in there[table]):
            raise Refused("unsupported_change")
    if not _makes_sense(after):
        raise Refused("invalid_config")
    return after


def announcement(before: VenueConfig, after: VenueConfig) -> ConfigChanged:
    """The event that says what differs: what there was first, in its order, then what is new."""
    old, new = dict(_leaves("", config_document(before))), dict(_leaves("", config_document(after)))
    changes = [
        SettingChange(setting, old.get(setting, msgspec.UNSET), new.get(setting, msgspec.UNSET))
        for setting in list(old) + [setting for setting in new if setting not in old]
        if old.get(setting) != new.get(setting)
    ]
    return ConfigChanged(before=config_hash(before), after=config_hash(after), changes=changes)


def _leaves(path: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [leaf for name, entry in value.items() for leaf in _leaves(f"{path}.{name}".lstrip("."), entry)]
    return [(path, value if isinstance(value, str) else msgspec.json.encode(value).decode())]


def _patched(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    if not isinstance(target, dict):
        target = {}
    target = dict(target)
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = _patched(target.get(name), value)
    return target


def _makes_sense(config: VenueConfig) -> bool:
    """What settings demand of each other, as far as random changes break it."""
    if any(fund.asset not in config.assets for fund in config.funds.values()):
        return False
    if any(shard.asset not in config.assets for shard in config.shards.values()):
        return False
    for market in config.markets.values():
        fund, shard = config.funds.get(market.fund), config.shards.get(market.shard)
        if fund is None or shard is None or fund.asset != shard.asset:
            return False
        policy: str = market.adl_ranking
        cap = Fraction(market.adl_cap)
        if Fraction(market.maker_fee) + Fraction(market.taker_fee) < 0:
            return False
        if not 0 < cap <= 1 or (cap < 1 and policy not in ("capped_pro_rata", "risk_weighted")):
            return False
        if not _rise(market.tiers) or Fraction(market.default_leverage) * Fraction(market.tiers[0].initial) > 1:
            return False
    return True


def _rise(tiers: tuple[TierConfig, ...]) -> bool:
    """From tier to tier the ends rise and the rates do not fall."""
    ends = [Fraction(0), *(Fraction(tier.up_to) for tier in tiers)]
    rates = [(Fraction(tier.initial), Fraction(tier.maintenance)) for tier in tiers]
    return (
        all(low < high for low, high in pairwise(ends))
        and all(0 < maintenance < initial <= 1 for initial, maintenance in rates)
        and all(a <= c and b <= d for (a, b), (c, d) in pairwise(rates))
    )
