"""Reads the journal of one stream, from an offset to its end or on and on."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from consumers.kafka.inputs import InputLost, assign, offsets, open_consumer, reading
from consumers.service.journal import Record, decode_record

_POLL_MS = 200


class Undecided(RuntimeError):
    """A transaction on the journal hangs: whether it counts is not known yet."""


class JournalRecord(NamedTuple):
    """A record of the journal: where it stands, its bytes, and what it says."""

    where: str
    offset: int
    timestamp: int
    value: bytes
    record: Record


class JournalReader:
    """The journal partition of one stream."""

    def __init__(self, options: Mapping[str, Any], prefix: str, partition: int) -> None:
        self._partition = TopicPartition(f"{prefix}journal", partition)
        self._options = options
        self._consumer = open_consumer(options)

    @property
    def name(self) -> str:
        """Topic and partition."""
        return f"{self._partition.topic}/{self._partition.partition}"

    async def connect(self) -> tuple[int, int]:
        """Connect; the first offset, and the one behind the last committed record."""
        await self._consumer.start()
        return await assign(self._consumer, self._partition)

    def seek(self, position: int) -> None:
        """Go on at an offset."""
        self._consumer.seek(self._partition, position)

    async def start(self) -> None:
        """Connect and begin at the beginning."""
        first, _ = await self.connect()
        self.seek(first)

    async def end(self) -> int:
        """The offset behind the last committed record."""
        return (await offsets(self._consumer, self._partition))[1]

    async def until_decided(self, seconds: float) -> None:
        """Wait until every transaction on the journal has ended. Raises Undecided when one does not.

        Nobody else writes any more: the caller has fenced all others. A broker ends what they left open, and has
        decided a transaction before it says so here; one that was killed in between may leave it hanging, committed and
        not visible. To go on without it would be to do a batch twice.
        """
        async with reading(self._options, self._partition, isolation="read_uncommitted") as (_, _, written):
            pass
        end = time.monotonic() + seconds
        while (visible := await self.end()) < written:
            if time.monotonic() > end:
                raise Undecided(
                    f"{self.name}: offsets {visible} to {written - 1} belong to a transaction that has not ended after "
                    f"{seconds:g} s; kafka-transactions.sh shows it"
                )
            await asyncio.sleep(0.05)

    async def seek_to_end(self) -> None:
        """Leave out all that there is now."""
        self._consumer.seek(self._partition, await self.end())

    async def position(self) -> int:
        """The offset to be read next."""
        position: int = await self._consumer.position(self._partition)
        return position

    async def poll(self, timeout_ms: int = _POLL_MS) -> list[JournalRecord]:
        """What has come, or nothing after the timeout. Raises JournalError for what cannot be read."""
        try:
            records = await self._consumer.getmany(timeout_ms=timeout_ms)
        except OffsetOutOfRangeError:
            raise InputLost(f"{self.name}: the journal was cut off") from None
        read = []
        for record in records.get(self._partition, ()):
            where = f"{record.topic}/{record.partition}/{record.offset}"
            value = record.value or b""
            read.append(JournalRecord(where, record.offset, record.timestamp, value, decode_record(value, where)))
        return read

    async def to_end(self) -> AsyncIterator[JournalRecord]:
        """All records up to what is the end now. Markers of transactions count as offsets, so it waits by position."""
        end = await self.end()
        while await self.position() < end:
            for record in await self.poll():
                yield record

    async def lag(self) -> int | None:
        """How many offsets lie between here and the last stable offset; None: not known yet."""
        stable: int | None = self._consumer.last_stable_offset(self._partition)
        return None if stable is None or stable < 0 else max(0, stable - await self.position())

    def last_fetch_ms(self) -> int | None:
        """When the broker last answered a fetch, in ms of this machine's clock; None: never."""
        moment: int | None = self._consumer.last_poll_timestamp(self._partition)
        return moment

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()
