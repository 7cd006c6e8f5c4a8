"""The postings alone rebuild what the state machines say they hold: wallets, margins, funds, treasury, to the unit."""

import os
import pty
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from consumers.cli import main
from consumers.ledger.chart import KINDS
from engine.venue import Venue
from schemas.wire import WireError, decode_command, encode
from tests.ledger.conftest import Target, booked, complaint, posting, run_ledger, write_events
from tests.reference.histories import History
from tests.reference.worlds import make_world

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.parent for path in (ROOT / "tests" / "examples").glob("*/venue.toml"))


def replayed(commands: Path, venue: Path, out: Path) -> Path:
    """The folder of a replay."""
    arguments = ["replay", str(commands), "--config", str(venue), "--out", str(out)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="session")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make run` does."""
    folder = tmp_path_factory.mktemp("crash")
    venue, log = ROOT / "deploy" / "venue.toml", folder / "commands.jsonl.zst"
    arguments = ["--config", venue, "--scenario", "crash", "--accounts", 500, "--seed", 7, "--out", log]
    result = CliRunner().invoke(main, ["generate", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return replayed(log, venue, folder / "out")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_ledger_of_a_worked_example_rebuilds_its_report(target: Target, tmp_path: Path, example: Path) -> None:
    out = replayed(example / "commands.jsonl", example / "venue.toml", tmp_path / "out")
    said = booked(run_ledger(out / "events.jsonl", "--into", target.url, "--check", out / "report.json"))
    assert said["report"].startswith("agrees to the unit in all ")


def test_the_ledger_of_the_crash_rebuilds_its_report(target: Target, crash: Path) -> None:
    """Checked by the command, and once more by hand."""
    result = run_ledger(crash / "events.jsonl", "--into", target.url, "--check", crash / "report.json")
    assert booked(result)["report"].startswith("agrees to the unit in all ")
    balances = target.balances()
    report = orjson.loads((crash / "report.json").read_bytes())
    for name, account in report["accounts"]["usdt"].items():
        assert balances[f"usdt/wallet/{name}"] == units(account["wallet"])
        for market, position in account["positions"].items():
            assert balances[f"usdt/margin/{market}/{name}"] == units(position["margin"])
    assert balances["fund/btc"] == units(report["funds"]["btc"]["balance"])
    assert balances["treasury/USDT"] == -units(report["funds"]["btc"]["opening"])
    assert sum(balances.values()) == 0
    margins = [name for name in balances if "/margin/" in name and balances[name]]
    assert len(margins) == sum(len(account["positions"]) for account in report["accounts"]["usdt"].values())


def units(text: str) -> int:
    """An amount of six decimals."""
    whole, fraction = text.split(".")
    assert len(fraction) == 6
    return int(whole + fraction)


@pytest.mark.parametrize("first_seed", range(1, 25, 8))
def test_the_ledgers_of_random_histories_rebuild_their_reports(target: Target, tmp_path: Path, first_seed: int) -> None:
    """Inverse and linear contracts, cross margin, funding, deficits, socialised losses, several assets and funds."""
    kinds: set[str] = set()
    for seed in range(first_seed, first_seed + 8):
        world = make_world(seed)
        venue = Venue(world.config)
        events = venue.genesis()
        for fields in islice(History(world, seed), 600):
            try:
                command = decode_command(orjson.dumps(fields))
            except WireError:
                continue
            events += venue.apply(command)
        log, report = tmp_path / f"{seed}.jsonl", tmp_path / f"{seed}.json"
        log.write_bytes(b"".join(encode(event) + b"\n" for event in events))
        report.write_bytes(orjson.dumps(venue.report()))
        target.renew()
        said = booked(run_ledger(log, "--into", target.url, "--check", report))
        assert said["report"].startswith("agrees to the unit"), f"seed {seed}"
        assert said["gaps"] == "none"
        kinds |= {kind for (kind,) in target.query("SELECT DISTINCT kind FROM ledger_accounts")}
    assert kinds >= set(KINDS) - {"deficit", "funding", "suspense", "fund_treasury"}


TAMPERED: dict[str, Any] = {
    "wallet": lambda report: report["accounts"]["usdt"]["carol"].update(wallet="0.000001"),
    "margin": lambda report: report["accounts"]["usdt"]["bob"]["positions"].clear(),
    "fund": lambda report: report["funds"]["btc"].update(balance="1000.000001"),
    "treasury": lambda report: report["treasuries"].update({"treasury/USDT": "0.000001"}),
    "fees": lambda report: report["markets"]["BTC-USDT"].update(fees_held_by_shard="0.000001"),
    "deficit": lambda report: report["markets"]["BTC-USDT"].update(deficit="0.000001"),
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_a_unit_that_differs_is_found(target: Target, run: Path, tmp_path: Path, kind: str) -> None:
    """Exit code 1, the account by name, and what each of them says."""
    report = orjson.loads((run / "report.json").read_bytes())
    TAMPERED[kind](report)
    path = tmp_path / "report.json"
    path.write_bytes(orjson.dumps(report))
    result = run_ledger(run / "events.jsonl", "--into", target.url, "--check", path)
    differences = result.stdout.partition("Differences")[2]
    number = len([line for line in differences.splitlines() if "/" in line])
    assert number >= 1
    assert f"/{kind}" in differences or f"{kind}/" in differences
    assert complaint(result, 1).startswith(f"{number} of ")


def test_half_a_log_does_not_pass_for_the_whole(target: Target, run: Path, tmp_path: Path) -> None:
    lines = (run / "events.jsonl").read_bytes().splitlines(keepends=True)
    half = tmp_path / "half.jsonl"
    half.write_bytes(b"".join(lines[: len(lines) // 2]))
    result = run_ledger(half, "--into", target.url, "--check", run / "report.json")
    assert "balances differ from the report" in complaint(result, 1)


MOST = "9223372036854775807"


def test_what_an_account_turns_over_may_exceed_64_bits(target: Target, tmp_path: Path) -> None:
    """There and back again eight times, and the balance is still exact."""
    there, back = ("usdt/external", "usdt/wallet/a"), ("usdt/wallet/a", "usdt/external")
    lines = [(*way, MOST, "deposit") for way in (there, back) * 8]
    events = [posting(1, *lines, (*there, MOST, "deposit"), (*there, "1", "deposit"))]
    events[0]["lines"].append({"debit": back[0], "credit": back[1], "amount": "3", "cause_kind": "withdrawal"})
    booked(run_ledger(write_events(tmp_path / "events.jsonl", events), "--into", target.url))
    assert target.balances() == {"usdt/external": -int(MOST) + 2, "usdt/wallet/a": int(MOST) - 2}


def test_a_balance_beyond_64_bits_is_exact_or_refused(target: Target, tmp_path: Path) -> None:
    """PostgreSQL adds in any width; SQLite does not, and says so instead of rounding."""
    lines = [("usdt/external", "usdt/wallet/a", MOST, "deposit")] * 3
    result = run_ledger(write_events(tmp_path / "events.jsonl", [posting(1, *lines)]), "--into", target.url)
    if target.name == "postgresql":
        booked(result)
        assert target.balances()["usdt/wallet/a"] == 3 * int(MOST)
    else:
        assert complaint(result) == "account usdt/external: its balance is beyond the 64 bits of SQLite; use PostgreSQL"
        assert target.query("SELECT units FROM ledger_balances") == [(None,), (None,)]


def test_progress_is_shown_to_a_person_only(run: Path, tmp_path: Path) -> None:
    """On a terminal stderr has a bar; otherwise nothing."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    command = [sys.executable, "-m", "consumers.cli", "ledger", run / "events.jsonl", "--into", url]
    controller, terminal = pty.openpty()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal, env=os.environ | {"TERM": "xterm"})
    os.close(terminal)
    shown = b""
    while True:
        try:
            shown += os.read(controller, 65_536)
        except OSError:
            break
    os.close(controller)
    assert process.wait() == 0
    assert b"booking" in shown
    assert subprocess.run(command, capture_output=True, check=True).stderr == b""
