"""The outgoing side of one state machine: gives each event its header, in order."""

from typing import Final

from engine.purse import Ledger
from engine.rows import BrokenDump, Row, RowReader
from engine.spec import AssetSpec
from schemas.envelope import Event
from schemas.events import LedgerPosted

POSTING_LINES_MAX: Final = 1_000
"""Lines of one `ledger.posted`: with names of full length, less than half of what a broker takes in one record."""


class Outbox:
    """Numbers the events of one stream: `seq` over all topics, `prev` per topic.

    `event_time` is the largest `ts` applied so far and never goes back; `cause` is the number of the command
    that is being applied.
    """

    __slots__ = ("_events", "_last_on_topic", "cause", "event_time", "seq", "stream")

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.seq = 0
        self.cause = 0
        self.event_time = 0
        self._last_on_topic: dict[str, int] = {}
        self._events: list[Event] = []

    def begin(self, ts: int) -> None:
        """Start the next command: the events that follow are caused by it."""
        self.cause += 1
        if ts > self.event_time:
            self.event_time = ts

    def emit(self, event: Event) -> None:
        """Number an event and queue it."""
        self.seq = seq = self.seq + 1
        topic = event.topic
        event.stream = self.stream
        event.seq = seq
        event.prev = self._last_on_topic.get(topic, 0)
        event.ts = self.event_time
        event.cause = self.cause
        self._last_on_topic[topic] = seq
        self._events.append(event)

    def post(self, ledger: Ledger, asset: AssetSpec) -> None:
        """Emit the money that the command moved as one posting; as several where a record would be too long for it."""
        lines = ledger.take_lines()
        posting_id = f"{self.stream}/{self.cause}"
        for start in range(0, len(lines), POSTING_LINES_MAX):
            part = lines[start : start + POSTING_LINES_MAX]
            suffix = f".{start // POSTING_LINES_MAX + 1}" if start else ""
            self.emit(LedgerPosted(posting_id=posting_id + suffix, asset=asset.name, lines=part))

    def take(self) -> list[Event]:
        """The events queued since the last call."""
        events, self._events = self._events, []
        return events

    def restore(self, rows: RowReader) -> None:
        """Go on where `rows` were taken."""
        _, stream, self.seq, self.cause, self.event_time = rows.take("outbox")
        if stream != self.stream:
            raise BrokenDump(f"expected rows of {self.stream}, found those of {stream}")
        self._last_on_topic = {topic: seq for _, topic, seq in rows.each("topic")}

    def rows(self) -> list[Row]:
        """The state as rows of plain values."""
        return [
            ("outbox", self.stream, self.seq, self.cause, self.event_time),
            *(("topic", topic, seq) for topic, seq in sorted(self._last_on_topic.items())),
        ]
