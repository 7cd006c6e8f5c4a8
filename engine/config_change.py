"""`config.set`: whether a change is accepted, which follows from config and change alone, and how it is announced.

Every machine of a venue asks the same and gets the same answer, whatever its state; what an accepted change then does
to a shard is in `engine.shard_config`, to the funds in `engine.fund_config`.
"""

from typing import NamedTuple

from engine.reject import Refused
from engine.spec import VenueSpec, compile_venue
from schemas.commands import ConfigSet
from schemas.config import ConfigError, VenueConfig
from schemas.config_change import ConfigChangeError, change_config, list_changes
from schemas.events import ConfigChanged


class Accepted(NamedTuple):
    """The venue as it is from now on, and the event that says so."""

    spec: VenueSpec
    event: ConfigChanged


def accept(config: VenueConfig, config_hash: str, command: ConfigSet) -> Accepted:
    """What a change makes of this config. Raises Refused, `invalid_config` or `unsupported_change`."""
    try:
        changed = change_config(config, command.changes)
        spec = compile_venue(changed)
    except ConfigChangeError as refusal:
        raise Refused(refusal.code, str(refusal)) from None
    except ConfigError as error:
        raise Refused("invalid_config", str(error)) from None
    changes = list_changes(config, changed)
    return Accepted(spec, ConfigChanged(before=config_hash, after=spec.config_hash, changes=changes))
