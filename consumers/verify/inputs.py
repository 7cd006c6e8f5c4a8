"""Every record that a stream has read is accounted for once: journalled, a dead letter, or none of its business."""

from collections import deque
from typing import Final

from consumers.service.dead_letter import TOPIC as DEAD_LETTERS
from consumers.service.dead_letter import Arrival, dead_letter
from consumers.service.journal import Entry, Record
from consumers.service.sequencing import fingerprint, trace_of
from consumers.service.stream import Input, Stream
from consumers.verify.evidence import Tape, Tapes
from consumers.verify.verdict import Findings
from schemas.claims import Claim, Decision
from schemas.wire import WireError, decode_command, decode_event, encode

CLOCK: Final = "clock"
"""The place of an input that came from no topic: a tick of an idle service."""


class ReadInputs:
    """The inputs of a stream and its dead letters, walked through batch by batch as its journal says it read them."""

    def __init__(self, stream: Stream, tapes: Tapes, letters: Tape, findings: Findings) -> None:
        self._stream = stream
        self._tapes = tapes
        self._letters = letters
        self._findings = findings
        self._next: dict[str, int] = {}
        self.dead_letters = 0
        self.passed_over = 0
        self.unverifiable = 0

    async def account(self, record: Record, where: str) -> None:
        """Compare what a batch says it has read with what is in the topics from its beginning to its end."""
        entries: dict[str, deque[Entry]] = {}
        for entry in record.entries:
            entries.setdefault(entry.at.rpartition("/")[0] or entry.at, deque()).append(entry)
        entries.pop(CLOCK, None)
        for source in self._stream.inputs:
            old, new = self._next.get(source.name, 0), record.header.next.get(source.name, 0)
            if new < old:
                self._findings.add("inputs", f"{where}, next of {source.name}", f"at least {old}", new)
            elif new > old:
                seen = record.header.seen.get(source.name)
                await self._walk(source, new, entries.get(source.name, deque()), seen, where)
                self._next[source.name] = new
        for left in entries.values():
            for entry in left:
                expected = "inputs among the records that it read, each once and in their order"
                self._findings.add("inputs", where, expected, f"{entry.at}: {bytes(entry.input)!r}")

    async def is_behind(self) -> bool:
        """Whether there are dead letters of records that the journal has not come to."""
        return await self._letters.peek() is not None

    async def finish(self) -> None:
        """There is no more in the journal: nor may there be dead letters."""
        left = await self._letters.peek()
        if left is not None:
            expected = "no dead letter but those of records that were read and not journalled"
            self._findings.add("inputs", left.place, expected, f"that of {_place_of(left)}")

    async def _walk(
        self, source: Input, end: int, entries: deque[Entry], seen: tuple[int, str] | None, where: str
    ) -> None:
        """All records of an input from where the last batch ended."""
        tape = await self._tapes.get(source.topic, source.partition)
        await self._skip_deleted(source, tape, entries)
        if end <= tape.first:
            return
        last: Arrival | None = None
        while last is None or last.offset < end - 1:
            arrival = await tape.peek()
            if arrival is None or arrival.offset >= end:
                break
            tape.take()
            last = arrival
            if entries and entries[0].at == arrival.place:
                self._compare(source, arrival, entries.popleft())
            elif not await self._is_dead_letter(arrival) and not self._is_passed_over(source, arrival):
                if self._letters.first and not self._letters.has_given:
                    self.unverifiable += 1  # its dead letter may have been deleted
                    continue
                self._findings.add("inputs", arrival.place, "it journalled, or a dead letter of it", "neither")
        read_last = None if last is None else (last.offset, fingerprint(last))
        if seen is None or tuple(seen) != read_last or seen[0] != end - 1:
            self._findings.add("inputs", f"{where}, last of {source.name} up to {end}", seen, read_last)

    async def _skip_deleted(self, source: Input, tape: Tape, entries: deque[Entry]) -> None:
        """Leave out what is about records that are not there any more."""
        while entries and int(entries[0].at.rpartition("/")[2]) < tape.first:
            entries.popleft()
            self.unverifiable += 1
        while tape.first and (letter := await self._letters.peek()) is not None:
            name, _, offset = _place_of(letter).rpartition("/")
            if name != source.name or int(offset) >= tape.first:
                break
            self._letters.take()
            self.dead_letters += 1
            self.unverifiable += 1

    def _compare(self, source: Input, arrival: Arrival, entry: Entry) -> None:
        decode = decode_command if source.source == "outside" else decode_event
        try:
            expected = encode(decode(arrival.value or b""))
        except WireError as error:
            self._findings.add("inputs", arrival.place, f"no input, as it is no message: {error.reason}", "an input")
            return
        if bytes(entry.input) != expected:
            self._findings.add("inputs", f"{arrival.place} in the journal", expected, bytes(entry.input))
        if entry.trace != trace_of(arrival):
            self._findings.add("inputs", f"{arrival.place}, trace in the journal", trace_of(arrival), entry.trace)

    async def _is_dead_letter(self, arrival: Arrival) -> bool:
        letter = await self._letters.peek()
        if letter is None or _place_of(letter) != arrival.place:
            return False
        self._letters.take()
        self.dead_letters += 1
        said = dict(letter.headers)
        stream = self._stream
        code, reason = (said.get(name, b"").decode(errors="replace") for name in ("code", "reason"))
        expected = dead_letter(arrival, stream.name, stream.partition, code, reason)
        if (letter.key or b"", letter.value or b"") != (expected.key, expected.value):
            self._findings.add("inputs", letter.place, expected.value, letter.value)
        if not code or tuple(letter.headers) != tuple(expected.headers):
            self._findings.add("inputs", f"{letter.place}, headers", expected.headers, list(letter.headers))
        return True

    def _is_passed_over(self, source: Input, arrival: Arrival) -> bool:
        """Whether it is an event on a topic of ours that is no message for this stream."""
        if source.source == "outside":
            return False
        try:
            event = decode_event(arrival.value or b"")
        except WireError:
            return False
        if isinstance(event, Claim if source.source == "claims" else Decision):
            return False
        self.passed_over += 1
        return True


def _place_of(letter: Arrival) -> str:
    """Where the record of a dead letter stood."""
    said = dict(letter.headers)
    return "/".join(said.get(name, b"?").decode(errors="replace") for name in ("topic", "partition", "offset"))


async def open_inputs(stream: Stream, tapes: Tapes, findings: Findings) -> ReadInputs:
    """What a stream has read. The config may bring it more inputs as it goes."""
    return ReadInputs(stream, tapes, await tapes.get(DEAD_LETTERS, stream.partition), findings)
