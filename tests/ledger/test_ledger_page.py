"""What docs/ledger.md says is so: the chart and the kinds are complete, its SQL runs, its ids are ids."""

import ast
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from consumers.cli import main
from consumers.ledger.chart import KINDS, Place, place
from schemas.fields import CauseKind
from tests.ledger.conftest import Target, booked, run_ledger
from tests.ledger.postgres import PostgresServer

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ledger.md").read_text("utf-8")
DDL, *QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, flags=re.DOTALL)
CHART = re.findall(r"^\| `([^`]*/[^`]*)` \| (\d+) \|", PAGE, flags=re.MULTILINE)
CAUSES = re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE, flags=re.MULTILINE)

SCHEMA = """
SELECT table_name, column_name, data_type, is_nullable, is_identity FROM information_schema.columns
WHERE table_name LIKE 'ledger%%' ORDER BY table_name, ordinal_position"""
CONSTRAINTS = """
SELECT conrelid::regclass::text, pg_get_constraintdef(oid) AS definition FROM pg_constraint
WHERE conrelid::regclass::text LIKE 'ledger%%' ORDER BY 1, 2"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE tablename LIKE 'ledger%%' ORDER BY 1"
VIEW = "SELECT pg_get_viewdef('ledger_balances'::regclass)"


def causes_in_the_engine() -> set[str]:
    """The last argument of each movement of money, where it is written out."""
    found = set()
    for path in (ROOT / "engine").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "move":
                last = node.args[-1]
                if isinstance(last, ast.Constant):
                    found.add(str(last.value))
    return found


def test_the_chart_lists_every_kind_of_account_under_its_name() -> None:
    kinds = [place(re.sub(r"<\w+>", "x", form)).kind for form, _ in CHART]
    assert kinds == list(KINDS)
    assert [int(code) for _, code in CHART] == list(range(1, len(KINDS) + 1))


def test_every_kind_of_movement_is_listed() -> None:
    """Those of the engine by name; those of settlement are the ones that a fund can be credited or debited for."""
    listed = {cause for cause, _ in CAUSES}
    assert len({code for _, code in CAUSES}) == len(CAUSES)
    of_funds = set(CauseKind.__args__)  # type: ignore[attr-defined]
    assert causes_in_the_engine() <= listed
    assert listed <= causes_in_the_engine() | of_funds | {"trading_fee"}
    assert of_funds <= listed


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("usdt/wallet/alice", Place("wallet", "usdt", None, "alice")),
        ("usdt/margin/BTC-USDT/alice", Place("margin", "usdt", "BTC-USDT", "alice")),
        ("usdt/funding/BTC-USDT", Place("funding", "usdt", "BTC-USDT")),
        ("usdt/fees", Place("fees", "usdt")),
        ("transit/usdt", Place("transit", "usdt")),
        ("fund/btc", Place("fund", owner="btc")),
        ("treasury/USDT", Place("treasury")),
        ("wallet/wallet/wallet", Place("wallet", "wallet", None, "wallet")),
    ],
)
def test_the_name_of_an_account_says_where_it_stands(name: str, expected: Place) -> None:
    assert place(name) == expected


def test_the_tables_of_the_page_are_those_that_are_made(postgres: PostgresServer, run: Path) -> None:
    """Column by column and constraint by constraint; and the command takes tables that were made from the page."""
    described = []
    for by_hand in (True, False):
        target = Target("postgresql", lambda: postgres.new_database().render_as_string(hide_password=False))
        if by_hand:
            target.query(DDL)
        booked(run_ledger(run / "events.jsonl", "--into", target.url, "--check", run / "report.json"))
        described.append([target.query(question) for question in (SCHEMA, CONSTRAINTS, INDEXES, VIEW)])
    assert described[0] == described[1]


def test_the_queries_of_the_page_say_what_they_promise(target: Target, run: Path) -> None:
    booked(run_ledger(run / "events.jsonl", "--into", target.url))
    zero, traders, causes, statement, missing = (target.query(query) for query in QUERIES)
    assert zero == [("USDT", 0)]
    balances = target.balances()
    of_carol = balances["usdt/wallet/carol"] + balances["usdt/margin/BTC-USDT/carol"]
    assert {owner: int(units) for owner, _, units in traders}["carol"] == of_carol
    assert sum(int(units) for _, _, units in causes) == balances["fund/btc"]
    assert int(statement[-1][-1]) == balances["usdt/wallet/bob"]
    assert missing == []


def test_the_tigerbeetle_ids_are_ids(tmp_path: Path, run: Path) -> None:
    """The code of the page gives every account and line of a run an id of its own, in the range of a u128."""
    (source,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(source, names)  # noqa: S102 — it stands on our own page
    events = [orjson.loads(line) for line in (run / "events.jsonl").read_bytes().splitlines()]
    postings = [event for event in events if event["type"] == "ledger.posted"]
    accounts = {line[side] for event in postings for line in event["lines"] for side in ("debit", "credit")}
    lines = [(event["posting_id"], n) for event in postings for n in range(1, len(event["lines"]) + 1)]
    ids = {names["account_id"](name) for name in accounts} | {names["transfer_id"](*line) for line in lines}
    assert len(ids) == len(accounts) + len(lines)
    assert all(0 < id_ < 2**128 - 1 for id_ in ids)


def test_the_help_is_one_screen() -> None:
    result = CliRunner().invoke(main, ["ledger", "--help"])
    assert result.exit_code == 0
    assert "--into URL" in result.stdout
    assert len(result.stdout.splitlines()) <= 24
