"""What a change makes of a venue config: merged in, decoded as strictly as the file, and held to what may change.

A change is a merge patch in the shape of the config file (RFC 7396): tables merge, everything else replaces, lists
such as `tiers` as a whole, and null puts a setting back to its default. A patch adds tables, behind those that are
there; it removes none. Whether it is accepted follows from config and patch alone, never from the state of a machine,
so all machines of a venue that get the same changes hold the same config.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET

from schemas.config import ConfigError, VenueConfig, config_document, decode_config
from schemas.events import SettingChange

Refused = Literal["invalid_config", "unsupported_change"]

FIXED: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "assets": {
            "decimals": "all money is counted in units of it",
            "partition": "the stream is written there",
        },
        "funds": {
            "asset": "the fund holds it",
            "opening": "it is credited when the fund begins",
        },
        "shards": {
            "asset": "its accounts hold it",
            "partition": "the stream is written there",
        },
        "markets": {
            "shard": "its positions are held there",
            "fund": "what it has taken over, reserved or still owes belongs to this one",
            "contract": "positions are valued by it",
            "tick": "orders and marks are counted in it",
            "lot": "positions are counted in it",
            "multiplier": "positions are valued by it",
        },
    }
)
"""Settings of what exists that never change, and why."""


class ConfigChangeError(ConfigError):
    """A change that cannot be made; the message names the setting."""

    def __init__(self, code: Refused, reason: str) -> None:
        super().__init__(reason)
        self.code: Refused = code


def merge(document: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The document with a merge patch applied; both stay as they are."""
    merged = dict(document)
    for name, wanted in patch.items():
        if wanted is None:
            merged.pop(name, None)
        elif isinstance(wanted, Mapping):
            there = merged.get(name)
            merged[name] = merge(there if isinstance(there, Mapping) else {}, wanted)
        else:
            merged[name] = wanted
    return merged


def change_config(config: VenueConfig, patch: Mapping[str, Any]) -> VenueConfig:
    """The config that a patch makes of this one. Raises ConfigChangeError.

    What only makes sense together is not looked at here, but where the settings are compiled.
    """
    try:
        changed = decode_config(merge(config_document(config), patch))
    except ConfigError as error:
        raise ConfigChangeError("invalid_config", str(error)) from None
    for setting, why in fixed_settings(config, changed).items():
        raise ConfigChangeError("unsupported_change", f"{setting}: {why}")
    return changed


def fixed_settings(config: VenueConfig, changed: VenueConfig) -> dict[str, str]:
    """The settings that differ between two configs though they cannot change, and why; empty if none does."""
    before, after = config_document(config), config_document(changed)
    reasons: dict[str, str] = {}
    for kind, settings in FIXED.items():
        for name, table in before[kind].items():
            if name not in after[kind]:
                reasons[f"{kind}.{name}"] = "cannot be removed"
                continue
            wanted = after[kind][name]
            for setting, why in settings.items():
                if table.get(setting) != wanted.get(setting):
                    reasons[f"{kind}.{name}.{setting}"] = f"cannot change, as {why}"
    return reasons


def list_changes(config: VenueConfig, changed: VenueConfig) -> list[SettingChange]:
    """Every setting in which two configs differ: those that there were, in the order of the config, then new ones."""
    before, after = dict(_settings("", config_document(config))), dict(_settings("", config_document(changed)))
    return [
        SettingChange(setting, before.get(setting, UNSET), after.get(setting, UNSET))
        for setting in {**before, **after}
        if before.get(setting) != after.get(setting)
    ]


def _settings(path: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The settings of a table and its tables, with their values as text."""
    for name, value in table.items():
        where = f"{path}.{name}" if path else name
        if isinstance(value, Mapping):
            yield from _settings(where, value)
        else:
            yield where, value if isinstance(value, str) else msgspec.json.encode(value).decode()
