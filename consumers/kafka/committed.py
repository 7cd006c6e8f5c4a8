"""Reads partitions from their beginning, for proofs and exports: only what is committed, and sure of where it ends."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import OffsetOutOfRangeError

from consumers.kafka.inputs import assign, offsets, open_consumer, to_arrival
from consumers.service.dead_letter import Arrival
from consumers.service.journal import Header, decode_record
from consumers.verify.evidence import JournalRecord, Unusable

PATIENCE_SECONDS: Final = 20.0
"""How long a transaction may be under way before what it wrote counts as not there. Brokers end ours after 10 s."""

_POLL_MS: Final = 100


class CommittedPartition:
    """The committed records of a partition, in their order."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        uncommitted: AIOKafkaConsumer,
        partition: TopicPartition,
        topic: str,
        patience: float,
    ) -> None:
        self.name = f"{topic}/{partition.partition}"
        self.first = 0
        self._consumer = consumer
        self._uncommitted = uncommitted
        self._partition = partition
        self._topic = topic
        self._patience = patience
        self._ready: deque[Arrival] = deque()

    async def start(self, position: int | None = None) -> None:
        """Connect and go to a position; None: to the first record there is."""
        await self._consumer.start()
        self.first, end = await assign(self._consumer, self._partition)
        if position is not None and not self.first <= position <= end:
            raise Unusable(f"{self.name}: has offsets from {self.first} to {end}, not {position}")
        self._consumer.seek(self._partition, self.first if position is None else position)

    async def position(self) -> int:
        """The offset to be handed out or skipped next."""
        if self._ready:
            return self._ready[0].offset
        position: int = await self._consumer.position(self._partition)
        return position

    async def end(self) -> int:
        """The offset behind what is committed now."""
        return (await offsets(self._consumer, self._partition))[1]

    async def next(self, limit: int | None = None) -> Arrival | None:
        """The next record; None where there is none, and no transaction is under way that may bring one."""
        waiting_since = time.monotonic()
        while not self._ready:
            await self._fetch(0)
            if self._ready:
                break
            before = await self.position()
            if limit is not None and before >= limit:
                return None
            if before < await self.end():
                await self._fetch(_POLL_MS)
                if await self.position() > before:
                    waiting_since = time.monotonic()
            elif before >= await self._written():
                return None
            else:
                await self._fetch(_POLL_MS)
            if time.monotonic() - waiting_since > self._patience:
                return None
        return self._ready.popleft()

    async def close(self) -> None:
        """Disconnect."""
        await self._consumer.stop()

    async def _fetch(self, timeout_ms: int) -> None:
        try:
            fetched = await self._consumer.getmany(timeout_ms=timeout_ms)
        except OffsetOutOfRangeError:
            raise Unusable(f"{self.name}: records were deleted while they were read") from None
        self._ready.extend(to_arrival(self._topic, record) for record in fetched.get(self._partition, ()))

    async def _written(self) -> int:
        """The offset behind all that is there, committed or not."""
        ends: dict[TopicPartition, int] = await self._uncommitted.end_offsets([self._partition])
        return ends[self._partition]


class CommittedTopics:
    """The topics of a venue. To be used as an asynchronous context manager."""

    def __init__(self, options: Mapping[str, Any], prefix: str, *, patience: float = PATIENCE_SECONDS) -> None:
        self._options = options
        self._prefix = prefix
        self._patience = patience
        self._partitions: dict[str, list[int]] = {}
        self._uncommitted = AIOKafkaConsumer(**options, group_id=None, isolation_level="read_uncommitted")

    async def __aenter__(self) -> "CommittedTopics":
        await self._uncommitted.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._uncommitted.stop()

    async def partitions(self, topic: str) -> list[int]:
        """The numbers of a topic's partitions. Raises Unusable where there is no such topic."""
        name = self._prefix + topic
        if name not in self._partitions:
            admin = AIOKafkaAdminClient(**self._options)
            await admin.start()
            try:
                (described,) = await admin.describe_topics([name])
            finally:
                await admin.close()
            self._partitions[name] = sorted(partition["partition"] for partition in described["partitions"])
        if not self._partitions[name]:
            raise Unusable(f"there is no topic {name}; `backstop topics` creates it")
        return self._partitions[name]

    async def open(self, topic: str, partition: int, position: int | None = None) -> CommittedPartition:
        """A partition, from its beginning or a position. Raises Unusable where there is none."""
        if partition not in await self.partitions(topic):
            raise Unusable(f"topic {self._prefix}{topic} has no partition {partition}")
        opened = CommittedPartition(
            open_consumer(self._options),
            self._uncommitted,
            TopicPartition(self._prefix + topic, partition),
            topic,
            self._patience,
        )
        try:
            await opened.start(position)
        except BaseException:
            await opened.close()
            raise
        return opened

    async def journals(self) -> dict[int, Header]:
        """The first header in each partition of the journal that has any. Raises JournalError."""

        async def first_header(number: int) -> tuple[int, Header | None]:
            partition = await self.open("journal", number)
            try:
                if partition.first >= await partition.end():
                    return number, None
                record = await partition.next()
            finally:
                await partition.close()
            if record is None:
                return number, None
            return number, decode_record(record.value or b"", record.place).header

        found = await asyncio.gather(*(first_header(number) for number in await self.partitions("journal")))
        return {number: header for number, header in found if header is not None}


class KafkaEvidence:
    """All topics of a venue, for a proof."""

    has_topics = True

    def __init__(self, topics: CommittedTopics) -> None:
        self._topics = topics
        self._journals: dict[str, int] = {}
        self._ends: dict[str, int] = {}

    async def journals(self) -> dict[str, Header]:
        """The streams by the first header of each partition of the journal."""
        found: dict[str, Header] = {}
        for number, header in (await self._topics.journals()).items():
            if header.stream in found:
                raise Unusable(
                    f"{header.stream} has journals in partitions {self._journals[header.stream]} and {number}"
                )
            found[header.stream] = header
            self._journals[header.stream] = number
        return found

    async def open_journal(self, stream: str) -> "KafkaJournal":
        """The journal of a stream, up to where it ended when it was first opened."""
        partition = await self._topics.open("journal", self._journals[stream])
        if stream not in self._ends:
            self._ends[stream] = await partition.end()
        return KafkaJournal(partition, self._ends[stream])

    async def open(self, topic: str, partition: int) -> CommittedPartition:
        """A partition."""
        return await self._topics.open(topic, partition)


class KafkaJournal:
    """The journal of one stream."""

    def __init__(self, partition: CommittedPartition, end: int) -> None:
        self._partition = partition
        self._end: int | None = end

    async def next(self) -> JournalRecord | None:
        """The next record, up to the end as it was or, after `extend`, as it is."""
        if self._end is not None and await self._partition.position() >= self._end:
            return None
        arrival = await self._partition.next(self._end)
        if arrival is None:
            return None
        return JournalRecord(decode_record(arrival.value or b"", arrival.place), arrival.place)

    def extend(self) -> None:
        """Go on with what has come since."""
        self._end = None

    async def close(self) -> None:
        """Disconnect."""
        await self._partition.close()
