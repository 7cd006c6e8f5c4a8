"""The loop of a leading instance: poll → one order → apply → commit, and the next batch while the last one commits.

Memory may run one batch ahead of the log. Nothing of that batch is sent before the commit under way has returned, and
nothing else sees it. There is no timer in the way of a record: a batch is what arrived while the last one committed.
"""

import asyncio
import gc
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from consumers.service.dead_letter import Arrival
from consumers.service.publication import Outgoing
from consumers.service.sequencing import Batch, Sequencer
from consumers.service.stream import Input


class Source(Protocol):
    """An input that is being fetched."""

    @property
    def source(self) -> Input: ...
    def take(self) -> list[Arrival]: ...


class Sink(Protocol):
    """Where batches go, all or nothing."""

    async def commit(self, journal_partition: int, batch: list[Outgoing], journal: bytes) -> None: ...


class Observer(Protocol):
    """Something that wants to know what was committed. It is told after the fact and must not raise."""

    def committed(self, batch: Batch, seconds: float) -> None: ...


class Pace(NamedTuple):
    """Seconds between heartbeats while nothing happens, and of idleness until the clock ticks (None: it never does)."""

    heartbeat: float
    tick: float | None


class Leader:
    """Runs the loop until it is told to stop."""

    def __init__(
        self,
        sequencer: Sequencer,
        sources: Sequence[Source],
        sink: Sink,
        journal_partition: int,
        *,
        pace: Pace,
        wake: asyncio.Event,
        observer: Observer,
    ) -> None:
        self._sequencer = sequencer
        self._sources = sources
        self._sink = sink
        self._journal_partition = journal_partition
        self._pace = pace
        self._wake = wake
        self._observer = observer
        self._stopping = False
        self._committing: asyncio.Task[None] | None = None
        self._last_write = time.monotonic()
        self._last_input = time.monotonic()

    def stop(self) -> None:
        """End after the batch that is being worked on."""
        self._stopping = True
        self._wake.set()

    async def commit_genesis(self, config: str) -> None:
        """Write what comes before the first input, and the config file that it all begins with."""
        await self._commit(self._sequencer.genesis(config))

    async def run(self) -> None:
        """Work until stopped. Raises what makes the memory worthless: the caller ends the process."""
        while not self._stopping:
            batch = await self._next_batch()
            if batch is not None:
                await self._finish_commit()
                self._last_write = time.monotonic()
                self._committing = asyncio.create_task(self._commit(batch))
        await self._finish_commit()

    async def _next_batch(self) -> Batch | None:
        """What has come since the last poll, or a sign of life when it is time; None where there may be something."""
        sequencer = self._sequencer
        if not sequencer.has_more:
            self._wake.clear()
            sequencer.add([(source.source, source.take()) for source in self._sources])
        now = time.monotonic()
        if sequencer.has_more:
            self._last_input = now
            return sequencer.batch()
        tick_at = None if self._pace.tick is None else self._last_input + self._pace.tick
        if tick_at is not None and now >= tick_at:
            self._last_input = now
            return sequencer.tick(time.time_ns() // 1_000)
        beat_at = self._last_write + self._pace.heartbeat
        if now >= beat_at:
            gc.collect(1)  # what the shell leaves behind; the state makes no cycles and is frozen or grows old unseen
            return sequencer.heartbeat()
        await self._wait(min(beat_at, beat_at if tick_at is None else tick_at) - now)
        return None

    async def _wait(self, seconds: float) -> None:
        """Until a record comes, the commit under way ends, or the time is up."""
        woken = asyncio.ensure_future(self._wake.wait())
        waiting: list[asyncio.Future[Any]] = [woken]
        if self._committing is not None:
            waiting.append(self._committing)
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        woken.cancel()
        if self._committing is not None and self._committing.done():
            await self._finish_commit()

    async def _commit(self, batch: Batch) -> None:
        began = time.perf_counter()
        await self._sink.commit(self._journal_partition, [*batch.published, *batch.dead_letters], batch.journal)
        self._observer.committed(batch, time.perf_counter() - began)

    async def _finish_commit(self) -> None:
        if self._committing is not None:
            committing, self._committing = self._committing, None
            await committing
