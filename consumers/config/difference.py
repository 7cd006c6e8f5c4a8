"""What two venue configs differ in: setting by setting, what of it cannot change, and the smallest patch for the rest.

It asks nothing of where the configs come from: files, or the config that a journal ends with.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from schemas.config import VenueConfig, config_document, config_hash
from schemas.config_change import change_config, fixed_settings, list_changes
from schemas.events import SettingChange


class Difference(NamedTuple):
    """From one config to another.

    `refused` says by setting or table why it cannot be; only where it is empty there is a `patch`, as
    `config.set.changes` takes it. `is_reordered` where tables stand in another order: that is no change, as what a
    change adds comes last.
    """

    before: str
    after: str
    changes: list[SettingChange]
    refused: dict[str, str]
    patch: dict[str, Any] | None
    is_reordered: bool


def compare_configs(current: VenueConfig, wanted: VenueConfig) -> Difference:
    """Compare two configs, each of which makes sense."""
    changes = list_changes(current, wanted)
    refused = fixed_settings(current, wanted)
    patch = None if refused else patch_between(config_document(current), config_document(wanted))
    reached = current if patch is None else change_config(current, patch)
    return Difference(
        before=config_hash(current),
        after=config_hash(reached) if patch is not None else config_hash(wanted),
        changes=changes,
        refused=refused,
        patch=patch,
        is_reordered=patch is not None and config_hash(reached) != config_hash(wanted),
    )


def patch_between(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The smallest merge patch that makes one document of the other, but for the order of its tables."""
    patch: dict[str, Any] = {name: None for name in current if name not in wanted}
    for name, value in wanted.items():
        there = current.get(name)
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            inner = patch_between(there, value)
            if inner:
                patch[name] = inner
        elif value != there:
            patch[name] = value
    return patch
