"""What one machine writes: numbered events, and money that moves between named balances."""

from collections import defaultdict
from typing import Self

from schemas.envelope import Event
from schemas.events import LedgerLine, LedgerPosted
from tests.reference.rules import Asset

LINES_PER_POSTING = 1_000


class Refused(Exception):
    """A command that makes no sense for the state."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Stream:
    """The events of one machine with their headers, and its ledger: every balance there is, by account name."""

    def __init__(self, name: str, asset: Asset) -> None:
        self.name = name
        self.asset = asset
        self.seq = 0
        self.cause = 0
        self.now = 0
        self.topics: dict[str, int] = {}
        self.events: list[Event] = []
        self.balances: defaultdict[str, int] = defaultdict(int)
        self.lines: list[LedgerLine] = []

    def begin(self, ts: int) -> None:
        """The next input: event time is the largest ts so far."""
        self.cause += 1
        self.now = max(self.now, ts)

    def emit(self, event: Event) -> None:
        """Write the header and publish."""
        self.seq += 1
        event.stream, event.seq, event.ts, event.cause = self.name, self.seq, self.now, self.cause
        event.prev = self.topics.get(event.topic, 0)
        self.topics[event.topic] = self.seq
        self.events.append(event)

    def move(self, debit: str, credit: str, amount: int, kind: str) -> None:
        """Move money; a negative amount goes the other way, and nothing leaves no line."""
        if amount < 0:
            debit, credit, amount = credit, debit, -amount
        if amount:
            self.balances[debit] -= amount
            self.balances[credit] += amount
            self.lines.append(LedgerLine(debit, credit, self.asset.text(amount), kind))

    def finish(self) -> list[Event]:
        """Post the lines of this input and hand out its events."""
        for number, start in enumerate(range(0, len(self.lines), LINES_PER_POSTING), 1):
            posting_id = f"{self.name}/{self.cause}" + (f".{number}" if number > 1 else "")
            lines = self.lines[start : start + LINES_PER_POSTING]
            self.emit(LedgerPosted(posting_id=posting_id, asset=self.asset.name, lines=lines))
        self.lines = []
        events, self.events = self.events, []
        return events


class Memory:
    """Ids that were used, with the time and what was asked for. Nothing is ever thrown away."""

    def __init__(self, span: int) -> None:
        self.span = span
        self.noted: dict[object, tuple[int, object]] = {}
        self.forgotten_until = -1

    def change_span(self, span: int, now: int) -> None:
        """What is not remembered by now is not remembered later."""
        if span != self.span:
            self.forgotten_until = max(self.forgotten_until, now - self.span)
            self.span = span

    def __deepcopy__(self, memo: object) -> Self:
        copied = type(self)(self.span)
        copied.noted = dict(self.noted)
        copied.forgotten_until = self.forgotten_until
        return copied

    def note(self, key: object, now: int, contents: object = True) -> None:
        """Remember from now on."""
        self.noted[key] = (now, contents)

    def recall(self, key: object, now: int) -> object:
        """What was noted less than `span` ago, or None."""
        when, contents = self.noted.get(key, (-self.span, None))
        return contents if now < when + self.span and when > self.forgotten_until else None

    def refuse_too_old(self, ts: int, now: int) -> None:
        """A command from before the memory might be a repetition that nobody remembers."""
        if ts + self.span <= now or ts <= self.forgotten_until:
            raise Refused("too_old")

    def is_repetition(self, transfer_id: str, ts: int, now: int, contents: object) -> bool:
        """Whether this transfer was applied before. Raises Refused where it said something else, or is too old."""
        known = self.recall(transfer_id, now)
        if known is None:
            self.refuse_too_old(ts, now)
        elif known != contents:
            raise Refused("transfer_mismatch")
        return known is not None


def parse_amount(asset: Asset, text: str) -> int:
    """An amount in units. Raises Refused."""
    amount = asset.units(text)
    if amount.denominator != 1:
        raise Refused("off_unit")
    if abs(amount) >= 2**63:
        raise Refused("amount_too_large")
    return int(amount)
