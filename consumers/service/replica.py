"""A stream's state as its journal tells it: what a leader carries on from, and a follower keeps up with."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from consumers.service.journal import NO_CHAIN, DoesNotFollow, JournalError, Record, next_chain
from consumers.service.publication import Outgoing, Publisher
from consumers.service.stream import Message, Stream
from schemas.envelope import Event


class Step(NamedTuple):
    """What one input of a journal record did. Without a message it is the genesis, which comes before input 1."""

    number: int
    message: Message | None
    events: list[Event]
    published: list[Outgoing]


class Replica:
    """A machine, with how far it has come.

    `next` are the offsets to go on from, by input; `seen` what the last record of each input was. `chain` is the hash
    of all event bytes so far; `has_begun` says whether the genesis was published.
    """

    def __init__(self, stream: Stream, publisher: Publisher, code: str) -> None:
        self.stream = stream
        self.publisher = publisher
        self.code = code
        self.machine = stream.machine
        self.chain = NO_CHAIN
        self.has_begun = False
        self.next: dict[str, int] = {}
        self.seen: dict[str, tuple[int, str]] = {}

    def resume(self, chain: bytes, next_: dict[str, int], seen: dict[str, tuple[int, str]]) -> None:
        """Go on where a snapshot was made; the machine was restored from it."""
        self.has_begun = True
        self.chain = chain
        self.next, self.seen = dict(next_), dict(seen)

    @property
    def applied(self) -> int:
        """The number of the last input."""
        return self.machine.applied

    def begin(self) -> list[Outgoing]:
        """What the stream publishes before its first input."""
        self.has_begun = True
        return self.publish(self.machine.genesis(), None)

    def apply(self, message: Message) -> list[Event] | None:
        """Apply an input; None where it was none, as it had been applied before."""
        machine, stream = self.machine, self.stream
        before = machine.applied
        events = machine.apply(message)
        if machine.config is not stream.config:
            stream.connect()
        return events if machine.applied != before else None

    def publish(self, events: Iterable[Event], trace: str | None) -> list[Outgoing]:
        """The records of events."""
        publish = self.publisher.publish
        return [publish(event, trace) for event in events]

    def extend_chain(self, records: Iterable[Outgoing]) -> None:
        """Take the events of a batch into the chain."""
        self.chain = next_chain(self.chain, [record.value for record in records])

    def follow(self, record: Record, where: str) -> list[Outgoing]:
        """Do what a journal record says was done, and return what was published. Raises JournalError.

        The record has to continue this replica, and its inputs must cause the very bytes that they caused then.
        """
        return [outgoing for step in self.steps(record, where) for outgoing in step.published]

    def steps(self, record: Record, where: str) -> Iterator[Step]:
        """As `follow`, input by input. To be walked to its end, where the hash of what was published is compared."""
        header, name = record.header, self.stream.name
        if header.stream != name:
            raise JournalError(f"{where}: belongs to {header.stream}, not to {name}")
        if header.first <= self.applied:
            raise JournalError(
                f"{where}: begins with input {header.first}, expected {self.applied + 1}: was there before"
            )
        if header.first != self.applied + 1:
            raise JournalError(
                f"{where}: begins with input {header.first}, expected {self.applied + 1}: what lies between is missing"
            )
        if (header.genesis is None) != self.has_begun:
            raise JournalError(f"{where}: " + ("a second genesis" if self.has_begun else "the genesis is missing"))
        published: list[Outgoing] = []
        if not self.has_begun:
            events = self.machine.genesis()
            self.has_begun = True
            published = self.publish(events, None)
            yield Step(0, None, events, published)
        for number, entry in enumerate(record.entries, header.first):
            try:
                message = self.stream.decode(entry.input)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise JournalError(f"{where}: input {number} is none of {name}; {error}") from None
            events = self.apply(message) or []
            if self.applied != number:
                raise DoesNotFollow(f"{where}: input {number} was not applied: the state is at {self.applied}")
            outgoing = self.publish(events, entry.trace)
            published += outgoing
            yield Step(number, message, events, outgoing)
        if published:
            self.extend_chain(published)
        if header.chain != self.chain.hex():
            raise DoesNotFollow(
                f"{where}: its inputs {header.first} to {header.last} cause other events now, under code {self.code}, "
                f"than they did under code {header.code}. Code that changes published events may take effect only "
                "from a snapshot that the old code made at the journal's end"
            )
        if header.config != self.stream.config_hash:
            raise DoesNotFollow(
                f"{where}: the config after it has the hash {self.stream.config_hash}, its header names {header.config}"
            )
        self.next.update(header.next)
        self.seen.update(header.seen)
