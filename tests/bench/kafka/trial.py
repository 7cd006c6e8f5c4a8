"""One service on topics of its own: what is sent to it, how far it has come, and what that took."""

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from consumers.kafka.connection import client_options
from consumers.kafka.inputs import offsets, open_consumer
from consumers.kafka.settings import TOPICS, load_settings
from consumers.service.journal import decode_header
from tests.bench.stage import VENUE_TOML

MachineName = Literal["engine", "pass-through"]

_READ: Final = ("orders", "mark-prices", "accounts")
_PATIENCE_SECONDS: Final = 300.0
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


_Batch = tuple[int, int, float]
"""When it was committed (ns), its inputs, and the seconds that its commit took."""


class Load(NamedTuple):
    """What one load came to. Times are in ms; of new orders, from the call that sends one to its answer's arrival."""

    machine: MachineName
    offered: float
    sent: float
    applied: float
    p50: float
    p95: float
    p99: float
    longest: float
    batch: float
    commit: float
    cpu: float
    """µs of the service's processor time per command, what it does while idle included."""


class Backlog(NamedTuple):
    """How fast commands that lay there when the service started were applied and committed, per second."""

    machine: MachineName
    commands: int
    applied: float
    batch: float
    commit: float
    cpu: float


class Trial:
    """A service, its topics and its files, all of its own."""

    def __init__(self, machine: MachineName, address: str, prefix: str, folder: Path) -> None:
        self._machine: MachineName = machine
        self._address = address
        self._prefix = prefix
        self._folder = folder
        folder.mkdir(parents=True)
        self._config = folder / "venue.toml"
        self._config.write_text(VENUE_TOML.read_text().replace("position_detail = true", "position_detail = false"))
        self._service = folder / "service.toml"
        self._service.write_text(
            f'[kafka]\nbootstrap = "{address}"\ntopic_prefix = "{prefix}"\n'
            f'[snapshots]\nurl = "file://{folder}/snapshots"\n'
        )
        self._sent = 0
        self._starts = 0
        asyncio.run(self._make_topics())

    def under_load(self, rates: Sequence[int], seconds: float) -> Iterator[Load]:
        """One load after another, on the same book."""
        with self._serving() as (service, batches_path):
            self._send("setup", 1_000_000, None)
            self._wait()
            done: list[tuple[int, dict[str, Any], float, float]] = []
            with self._reading() as arrivals_path:
                for rate in rates:
                    began, cpu_before = time.monotonic_ns(), _cpu_seconds(service.pid)
                    sent = self._send("commands", max(1, round(rate * seconds)), rate)
                    self._wait()
                    done.append((rate, sent, _cpu_seconds(service.pid) - cpu_before, began))
                time.sleep(1)
            arrived = orjson.loads(arrivals_path.read_bytes())
        batches = orjson.loads(batches_path.read_bytes())
        ends = [*(began for *_, began in done[1:]), float("inf")]
        for (rate, sent, cpu, began), end in zip(done, ends, strict=True):
            yield self._load(rate, sent, cpu, arrived, [each for each in batches if began <= each[0] < end])

    def over_backlog(self, commands: int) -> Backlog:
        """Commands that were sent while the service was down."""
        with self._serving():
            self._send("setup", 1_000_000, None)
            self._wait()
        self._send("commands", commands, None)
        with self._serving() as (service, batches_path):
            cpu = _cpu_seconds(service.pid)
            self._wait()
            cpu = _cpu_seconds(service.pid) - cpu
        batches = _first(commands, orjson.loads(batches_path.read_bytes()))
        seconds = (batches[-1][0] - batches[0][0]) / 1e9
        applied = sum(inputs for _, inputs, _ in batches[1:])
        return Backlog(
            self._machine,
            commands,
            applied / seconds,
            statistics.mean(inputs for _, inputs, _ in batches),
            1e3 * statistics.mean(commit for *_, commit in batches),
            1e6 * cpu / commands,
        )

    def _load(
        self, rate: int, sent: dict[str, Any], cpu: float, arrived: dict[str, int], batches: list[_Batch]
    ) -> Load:
        orders: dict[str, int] = sent["orders"]
        missing = [order for order in orders if order not in arrived]
        if missing:
            raise RuntimeError(f"{len(missing)} of {len(orders)} orders were not answered, {missing[0]} among them")
        waited = sorted((arrived[order] - at) / 1e6 for order, at in orders.items())
        batches = _first(sent["sent"], batches)
        return Load(
            self._machine,
            rate,
            sent["sent"] / ((sent["ended"] - sent["began"]) / 1e9),
            sent["sent"] / ((batches[-1][0] - sent["began"]) / 1e9),
            _quantile(waited, 0.5),
            _quantile(waited, 0.95),
            _quantile(waited, 0.99),
            waited[-1],
            sent["sent"] / len(batches),
            1e3 * statistics.mean(commit for *_, commit in batches),
            1e6 * cpu / sent["sent"],
        )

    def _send(self, part: str, count: int, rate: float | None) -> dict[str, Any]:
        out = self._folder / "sent.json"
        first = self._sent if part == "commands" else 0
        if part == "commands":
            self._sent += count
        _run(
            *("load", "--kafka", self._address, "--prefix", self._prefix, "--part", part, "--out", str(out)),
            *("--first", str(first), "--last", str(first + count)),
            *(() if rate is None else ("--rate", str(rate))),
        ).check_returncode()
        sent: dict[str, Any] = orjson.loads(out.read_bytes())
        return sent

    @contextmanager
    def _serving(self) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
        """The service runs; its batches stand in the file when it has ended."""
        self._starts += 1
        out = self._folder / f"batches-{self._starts}.json"
        log = self._folder / "service.log"
        arguments = ("--machine", self._machine, "--config", str(self._config), "--service", str(self._service))
        with _process("serve", *arguments, "--out", str(out), log=log) as service:
            _until(lambda: log.read_bytes().count(b'"leading"') == self._starts, service, log)
            yield service, out

    @contextmanager
    def _reading(self) -> Iterator[Path]:
        """The reader runs; what arrived stands in the file when it has ended."""
        out, ready, log = (self._folder / name for name in ("arrived.json", "ready", "reader.log"))
        with _process(
            *("reader", "--kafka", self._address, "--prefix", self._prefix, "--ready", str(ready), "--out", str(out)),
            log=log,
        ) as reader:
            _until(ready.exists, reader, log)
            yield out

    def _wait(self) -> None:
        """Until all that was sent is in the journal."""
        asyncio.run(asyncio.wait_for(self._come_to_rest(), _PATIENCE_SECONDS))

    async def _come_to_rest(self) -> None:
        consumer = open_consumer(client_options(load_settings(self._service)))
        await consumer.start()
        try:
            ends = {f"{topic}/0": (await offsets(consumer, self._partition(topic)))[1] for topic in _READ}
            journal = self._partition("journal")
            consumer.assign([journal])
            while not _reached(await self._positions(consumer, journal), ends):
                await asyncio.sleep(0.2)
        finally:
            await consumer.stop()

    async def _positions(self, consumer: AIOKafkaConsumer, journal: TopicPartition) -> dict[str, int]:
        """Those of the last journal record; heartbeats see to it that there is one among the last few offsets."""
        first, end = await offsets(consumer, journal)
        consumer.seek(journal, max(first, end - 3))
        records = (await consumer.getmany(timeout_ms=1_000)).get(journal)
        if not records or records[-1].value is None:
            return {}
        return decode_header(records[-1].value.partition(b"\n")[0], "journal").next

    def _partition(self, topic: str) -> TopicPartition:
        return TopicPartition(self._prefix + topic, 0)

    async def _make_topics(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._address)
        await admin.start()
        configs = {"message.timestamp.type": "LogAppendTime"}
        topics = [
            NewTopic(self._prefix + name, num_partitions=2, replication_factor=1, topic_configs=configs)
            for name in TOPICS
        ]
        answer = await admin.create_topics(topics)
        await admin.close()
        failed = [error for error in answer.topic_errors if error[1]]
        if failed:
            raise RuntimeError(f"topics could not be made: {failed}")


def _arguments(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"tests.bench.kafka.{module}", *arguments]


def _run(module: str, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(_arguments(module, *arguments), check=False)


@contextmanager
def _process(module: str, *arguments: str, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is asked to end with the block. Raises RuntimeError where it ends with anything but 0."""
    with log.open("ab") as said:
        process = subprocess.Popen(
            _arguments(module, *arguments), stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
        )
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        if process.wait(60):
            raise RuntimeError(f"{module} ended with {process.returncode}:\n{log.read_text(errors='replace')[-2_000:]}")
    finally:
        process.kill()
        process.wait()


def _until(condition: Any, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"it did not start:\n{log.read_text(errors='replace')[-2_000:]}")
        time.sleep(0.02)


def _cpu_seconds(pid: int) -> float:
    """Processor time that a process has used, in seconds, to the hundredth."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _first(commands: int, batches: Sequence[_Batch]) -> list[_Batch]:
    """The batches up to the last of so many commands: what follows are ticks of a clock that nobody disturbs."""
    taken = []
    for batch in batches:
        if commands <= 0:
            break
        taken.append(batch)
        commands -= batch[1]
    return taken


def _reached(positions: dict[str, int], ends: dict[str, int]) -> bool:
    return all(positions.get(name, 0) >= end for name, end in ends.items())


def _quantile(ascending: Sequence[float], part: float) -> float:
    return ascending[min(len(ascending) - 1, int(part * len(ascending)))]
