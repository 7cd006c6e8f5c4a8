"""One stream of a running venue from outside: the config it goes by, changes that wait for it, and telling it one."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from consumers.config.held import HeldConfig, after
from consumers.kafka.inputs import InputLost, reading
from consumers.kafka.journal_reader import JournalReader
from consumers.kafka.sending import send_record
from consumers.snapshots.errors import DamagedSnapshot, StoreFailure
from consumers.snapshots.snapshot import Snapshot, config_of
from consumers.snapshots.store import SnapshotName, SnapshotStore
from schemas.commands import ConfigSet
from schemas.config import VenueConfig
from schemas.events import ConfigChanged, ConfigRejected
from schemas.wire import WireError, decode_command, decode_event

_POLL_MS: Final = 200
_TYPES: Final = (b"config.changed", b"config.rejected")


class Waiting(NamedTuple):
    """A change that a stream has not read yet, and where on its admin partition it stands."""

    offset: int
    change: ConfigSet


class Answer(NamedTuple):
    """What became of a change: the number it got and the event that it caused; without a number, a dead letter."""

    number: int | None
    event: ConfigChanged | ConfigRejected | None


class RunningStream:
    """A stream that has a journal.

    `refresh` reads the journal to its end and what waits behind; `tell` and `answer` are for one change. Its methods
    raise JournalError and InputLost where the journal cannot tell the config.
    """

    def __init__(self, options: dict[str, Any], cluster: str, prefix: str, name: str, partition: int) -> None:
        self.name = name
        self.partition = partition
        self.held = HeldConfig(name)
        self.waiting: list[Waiting] = []
        self._options = options
        self._prefix = prefix
        self._admin = f"admin/{partition}"
        self._reader = JournalReader(options, prefix, partition)
        self._journal = f"{cluster}/{self._reader.name}"
        self._answers_from = 0

    @property
    def ahead(self) -> VenueConfig:
        """The config that it goes by once it has read what waits."""
        return after(self.held.config, [waiting.change for waiting in self.waiting])

    async def start(self, store: SnapshotStore, warn: Callable[[str], None]) -> tuple[int, int]:
        """Connect, and begin at the newest snapshot or the journal's beginning; the offsets that are to be read."""
        first, end = await self._reader.connect()
        begin = await asyncio.to_thread(self._from_snapshot, store, first, end, warn)
        if begin is None and first:
            raise InputLost(
                f"{self._reader.name}: begins at offset {first}, as what came before is deleted, and there is no "
                f"usable snapshot of {self.name} in {store.url}: its config cannot be told"
            )
        self._reader.seek(begin or 0)
        return begin or 0, end

    async def refresh(self, read_to: Callable[[int], None] = lambda _: None) -> None:
        """Read the journal to its end, and what waits on the admin partition behind what the stream has read of it."""
        self._answers_from = await self._end_of("executions")
        async for read in self._reader.to_end():
            self.held.follow(read.record, read.where)
            read_to(read.offset)
        self.waiting = await self._read_waiting()

    async def tell(self, change: bytes) -> int:
        """Send it a change; the offset on its admin partition."""
        return await send_record(self._options, f"{self._prefix}admin", self.partition, change)

    async def answer(self, offset: int, until: float) -> Answer | None:
        """What became of the change at an offset of its admin partition; None: nothing by then (monotonic seconds)."""
        place = f"{self._admin}/{offset}"
        while time.monotonic() < until:
            for read in await self._reader.poll(_POLL_MS):
                record = read.record
                for number, entry in enumerate(record.entries, record.header.first):
                    if entry.at == place:
                        return Answer(number, await self._event_of(number, until))
                if record.header.next.get(self._admin, 0) > offset:
                    return Answer(None, None)
        return None

    async def stop(self) -> None:
        """Disconnect."""
        await self._reader.stop()

    def _from_snapshot(self, store: SnapshotStore, first: int, end: int, warn: Callable[[str], None]) -> int | None:
        """Begin at the newest usable snapshot; the offset at which the journal goes on there."""

        def use(snapshot: Snapshot) -> VenueConfig:
            header = snapshot.header
            if header.journal != self._journal:
                raise DamagedSnapshot(f"it is of the journal {header.journal}, not of {self._journal}")
            if not first <= header.offset <= end:
                raise DamagedSnapshot(
                    f"it goes on at journal offset {header.offset}, and the journal has those from {first} to {end}"
                )
            return config_of(header)

        def passed_over(name: SnapshotName, reason: str) -> None:
            warn(f"snapshot {name.file} is passed over: {reason}")

        try:
            found = store.load_newest(self.name, use, passed_over)
        except StoreFailure as failure:
            warn(str(failure))
            return None
        if found is None:
            return None
        header, config = found
        self.held.resume(config, header.last, header.next)
        return header.offset

    async def _read_waiting(self) -> list[Waiting]:
        place = TopicPartition(f"{self._prefix}admin", self.partition)
        waiting = []
        async with reading(self._options, place) as (consumer, first, end):
            consumer.seek(place, max(first, self.held.next.get(self._admin, first)))
            while await consumer.position(place) < end:
                for record in (await consumer.getmany(timeout_ms=_POLL_MS)).get(place, ()):
                    try:
                        command = decode_command(record.value or b"")
                    except WireError:
                        continue  # a dead letter, when its turn comes
                    if isinstance(command, ConfigSet):
                        waiting.append(Waiting(record.offset, command))
        return waiting

    async def _event_of(self, number: int, until: float) -> ConfigChanged | ConfigRejected | None:
        """What the stream published of an input, which was a change; it is there when the input is in the journal."""
        place = TopicPartition(f"{self._prefix}executions", self.partition)
        try:
            async with reading(self._options, place) as (consumer, _, _):
                consumer.seek(place, self._answers_from)
                while time.monotonic() < until:
                    for record in (await consumer.getmany(timeout_ms=_POLL_MS)).get(place, ()):
                        if dict(record.headers).get("ce_type") not in _TYPES:
                            continue
                        event = decode_event(record.value or b"")
                        if isinstance(event, ConfigChanged | ConfigRejected) and event.cause == number:
                            return event
        except OffsetOutOfRangeError:
            raise InputLost(f"{place.topic}/{place.partition}: records were deleted while they were read") from None
        return None

    async def _end_of(self, topic: str) -> int:
        place = TopicPartition(f"{self._prefix}{topic}", self.partition)
        async with reading(self._options, place) as (_, _, end):
            return end
