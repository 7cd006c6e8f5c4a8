"""The loop: one commit at a time, at most one batch ahead, signs of life when nothing happens."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from consumers.service.dead_letter import Arrival
from consumers.service.journal import Record, decode_record
from consumers.service.loop import Leader, Pace
from consumers.service.observer import Observer
from consumers.service.publication import Outgoing
from consumers.service.sequencing import Batch
from consumers.service.stream import Input, Stream
from consumers.service.tidying import Tidier
from tests.service.streams import Topic, buy, deposit, engine, mark, replica, sequencer, topics

NEVER = 3_600.0


class Fetched:
    """An input whose records are put there by the test."""

    def __init__(self, source: Input) -> None:
        self.source = source
        self.ready: list[Arrival] = []

    def take(self) -> list[Arrival]:
        ready, self.ready = self.ready, []
        return ready

    async def stop(self) -> None:
        self.ready.clear()


class Gate:
    """Takes batches, and lets each commit return only when the test says so."""

    def __init__(self) -> None:
        self.begun: list[Record] = []
        self.pass_on: asyncio.Queue[Exception | None] = asyncio.Queue()

    async def commit(self, journal_partition: int, batch: list[Outgoing], journal: bytes) -> None:
        self.begun.append(decode_record(journal, "here"))
        answer = await self.pass_on.get()
        if answer is not None:
            raise answer


class Seen(Observer):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def committed(self, batch: Batch, seconds: float) -> None:
        self.batches.append(batch)


class Bench:
    """A leader, with everything around it in the test's hands."""

    def __init__(self, *, heartbeat: float = NEVER, tick: float | None = None) -> None:
        stream: Stream = engine()
        self.replica = replica(stream)
        self.topics: dict[str, Topic] = topics(stream)
        self.fetched = {source.topic: Fetched(source) for source in stream.inputs}
        self.gate, self.seen, self.wake = Gate(), Seen(), asyncio.Event()
        self.replica.begin()
        self.leader = Leader(
            sequencer(self.replica),
            stream,
            self.gate,
            open_source=self.open_source,
            pace=Pace(heartbeat, tick),
            wake=self.wake,
            observer=self.seen,
            tidier=Tidier(),
        )

    async def open_source(self, source: Input) -> Fetched:
        return self.fetched[source.topic]

    def arrive(self, topic: str, *values: bytes) -> None:
        self.fetched[topic].ready += [self.topics[topic].append(value) for value in values]
        self.wake.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.001)


def _run(test: Callable[[Bench, "asyncio.Task[None]"], Coroutine[Any, Any, None]], **pace: Any) -> None:
    async def main() -> None:
        bench = Bench(**pace)
        running = asyncio.create_task(bench.leader.run())
        try:
            await test(bench, running)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())


def test_the_next_batch_is_computed_while_the_last_one_commits_and_not_sent_before_it_returned() -> None:
    async def test(bench: Bench, running: "asyncio.Task[None]") -> None:
        bench.arrive("mark-prices", mark())
        await bench.until(lambda: len(bench.gate.begun) == 1)
        bench.arrive("accounts", deposit("a"))
        await bench.until(lambda: bench.replica.applied == 2)
        await asyncio.sleep(0.05)
        assert len(bench.gate.begun) == 1, "nothing of it is sent"
        assert bench.seen.batches == [], "and nobody is told"
        bench.gate.pass_on.put_nowait(None)
        await bench.until(lambda: len(bench.gate.begun) == 2)
        assert [batch.number for batch in bench.seen.batches] == [1]

    _run(test)


def test_what_arrived_while_a_batch_committed_is_one_batch() -> None:
    """In the order of the polls that found it."""

    async def test(bench: Bench, running: "asyncio.Task[None]") -> None:
        bench.arrive("mark-prices", mark())
        await bench.until(lambda: len(bench.gate.begun) == 1)
        bench.arrive("accounts", deposit("a"))
        await bench.until(lambda: bench.replica.applied == 2)
        bench.arrive("orders", buy("a", "o1"), buy("a", "o2"))
        bench.arrive("mark-prices", mark("10001"))
        await bench.until(lambda: bench.replica.applied == 5)
        for _ in range(2):
            bench.gate.pass_on.put_nowait(None)
        await bench.until(lambda: len(bench.seen.batches) == 2)
        found = [entry.at for entry in bench.gate.begun[1].entries]
        assert found == ["accounts/0/0", "mark-prices/0/1", "orders/0/0", "orders/0/1"]

    _run(test)


def test_a_commit_goes_on_while_the_next_batch_is_computed() -> None:
    """Else computing would only put off the commit that it is meant to fill the time of."""

    async def test(bench: Bench, running: "asyncio.Task[None]") -> None:
        applied: list[int] = []

        async def commit(journal_partition: int, batch: list[Outgoing], journal: bytes) -> None:
            if not applied:
                bench.arrive("accounts", *(deposit("a", transfer_id=f"t{number}") for number in range(1_000)))
            for _ in range(5):  # the requests of a commit
                await asyncio.sleep(0)
            applied.append(bench.replica.applied)

        bench.gate.commit = commit  # type: ignore[method-assign]
        bench.arrive("mark-prices", mark())
        await bench.until(lambda: len(bench.seen.batches) == 2)
        assert applied[0] < applied[1] == 1_001
        assert [batch.inputs for batch in bench.seen.batches] == [1, 1_000], "what had come is not parted"

    _run(test)


def test_a_commit_that_fails_ends_the_loop_even_while_nothing_arrives() -> None:
    async def test(bench: Bench, running: "asyncio.Task[None]") -> None:
        bench.arrive("mark-prices", mark())
        bench.gate.pass_on.put_nowait(RuntimeError("fenced"))
        await bench.until(running.done)
        with pytest.raises(RuntimeError, match="fenced"):
            running.result()
        assert bench.seen.batches == []

    _run(test)


def test_an_idle_leader_writes_heartbeats_that_hold_nothing() -> None:
    async def test(bench: Bench, running: "asyncio.Task[None]") -> None:
        for _ in range(3):
            bench.gate.pass_on.put_nowait(None)
        await bench.until(lambda: len(bench.seen.batches) == 3)
        assert all(record.header.is_heartbeat for record in bench.gate.begun)
        assert bench.replica.applied == 0

    _run(test, heartbeat=0.02)


def test_an_idle_leader_lets_time_pass() -> None:
    async def test(bench: Bench, running: "asyncio.Task[None]") -> None:
        for _ in range(2):
            bench.gate.pass_on.put_nowait(None)
        await bench.until(lambda: len(bench.seen.batches) == 2)
        assert [entry.at for record in bench.gate.begun for entry in record.entries] == ["clock", "clock"]
        assert b'"clock.tick"' in bytes(bench.gate.begun[0].entries[0].input)

    _run(test, tick=0.02)


def test_a_leader_that_is_told_to_stop_waits_for_its_last_commit() -> None:
    async def test(bench: Bench, running: "asyncio.Task[None]") -> None:
        bench.arrive("mark-prices", mark())
        await bench.until(lambda: len(bench.gate.begun) == 1)
        bench.leader.stop()
        await asyncio.sleep(0.02)
        assert not running.done()
        bench.gate.pass_on.put_nowait(None)
        await bench.until(running.done)
        running.result()
        assert [batch.number for batch in bench.seen.batches] == [1]

    _run(test)


def test_an_input_whose_fetching_ended_ends_the_loop() -> None:
    async def test(bench: Bench, running: "asyncio.Task[None]") -> None:
        def lost() -> list[Arrival]:
            raise RuntimeError("records that were not read are gone")

        bench.fetched["orders"].take = lost  # type: ignore[method-assign]
        bench.wake.set()
        await bench.until(running.done)
        with pytest.raises(RuntimeError, match="are gone"):
            running.result()

    _run(test)
