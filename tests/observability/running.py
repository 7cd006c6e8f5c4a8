"""A leading loop over inputs in memory, watched, whose commits return when the test says so."""

import asyncio
from collections.abc import Callable

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from consumers.observability.state import StateCollector
from consumers.observability.watch import Watch
from consumers.service.dead_letter import Arrival
from consumers.service.loop import Leader, Pace
from consumers.service.publication import Outgoing
from consumers.service.stream import Input, Stream
from consumers.service.tidying import Tidier
from tests.service.streams import Topic, replica, sequencer

NEVER = 3_600.0


class Partition:
    """An input whose records are put there by the test; `stable` is its last stable offset."""

    def __init__(self, source: Input) -> None:
        self.source = source
        self.handed_out = 0
        self.stable: int | None = 0
        self.ready: list[Arrival] = []
        self._topic = Topic(source)

    def append(self, *values: bytes) -> None:
        """Records that are committed on the topic and fetched."""
        self.ready += [self._topic.append(value) for value in values]
        assert self.stable is not None
        self.stable += len(values)

    def take(self) -> list[Arrival]:
        ready, self.ready = self.ready, []
        self.handed_out += len(ready)
        return ready

    async def stop(self) -> None:
        """Nothing to let go of."""

    async def lag(self) -> int | None:
        return None if self.stable is None else self.stable - self.handed_out


class Commits:
    """Takes batches; each commit returns when it is let through."""

    def __init__(self) -> None:
        self.begun = 0
        self._gate = asyncio.Semaphore(0)

    async def commit(self, journal_partition: int, batch: list[Outgoing], journal: bytes) -> None:
        self.begun += 1
        await self._gate.acquire()

    def let_through(self, count: int = 1) -> None:
        """Let that many commits return."""
        for _ in range(count):
            self._gate.release()


class Running:
    """A leader of a stream in the test's hands. Use as an async context manager."""

    def __init__(self, stream: Stream, *, heartbeat: float = NEVER, audit_seconds: float = NEVER) -> None:
        self.replica = replica(stream)
        self.watch = Watch(stream, instance="i", code="test", audit_seconds=audit_seconds)
        self.inputs = {source.topic: Partition(source) for source in stream.inputs}
        self.commits, self.wake = Commits(), asyncio.Event()
        self.leader = Leader(
            sequencer(self.replica),
            stream,
            self.commits,
            open_source=self._open,
            pace=Pace(heartbeat, None),
            wake=self.wake,
            observer=self.watch,
            tidier=Tidier(),
        )
        self._state: StateCollector | None = None

    async def _open(self, source: Input) -> Partition:
        return self.inputs[source.topic]

    async def __aenter__(self) -> "Running":
        await self.leader.connect()
        self.watch.leading(self.replica, self.leader.sources, 7)
        self.commits.let_through()
        await self.leader.commit_genesis("# config")
        self.commits.begun = 0
        self._task = asyncio.create_task(self.leader.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def arrive(self, topic: str, *values: bytes) -> None:
        """Records on an input."""
        self.inputs[topic].append(*values)
        self.wake.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the loop work until something is so."""
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.001)

    def seen(self) -> dict[str, float]:
        """All metrics as they are exposed now, but for lags."""
        if self._state is None:
            self._state = StateCollector(self.watch)
            self.watch.metrics.registry.register(self._state)
        return samples(generate_latest(self.watch.metrics.registry).decode())

    async def work(self, topic: str, *values: bytes) -> None:
        """Have records read, applied and committed."""
        before = self.watch.number
        self.arrive(topic, *values)
        self.commits.let_through()
        await self.until(lambda: self.watch.number > before)


def samples(text: str) -> dict[str, float]:
    """Each sample of an exposition, by name and labels as they are written."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found
