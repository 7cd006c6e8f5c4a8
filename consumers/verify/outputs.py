"""The recorded events of a stream against those that its journal causes when it is replayed: these, and no others."""

from collections import Counter
from typing import Final

import msgspec
from msgspec import Struct

from consumers.service.dead_letter import Arrival
from consumers.service.publication import Outgoing
from consumers.service.stream import Stream
from consumers.verify.evidence import Tape, Tapes
from consumers.verify.verdict import Findings
from schemas.envelope import Event
from schemas.events import EVENT_TYPES

EVENT_TOPICS: Final = sorted({kind.topic for kind in EVENT_TYPES})


class _Number(Struct):
    stream: str
    seq: int


_number_decoder: Final = msgspec.json.Decoder(_Number)


class RecordedEvents:
    """The partitions that only this stream writes to; None: there are files only.

    Also checks the numbers of the events against each other.
    """

    def __init__(self, stream: Stream, tapes: Tapes | None, findings: Findings) -> None:
        self._stream = stream
        self._tapes = tapes
        self._findings = findings
        self._seq = 0
        self._last_on: dict[str, int] = {}
        self.matched: Counter[tuple[str, int]] = Counter()
        self.unverifiable = 0

    async def compare(self, event: Event, outgoing: Outgoing) -> None:
        """Compare an event that the replay published with the next record of its partition."""
        self._check_numbers(event)
        place = (outgoing.topic, outgoing.partition)
        if self._tapes is None:
            return  # files only: there is nothing to compare with
        tape = await self._tapes.get(*place)
        while True:
            got = await tape.peek()
            if got is None:
                if tape.first and not tape.has_given:
                    self.unverifiable += 1  # all there was is deleted
                else:
                    self._findings.add("events", tape.name, outgoing.value, "no record")
                return
            if got.value == outgoing.value:
                tape.take()
                self.matched[place] += 1
                self._compare_rest(outgoing, got)
                return
            number = _number(got)
            if number is None or number.stream != event.stream or number.seq < event.seq:
                tape.take()
                self._findings.add("events", got.place, outgoing.value, got.value)
                continue
            if number.seq > event.seq:
                if tape.first and not tape.has_given:
                    self.unverifiable += 1  # deleted, and what came after it is not
                else:
                    self._findings.add("events", got.place, outgoing.value, f"what comes after it: {got.value!r}")
                return
            tape.take()
            self._findings.add("events", got.place, outgoing.value, got.value)
            return

    async def is_behind(self) -> bool:
        """Whether there are records that the replay has not come to."""
        for tape in await self._own():
            if await tape.peek() is not None:
                return True
        return False

    async def finish(self) -> None:
        """There is no more in the journal: nor may there be in the topics."""
        for tape in await self._own():
            left = await tape.peek()
            if left is not None:
                self._findings.add("events", left.place, "no record: the journal causes no more", left.value)

    async def _own(self) -> list[Tape]:
        """All partitions of event topics that belong to the stream, also those that it should never write to."""
        if self._tapes is None:
            return []
        stream = self._stream
        read = {(source.topic, source.partition) for source in stream.inputs}
        own = {(topic, stream.partition) for topic in EVENT_TOPICS} - read
        answered = {("decisions", source.partition) for source in stream.inputs if source.source == "claims"}
        return [await self._tapes.get(*place) for place in sorted(own | answered)]

    def _compare_rest(self, outgoing: Outgoing, got: Arrival) -> None:
        if (got.key or b"") != outgoing.key:
            self._findings.add("events", f"{got.place}, key", outgoing.key, got.key)
        if tuple(got.headers) != tuple(outgoing.headers):
            self._findings.add("events", f"{got.place}, headers", list(outgoing.headers), list(got.headers))

    def _check_numbers(self, event: Event) -> None:
        place = f"event {event.seq} on {event.topic}"
        if event.stream != self._stream.name or event.seq != self._seq + 1:
            self._findings.add("sequence", place, f"seq {self._seq + 1}", f"seq {event.seq} of {event.stream}")
        if event.prev != self._last_on.get(event.topic, 0):
            self._findings.add("sequence", place, f"prev {self._last_on.get(event.topic, 0)}", f"prev {event.prev}")
        self._seq = self._last_on[event.topic] = event.seq


def _number(record: Arrival) -> _Number | None:
    try:
        return _number_decoder.decode(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
