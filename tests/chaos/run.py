"""One campaign: load, blows at random moments, and then the question whether anything was lost or done twice."""

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiokafka import TopicPartition

from consumers.kafka.connection import client_options
from consumers.kafka.inputs import offsets, open_consumer
from consumers.kafka.journal_reader import JournalReader
from consumers.kafka.settings import load_settings
from consumers.service.stream import Stream, open_stream
from schemas.config import load_config
from schemas.partitions import stream_partitions
from tests.chaos.fleet import Fleet
from tests.chaos.load import Load, generate
from tests.kafka.broker import Broker

CONFIG: Final = Path(__file__).parent / "venue.toml"
STREAMS: Final = ("engine:one", "engine:two", "settlement:USDT")
PREFIX: Final = "chaos."

_SETTLE_SECONDS: Final = 90.0


@dataclass(frozen=True)
class Plan:
    """How many blows of each kind, and the load in records per second."""

    kills: int
    broker_kills: int
    zombies: int
    rate: float
    seed: int

    @property
    def seconds(self) -> float:
        """How long the blows will take, roughly."""
        return 3.5 * self.kills + 12 * self.broker_kills + 9 * self.zombies


@dataclass
class Outcome:
    """What was done and what was seen."""

    kills: dict[str, int] = field(default_factory=dict)
    broker_kills: int = 0
    zombies: int = 0
    takeover_seconds: list[float] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    rubbish: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    verdict: dict[str, Any] = field(default_factory=dict)


class Campaign:
    """Runs a plan on a broker of its own, which runs, in a folder of its own."""

    def __init__(self, plan: Plan, broker: Broker, folder: Path, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._folder = folder
        self._say = say
        self._random = random.Random(plan.seed)
        self._outcome = Outcome()
        self._service = folder / "service.toml"
        self._broker = broker
        self._fleet = Fleet(list(STREAMS), CONFIG, self._service, folder)

    async def run(self) -> Outcome:
        """All of it. What goes wrong stands in `failures`."""
        began = time.monotonic()
        try:
            self._service.write_text(
                f'[kafka]\nbootstrap = "{self._broker.address}"\ntopic_prefix = "{PREFIX}"\n'
                f'[snapshots]\nurl = "file://{self._folder}/snapshots"\nevery = "10s"\n'
                "[topics]\nreplication = 1\nmin_insync = 1\n"
            )
            await asyncio.to_thread(self._backstop, "topics", "--config", str(CONFIG), "--service", str(self._service))
            load = await asyncio.to_thread(self._make_load)
            self._fleet.start()
            await self._all_lead()
            sending = asyncio.create_task(load.run(self._broker.address))
            try:
                await self._strike()
                load.is_over = True
                await asyncio.wait_for(sending, 120)
            finally:
                sending.cancel()
                self._outcome.sent, self._outcome.rubbish = load.sent, load.rubbish
            await self._come_to_rest()
            self._fleet.stop()
            self._verify()
        finally:
            self._fleet.stop()
        for instance in self._fleet.instances:
            for code in instance.ends:
                self._outcome.ends[str(code)] = self._outcome.ends.get(str(code), 0) + 1
        self._outcome.failures += self._fleet.unexpected
        self._outcome.seconds = time.monotonic() - began
        return self._outcome

    def _make_load(self) -> Load:
        logs, partitions = {}, stream_partitions(load_config(CONFIG))
        flows = (("BTC-USDT", "one", "cascade"), ("ETH-USDT", "two", "flash-crash"))
        for number, (market, shard, scenario) in enumerate(flows):
            path = self._folder / f"{market}.jsonl"
            commands = int(self._plan.seconds * self._plan.rate / 2)
            generate(CONFIG, market, scenario, self._plan.seed + number, commands, path)
            logs[path] = partitions[f"engine:{shard}"]
        return Load(logs, "shared", partitions["settlement:USDT"], PREFIX, self._plan.rate)

    async def _strike(self) -> None:
        """Blow after blow in random order, with moments of peace between."""
        plan = self._plan
        blows = ["kill"] * plan.kills + ["broker"] * plan.broker_kills + ["zombie"] * plan.zombies
        self._random.shuffle(blows)
        for number, blow in enumerate(blows, 1):
            await self._watch(self._random.uniform(0.3, 5.0))
            if self._fleet.unexpected:
                return
            self._say(f"blow {number} of {len(blows)}: {blow}")
            await {"kill": self._kill, "broker": self._kill_broker, "zombie": self._raise_zombie}[blow]()
        await self._watch(3.0)

    async def _kill(self) -> None:
        """Kill an instance, a leader three times out of four."""
        stream = self._random.choice(STREAMS)
        leader = self._fleet.leader(stream)
        either = self._random.choice(self._fleet.of(stream))
        victim = leader if leader is not None and self._random.random() < 0.75 else either
        was_leading = victim is leader
        others = [each for each in self._fleet.of(stream) if each is not victim]
        can_measure = was_leading and all(each.follows and not each.is_paused for each in others)
        victim.signal(signal.SIGKILL)
        at = time.monotonic()
        role = f"{stream.partition(':')[0]} {'leader' if was_leading else 'other'}"
        self._outcome.kills[role] = self._outcome.kills.get(role, 0) + 1
        if can_measure and await self._until(lambda: self._fleet.leader(stream) in others, 20):
            self._outcome.takeover_seconds.append(time.monotonic() - at)

    async def _kill_broker(self) -> None:
        await asyncio.to_thread(self._broker.kill)
        self._outcome.broker_kills += 1
        await self._watch(self._random.uniform(0.5, 4.0))
        await asyncio.to_thread(self._broker.start)
        await self._watch(4.0)

    async def _raise_zombie(self) -> None:
        """Stop a leader in the middle of whatever it does, and let it go on when it has a successor."""
        stream = self._random.choice(STREAMS)
        if not await self._until(lambda: self._fleet.leader(stream) is not None, 20):
            self._outcome.failures.append(f"nobody leads {stream} after 20 s")
            return
        victim = self._fleet.leader(stream)
        assert victim is not None
        victim.signal(signal.SIGSTOP)
        if not await self._until(lambda: self._fleet.leader(stream) not in (None, victim), 30):
            self._outcome.failures.append(f"{victim.name} was stopped and nobody took over within 30 s")
        await self._watch(1.0)
        ended = len(victim.ends)
        victim.signal(signal.SIGCONT)
        if await self._until(lambda: len(victim.ends) > ended, 20):
            self._outcome.zombies += 1
            if victim.ends[-1] != 75:
                self._outcome.failures.append(f"{victim.name} came back as a zombie and ended with {victim.ends[-1]}")
        else:
            self._outcome.failures.append(f"{victim.name} came back as a zombie and did not end within 20 s")

    async def _all_lead(self) -> None:
        if not await self._until(lambda: all(self._fleet.leader(stream) for stream in STREAMS), 60):
            raise RuntimeError("\n".join(["not every stream has a leader after 60 s", *self._fleet.unexpected]))

    async def _watch(self, seconds: float) -> None:
        await self._until(lambda: False, seconds)

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Supervise until something is so; whether it came to be within so many seconds."""
        end = time.monotonic() + seconds
        while not condition():
            if self._fleet.unexpected:
                return False
            if time.monotonic() >= end:
                return False
            self._fleet.supervise()
            await asyncio.sleep(0.02)
        return True

    async def _come_to_rest(self) -> None:
        """Wait until everything sent is in the journals and nothing but time passes any more."""
        settings = load_settings(self._service)
        options = client_options(settings)
        venue = load_config(CONFIG)
        streams = [open_stream(venue, name) for name in STREAMS]
        end = time.monotonic() + _SETTLE_SECONDS
        for stream in streams:
            while (left := await _unread(options, stream)) and time.monotonic() < end:
                await self._watch(0.5)
            if left:
                self._outcome.failures.append(f"{stream.name} has not read {left} after {_SETTLE_SECONDS:g} s")
        while time.monotonic() < end and not await self._is_quiet(options, streams):
            pass

    async def _is_quiet(self, options: dict[str, Any], streams: list[Stream]) -> bool:
        """Whether for three seconds no journal took anything but ticks and heartbeats."""
        readers = [JournalReader(options, PREFIX, stream.partition) for stream in streams]
        for reader in readers:
            await reader.start()
            await reader.seek_to_end()
        await self._watch(3.0)
        busy = False
        for reader in readers:
            for record in await reader.poll():
                busy |= any(entry.at != "clock" for entry in record.record.entries)
            await reader.stop()
        return not busy

    def _verify(self) -> None:
        """Have the journals replayed and compared with all that was published."""
        found = subprocess.run(
            [
                *(sys.executable, "-m", "consumers.cli", "verify", "--config", str(CONFIG)),
                *("--service", str(self._service), "--json"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if found.returncode != 0:
            self._outcome.failures.append(f"verify ended with {found.returncode}: {found.stdout}{found.stderr}")
        if found.stdout.startswith("{"):
            self._outcome.verdict = json.loads(found.stdout)

    def _backstop(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "consumers.cli", *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"backstop {arguments[0]} ended with {done.returncode}: {done.stderr}")


async def _unread(options: dict[str, Any], stream: Stream) -> dict[str, int]:
    """What outside topics hold beyond the journal's positions, by input."""
    reader = JournalReader(options, PREFIX, stream.partition)
    await reader.start()
    positions: dict[str, int] = {}
    async for record in reader.to_end():
        positions = record.record.header.next
    await reader.stop()
    consumer = open_consumer(options)
    await consumer.start()
    left = {}
    try:
        for source in stream.inputs:
            if source.source == "outside":
                _, end = await offsets(consumer, TopicPartition(PREFIX + source.topic, source.partition))
                if end > positions.get(source.name, 0):
                    left[source.name] = end - positions.get(source.name, 0)
    finally:
        await consumer.stop()
    return left
