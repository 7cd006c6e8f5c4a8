"""Runs that do not reach their end: whatever stops them, what they leave says so."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.replay.conftest import deposits, encoded

COMMANDS = 200_000


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log that takes many seconds to replay."""
    path = tmp_path_factory.mktemp("logs") / "long.jsonl"
    path.write_bytes(encoded(deposits(COMMANDS)))
    return path


@pytest.fixture
def started(venue: Path, long_log: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A replay that has written its first events."""
    arguments = ["replay", long_log, "--config", venue, "--out", tmp_path / "out"]
    process = subprocess.Popen(
        [sys.executable, "-m", "consumers.cli", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        partial = tmp_path / "out" / "events.jsonl.partial"
        deadline = time.monotonic() + 60
        while not (partial.exists() and partial.stat().st_size > 100_000):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_after_its_batch(
    started: subprocess.Popen[bytes], tmp_path: Path, number: signal.Signals, exit_code: int
) -> None:
    """The files agree with each other, hold whole lines only, and the report says that they are not all."""
    started.send_signal(number)
    _, stderr = started.communicate(timeout=60)
    assert started.returncode == exit_code
    [said] = stderr.decode().splitlines()
    out = tmp_path / "out"
    report = orjson.loads((out / "report.json").read_bytes())
    assert report["complete"] is False
    assert report["stopped"]["code"] == "interrupted"
    assert said == f"Error: {report['stopped']['reason']}"
    applied = report["counts"]["commands"]
    assert 0 < applied < COMMANDS
    assert f"{number.name} after " in said
    assert f"long.jsonl:{applied}, {applied:,} commands applied" in said
    events = [orjson.loads(line) for line in (out / "events.jsonl").read_bytes().splitlines()]
    assert len(events) == report["counts"]["events"]
    assert report["inputs"][0]["sha256"] is None
    assert sorted(path.name for path in out.iterdir()) == ["dead-letters.jsonl", "events.jsonl", "report.json"]


def test_a_killed_run_leaves_nothing_that_looks_finished(started: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """No report and no file of its final name."""
    started.kill()
    started.communicate(timeout=60)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"events.jsonl.partial", "dead-letters.jsonl.partial"}


def test_progress_is_shown_to_a_person_only(venue: Path, tmp_path: Path) -> None:
    """On a terminal stderr has a bar; otherwise nothing."""
    log = tmp_path / "log.jsonl"
    log.write_bytes(encoded(deposits(20_000)))
    arguments = ["replay", log, "--config", venue, "--out", tmp_path / "out"]
    command = [sys.executable, "-m", "consumers.cli", *arguments]
    controller, terminal = pty.openpty()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal, env=os.environ | {"TERM": "xterm"})
    os.close(terminal)
    shown = b""
    while True:
        try:
            piece = os.read(controller, 65_536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(controller)
    assert process.wait() == 0
    assert b"replaying" in shown
    assert b"commands" in shown
    silent = subprocess.run(command, capture_output=True, check=True)
    assert silent.stderr == b""
