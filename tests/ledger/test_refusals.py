"""What cannot be booked ends the run with exit code 2 and one line, and what was booked before stays whole."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.ledger.conftest import Event, Target, booked, complaint, deposit, posting, run_ledger, write_events
from tests.ledger.postgres import PASSWORD, PostgresServer

FIRST = posting(
    1,
    ("usdt/external", "usdt/wallet/alice", "5.000000", "deposit"),
    ("usdt/wallet/alice", "usdt/margin/BTC-USDT/alice", "2.000000", "margin"),
)


def changed(**fields: Any) -> Event:
    """The first posting with other fields."""
    return FIRST | fields


def first_line(**fields: Any) -> Event:
    """The first posting with other fields in its first line."""
    return FIRST | {"lines": [FIRST["lines"][0] | fields, FIRST["lines"][1]]}


OTHER_CONTENTS: dict[str, tuple[Event, str]] = {
    "amount": (first_line(amount="4.000000"), "line 1 is 4.000000 from usdt/external to usdt/wallet/alice (deposit)"),
    "account": (first_line(credit="usdt/wallet/bob"), "to usdt/wallet/bob (deposit) here"),
    "kind": (first_line(cause_kind="margin"), "line 1 is 5.000000"),
    "order of lines": (changed(lines=FIRST["lines"][::-1]), "line 1 is 2.000000"),
    "number of lines": (changed(lines=FIRST["lines"][:1]), "1 lines here, 2 in "),
    "time": (changed(ts=5), "ts 5 here, 1700000000000001 in "),
    "event number": (changed(seq=11), "seq 11 here, 10 in "),
    "command": (changed(cause=2), "command 2 here, 1 in "),
    "asset": (changed(asset="USDC"), "asset USDC here, USDT in "),
}


@pytest.mark.parametrize("what", OTHER_CONTENTS)
@pytest.mark.parametrize("together", [False, True])
def test_a_posting_that_comes_with_other_contents_is_a_conflict(
    target: Target, tmp_path: Path, what: str, together: bool
) -> None:
    """Whether the first is in the ledger or in the same file. Nothing of the contradicting batch is booked."""
    other, said = OTHER_CONTENTS[what]
    if together:
        path = write_events(tmp_path / "events.jsonl", [FIRST, deposit(2), other])
        line = 3
    else:
        booked(run_ledger(write_events(tmp_path / "first.jsonl", [FIRST]), "--into", target.url))
        path = write_events(tmp_path / "events.jsonl", [deposit(2), other])
        line = 2
    reason = complaint(run_ledger(path, "--into", target.url))
    assert reason.startswith(f"{path}:{line}: posting engine:usdt/1 is known with other contents: ")
    assert said in reason
    assert reason.endswith(f"{path}:1" if together else "the ledger")
    if not together:
        assert target.query("SELECT posting_id FROM ledger_postings") == [("engine:usdt/1",)]


CONTRADICTIONS: dict[str, tuple[Event, str]] = {
    "another run": (
        deposit(2, seq=10),
        "seq 10 of engine:usdt is posting engine:usdt/2 here and engine:usdt/1 in the ledger: "
        "the logs are of different runs",
    ),
    "another unit": (deposit(2, amount="5.00"), "USDT has 2 decimals here, 6 in the ledger"),
    "the same units of another size": (
        FIRST
        | {
            "lines": [
                line | {"amount": amount} for line, amount in zip(FIRST["lines"], ("5000000", "2000000"), strict=True)
            ]
        },
        "USDT has 0 decimals here, 6 in the ledger",
    ),
    "another asset in an account": (
        deposit(2, asset="USDC"),
        "account usdt/external holds USDC here and USDT in the ledger",
    ),
}


@pytest.mark.parametrize("what", CONTRADICTIONS)
@pytest.mark.parametrize("together", [False, True])
def test_a_log_of_another_venue_is_a_contradiction(target: Target, tmp_path: Path, what: str, together: bool) -> None:
    other, said = CONTRADICTIONS[what]
    first = write_events(tmp_path / "first.jsonl", [FIRST])
    second = write_events(tmp_path / "second.jsonl", [other])
    if not together:
        booked(run_ledger(first, "--into", target.url))
    assert complaint(run_ledger(first, second, "--into", target.url)) == f"{second}:1: {said}"


UNSOUND: dict[str, tuple[Event, str]] = {
    "no lines": (changed(lines=[]), "lines: expected at least one"),
    "zero": (first_line(amount="0.000000"), "amount: expected a decimal string above zero"),
    "negative": (first_line(amount="-1.000000"), "amount: expected a decimal string above zero"),
    "no number": (first_line(amount="five"), "amount: expected a decimal string above zero"),
    "two units": (first_line(amount="5.0"), "amount: expected 1 decimals as in the first line, got '2.000000'"),
    "too large": (
        first_line(amount="9223372036854.775808"),
        "amount: expected at most 9223372036854775807 units, got '9223372036854.775808'",
    ),
    "to itself": (first_line(debit="usdt/wallet/alice"), "expected two accounts, got 'usdt/wallet/alice' twice"),
    "an id of another stream": (changed(posting_id="engine:coin/1"), "expected one of stream 'engine:usdt'"),
    "an unknown account": (first_line(debit="usdt/pocket/eve"), "'usdt/pocket/eve' is in no form of the chart"),
    "an account without a name": (first_line(debit="usdt/wallet/"), "expected 1 to 64 characters in each part"),
    "an account no id could be": (first_line(debit="usdt/wallet/a b"), "expected [A-Za-z0-9._:-] only, got 'a b'"),
}


@pytest.mark.parametrize("what", UNSOUND)
def test_an_unsound_posting_is_refused_where_it_stands(tmp_path: Path, what: str) -> None:
    event, said = UNSOUND[what]
    path = write_events(tmp_path / "events.jsonl", [event])
    reason = complaint(run_ledger(path, "--into", f"sqlite:///{tmp_path / 'ledger.db'}"))
    assert reason.startswith(f"{path}:1: no sound posting: ")
    assert said in reason


def test_what_is_no_event_file_is_refused_and_makes_no_tables(target: Target, run: Path, tmp_path: Path) -> None:
    noise = tmp_path / "noise.jsonl"
    noise.write_bytes(b"\x00\xff\x80 rubbish\n")
    for path, said in (
        (run / "commands.jsonl", ":1: no event: type: 'account.deposit' is unknown; expected "),
        (run / "report.json", ":1: no event: "),
        (noise, ":1: no event: record: "),
        (tmp_path / "missing.jsonl", ": no such file"),
        (tmp_path, ": expected a file, it is a directory"),
    ):
        reason = complaint(run_ledger(path, "--into", target.url))
        assert reason.startswith(f"{path}{said}")
    if target.name == "postgresql":
        assert target.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []
    else:
        assert not Path(target.url.removeprefix("sqlite:///")).exists()


def test_a_log_with_a_torn_end_is_booked_up_to_there(target: Target, tmp_path: Path) -> None:
    """As a killed run leaves it; when the log is whole it is booked again, to its end."""
    events = [deposit(n) for n in range(1, 6)]
    path = write_events(tmp_path / "events.jsonl", events)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert complaint(run_ledger(path, "--into", target.url)).startswith(f"{path}:5: no event: record: ")
    assert target.query("SELECT COUNT(*) FROM ledger_postings") == [(4,)]
    path.write_bytes(whole)
    assert booked(run_ledger(path, "--into", target.url))["postings"] == "1 new, 4 known"


def test_a_file_without_events_is_said_to_be_one(target: Target, tmp_path: Path) -> None:
    path = write_events(tmp_path / "events.jsonl", [])
    result = run_ledger(path, "--into", target.url)
    assert booked(result)["postings"] == "0 new, 0 known"
    assert result.stderr == "Warning: there was no event in what was given; is it an events.jsonl?\n"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ledger.db",
        "mysql://me:s3cret@host/db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite://s3cret@/x",
        "postgresql://me:s3cret@host:port/db",
        "postgresql+psycopg2://me:s3cret@host/db",
    ],
)
def test_a_url_of_nothing_we_know_is_refused(run: Path, url: str) -> None:
    """Without a word of what it held, which may have been a password."""
    reason = complaint(run_ledger(run / "events.jsonl", "--into", url))
    assert reason.startswith("--into: expected sqlite:///FILE or postgresql://")
    assert "s3cret" not in reason


def wrong_password(server: PostgresServer) -> str:
    return server.url("postgres")._replace(password="s3cret").render_as_string(hide_password=False)  # noqa: S106


def no_such_database(server: PostgresServer) -> str:
    return server.url("nowhere").render_as_string(hide_password=False)


def nobody_listens(server: PostgresServer) -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"postgresql://me:s3cret@127.0.0.1:{free.getsockname()[1]}/db?password=s3cret"


@pytest.mark.parametrize(
    ("url_of", "said"),
    [
        (wrong_password, "password authentication failed"),
        (no_such_database, 'database "nowhere" does not exist'),
        (nobody_listens, "onnection refused"),
    ],
)
def test_a_postgresql_that_does_not_let_us_in_is_said_without_the_password(
    postgres: PostgresServer, run: Path, url_of: Callable[[PostgresServer], str], said: str
) -> None:
    """On stdout, on stderr, and with --verbose."""
    command = [sys.executable, "-m", "consumers.cli", "-v", "ledger", run / "events.jsonl", "--into", url_of(postgres)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 2
    assert process.stderr.startswith("Error: postgresql://")
    assert len(process.stderr.splitlines()) == 1
    assert said in process.stderr
    for secret in ("s3cret", PASSWORD):
        assert secret not in process.stdout + process.stderr


def test_the_password_may_come_from_the_environment(postgres: PostgresServer, run: Path) -> None:
    url = postgres.new_database()
    environment = os.environ | {"PGPASSWORD": PASSWORD}
    command = [sys.executable, "-m", "consumers.cli", "ledger", run / "events.jsonl", "--into"]
    process = subprocess.run(
        [*command, str(url._replace(password=None))], capture_output=True, text=True, check=False, env=environment
    )
    assert process.returncode == 0, process.stderr
    assert PASSWORD not in process.stdout


def test_a_sqlite_file_that_cannot_be_one_is_said(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    other.write_bytes(b"this is no database, whatever its name" * 100)
    for path, said in ((other, "file is not a database"), (tmp_path / "no" / "l.db", "unable to open database file")):
        reason = complaint(run_ledger(run / "events.jsonl", "--into", f"sqlite:///{path}"))
        assert reason == f"sqlite:///{path}: {said}"


def test_a_table_of_somebody_else_is_left_alone(target: Target, run: Path) -> None:
    target.query("CREATE TABLE ledger_lines (id INTEGER, note TEXT)")
    reason = complaint(run_ledger(run / "events.jsonl", "--into", target.url))
    assert reason == "table ledger_lines: not one of this ledger, it has other columns"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "not a report, not even JSON: "),
        (b"{}", "not the report of a replay that ended: "),
        (
            orjson.dumps(
                {
                    "funds": {},
                    "treasuries": {},
                    "markets": {},
                    "accounts": {"usdt": {"a": {"wallet": "x", "positions": {}}}},
                }
            ),
            "not a report: an amount is no decimal",
        ),
    ],
)
def test_a_report_that_is_none_is_refused_before_anything_is_booked(
    run: Path, tmp_path: Path, content: bytes, said: str
) -> None:
    report = tmp_path / "report.json"
    report.write_bytes(content)
    database = tmp_path / "ledger.db"
    arguments = (run / "events.jsonl", "--into", f"sqlite:///{database}", "--check", report)
    assert complaint(run_ledger(*arguments)).startswith(f"{report}: {said}")
    assert not database.exists()
