"""What the tables say: every balance, and which postings the ledger has not seen."""

from msgspec import Struct
from sqlalchemy import Connection, func, select, text

from consumers.errors import UsageFailure
from consumers.ledger.tables import POSTINGS
from engine.fixed import decimal_text


class Balance(Struct, frozen=True):
    """What an account holds: credits less debits, in units."""

    name: str
    kind: str
    asset: str
    decimals: int
    units: int

    @property
    def amount(self) -> str:
        """The balance with the places of its asset."""
        return decimal_text(self.units, self.decimals)


def read_balances(connection: Connection) -> list[Balance]:
    """All accounts by name."""
    rows = connection.execute(text("SELECT name, kind, asset, decimals, units FROM ledger_balances ORDER BY name"))
    balances = []
    for name, kind, asset, decimals, units in rows:
        if units is None:
            raise UsageFailure(f"account {name}: its balance is beyond the 64 bits of SQLite; use PostgreSQL")
        balances.append(Balance(name, kind, asset, decimals, int(units)))
    return balances


def first_gaps(connection: Connection) -> dict[str, str]:
    """Per stream with postings that the ledger has not seen: the first posting before which some are missing."""
    earlier = POSTINGS.alias()
    gap = (
        select(POSTINGS.c.stream, func.min(POSTINGS.c.seq).label("seq"))
        .where(POSTINGS.c.prev != 0)
        .where(
            ~select(earlier.c.seq)
            .where(earlier.c.stream == POSTINGS.c.stream, earlier.c.seq == POSTINGS.c.prev)
            .exists()
        )
        .group_by(POSTINGS.c.stream)
        .subquery()
    )
    rows = connection.execute(
        select(POSTINGS.c.stream, POSTINGS.c.posting_id)
        .join(gap, (gap.c.stream == POSTINGS.c.stream) & (gap.c.seq == POSTINGS.c.seq))
        .order_by(POSTINGS.c.stream)
    )
    return {row.stream: row.posting_id for row in rows}
