"""A stream's state as its journal tells it: what a leader carries on from, and a follower keeps up with."""

from collections.abc import Iterable

import msgspec

from consumers.service.journal import NO_CHAIN, JournalError, Record, next_chain
from consumers.service.publication import Outgoing, Publisher
from consumers.service.stream import Message, Stream
from schemas.envelope import Event


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
        header, name = record.header, self.stream.name
        if header.stream != name:
            raise JournalError(f"{where}: belongs to {header.stream}, not to {name}")
        if header.first != self.applied + 1:
            raise JournalError(
                f"{where}: begins with input {header.first}, expected {self.applied + 1}: what lies between is missing"
            )
        if (header.genesis is None) != self.has_begun:
            raise JournalError(f"{where}: " + ("a second genesis" if self.has_begun else "the genesis is missing"))
        published = [] if self.has_begun else self.begin()
        for number, entry in enumerate(record.entries, header.first):
            try:
                message = self.stream.decode(entry.input)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise JournalError(f"{where}: input {number} is none of {name}; {error}") from None
            published += self.publish(self.apply(message) or (), entry.trace)
            if self.applied != number:
                raise JournalError(f"{where}: input {number} was not applied: the state is at {self.applied}")
        if published:
            self.extend_chain(published)
        if header.chain != self.chain.hex():
            raise JournalError(
                f"{where}: its inputs {header.first} to {header.last} cause other events now, under code {self.code}, "
                f"than they did under code {header.code}. Code that changes published events may take effect only "
                "from a snapshot that the old code made at the journal's end"
            )
        self.next.update(header.next)
        self.seen.update(header.seen)
        return published
