"""The tables, which docs/ledger.md shows as DDL. All names begin with `ledger_`: they may share a database with others.

Integers only. Amounts are units of the asset (10^-decimals) and fit a BIGINT; what adds them up is wider.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    inspect,
)

from consumers.errors import UsageFailure

METADATA: Final = MetaData()

# SQLite numbers rows by itself where the key is declared INTEGER, and only there.
_ACCOUNT_ID: Final = BigInteger().with_variant(Integer, "sqlite")

ASSETS: Final = Table(
    "ledger_assets",
    METADATA,
    Column("asset", Text, primary_key=True),
    Column("decimals", Integer, nullable=False),
)

ACCOUNTS: Final = Table(
    "ledger_accounts",
    METADATA,
    Column("account_id", _ACCOUNT_ID, Identity(), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("asset", Text, ForeignKey(ASSETS.c.asset), nullable=False),
    Column("kind", Text, nullable=False),
    Column("shard", Text),
    Column("market", Text),
    Column("owner", Text),
)

POSTINGS: Final = Table(
    "ledger_postings",
    METADATA,
    Column("posting_id", Text, primary_key=True),
    Column("stream", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("prev", BigInteger, nullable=False),
    Column("command", BigInteger, nullable=False),
    Column("ts", BigInteger, nullable=False),
    Column("asset", Text, ForeignKey(ASSETS.c.asset), nullable=False),
    Column("lines", Integer, nullable=False),
    UniqueConstraint("stream", "seq"),
)

LINES: Final = Table(
    "ledger_lines",
    METADATA,
    Column("posting_id", Text, ForeignKey(POSTINGS.c.posting_id), primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("debit", _ACCOUNT_ID, ForeignKey(ACCOUNTS.c.account_id), nullable=False),
    Column("credit", _ACCOUNT_ID, ForeignKey(ACCOUNTS.c.account_id), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("cause_kind", Text, nullable=False),
    CheckConstraint("amount > 0"),
    CheckConstraint("debit <> credit"),
)

# With the amount in them the view below need not look at the table.
Index("ledger_lines_debit", LINES.c.debit, LINES.c.amount)
Index("ledger_lines_credit", LINES.c.credit, LINES.c.amount)

BALANCES_POSTGRESQL: Final = """\
CREATE VIEW ledger_balances AS
SELECT a.account_id, a.name, a.asset, s.decimals, a.kind, a.shard, a.market, a.owner,
       COALESCE((SELECT SUM(amount) FROM ledger_lines WHERE credit = a.account_id), 0)
       - COALESCE((SELECT SUM(amount) FROM ledger_lines WHERE debit = a.account_id), 0) AS units
FROM ledger_accounts a JOIN ledger_assets s ON s.asset = a.asset"""

# SQLite adds in 64 bits, and what an account has turned over may be more even where its balance is small. So upper
# and lower halves are added apart; a balance that is itself beyond 64 bits is NULL, not an approximation.
BALANCES_SQLITE: Final = """\
CREATE VIEW ledger_balances AS
SELECT account_id, name, asset, decimals, kind, shard, market, owner,
       CASE WHEN high + (low >> 32) BETWEEN -2147483648 AND 2147483647
            THEN ((high + (low >> 32)) << 32) + (low & 4294967295) END AS units
FROM (
    SELECT a.account_id, a.name, a.asset, s.decimals, a.kind, a.shard, a.market, a.owner,
           COALESCE((SELECT SUM(amount >> 32) FROM ledger_lines WHERE credit = a.account_id), 0)
           - COALESCE((SELECT SUM(amount >> 32) FROM ledger_lines WHERE debit = a.account_id), 0) AS high,
           COALESCE((SELECT SUM(amount & 4294967295) FROM ledger_lines WHERE credit = a.account_id), 0)
           - COALESCE((SELECT SUM(amount & 4294967295) FROM ledger_lines WHERE debit = a.account_id), 0) AS low
    FROM ledger_accounts a JOIN ledger_assets s ON s.asset = a.asset
)"""


def create_tables(connection: Connection) -> None:
    """Make tables and view where they are missing. Raises UsageFailure where others have these names."""
    inspector = inspect(connection)
    for table in METADATA.sorted_tables:
        if inspector.has_table(table.name):
            found = {column["name"] for column in inspector.get_columns(table.name)}
            if found != set(table.c.keys()):
                raise UsageFailure(f"table {table.name}: not one of this ledger, it has other columns")
    METADATA.create_all(connection)
    if "ledger_balances" not in inspector.get_view_names():
        sqlite = connection.dialect.name == "sqlite"
        connection.exec_driver_sql(BALANCES_SQLITE if sqlite else BALANCES_POSTGRESQL)
