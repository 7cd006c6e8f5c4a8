"""Copies the journal of a stream from its topic: the committed records, those that say nothing left out."""

from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from consumers.export.journal_writer import JournalWriter
from consumers.kafka.committed import CommittedTopics
from consumers.service.journal import Header, JournalError, decode_record
from consumers.verify.evidence import Unusable


class Range(NamedTuple):
    """What to export: records with inputs from one number to another, read from an offset on. None: no bound."""

    first: int | None = None
    last: int | None = None
    offset: int | None = None


class Exported(Struct, frozen=True):
    """What was exported. `chain` is that of the last record, `next_offset` where the journal goes on."""

    stream: str
    first: int
    last: int
    records: int
    from_genesis: bool
    chain: str
    config: str
    next_offset: int
    bytes: int
    sha256: str

    @property
    def inputs(self) -> int:
        """How many there are in the file."""
        return self.last - self.first + 1


async def find_journal(topics: CommittedTopics, stream: str) -> int:
    """The partition of a stream's journal. Raises Unusable."""
    found = {header.stream: number for number, header in (await topics.journals()).items()}
    if stream not in found:
        has = f"there are those of {', '.join(sorted(found))}" if found else "there are none at all"
        raise Unusable(f"there is no journal of {stream}; {has}")
    return found[stream]


async def export_journal(topics: CommittedTopics, stream: str, wanted: Range, path: Path, *, partial: bool) -> Exported:
    """Write the journal, up to its end as it is now, to a file. Raises Unusable, JournalError, UsageFailure."""
    number = await find_journal(topics, stream)
    partition = await topics.open("journal", number, wanted.offset)
    try:
        end = await partition.end()
        writer = JournalWriter(path)
        try:
            copy = _Copy(stream, wanted, writer, partial=partial)
            while (arrival := await partition.next(end)) is not None and arrival.offset < end:
                if not copy.take(arrival.value or b"", arrival.place):
                    end = arrival.offset
            return copy.finish(end)
        except BaseException:
            writer.discard()
            raise
    finally:
        await partition.close()


class _Copy:
    """Takes the records of a journal one by one, and checks that each continues the one before."""

    def __init__(self, stream: str, wanted: Range, writer: JournalWriter, *, partial: bool) -> None:
        self._stream = stream
        self._wanted = wanted
        self._writer = writer
        self._partial = partial
        self._last: Header | None = None
        self._from: Header | None = None
        self._records = 0

    def take(self, value: bytes, where: str) -> bool:
        """Take the next record; False where it is behind what is wanted."""
        header = decode_record(value, where).header
        before, self._last = self._last, header
        if header.stream != self._stream:
            raise JournalError(f"{where}: belongs to {header.stream}, not to {self._stream}")
        if before is None:
            self._check_beginning(header)
        elif header.first != before.last + 1:
            raise JournalError(f"{where}: begins with input {header.first}, expected {before.last + 1}")
        wanted = self._wanted
        if wanted.last is not None and header.first > wanted.last:
            self._last = before
            return False
        is_early = wanted.first is not None and header.last < wanted.first
        says_nothing = header.is_heartbeat and before is not None and header.next == before.next
        if not is_early and not says_nothing:
            self._writer.add(value)
            self._from = self._from or header
            self._records += 1
        return True

    def finish(self, end: int) -> Exported:
        """Close the file."""
        first, last = self._from, self._last
        if first is None or last is None:
            ends = "is empty" if last is None else f"ends with input {last.last}"
            raise Unusable(f"nothing to export: the journal of {self._stream} {ends}")
        stored = self._writer.finish()
        return Exported(
            stream=self._stream,
            first=first.first,
            last=last.last,
            records=self._records,
            from_genesis=first.genesis is not None,
            chain=last.chain,
            config=last.config,
            next_offset=end,
            bytes=self._writer.length,
            sha256=stored,
        )

    def _check_beginning(self, header: Header) -> None:
        """A journal that has lost its beginning does not replay, so it must not pass for a whole one."""
        if header.genesis is not None or self._partial or self._wanted.offset is not None:
            return
        if self._wanted.first is not None and header.first <= self._wanted.first:
            return
        raise Unusable(
            f"the journal of {self._stream} begins with input {header.first} now, what comes before is deleted; what "
            "is left replays only behind an earlier export: --partial exports it"
        )
