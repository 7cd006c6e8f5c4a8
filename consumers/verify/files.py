"""Journals from files, each stream's in its order. There are no topics to compare with."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from consumers.command_log import CommandLog, LogUnreadable
from consumers.service.journal import Header, JournalError, decode_header
from consumers.service.journal_file import RecordAssembler
from consumers.verify.evidence import JournalRecord, Partition, Unusable


class JournalFiles:
    """Files of `backstop export`: those of one stream in their order, streams in any."""

    has_topics = False

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._of: dict[str, list[Path]] = {}

    async def journals(self) -> dict[str, Header]:
        """The streams, by the first line of each file."""
        found: dict[str, Header] = {}
        for path in self._paths:
            first = CommandLog([path]).peek()
            if first is None:
                raise Unusable(f"{path}: has no line that can be read")
            header = decode_header(first.raw, first.place)
            found.setdefault(header.stream, header)
            self._of.setdefault(header.stream, []).append(path)
        return found

    async def open_journal(self, stream: str) -> "JournalFile":
        """All files of a stream as one journal."""
        return JournalFile(self._of[stream])

    async def open(self, topic: str, partition: int) -> Partition:
        """There are none."""
        raise Unusable(f"{topic}/{partition}: there are files only")


class JournalFile:
    """The records of one stream's files."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._records = _records(CommandLog(paths))

    async def next(self) -> JournalRecord | None:
        """The next record."""
        return next(self._records, None)

    def extend(self) -> None:
        """Files do not grow."""

    async def close(self) -> None:
        """What is open is closed with the generator."""


def _records(log: CommandLog) -> Iterator[JournalRecord]:
    assembler = RecordAssembler()
    try:
        while batch := log.poll():
            for line in batch:
                placed = assembler.add(line)
                if placed is not None:
                    yield JournalRecord(placed.record, placed.where)
    except LogUnreadable as failure:
        raise JournalError(failure.message) from None
    assembler.end()
