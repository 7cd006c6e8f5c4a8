"""What the tests of `backstop ledger` share: event files, two kinds of database, and the real command line."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import create_engine, make_url

from consumers.cli import main
from tests.ledger.postgres import PostgresServer
from tests.replay.conftest import VENUE, encoded, three_endings

Event = dict[str, Any]
Line = tuple[str, str, str, str]
Rows = list[tuple[Any, ...]]

TABLES = {
    "ledger_assets": "asset",
    "ledger_accounts": "name",
    "ledger_postings": "posting_id",
    "ledger_lines": "posting_id, line",
    "ledger_balances": "name",
}


class Target:
    """Where a ledger goes: makes empty databases and reads them with a client of its own."""

    def __init__(self, name: str, new_url: Callable[[], str]) -> None:
        self.name = name
        self._new_url = new_url
        self.url = new_url()

    def renew(self) -> None:
        """Go on with an empty database."""
        self.url = self._new_url()

    def query(self, sql: str) -> Rows:
        """The rows of a statement."""
        url = make_url(self.url)
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        engine = create_engine(url)
        with engine.begin() as connection:
            result = connection.exec_driver_sql(sql)
            rows = [tuple(row) for row in result] if result.returns_rows else []
        engine.dispose()
        return rows

    def contents(self) -> dict[str, Rows]:
        """All that is in the tables, but for the numbers of accounts, which depend on the order in which they came."""
        found = {}
        for table, order in TABLES.items():
            columns = "*" if table in {"ledger_assets", "ledger_postings"} else COLUMNS[table]
            found[table] = self.query(f"SELECT {columns} FROM {table} t ORDER BY {order}")  # noqa: S608
        return found

    def balances(self) -> dict[str, int]:
        """Units by account."""
        return {name: int(units) for name, units in self.query("SELECT name, units FROM ledger_balances")}


COLUMNS = {
    "ledger_accounts": "name, asset, kind, shard, market, owner",
    "ledger_lines": "posting_id, line, (SELECT name FROM ledger_accounts WHERE account_id = t.debit), "
    "(SELECT name FROM ledger_accounts WHERE account_id = t.credit), amount, cause_kind",
    "ledger_balances": "name, asset, decimals, kind, shard, market, owner, units",
}


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server of this test process alone."""
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    """An empty database of either kind."""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        return Target("postgresql", lambda: server.new_database().render_as_string(hide_password=False))
    numbers = iter(range(1_000_000))
    return Target("sqlite", lambda: f"sqlite:///{tmp_path / f'ledger-{next(numbers)}.db'}")


def run_ledger(*arguments: str | Path) -> Result:
    """`backstop ledger`."""
    return CliRunner().invoke(main, ["ledger", *map(str, arguments)])


def booked(result: Result) -> dict[str, str]:
    """The first table of the summary of a run that went well."""
    assert result.exit_code == 0, result.output
    rows = (line.strip().split("  ", 1) for line in result.stdout.partition("Balances")[0].splitlines())
    return {row[0].strip(): row[1].strip() for row in rows if len(row) == 2}


def complaint(result: Result, exit_code: int = 2) -> str:
    """What went wrong: there must be one line of it, and no traceback."""
    assert result.exit_code == exit_code, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.splitlines()
    return line.removeprefix("Error: ")


def posting(number: int, *lines: Line, stream: str = "engine:usdt", asset: str = "USDT", **fields: Any) -> Event:
    """A `ledger.posted` as an engine writes it; the seq is ten times the command's number."""
    return {
        "type": "ledger.posted",
        "stream": stream,
        "seq": number * 10,
        "prev": (number - 1) * 10,
        "ts": 1_700_000_000_000_000 + number,
        "cause": number,
        "posting_id": f"{stream}/{number}",
        "asset": asset,
        "lines": [
            {"debit": debit, "credit": credit, "amount": amount, "cause_kind": kind}
            for debit, credit, amount, kind in lines
        ],
    } | fields


def deposit(number: int, account: str = "alice", amount: str = "5.000000", **fields: Any) -> Event:
    """A posting of one line."""
    return posting(number, ("usdt/external", f"usdt/wallet/{account}", amount, "deposit"), **fields)


def write_events(path: Path, events: Sequence[Event]) -> Path:
    """An event file."""
    path.write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in events))
    return path


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a replay in which a book, a fund and ADL each end a position: events.jsonl and report.json."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "venue.toml").write_text(VENUE)
    (folder / "commands.jsonl").write_bytes(encoded(three_endings()))
    arguments = [str(folder / "commands.jsonl"), "--config", str(folder / "venue.toml"), "--out", str(folder)]
    result = CliRunner().invoke(main, ["replay", *arguments])
    assert result.exit_code == 0, result.output
    return folder
