"""A venue over a log in memory: the real sequencers and machines, and topics that are lists of what was committed.

It leaves behind what a run over Kafka leaves: input topics, events, dead letters and journals, with offsets that
transaction markers take, too.
"""

import random
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import orjson

from consumers.service.dead_letter import Arrival
from consumers.service.journal import Header, decode_record
from consumers.service.publication import Outgoing, Publisher
from consumers.service.replica import Replica
from consumers.service.sequencing import Batch, Sequencer
from consumers.service.stream import open_stream, stream_names
from schemas.config import parse_config
from schemas.wire import decode_command
from tests.engine.histories import SECOND
from tests.engine.test_delayed_settlement import VENUES, commands

CODE = "1.2.3"
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
AHEAD_MAX = 5 * SECOND
START_MS = 1_700_000_000_000

Place = tuple[str, int]


class Write(NamedTuple):
    """What was written at once, as a transaction or one by one."""

    is_transaction: bool
    records: list[Arrival]


def two_shards(settings: str) -> str:
    """A venue of two shards and one settlement (partitions 0, 1 and 2) from those of the tests of late answers."""
    numbered = VENUES[settings].replace("[assets.USDT]\n", "[assets.USDT]\npartition = 2\n")
    return numbered.replace('[shards.more]\nasset = "USDT"\n', '[shards.more]\nasset = "USDT"\npartition = 1\n')


class VenueLog:
    """The topics of a venue, and one leading instance per stream."""

    def __init__(self, toml: str, rng: random.Random) -> None:
        self.toml = toml
        self.config = parse_config(toml)
        self._rng = rng
        self._offsets: dict[Place, int] = {}
        self._now = START_MS
        self.topics: dict[Place, list[Arrival]] = {}
        self.writes: list[Write] = []
        self.published: dict[str, list[Outgoing]] = {}
        self.streams = {name: open_stream(self.config, name) for name in stream_names(self.config)}
        self.replicas: dict[str, Replica] = {}
        self._sequencers: dict[str, Sequencer] = {}
        for name, stream in self.streams.items():
            replica = Replica(stream, Publisher(name, stream.partition_of, "type"), CODE)
            header = Header(stream=name, first=0, last=0, chain="", config=stream.config_hash, code=CODE, epoch=1)
            self.replicas[name] = replica
            self.published[name] = []
            self._sequencers[name] = Sequencer(replica, header, ahead_max=AHEAD_MAX, quarantined=frozenset())
            self._commit(name, self._sequencers[name].genesis(toml))

    def send(self, topic: str, partition: int, value: bytes, headers: Iterable[tuple[str, bytes]] = ()) -> None:
        """What a producer outside writes."""
        record = self._append(Outgoing(topic, partition, b"", value, tuple(headers)))
        self.writes.append(Write(False, [record]))

    def command(self, machine: str, command: dict[str, Any]) -> None:
        """A command, on the topic and partition where it belongs; some carry a trace context."""
        self._now = max(self._now, command["ts"] // 1_000)
        stream = self.streams["settlement:USDT" if machine == "settlement" else f"engine:{machine}"]
        record = orjson.dumps(command)
        topic = decode_command(record).topic
        self.send(topic, stream.partition, record, [("traceparent", TRACE)] if self._rng.random() < 0.3 else [])

    def turn(self, name: str) -> bool:
        """Have a stream take a random part of what waits for it, as a batch; whether there was anything."""
        sequencer, replica = self._sequencers[name], self.replicas[name]
        polled = []
        for source in self.streams[name].inputs:
            place = (source.topic, source.partition)
            waiting = [each for each in self.topics.get(place, ()) if each.offset >= replica.next.get(source.name, 0)]
            polled.append((source, waiting[: self._rng.randint(0, len(waiting))]))
        if not any(arrivals for _, arrivals in polled):
            return False
        sequencer.add(polled)
        while sequencer.has_more:
            self._commit(name, sequencer.batch())
        return True

    def idle(self, name: str) -> None:
        """Have a stream write a heartbeat or let time pass."""
        sequencer = self._sequencers[name]
        batch = sequencer.heartbeat() if self._rng.random() < 0.5 else sequencer.tick(self._now * 1_000)
        self._commit(name, batch)

    def settle(self) -> None:
        """Let all streams take all that waits for them, and what comes of it."""
        while any(not self._has_taken_all(name) for name in self.streams):
            for name in self.streams:
                self.turn(name)

    def _has_taken_all(self, name: str) -> bool:
        nexts = self.replicas[name].next
        return all(
            arrivals[-1].offset < nexts.get(source.name, 0)
            for source in self.streams[name].inputs
            if (arrivals := self.topics.get((source.topic, source.partition)))
        )

    def journal(self, name: str) -> bytes:
        """The journal of a stream as a file: its records, heartbeats left out."""
        place = ("journal", self.streams[name].partition)
        values = [arrival.value or b"" for arrival in self.topics[place]]
        return b"".join(value for value in values if not decode_record(value, name).header.is_heartbeat)

    def _commit(self, name: str, batch: Batch) -> None:
        self.published[name] += batch.published
        journal = Outgoing("journal", self.streams[name].partition, b"", batch.journal, ())
        records = [*batch.published, *batch.dead_letters, journal]
        self.writes.append(Write(True, [self._append(record) for record in records]))
        for place in {(record.topic, record.partition) for record in records}:
            self._offsets[place] += 1  # the marker of the transaction

    def _append(self, record: Outgoing) -> Arrival:
        place = (record.topic, record.partition)
        offset = self._offsets.get(place, 0)
        self._offsets[place] = offset + 1
        arrival = Arrival(*place, offset, self._now, record.key or None, record.value, tuple(record.headers))
        self.topics.setdefault(place, []).append(arrival)
        return arrival


def _rubbish(rng: random.Random, now_us: int) -> tuple[str, int, bytes]:
    """A record of an outside topic that is no command, each in its own way."""
    ahead = {"type": "clock.tick", "ts": now_us + 2 * AHEAD_MAX}
    return rng.choice(
        [
            ("orders", 0, b"{"),
            ("orders", 1, b""),
            ("mark-prices", 0, b'{"type":"clock.tock","ts":1}'),
            ("accounts", 1, b"\xff\x00"),
            ("fund-admin", 2, orjson.dumps({"type": "price.mark", "market": "BTC-USDT", "price": "1", "ts": 1})),
            ("admin", 0, orjson.dumps(ahead)),
        ]
    )


def record_history(seed: int, settings: str, length: int, *, settled: bool = False, turns: float = 0.2) -> VenueLog:
    """A random history of a venue, its inputs taken in random batches. `settled`: until nothing is under way.

    `turns` is how often a stream takes what waits for it, per command.
    """
    rng = random.Random(seed)
    log = VenueLog(two_shards(settings), rng)
    names = list(log.streams)
    for machine, command in _sent(rng, length):
        log.command(machine, command)
        if rng.random() < 0.03:
            log.send(*_rubbish(rng, command["ts"]))
        if rng.random() < turns:
            log.turn(rng.choice(names))
        if rng.random() < turns / 4:
            log.idle(rng.choice(names))
    if settled:
        log.settle()
    return log


def _sent(rng: random.Random, length: int) -> Iterator[tuple[str, dict[str, Any]]]:
    return islice(commands(rng), length)
