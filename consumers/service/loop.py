"""The loop of a leading instance: poll → one order → apply → commit, and the next batch while the last one commits.

Memory may run one batch ahead of the log. Nothing of that batch is sent before the commit under way has returned, and
nothing else sees it. There is no timer in the way of a record: a batch is what arrived while the last one committed,
and it is computed as it arrives, in turns that let the commit go on.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from consumers.service.dead_letter import Arrival
from consumers.service.observer import Observer
from consumers.service.publication import Outgoing
from consumers.service.sequencing import Batch, Sequencer
from consumers.service.stream import Input, Stream
from consumers.service.tidying import Tidier


class Source(Protocol):
    """An input that is being fetched."""

    @property
    def source(self) -> Input: ...
    def take(self) -> list[Arrival]: ...
    async def stop(self) -> None: ...


SourceT = TypeVar("SourceT", bound=Source)


class Sink(Protocol):
    """Where batches go, all or nothing."""

    async def commit(self, journal_partition: int, batch: list[Outgoing], journal: bytes) -> None: ...


RECORDS_PER_TURN: Final = 32
"""Records that are applied, in about 1 ms, before the commit under way and the fetches get a turn."""


class Pace(NamedTuple):
    """Seconds between heartbeats while nothing happens, and of idleness until the clock ticks (None: it never does)."""

    heartbeat: float
    tick: float | None


class Leader(Generic[SourceT]):
    """Runs the loop until it is told to stop."""

    def __init__(
        self,
        sequencer: Sequencer,
        stream: Stream,
        sink: Sink,
        *,
        open_source: Callable[[Input], Awaitable[SourceT]],
        pace: Pace,
        wake: asyncio.Event,
        observer: Observer,
        tidier: Tidier,
    ) -> None:
        self._sequencer = sequencer
        self._stream = stream
        self._sink = sink
        self._open_source = open_source
        self._inputs: tuple[Input, ...] = ()
        self.sources: list[SourceT] = []
        """What is being fetched, by rank. The list stays the same when an input is added."""
        self._pace = pace
        self._wake = wake
        self._observer = observer
        self._tidier = tidier
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
        await self._commit(self._made(self._sequencer.genesis(config), time.perf_counter()))

    async def run(self) -> None:
        """Work until stopped. Raises what makes the memory worthless: the caller ends the process."""
        while not self._stopping:
            if self._inputs is not self._stream.inputs:
                await self.connect()
            self._observer.turned()
            self._tidier.look()
            batch = await self._next_batch()
            if batch is not None:
                await self._finish_commit()
                self._last_write = time.monotonic()
                self._committing = asyncio.create_task(self._commit(batch))
        await self._finish_commit()

    async def connect(self) -> None:
        """Fetch every input that the config of the moment names."""
        opened = {source.source: source for source in self.sources}
        self._inputs = self._stream.inputs
        fresh = await asyncio.gather(*(self._open_source(source) for source in self._inputs if source not in opened))
        opened |= {source.source: source for source in fresh}
        self.sources[:] = [opened[source] for source in self._inputs]

    async def stop_sources(self) -> None:
        """Fetch no more."""
        await asyncio.gather(*(source.stop() for source in self.sources))

    async def _next_batch(self) -> Batch | None:
        """What has come since the last batch, or a sign of life when it is time; None where there may be something."""
        sequencer = self._sequencer
        seconds = await self._compute()
        now, began = time.monotonic(), time.perf_counter()
        if sequencer.has_draft:
            self._last_input = now
            return self._made(sequencer.seal(), began - seconds)
        if self._stopping:
            return None
        tick_at = None if self._pace.tick is None else self._last_input + self._pace.tick
        if tick_at is not None and now >= tick_at:
            self._last_input = now
            return self._made(sequencer.tick(time.time_ns() // 1_000), began)
        beat_at = self._last_write + self._pace.heartbeat
        if now >= beat_at:
            return self._made(sequencer.heartbeat(), began)
        await self._wait(min(beat_at, beat_at if tick_at is None else tick_at) - now)
        return None

    async def _compute(self) -> float:
        """Apply what has come and, while the last batch is being committed, what comes; the seconds spent on it."""
        sequencer, seconds = self._sequencer, 0.0
        while not sequencer.is_full:
            if not sequencer.has_more and (self._is_committing or not sequencer.has_draft):
                self._wake.clear()
                sequencer.add([(source.source, source.take()) for source in self.sources])
            if sequencer.has_more:
                began = time.perf_counter()
                sequencer.work(RECORDS_PER_TURN)
                seconds += time.perf_counter() - began
                await asyncio.sleep(0)
            elif not self._is_committing:
                break
            else:
                await self._wait(None)
        return seconds

    @property
    def _is_committing(self) -> bool:
        return self._committing is not None and not self._committing.done()

    async def _wait(self, seconds: float | None) -> None:
        """Until a record comes, the commit under way ends, or the time is up (None: it never is)."""
        woken = asyncio.ensure_future(self._wake.wait())
        waiting: list[asyncio.Future[Any]] = [woken]
        if self._committing is not None:
            waiting.append(self._committing)
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        woken.cancel()
        if self._committing is not None and self._committing.done():
            await self._finish_commit()

    def _made(self, batch: Batch, began: float) -> Batch:
        self._observer.made(batch, time.perf_counter() - began)
        return batch

    async def _commit(self, batch: Batch) -> None:
        began = time.perf_counter()
        await self._sink.commit(self._stream.partition, [*batch.published, *batch.dead_letters], batch.journal)
        self._observer.committed(batch, time.perf_counter() - began)

    async def _finish_commit(self) -> None:
        if self._committing is not None:
            committing, self._committing = self._committing, None
            await committing
