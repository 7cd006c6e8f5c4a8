"""Where a follower begins, and what it leaves for the next: snapshots of its stream.

Only followers make them, as writing a state takes long enough for traders to notice. What is not usable is said and
passed over for the one before; the beginning of the journal is the last resort.
"""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

import structlog

from consumers.service.publication import Publisher
from consumers.service.replica import Replica
from consumers.service.stream import Stream
from consumers.snapshots.errors import DamagedSnapshot, StoreFailure
from consumers.snapshots.snapshot import Snapshot, SnapshotHeader, config_of, encode_snapshot, restore
from consumers.snapshots.store import SnapshotName, SnapshotStore
from engine.spec import compile_venue

log = structlog.get_logger()


class Checkpoint(NamedTuple):
    """A replica as a snapshot has it, and the offset at which the journal goes on."""

    replica: Replica
    offset: int


class BeyondTheJournal(RuntimeError):
    """The newest snapshot knows more than the journal: records of it are lost, or it is another topic."""


def newest_checkpoint(
    store: SnapshotStore,
    name: str,
    journal: str,
    first: int,
    end: int,
    publisher_of: Callable[[Stream], Publisher],
    code: str,
) -> Checkpoint | None:
    """The newest usable snapshot of a stream whose `journal` has the offsets from `first` to `end`; None: none.

    Raises BeyondTheJournal, and StoreFailure where the place of snapshots cannot be listed.
    """

    def use(snapshot: Snapshot) -> Stream:
        header = snapshot.header
        if header.journal != journal:
            raise DamagedSnapshot(f"it is of the journal {header.journal}, not of {journal}")
        if header.offset > end:
            raise BeyondTheJournal(
                f"snapshot {header.stream} at input {header.last} goes on at journal offset {header.offset}, and the "
                f"journal ends at {end}: it has lost records, or is another topic than it was"
            )
        if header.offset < first:
            raise DamagedSnapshot(f"it goes on at journal offset {header.offset}, and the journal begins at {first}")
        return Stream(restore(compile_venue(config_of(header)), snapshot))

    def passed_over(file: SnapshotName, reason: str) -> None:
        log.warning("snapshot_passed_over", stream=name, snapshot=file.file, reason=reason)

    found = store.load_newest(name, use, passed_over)
    if found is None:
        return None
    header, stream = found
    replica = Replica(stream, publisher_of(stream), code)
    replica.resume(bytes.fromhex(header.chain), header.next, header.seen)
    log.info("snapshot_loaded", stream=name, applied=header.last, offset=header.offset, made_by=header.code)
    return Checkpoint(replica, header.offset)


def header_of(replica: Replica, journal: str, offset: int, epoch: int) -> SnapshotHeader:
    """The header of a snapshot of this replica, whose `journal` (cluster, topic, partition) goes on at `offset`."""
    return SnapshotHeader(
        stream=replica.stream.name,
        last=replica.applied,
        offset=offset,
        chain=replica.chain.hex(),
        next=dict(replica.next),
        seen=dict(replica.seen),
        config=replica.stream.config_hash,
        code=replica.code,
        epoch=epoch,
        journal=journal,
    )


class Schedule:
    """Has a follower make a snapshot after so many seconds or inputs, whichever comes first. One at a time."""

    def __init__(self, store: SnapshotStore, seconds: float, inputs: int, taken: Callable[[int, float], None]) -> None:
        self._store = store
        self._seconds = seconds
        self._inputs = inputs
        self._taken = taken
        self._number = -1
        self._at = time.monotonic()
        self._writing: asyncio.Task[None] | None = None

    async def look(self, replica: Replica, journal: str, offset: int, epoch: int) -> None:
        """Make one if it is due. The state must not change until this returns; it is written afterwards."""
        number, now = replica.applied, time.monotonic()
        if self._number < 0:
            self._number = number
        is_due = now - self._at >= self._seconds or number - self._number >= self._inputs
        if not is_due or number == self._number or not replica.has_begun:
            return
        if self._writing is not None and not self._writing.done():
            return
        self._number, self._at = number, now
        header = header_of(replica, journal, offset, epoch)
        content = await asyncio.to_thread(encode_snapshot, header, replica.machine)
        self._writing = asyncio.create_task(self._write(header, content))

    async def _write(self, header: SnapshotHeader, content: bytes) -> None:
        try:
            name = await asyncio.to_thread(self._store.keep, header, content)
        except StoreFailure as failure:
            log.error("snapshot_failed", stream=header.stream, applied=header.last, reason=str(failure))
            return
        self._taken(header.last, time.time())
        log.info("snapshot_taken", stream=header.stream, applied=header.last, file=name.file, bytes=len(content))

    async def finish(self) -> None:
        """Wait for the one that is being written."""
        if self._writing is not None:
            await self._writing
