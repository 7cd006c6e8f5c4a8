"""Books each posting once. A posting that is known must be the same again, to the last field.

A posting and its lines are written in one transaction, so a known posting has all its lines, whatever was killed
whenever; and since a run asks the tables what is known, it can begin again at any place of any log.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import BindParameter, Connection, bindparam, select

from consumers.errors import UsageFailure
from consumers.ledger.postings import Movement, Posting, chart_place
from consumers.ledger.tables import ACCOUNTS, ASSETS, LINES, POSTINGS
from consumers.printable import printable
from engine.fixed import decimal_text

_ASKED_AT_ONCE: Final = 5_000
"""Names in one question: PostgreSQL takes 65,535 parameters, SQLite 32,766."""

_DEBIT: Final = ACCOUNTS.alias("debit")
_CREDIT: Final = ACCOUNTS.alias("credit")
_ASKED: Final[BindParameter[Any]] = bindparam("asked", expanding=True)

_KNOWN_POSTINGS: Final = select(POSTINGS).where(POSTINGS.c.posting_id.in_(_ASKED))
_KNOWN_LINES: Final = (
    select(LINES.c.posting_id, _DEBIT.c.name, _CREDIT.c.name.label("to"), LINES.c.amount, LINES.c.cause_kind)
    .join(_DEBIT, _DEBIT.c.account_id == LINES.c.debit)
    .join(_CREDIT, _CREDIT.c.account_id == LINES.c.credit)
    .where(LINES.c.posting_id.in_(_ASKED))
    .order_by(LINES.c.posting_id, LINES.c.line)
)
_TAKEN_NUMBERS: Final = select(POSTINGS.c.seq, POSTINGS.c.posting_id).where(
    POSTINGS.c.stream == bindparam("stream"), POSTINGS.c.seq.in_(_ASKED)
)
_KNOWN_ACCOUNTS: Final = select(ACCOUNTS.c.name, ACCOUNTS.c.account_id, ACCOUNTS.c.asset).where(
    ACCOUNTS.c.name.in_(_ASKED)
)


class Booked(Struct):
    """What a run has met so far: postings and lines that were new, and those that were known."""

    postings_new: int = 0
    postings_known: int = 0
    lines_new: int = 0
    lines_known: int = 0


class Booking:
    """Writes batches of postings. It remembers the ids of accounts, so use it for one run and one database."""

    def __init__(self) -> None:
        self.booked = Booked()
        self._decimals: dict[str, int] = {}
        self._accounts: dict[str, tuple[int, str]] = {}

    def book(self, connection: Connection, batch: Sequence[Posting]) -> None:
        """Book a batch within the caller's transaction. Raises UsageFailure at the first posting that contradicts."""
        self._know_assets(connection, batch)  # of known postings too: units mean nothing without their decimals
        known = _known(connection, [posting.posting_id for posting in batch])
        new: dict[str, Posting] = {}
        for posting in batch:
            before = known.get(posting.posting_id) or new.get(posting.posting_id)
            if before is None:
                new[posting.posting_id] = posting
                continue
            _must_be_same(posting, before)
            self.booked.postings_known += 1
            self.booked.lines_known += len(posting.movements)
        if new:
            _must_have_own_numbers(connection, new.values())
            self._write(connection, list(new.values()))
            self.booked.postings_new += len(new)
            self.booked.lines_new += sum(len(posting.movements) for posting in new.values())

    def _write(self, connection: Connection, postings: list[Posting]) -> None:
        self._know_accounts(connection, postings)
        connection.execute(
            POSTINGS.insert(),
            [
                {
                    "posting_id": posting.posting_id,
                    "stream": posting.stream,
                    "seq": posting.seq,
                    "prev": posting.prev,
                    "command": posting.command,
                    "ts": posting.ts,
                    "asset": posting.asset,
                    "lines": len(posting.movements),
                }
                for posting in postings
            ],
        )
        connection.execute(
            LINES.insert(),
            [
                {
                    "posting_id": posting.posting_id,
                    "line": number,
                    "debit": self._accounts[movement.debit][0],
                    "credit": self._accounts[movement.credit][0],
                    "amount": movement.amount,
                    "cause_kind": movement.cause_kind,
                }
                for posting in postings
                for number, movement in enumerate(posting.movements, 1)
            ],
        )

    def _know_assets(self, connection: Connection, postings: Sequence[Posting]) -> None:
        """Each asset has one number of decimals for all time: it is what the units of its amounts are."""
        if any(posting.asset not in self._decimals for posting in postings):
            self._decimals = {row.asset: row.decimals for row in connection.execute(select(ASSETS))}
        for posting in postings:
            decimals = self._decimals.get(posting.asset)
            if decimals is None:
                connection.execute(ASSETS.insert(), {"asset": posting.asset, "decimals": posting.decimals})
                self._decimals[posting.asset] = posting.decimals
            elif decimals != posting.decimals:
                raise UsageFailure(
                    f"{posting.place}: {posting.asset} has {posting.decimals} decimals here, {decimals} in the ledger"
                )

    def _know_accounts(self, connection: Connection, postings: list[Posting]) -> None:
        """Each account holds one asset for all time."""
        met: dict[str, Posting] = {}
        for posting in postings:
            for movement in posting.movements:
                met.setdefault(movement.debit, posting)
                met.setdefault(movement.credit, posting)
        self._look_up(connection, [name for name in met if name not in self._accounts])
        missing = [name for name in met if name not in self._accounts]
        if missing:
            rows = []
            for name in missing:
                place = chart_place(name, met[name].place)
                rows.append({"name": name, "asset": met[name].asset} | place._asdict())
            connection.execute(ACCOUNTS.insert(), rows)
            self._look_up(connection, missing)
        for posting in postings:
            for movement in posting.movements:
                for name in (movement.debit, movement.credit):
                    asset = self._accounts[name][1]
                    if asset != posting.asset:
                        raise UsageFailure(
                            f"{posting.place}: account {name} holds {posting.asset} here and {asset} in the ledger"
                        )

    def _look_up(self, connection: Connection, names: list[str]) -> None:
        for asked in _pieces(names):
            for row in connection.execute(_KNOWN_ACCOUNTS, {"asked": asked}):
                self._accounts[row.name] = (row.account_id, row.asset)


def _pieces(names: list[str]) -> Iterable[list[str]]:
    return (names[start : start + _ASKED_AT_ONCE] for start in range(0, len(names), _ASKED_AT_ONCE))


def _known(connection: Connection, posting_ids: list[str]) -> dict[str, Posting]:
    """Those of the postings that the tables hold. The decimals of an asset are not theirs: they are left at 0."""
    known: dict[str, Posting] = {}
    for asked in _pieces(posting_ids):
        rows = connection.execute(_KNOWN_POSTINGS, {"asked": asked}).all()
        if not rows:
            continue
        movements: dict[str, list[Movement]] = defaultdict(list)
        found = [row.posting_id for row in rows]
        for posting_id, debit, credit, amount, cause_kind in connection.execute(_KNOWN_LINES, {"asked": found}):
            movements[posting_id].append(Movement(debit, credit, amount, cause_kind))
        for row in rows:
            known[row.posting_id] = Posting(
                posting_id=row.posting_id,
                stream=row.stream,
                command=row.command,
                seq=row.seq,
                prev=row.prev,
                ts=row.ts,
                asset=row.asset,
                decimals=0,
                movements=tuple(movements[row.posting_id]),
                place="the ledger",
            )
    return known


def _must_be_same(posting: Posting, before: Posting) -> None:
    """Say the first thing in which a posting differs from the one that has its id."""
    where = f"{posting.place}: posting {printable(posting.posting_id)} is known with other contents"
    for field in ("stream", "seq", "prev", "command", "ts", "asset"):
        mine, theirs = getattr(posting, field), getattr(before, field)
        if mine != theirs:
            raise UsageFailure(
                f"{where}: {field} {printable(str(mine))} here, {printable(str(theirs))} in {before.place}"
            )
    if len(posting.movements) != len(before.movements):
        raise UsageFailure(f"{where}: {len(posting.movements)} lines here, {len(before.movements)} in {before.place}")
    for number, (mine, theirs) in enumerate(zip(posting.movements, before.movements, strict=True), 1):
        if mine != theirs:
            here, there = _words(mine, posting.decimals), _words(theirs, posting.decimals)
            raise UsageFailure(f"{where}: line {number} is {here} here, {there} in {before.place}")


def _words(movement: Movement, decimals: int) -> str:
    amount = decimal_text(movement.amount, decimals)
    return printable(f"{amount} from {movement.debit} to {movement.credit} ({movement.cause_kind})")


def _must_have_own_numbers(connection: Connection, postings: Iterable[Posting]) -> None:
    """An event number of a stream belongs to one posting: if not, the logs are of different runs."""
    by_stream: dict[str, dict[int, Posting]] = defaultdict(dict)
    for posting in postings:
        other = by_stream[posting.stream].setdefault(posting.seq, posting)
        if other is not posting:
            raise _taken(posting, other.posting_id)
    for stream, numbers in by_stream.items():
        for row in connection.execute(_TAKEN_NUMBERS, {"stream": stream, "asked": list(numbers)}):
            raise _taken(numbers[row.seq], row.posting_id)


def _taken(posting: Posting, other: str) -> UsageFailure:
    return UsageFailure(
        f"{posting.place}: seq {posting.seq} of {printable(posting.stream)} is posting {printable(posting.posting_id)} "
        f"here and {printable(other)} in the ledger: the logs are of different runs"
    )
