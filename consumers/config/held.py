"""The config that a stream goes by, as its journal tells it: what it began with, and the changes since.

Whether a change is accepted follows from config and change alone, so the machine need not run. Each journal record
names the hash of the config behind it, which has to be the one that its changes make.
"""

from collections.abc import Iterable

from consumers.service.journal import JournalError, Record
from engine.config_change import accept
from engine.reject import Refused
from schemas.commands import ConfigSet
from schemas.config import ConfigError, VenueConfig, config_hash, parse_config
from schemas.wire import WireError, decode_command


class HeldConfig:
    """The config of one stream, which goes on as its journal is read. `applied` is the number of the last input."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.applied = 0
        self.next: dict[str, int] = {}
        """The offsets at which the stream goes on reading, by input."""
        self._config: VenueConfig | None = None
        self._hash = ""

    @property
    def config(self) -> VenueConfig:
        """The config of the moment. Raises JournalError where nothing of the journal was read."""
        if self._config is None:
            raise JournalError(f"the journal of {self.stream} has no genesis")
        return self._config

    @property
    def hash(self) -> str:
        """`schemas.config.config_hash` of it; empty before the genesis."""
        return self._hash

    def resume(self, config: VenueConfig, applied: int, next_: dict[str, int]) -> None:
        """Go on where a snapshot was made."""
        self._set(config)
        self.applied = applied
        self.next = dict(next_)

    def follow(self, record: Record, where: str) -> None:
        """Take the next record of the journal. Raises JournalError where it is none, or is of another config."""
        header = record.header
        if header.stream != self.stream:
            raise JournalError(f"{where}: belongs to {header.stream}, not to {self.stream}")
        if header.first != self.applied + 1:
            raise JournalError(f"{where}: begins with input {header.first}, expected {self.applied + 1}")
        if (self._config is None) != (header.genesis is not None):
            what = "the genesis is missing" if self._config is None else "a second genesis"
            raise JournalError(f"{where}: {what}")
        if header.genesis is not None:
            try:
                self._set(parse_config(header.genesis))
            except ConfigError as error:
                raise JournalError(f"{where}: the config that the journal began with: {error}") from None
        for number, entry in enumerate(record.entries, header.first):
            if not entry.at.startswith("admin/"):
                continue
            try:
                command = decode_command(bytes(entry.input))
            except WireError as error:
                raise JournalError(f"{where}: input {number}: {error}") from None
            if isinstance(command, ConfigSet):
                self._set(after(self.config, [command]))
        if header.config != self._hash:
            raise JournalError(
                f"{where}: after inputs {header.first} to {header.last} the config has the hash {self._hash} here, and "
                f"{header.config} in the journal, which code {header.code} wrote: this is other code, which cannot "
                "tell what the stream goes by"
            )
        self.applied = header.last
        self.next = header.next

    def _set(self, config: VenueConfig) -> None:
        if config is not self._config:
            self._config = config
            self._hash = config_hash(config)


def after(config: VenueConfig, changes: Iterable[ConfigSet]) -> VenueConfig:
    """What changes make of a config, one after the other; those that are refused change nothing."""
    for change in changes:
        try:
            config = accept(config, "", change).spec.config
        except Refused:
            continue
    return config
