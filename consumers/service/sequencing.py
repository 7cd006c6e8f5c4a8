"""From what was polled to a batch: one order, numbers, events, and the journal record that lets it be done again.

The order is by rank of the input, then by offset. It is decided here, once, and written into the journal; nothing else
orders records of different partitions. A record that is no command becomes a dead letter and gets no number.
"""

import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from consumers.service.dead_letter import Arrival, dead_letter
from consumers.service.journal import RECORD_BYTES_MAX, Header, encode_entry, encode_record
from consumers.service.publication import Outgoing
from consumers.service.replica import Replica
from consumers.service.stream import Input, Message
from engine.sequence import BrokenStream
from schemas.claims import Claim, Decision
from schemas.commands import ClockTick
from schemas.envelope import Event
from schemas.wire import EVENTS_BY_TYPE, WireError, decode_command, decode_event

EVENT_BYTES_MAX: Final = 4 * 1024 * 1024
"""A batch ends when its events are as long as that, so that it commits soon. Those of one command are never parted."""

# What a header and the line ends of a journal record take at most: one position and fingerprint per input.
_HEADER_BYTES: Final = 64 * 1024

_REJECTED: Final = frozenset(event for name, event in EVENTS_BY_TYPE.items() if name.endswith(".rejected"))
_NONE: Final[Mapping[str, int]] = MappingProxyType({})

_TRACE: Final = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Poisoned(RuntimeError):
    """An input that the state machine could not digest. The state is in doubt; the process must end."""

    def __init__(self, arrival: Arrival, error: Exception) -> None:
        super().__init__(f"{arrival.place}: {type(error).__name__} while this record was applied: {error}")
        self.arrival = arrival


class Batch(NamedTuple):
    """What one transaction writes. `published` are events in their order; `number` is that of its last input.

    `read` counts records by input, dead letters and ignored ones included; `rejects` counts `*.rejected` by code.
    """

    number: int
    published: list[Outgoing]
    dead_letters: list[Outgoing]
    journal: bytes
    inputs: int
    ignored: int
    read: Mapping[str, int]
    rejects: Mapping[str, int]


class Sequencer:
    """Applies what was polled, batch by batch.

    `ahead_max` is by how much, in µs, the `ts` of a command may be ahead of when the broker appended it: event time
    never goes back, so one command from the year 2099 would stop the clock. `quarantined` are places (topic,
    partition, offset) whose records are dead letters without being looked at.
    """

    def __init__(self, replica: Replica, header: Header, *, ahead_max: int, quarantined: frozenset[str]) -> None:
        self._replica = replica
        self._header = header
        self._ahead_max = ahead_max
        self._quarantined = quarantined
        self._queue: deque[tuple[Input, Arrival]] = deque()
        self._rejects: Counter[str] = Counter()

    @property
    def has_more(self) -> bool:
        """Whether records wait that an earlier batch had no room for."""
        return bool(self._queue)

    def add(self, polled: Iterable[tuple[Input, Iterable[Arrival]]]) -> None:
        """Queue what was polled, by rank of the input."""
        for source, arrivals in polled:
            self._queue.extend((source, arrival) for arrival in arrivals)

    def genesis(self, config: str) -> Batch:
        """The first batch of a journal: what is published before the first input, and the config it all begins with."""
        published = self._replica.begin()
        return self._seal([], published, [], genesis=config)

    def batch(self) -> Batch:
        """Apply queued records until the batch is full or the queue is empty. Raises Poisoned and BrokenStream."""
        entries: list[bytes] = []
        published: list[Outgoing] = []
        letters: list[Outgoing] = []
        room = RECORD_BYTES_MAX - _HEADER_BYTES
        event_bytes = ignored = 0
        last: dict[str, Arrival] = {}
        read: Counter[str] = Counter()
        while self._queue and event_bytes < EVENT_BYTES_MAX:
            source, arrival = self._queue[0]
            decoded = self._decode(source, arrival)
            if isinstance(decoded, Outgoing):
                room -= 1024
                event_bytes += len(decoded.value)
                letters.append(decoded)
            elif decoded is not None:
                trace = _trace(arrival)
                entry = encode_entry(arrival.place, decoded, trace)
                room -= len(entry) + 1
                if room < 0 and entries:
                    break
                records = self._apply(arrival, decoded, trace)
                if records is None:
                    ignored += 1
                else:
                    entries.append(entry)
                    published += records
                    event_bytes += sum(len(record.value) for record in records)
            self._queue.popleft()
            last[source.name] = arrival
            read[source.name] += 1
            if room < 0:
                break
        for name, arrival in last.items():
            self._replica.next[name] = arrival.offset + 1
            self._replica.seen[name] = (arrival.offset, fingerprint(arrival))
        return self._seal(entries, published, letters, ignored=ignored, read=read)

    def tick(self, now: int) -> Batch:
        """A batch in which nothing happens but that time, in µs, passes."""
        tick = ClockTick(ts=now)
        published = self._publish(self._replica.apply(tick) or [], None)
        return self._seal([encode_entry("clock", tick, None)], published, [])

    def heartbeat(self) -> Batch:
        """A batch that says that this instance is alive."""
        return self._seal([], [], [])

    def _seal(
        self,
        entries: list[bytes],
        published: list[Outgoing],
        letters: list[Outgoing],
        *,
        ignored: int = 0,
        read: Mapping[str, int] = _NONE,
        genesis: str | None = None,
    ) -> Batch:
        replica = self._replica
        if published:
            replica.extend_chain(published)
        number = replica.applied
        header = msgspec.structs.replace(
            self._header,
            first=number - len(entries) + 1,
            last=number,
            chain=replica.chain.hex(),
            config=replica.stream.config_hash,
            next=replica.next,
            seen=replica.seen,
            genesis=genesis,
        )
        rejects, self._rejects = self._rejects, Counter()
        record = encode_record(header, entries)
        return Batch(number, published, letters, record, len(entries), ignored, read, rejects)

    def _decode(self, source: Input, arrival: Arrival) -> Message | Outgoing | None:
        """What a record says: an input, a dead letter, or nothing that concerns this stream."""
        if source.source != "outside":
            return self._decode_own(source, arrival)
        if arrival.place in self._quarantined:
            return self._bury(arrival, "quarantined", "set aside by --quarantine")
        try:
            command = decode_command(arrival.value or b"")
        except WireError as error:
            return self._bury(arrival, error.code, error.reason)
        if command.topic != source.topic and not isinstance(command, ClockTick):
            kind = str(type(command).__struct_config__.tag)
            return self._bury(arrival, "wrong_topic", f"type: {kind} belongs on {command.topic}, not on {source.topic}")
        ahead = command.ts - arrival.timestamp * 1_000
        if ahead > self._ahead_max:
            reason = f"ts: {command.ts} is {ahead} µs ahead of when it was appended; expected at most {self._ahead_max}"
            return self._bury(arrival, "ts_ahead", reason)
        return command

    def _decode_own(self, source: Input, arrival: Arrival) -> Message | None:
        """A record of the other service. One that cannot be read means that something is missing."""
        try:
            event = decode_event(arrival.value or b"")
        except WireError as error:
            raise BrokenStream(f"{arrival.place}: not what {source.source} look like: {error.reason}") from None
        return event if isinstance(event, Claim if source.source == "claims" else Decision) else None

    def _apply(self, arrival: Arrival, message: Message, trace: str | None) -> list[Outgoing] | None:
        try:
            events = self._replica.apply(message)
        except Exception as error:
            raise Poisoned(arrival, error) from error
        return None if events is None else self._publish(events, trace)

    def _publish(self, events: list[Event], trace: str | None) -> list[Outgoing]:
        for event in events:
            if type(event) in _REJECTED:
                self._rejects[event.code] += 1  # type: ignore[attr-defined]  # each of them has one
        return self._replica.publish(events, trace)

    def _bury(self, arrival: Arrival, code: str, reason: str) -> Outgoing:
        stream = self._replica.stream
        return dead_letter(arrival, stream.name, stream.partition, code, reason)


def fingerprint(arrival: Arrival) -> str:
    """What tells a record from another that has its offset on a topic that was deleted and made again."""
    digest = blake2b(digest_size=8)
    for part in (str(arrival.timestamp).encode(), arrival.key or b"", arrival.value or b""):
        digest.update(len(part).to_bytes(4) + part)
    return digest.hexdigest()


def _trace(arrival: Arrival) -> str | None:
    """The W3C trace context of a record, if it has a valid one."""
    for name, value in arrival.headers:
        if name == "traceparent" and _TRACE.fullmatch(value):
            return value.decode()
    return None
