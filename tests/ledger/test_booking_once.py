"""Each posting is booked once, whatever is given again, in pieces, out of order, or killed on the way."""

import contextlib
import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from consumers.ledger import postings
from tests.ledger.conftest import Target, booked, deposit, run_ledger, write_events

EXAMPLES = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction every few postings, so that a short log has many."""
    monkeypatch.setattr(postings, "BATCH_POSTINGS", 3)
    monkeypatch.setattr(postings, "BATCH_LINES", 7)


def piece(run: Path, folder: Path, begin: int, end: int) -> Path:
    """Some lines of the events of a run."""
    path = folder / f"events-{begin}-{end}.jsonl"
    path.write_bytes(b"".join((run / "events.jsonl").read_bytes().splitlines(keepends=True)[begin:end]))
    return path


def test_a_log_booked_twice_is_booked_once(target: Target, run: Path) -> None:
    first = booked(run_ledger(run / "events.jsonl", "--into", target.url))
    contents = target.contents()
    assert first["postings"] == f"{len(contents['ledger_postings'])} new, 0 known"
    assert first["lines"] == f"{len(contents['ledger_lines'])} new, 0 known"
    second = booked(run_ledger(run / "events.jsonl", "--into", target.url))
    assert second["postings"] == f"0 new, {len(contents['ledger_postings'])} known"
    assert second["lines"] == f"0 new, {len(contents['ledger_lines'])} known"
    assert target.contents() == contents


def test_the_same_log_twice_in_one_run_is_booked_once(target: Target, run: Path) -> None:
    events = run / "events.jsonl"
    twice = booked(run_ledger(events, events, "--into", target.url))
    number = len(target.query("SELECT posting_id FROM ledger_postings"))
    assert twice["postings"] == f"{number} new, {number} known"
    assert "agrees" in booked(run_ledger(events, "--into", target.url, "--check", run / "report.json"))["report"]


@pytest.mark.parametrize("compressed", ["gz", "zst"])
def test_a_compressed_log_is_the_same_log(target: Target, run: Path, tmp_path: Path, compressed: str) -> None:
    raw = (run / "events.jsonl").read_bytes()
    path = tmp_path / f"events.jsonl.{compressed}"
    path.write_bytes(gzip.compress(raw) if compressed == "gz" else zstandard.compress(raw))
    booked(run_ledger(path, "--into", target.url))
    contents = target.contents()
    target.renew()
    booked(run_ledger(run / "events.jsonl", "--into", target.url))
    assert target.contents() == contents


@EXAMPLES
@given(data=st.data())
def test_pieces_that_cover_a_log_come_to_the_whole(
    target: Target, run: Path, tmp_path: Path, small_batches: None, data: st.DataObject
) -> None:
    """In any order and however they overlap; on the way the ledger holds what the pieces so far hold."""
    total = len((run / "events.jsonl").read_bytes().splitlines())
    cut = data.draw(st.integers(1, total - 1))
    places = st.integers(0, total)
    spans = [(0, cut + data.draw(st.integers(0, total - cut))), (data.draw(st.integers(0, cut)), total)]
    spans += data.draw(st.lists(st.tuples(places, places).map(lambda pair: (min(pair), max(pair))), max_size=2))
    spans = data.draw(st.permutations(spans))
    target.renew()
    booked(run_ledger(run / "events.jsonl", "--into", target.url))
    whole = target.contents()
    target.renew()
    for begin, end in spans:
        booked(run_ledger(piece(run, tmp_path, begin, end), "--into", target.url))
    assert target.contents() == whole
    agreed = booked(run_ledger(run / "events.jsonl", "--into", target.url, "--check", run / "report.json"))
    assert agreed["report"].startswith("agrees to the unit")
    assert agreed["postings"].startswith("0 new")
    assert agreed["gaps"] == "none"


def kill_at(number: int) -> None:
    """Let this process be killed before its nth statement or commit from now on."""
    left = number

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    for moment in ("before_cursor_execute", "commit"):
        event.listen(Engine, moment, count)


@EXAMPLES
@given(moments=st.lists(st.integers(0, 60), min_size=1, max_size=3))
def test_a_run_killed_anywhere_is_finished_by_the_next(
    target: Target, run: Path, small_batches: None, moments: list[int]
) -> None:
    """Killed for good, before any statement or commit, and more than once: only whole postings are ever there."""
    target.renew()
    booked(run_ledger(run / "events.jsonl", "--into", target.url))
    whole = target.contents()
    target.renew()
    for moment in moments:
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                kill_at(moment)
                run_ledger(run / "events.jsonl", "--into", target.url)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert moment > 5 or os.WTERMSIG(status) == signal.SIGKILL
    with contextlib.suppress(Exception):  # no tables yet
        booked_lines = dict(target.query("SELECT posting_id, COUNT(*) FROM ledger_lines GROUP BY posting_id"))
        assert booked_lines == dict(target.query("SELECT posting_id, lines FROM ledger_postings"))
    booked(run_ledger(run / "events.jsonl", "--into", target.url))
    assert target.contents() == whole


def test_two_runs_at_once_book_a_log_once(target: Target, tmp_path: Path) -> None:
    """Each waits for the other's transaction, the making of the tables included."""
    path = write_events(tmp_path / "events.jsonl", [deposit(n, f"a{n % 50}") for n in range(1, 5_001)])
    command = [sys.executable, "-m", "consumers.cli", "ledger", path, "--into", target.url]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    for process in runs:
        _, stderr = process.communicate(timeout=120)
        assert (process.returncode, stderr) == (0, b"")
    assert target.query("SELECT COUNT(*) FROM ledger_lines") == [(5_000,)]
    assert target.balances()["usdt/external"] == -5_000 * 5_000_000


def test_postings_that_are_missing_are_said(target: Target, tmp_path: Path) -> None:
    """Each event names the one before it, so a ledger of half a log knows that it is one."""
    events = [deposit(n) for n in range(1, 8)]
    late = write_events(tmp_path / "late.jsonl", events[4:])
    result = run_ledger(late, "--into", target.url)
    assert booked(result)["gaps"] == "before engine:usdt/5"
    assert result.stderr == "Warning: postings before engine:usdt/5 are missing: balances are not whole\n"
    early = write_events(tmp_path / "early.jsonl", events[:4])
    result = run_ledger(early, "--into", target.url)
    assert booked(result)["gaps"] == "none"
    assert result.stderr == ""
    assert target.balances() == {"usdt/external": -35_000_000, "usdt/wallet/alice": 35_000_000}
