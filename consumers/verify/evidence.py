"""What a proof is made from: journals, and the topics that were read and written, each read once from its beginning."""

from typing import NamedTuple, Protocol

from consumers.service.dead_letter import Arrival
from consumers.service.journal import Header, Record


class Unusable(RuntimeError):
    """There is nothing to be proved from what was given: says what is missing, and what to do."""


class Partition(Protocol):
    """The committed records of a partition."""

    @property
    def name(self) -> str: ...
    @property
    def first(self) -> int:
        """The offset at which it began when it was opened; above 0 where older records were deleted."""
        ...

    async def position(self) -> int:
        """The offset to be read next; markers of transactions take offsets, too."""
        ...

    async def next(self, limit: int | None = None) -> Arrival | None:
        """The next record; None where there is none and no transaction under way that may bring one.

        Does not wait for what would come at `limit` or behind it.
        """
        ...

    async def end(self) -> int:
        """The offset behind what is committed now."""
        ...

    async def close(self) -> None: ...


class JournalRecord(NamedTuple):
    """A record of a journal, and where it stands."""

    record: Record
    where: str


class Journal(Protocol):
    """The records of one stream's journal, heartbeats included."""

    async def next(self) -> JournalRecord | None:
        """The next record up to what was the end at first. Raises JournalError."""
        ...

    def extend(self) -> None:
        """Go on with what has come since."""

    async def close(self) -> None: ...


class Evidence(Protocol):
    """Journals and, where there are any, topics."""

    @property
    def has_topics(self) -> bool: ...
    async def journals(self) -> dict[str, Header]:
        """The streams that have a journal, each with its first header. Raises JournalError and Unusable."""
        ...

    async def open_journal(self, stream: str) -> Journal:
        """The journal of a stream that has one, from its beginning. Its end is what it was the first time."""
        ...

    async def open(self, topic: str, partition: int) -> Partition:
        """A partition, from its beginning. Raises Unusable where there is none."""
        ...


class Tape:
    """A partition with a view of its next record, and with an end once one is set."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._head: Arrival | None = None
        self._end: int | None = None
        self.name = partition.name
        self.first = partition.first
        self.has_given = False

    async def peek(self) -> Arrival | None:
        """The next record, which stays the next."""
        if self._head is None:
            if self._end is not None and await self._partition.position() >= self._end:
                return None
            self._head = await self._partition.next(self._end)
        if self._head is None or (self._end is not None and self._head.offset >= self._end):
            return None
        return self._head

    def take(self) -> None:
        """Go on behind the record that was looked at."""
        assert self._head is not None
        self._head = None
        self.has_given = True

    async def fix_end(self) -> None:
        """From here on, what is committed later does not count."""
        self._end = await self._partition.end()

    async def close(self) -> None:
        """Let go of the partition."""
        await self._partition.close()


class Tapes:
    """The partitions that one stream reads and writes, opened when they are first asked for."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._open: dict[tuple[str, int], Tape] = {}
        self._ended = False

    async def get(self, topic: str, partition: int) -> Tape:
        """A partition. Raises Unusable where there is none."""
        place = (topic, partition)
        if place not in self._open:
            self._open[place] = tape = Tape(await self._evidence.open(topic, partition))
            if self._ended:
                await tape.fix_end()
        return self._open[place]

    async def fix_ends(self) -> None:
        """From here on, what is committed later does not count."""
        self._ended = True
        for tape in self._open.values():
            await tape.fix_end()

    async def close(self) -> None:
        """Let go of all."""
        for tape in self._open.values():
            await tape.close()


class NoJournal:
    """The journal of a stream that never ran."""

    async def next(self) -> JournalRecord | None:
        """There is none."""
        return None

    def extend(self) -> None:
        """Nothing has come."""

    async def close(self) -> None:
        """Nothing was opened."""
