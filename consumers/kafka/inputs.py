"""What a stream reads: one consumer per partition, so that a backlog of one holds up none of the others.

Positions are the journal's, never the broker's. Each input keeps at most as many records ready as its cap says, which
is also what one poll takes from it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from consumers.service.dead_letter import Arrival
from consumers.service.sequencing import fingerprint
from consumers.service.stream import Input

FETCH_BYTES: Final = 1024 * 1024

INPUT_WAIT_MS: Final = 500
"""How long a broker holds the fetch of an input that has nothing new; what comes meanwhile is sent at once. (Five
inputs that ask again each 10 ms use 6 % of a core to hear that nothing has happened; so does the broker.)"""

FETCH_WAIT_MS: Final = 10
"""The same of a journal: its followers tell a silent leader from a silent broker by the answers."""

_APPEND_TIME: Final = 1


class InputLost(RuntimeError):
    """An input is not what it was: records that were not read are gone, or the topic is another one."""


def to_arrival(topic: str, record: ConsumerRecord) -> Arrival:
    """A record as the rest of the house knows it, under the topic's name without prefix."""
    return Arrival(
        topic, record.partition, record.offset, record.timestamp, record.key, record.value, record.headers or ()
    )


class InputReader:
    """One input. `start` begins to fetch; `take` hands out what has come."""

    def __init__(self, source: Input, options: Mapping[str, Any], prefix: str, cap: int, wake: asyncio.Event) -> None:
        self.source = source
        self._cap = cap
        self._wake = wake
        self._partition = TopicPartition(prefix + source.topic, source.partition)
        self._consumer = open_consumer(options, wait_ms=INPUT_WAIT_MS)
        self._ready: list[Arrival] = []
        self.handed_out = 0
        self._room = asyncio.Event()
        self._room.set()
        self._task: asyncio.Task[None] | None = None

    async def start(self, position: int | None, seen: tuple[int, str] | None) -> None:
        """Begin at a position; None: at the beginning, as this input was never read. Raises InputLost."""
        await self._consumer.start()
        name = f"{self._partition.topic}/{self._partition.partition}"
        first, end = await assign(self._consumer, self._partition)
        if position is None:
            position = first
            if first:
                raise InputLost(f"{name}: was never read, and its records before offset {first} are gone")
        if position > end:
            raise InputLost(f"{name}: ends at offset {end}, but was read up to {position}: is it another topic?")
        if position < first:
            raise InputLost(
                f"{name}: begins at offset {first}, but was read up to {position}: what lies between is gone"
            )
        if seen is not None and seen[0] >= first:
            await self._check_seen(name, seen)
        self._consumer.seek(self._partition, position)
        self._task = asyncio.create_task(self._fetch(), name=f"fetch {name}")
        self._task.add_done_callback(lambda _: self._wake.set())  # `take` then says why

    async def _check_seen(self, name: str, seen: tuple[int, str]) -> None:
        """Compare the last record that was read with what is there now."""
        offset, expected = seen
        self._consumer.seek(self._partition, offset)
        found = (await self._consumer.getmany(timeout_ms=10_000, max_records=1)).get(self._partition)
        if not found or found[0].offset != offset or fingerprint(to_arrival(self.source.topic, found[0])) != expected:
            raise InputLost(f"{name}: the record at offset {offset} is not the one that was read: is it another topic?")

    async def _fetch(self) -> None:
        name = f"{self._partition.topic}/{self._partition.partition}"
        while True:
            await self._room.wait()
            try:
                records = await self._consumer.getmany(timeout_ms=1_000, max_records=self._cap)
            except OffsetOutOfRangeError:
                raise InputLost(f"{name}: records that were not read are gone") from None
            for record in records.get(self._partition, ()):
                if record.timestamp_type != _APPEND_TIME and self.source.source == "outside":
                    raise InputLost(
                        f"{name}: expected message.timestamp.type LogAppendTime, as producers can forge any other; "
                        "see 'backstop topics'"
                    )
                self._ready.append(to_arrival(self.source.topic, record))
            if self._ready:
                self._room.clear()
                self._wake.set()

    def take(self) -> list[Arrival]:
        """What has come since the last call. Raises what ended the fetching."""
        if self._task is not None and self._task.done():
            self._task.result()
        ready, self._ready = self._ready, []
        self._room.set()
        self.handed_out += len(ready)
        return ready

    async def lag(self) -> int | None:
        """How many offsets lie between here and the last stable offset; None: not known yet."""
        stable: int | None = self._consumer.last_stable_offset(self._partition)
        if stable is None or stable < 0:
            return None
        position: int = await self._consumer.position(self._partition)
        behind = max(0, stable - position)
        return behind + len(self._ready)

    async def stop(self) -> None:
        """Stop fetching and disconnect."""
        if self._task is not None:
            self._task.cancel()
        await self._consumer.stop()


def open_consumer(
    options: Mapping[str, Any], *, wait_ms: int = FETCH_WAIT_MS, isolation: str = "read_committed", **more: Any
) -> AIOKafkaConsumer:
    """A consumer of assigned partitions: it sees what is committed, commits nothing itself, and checks every record."""
    return AIOKafkaConsumer(
        **options,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level=isolation,
        check_crcs=True,
        fetch_max_wait_ms=wait_ms,
        max_partition_fetch_bytes=FETCH_BYTES,
        **more,
    )


@asynccontextmanager
async def reading(
    options: Mapping[str, Any], partition: TopicPartition, *, isolation: str = "read_committed"
) -> AsyncIterator[tuple[AIOKafkaConsumer, int, int]]:
    """A consumer of one partition for a while, with the partition's offsets as `offsets` gives them."""
    consumer = open_consumer(options, isolation=isolation)
    await consumer.start()
    try:
        yield consumer, *await assign(consumer, partition)
    finally:
        await consumer.stop()


async def assign(consumer: AIOKafkaConsumer, partition: TopicPartition) -> tuple[int, int]:
    """Have a consumer read one partition, which has to be there, as aiokafka would wait for it; its offsets."""
    consumer.assign([partition])
    return await offsets(consumer, partition)


async def offsets(consumer: AIOKafkaConsumer, partition: TopicPartition) -> tuple[int, int]:
    """The first offset of a partition and the one behind its last that is committed."""
    first = await consumer.beginning_offsets([partition])
    end = await consumer.end_offsets([partition])
    return first[partition], end[partition]
