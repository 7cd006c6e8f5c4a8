"""What a proof is made from, in memory: the topics that a venue over a log in memory left behind."""

from collections.abc import Mapping, Sequence

from consumers.service.dead_letter import Arrival
from consumers.service.journal import Header, decode_record
from consumers.verify.evidence import JournalRecord
from tests.service.venue_log import Place

Topics = dict[Place, list[Arrival]]


class MemoryPartition:
    """A list of records as a partition."""

    def __init__(self, place: Place, records: Sequence[Arrival], first: int) -> None:
        self.name = f"{place[0]}/{place[1]}"
        self.first = first
        self._records = [record for record in records if record.offset >= first]
        self._read = 0

    async def position(self) -> int:
        """Behind the last record that was read."""
        return self._records[self._read - 1].offset + 1 if self._read else self.first

    async def next(self, limit: int | None = None) -> Arrival | None:
        """The next record; there is nothing to wait for."""
        del limit
        if self._read == len(self._records):
            return None
        self._read += 1
        return self._records[self._read - 1]

    async def end(self) -> int:
        """Behind the last record."""
        return self._records[-1].offset + 1 if self._records else self.first

    async def close(self) -> None:
        """Nothing is open."""


class MemoryJournal:
    """A journal partition; `cut` is how many of its records were there at first."""

    def __init__(self, partition: MemoryPartition, cut: int | None) -> None:
        self._partition = partition
        self._left = cut

    async def next(self) -> JournalRecord | None:
        """The next record."""
        if self._left == 0:
            return None
        arrival = await self._partition.next()
        if arrival is None:
            return None
        if self._left is not None:
            self._left -= 1
        return JournalRecord(decode_record(arrival.value or b"", arrival.place), arrival.place)

    def extend(self) -> None:
        """Go on beyond the cut."""
        self._left = None

    async def close(self) -> None:
        """Nothing is open."""


class MemoryEvidence:
    """Topics in memory. `first` are partitions whose older records were deleted, `cuts` journals that went on."""

    has_topics = True

    def __init__(
        self, topics: Topics, *, first: Mapping[Place, int] | None = None, cuts: Mapping[str, int] | None = None
    ) -> None:
        self._topics = topics
        self._first = first or {}
        self._cuts = cuts or {}
        self._journals: dict[str, Place] = {}

    async def journals(self) -> dict[str, Header]:
        """The first headers."""
        found = {}
        for place, records in sorted(self._topics.items()):
            if place[0] == "journal" and records:
                header = decode_record(records[0].value or b"", records[0].place).header
                found[header.stream] = header
                self._journals[header.stream] = place
        return found

    async def open_journal(self, stream: str) -> MemoryJournal:
        """A journal, up to its cut."""
        return MemoryJournal(await self.open(*self._journals[stream]), self._cuts.get(stream))

    async def open(self, topic: str, partition: int) -> MemoryPartition:
        """A partition; one that nobody wrote to is empty."""
        place = (topic, partition)
        return MemoryPartition(place, self._topics.get(place, []), self._first.get(place, 0))
