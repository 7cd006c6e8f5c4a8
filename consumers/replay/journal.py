"""The lines of a journal, applied to the one machine whose it is. It has to publish the very bytes that it did then."""

from collections.abc import Iterator, Sequence
from typing import Any

from consumers.command_log import CommandLog, Line, LogFile
from consumers.dead_letters.line import DeadLetter
from consumers.errors import UsageFailure
from consumers.printable import printable
from consumers.replay.feed import Applied, Stopped
from consumers.replay.outcome import FAILED, REFUSED, Stop, failed
from consumers.service.journal import DoesNotFollow, Header, JournalError, decode_header, is_journal
from consumers.service.journal_file import PlacedRecord, RecordAssembler
from consumers.service.publication import Publisher
from consumers.service.replica import Replica
from consumers.service.stream import Stream, open_stream
from schemas.config import ConfigError, VenueConfig, config_hash, parse_config


class JournalFeed:
    """A journal and the replica that follows it."""

    def __init__(self, log: CommandLog, stream: Stream, code: str) -> None:
        self._log = log
        self._assembler = RecordAssembler()
        # The style of the headers is not in a journal, and headers are in none of the outputs.
        self._replica = Replica(stream, Publisher(stream.name, stream.partition_of, "type"), code)
        self._records = 0
        self._last: Header | None = None

    @property
    def bytes_read(self) -> int:
        """How much of the files was read."""
        return self._log.bytes_read

    @property
    def files(self) -> Sequence[LogFile]:
        """The files, as far as they were read."""
        return self._log.files

    def begin(self) -> None:
        """The genesis is in the journal."""

    def poll(self) -> list[Line]:
        """The next lines."""
        return self._log.poll()

    def play(self, line: Line) -> Iterator[Applied | DeadLetter]:
        """Take a line; once a record is complete, apply its inputs and compare what they caused."""
        try:
            placed = self._assembler.add(line)
            if placed is not None:
                yield from self._follow(placed)
        except DoesNotFollow as error:
            raise Stopped(Stop("does_not_follow", f"the journal does not follow: {error}", FAILED)) from None
        except JournalError as error:
            reason = str(error)
            if line.number == 1 and not is_journal(line.raw):
                reason = f"{line.place}: is no journal, and what came before is one: replay them apart"
            raise Stopped(Stop("journal_refused", reason, REFUSED)) from None

    def _follow(self, placed: PlacedRecord) -> Iterator[Applied]:
        record, where, places = placed
        replica = self._replica
        first = record.header.first
        steps = replica.steps(record, where)
        number = first - 1  # of the last input that was applied; the genesis record has none
        while True:
            try:
                step = next(steps, None)
            except JournalError:
                raise
            except Exception as error:
                at = places[number + 1 - first] if number < record.header.last else where
                raise Stopped(failed(at, "input", error)) from error
            if step is None:
                break
            number = max(number, step.number)
            at = places[step.number - first] if step.message is not None else where
            yield Applied(at, step.message, step.events, [outgoing.value for outgoing in step.published])
        self._records += 1
        self._last = record.header

    def end(self) -> None:
        """Refuse a journal whose last record is cut off."""
        try:
            self._assembler.end()
        except JournalError as error:
            raise Stopped(Stop("journal_refused", str(error), REFUSED)) from None

    def describe(self) -> dict[str, Any]:
        """The stream, and what of its journal was replayed."""
        replica = self._replica
        return {
            "stream": replica.stream.name,
            "journal": {
                "first": 1,
                "last": replica.applied if self._last is None else self._last.last,
                "records": self._records,
                "chain": replica.chain.hex(),
                "config": replica.stream.config_hash,
                "code": None if self._last is None else self._last.code,
            },
        }


def open_journal(first: Line, config: VenueConfig | None) -> tuple[VenueConfig, Stream]:
    """The stream of the journal that begins with this line, at its genesis.

    Its config is the one it holds. One that is given as well has to be the same: raises UsageFailure.
    """
    try:
        header = decode_header(first.raw, first.place)
    except JournalError as error:
        raise _unusable(str(error)) from None
    if header.genesis is None:
        raise _unusable(
            f"{first.place}: begins with input {header.first} of {header.stream}; a replay needs the journal from its "
            "genesis on: give the files that come before it, too"
        )
    try:
        held = parse_config(header.genesis)
        stream = open_stream(held, header.stream)
    except ConfigError as error:
        raise _unusable(f"{first.place}: the config in the journal: {error}") from None
    if stream.config_hash != header.config:
        raise _unusable(
            f"{first.place}: the config in the journal has the hash {stream.config_hash}, "
            f"the header names {header.config}"
        )
    if config is not None:
        given = config_hash(config)
        if given != header.config:
            raise _unusable(
                f"{first.place}: the journal's genesis config has the hash {header.config}, the one given {given}; "
                "leave --config out to use the one in the journal ('head -n 1 JOURNAL | jq -r .genesis' shows it)"
            )
    return held, stream


def _unusable(reason: str) -> UsageFailure:
    return UsageFailure(printable(reason))
