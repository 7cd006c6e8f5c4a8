"""The lines of a command log, applied to a whole venue. A line that is no command is a dead letter."""

from collections.abc import Iterable, Sequence
from typing import Any

from consumers.command_log import CommandLog, Line, LogFile
from consumers.dead_letters.line import DeadLetter
from consumers.replay.feed import Applied, Stopped
from consumers.replay.outcome import REFUSED, Stop, failed
from consumers.service.journal import is_journal
from engine.venue import Venue
from schemas.wire import RECORD_BYTES_MAX, WireError, decode_command, encode


class CommandFeed:
    """A command log and the venue it is for."""

    def __init__(self, log: CommandLog, venue: Venue) -> None:
        self._log = log
        self._venue = venue

    @property
    def bytes_read(self) -> int:
        """How much of the files was read."""
        return self._log.bytes_read

    @property
    def files(self) -> Sequence[LogFile]:
        """The files, as far as they were read."""
        return self._log.files

    def begin(self) -> Applied:
        """The opening balances."""
        events = self._venue.genesis()
        return Applied("", None, events, [encode(event) for event in events])

    def poll(self) -> list[Line]:
        """The next lines."""
        return self._log.poll()

    def play(self, line: Line) -> Iterable[Applied | DeadLetter]:
        """Apply a command and all that follows from it."""
        try:
            if line.length > RECORD_BYTES_MAX:
                raise WireError("too_large", f"record: expected at most {RECORD_BYTES_MAX} bytes, got {line.length}")
            command = decode_command(line.raw)
        except WireError as error:
            if line.number == 1 and is_journal(line.raw):
                reason = f"{line.place}: is a journal, and what came before is a command log: replay them apart"
                raise Stopped(Stop("mixed_inputs", reason, REFUSED)) from None
            return (DeadLetter.of(line, error),)
        try:
            events = self._venue.apply(command)
        except Exception as error:
            raise Stopped(failed(line.place, "command", error)) from error
        return (Applied(line.place, command, events, [encode(event) for event in events]),)

    def end(self) -> None:
        """A command log may end anywhere."""

    def describe(self) -> dict[str, Any]:
        """Nothing beyond the files."""
        return {}
