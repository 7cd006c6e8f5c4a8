"""What a replay takes in: lines of a command log or of a journal, applied one after the other."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from consumers.command_log import Line, LogFile
from consumers.dead_letters.line import DeadLetter
from consumers.replay.outcome import Stop
from consumers.service.stream import Message
from schemas.config import VenueConfig
from schemas.envelope import Event


class Stopped(Exception):
    """The run cannot go on behind this line."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop.reason)
        self.stop = stop


class Applied(NamedTuple):
    """An input that was applied: where it stands, itself (None: the genesis), its events and their bytes."""

    place: str
    message: Message | None
    events: Sequence[Event]
    encoded: Sequence[bytes]


class Feed(Protocol):
    """An input of a replay and the machines that take it."""

    @property
    def bytes_read(self) -> int: ...
    @property
    def files(self) -> Sequence[LogFile]: ...

    def begin(self) -> Applied | None:
        """Do what comes before the first line, where the lines do not say so themselves."""

    def poll(self) -> list[Line]:
        """The next lines, none at the end. Raises LogUnreadable."""
        ...

    def play(self, line: Line) -> Iterable[Applied | DeadLetter]:
        """Apply a line. To be walked to its end; raises Stopped."""
        ...

    def end(self) -> None:
        """There are no more lines. Raises Stopped where there should be."""

    def describe(self) -> dict[str, Any]:
        """What the report says of it."""
        ...


class Machines(Protocol):
    """What a replay brings forward: all state machines of a venue, or one of them."""

    @property
    def config(self) -> VenueConfig: ...
    def residuals(self) -> dict[str, str]: ...
    def check(self) -> None: ...
    def check_consistency(self) -> None: ...
    def report(self) -> dict[str, Any]: ...
