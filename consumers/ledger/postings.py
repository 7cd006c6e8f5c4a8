"""Postings as they are read from event files, checked as far as a file alone can be checked."""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from consumers.command_log import RAW_BYTES_MAX, CommandLog, Line
from consumers.errors import UsageFailure
from consumers.ledger import chart
from consumers.printable import printable
from engine.fixed import AMOUNT_LIMIT, scaled
from schemas.events import LedgerLine, LedgerPosted
from schemas.fields import INT64_MAX, check_positive
from schemas.wire import WireError, decode_event

BATCH_POSTINGS: Final = 2_000
BATCH_LINES: Final = 10_000
"""A batch ends at whichever comes first; it is one transaction of the database. A posting is never divided."""


class Movement(Struct, frozen=True, gc=False):
    """One line: `amount` units move from account `debit` to account `credit`."""

    debit: str
    credit: str
    amount: int
    cause_kind: str


class Posting(Struct, frozen=True):
    """One posting. `command` is the number of the command in its stream, `place` where it was read."""

    posting_id: str
    stream: str
    command: int
    seq: int
    prev: int
    ts: int
    asset: str
    decimals: int
    movements: tuple[Movement, ...]
    place: str


class Postings:
    """The postings of event files in batches. Events of other kinds are counted and passed over."""

    def __init__(self, log: CommandLog) -> None:
        self._log = log
        self.events = 0

    def batches(self) -> Iterator[list[Posting]]:
        """All batches, the last one at the end of input.

        Raises UsageFailure at the first line that is no event or no sound posting. What stood before it in the
        same batch is handed out first: a log with a torn last line is booked up to there.
        """
        batch: list[Posting] = []
        lines = 0
        try:
            while read := self._log.poll():
                for line in read:
                    event = _event(line)
                    self.events += 1
                    if not isinstance(event, LedgerPosted):
                        continue
                    posting = _posting(event, line.place)
                    if batch and (len(batch) >= BATCH_POSTINGS or lines + len(posting.movements) > BATCH_LINES):
                        yield batch
                        batch, lines = [], 0
                    batch.append(posting)
                    lines += len(posting.movements)
        except UsageFailure:
            if batch:
                yield batch
            raise
        if batch:
            yield batch


def _event(line: Line) -> object:
    try:
        if line.length > RAW_BYTES_MAX:
            raise WireError("too_large", f"record: expected at most {RAW_BYTES_MAX} bytes, got {line.length}")
        return decode_event(line.raw)
    except WireError as error:
        raise UsageFailure(f"{line.place}: no event: {printable(error.reason)}") from None


def _posting(event: LedgerPosted, place: str) -> Posting:
    """The posting, amounts in units. The places of its amounts are the decimals of the asset; all must agree."""
    try:
        if not event.lines:
            raise ValueError("lines: expected at least one")
        if not event.posting_id.startswith(f"{event.stream}/"):
            raise ValueError(f"posting_id: expected one of stream {event.stream!r}, got {event.posting_id!r}")
        decimals = _places(event.lines[0].amount)
        movements = tuple(_movement(line, decimals) for line in event.lines)
    except ValueError as error:
        raise UsageFailure(f"{place}: no sound posting: {printable(str(error))}") from None
    return Posting(
        posting_id=event.posting_id,
        stream=event.stream,
        command=event.cause,
        seq=event.seq,
        prev=event.prev,
        ts=event.ts,
        asset=event.asset,
        decimals=decimals,
        movements=movements,
        place=place,
    )


def _places(amount: str) -> int:
    return len(amount.partition(".")[2])


def _movement(line: LedgerLine, decimals: int) -> Movement:
    check_positive("amount", line.amount)
    amount = scaled(line.amount, decimals)
    if amount is None or _places(line.amount) != decimals:
        raise ValueError(f"amount: expected {decimals} decimals as in the first line, got {line.amount!r}")
    if amount >= AMOUNT_LIMIT:
        raise ValueError(f"amount: expected at most {INT64_MAX} units, got {line.amount!r}")
    if line.debit == line.credit:
        raise ValueError(f"debit, credit: expected two accounts, got {line.debit!r} twice")
    return Movement(line.debit, line.credit, amount, line.cause_kind)


def chart_place(name: str, place: str) -> chart.Place:
    """Where an account of a posting read at `place` stands in the chart."""
    try:
        return chart.place(name)
    except ValueError as error:
        raise UsageFailure(f"{place}: no sound posting: account {printable(str(error))}") from None
