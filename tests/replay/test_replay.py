"""`backstop replay` through its command line, on the real engine: files, counts, exit codes."""

import gzip
import hashlib
import os
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
import zstandard
from click.testing import CliRunner

from consumers.cli import main
from engine.conservation import InvariantBroken
from engine.venue import Venue
from schemas.commands import Command
from schemas.envelope import Event
from tests.replay.conftest import START, TWO_FUNDS, Run, deposits, encoded, given_and_reconciled, three_endings

TICK = b'{"type":"clock.tick","ts":%d}\n'


def test_a_run_writes_events_dead_letters_and_a_report(replay: Callable[..., Run]) -> None:
    """All endings of a liquidation in one log, every invariant checked after every command."""
    run = replay(encoded(three_endings()), options=("--check-every", "1"))
    assert (run.exit_code, run.stderr) == (0, "")
    assert sorted(path.name for path in run.out.iterdir()) == ["dead-letters.jsonl", "events.jsonl", "report.json"]
    assert run.dead_letters == []
    report = run.report
    assert report["complete"] is True
    assert "stopped" not in report
    assert report["conservation"] == {"USDT": "0.000000"}
    assert report["funds"]["btc"]["balance"] == "1050.000000"
    assert report["state_hash"]
    counts = report["counts"]
    assert (counts["liquidations"], counts["residuals"], counts["takeovers"], counts["adl"]) == (3, 2, 1, 1)


def test_donations_and_history_of_the_report_are_those_of_the_events(replay: Callable[..., Run]) -> None:
    """The USD value in both, and a reconciliation period for each of two days."""
    deposit = {"type": "fund.deposit", "ts": START, "fund": "btc", "amount": "2.5", "transfer_id": "d"}
    donation = orjson.dumps(deposit | {"kind": "donation", "index": "1.01"}) + b"\n"
    run = replay(donation + TICK % (START + 2 * 86_400_000_000))
    (donated,) = [event for event in run.events if event.get("cause_kind") == "donation"]
    assert donated["usd_value"] == "2.52"  # 2.525
    given = {"count": 1, "amount": "2.500000", "usd_value": "2.52", "unpriced": "0.000000"}
    assert run.report["funds"]["btc"]["donations"] == run.report["totals"]["USDT"]["donations"] == given
    periods = [event for event in run.events if event["type"] == "fund.reconciled"]
    assert len(periods) == 2
    for period, told in zip(run.report["funds"]["btc"]["history"], periods, strict=True):
        assert told.items() > period.items()


def test_counts_are_those_of_a_recount_of_the_events(replay: Callable[..., Run]) -> None:
    """The report counts while events pass; a reader who counts the file finds the same."""
    log = encoded(three_endings()) + b"{bad\n" + encoded(deposits(50)) + b'{"type":"nothing","ts":1}\n'
    run = replay(log)
    by_type = Counter(event["type"] for event in run.events)
    rejected = [e for e in run.events if e["type"].endswith(".rejected") and e["type"] != "decision.rejected"]
    assert rejected
    assert run.report["counts"] == {
        "commands": len(three_endings()) + 50,
        "events": by_type.total(),
        "dead_letters": 2,
        "rejected": len(rejected),
        "trades": by_type["trade.executed"],
        "liquidations": by_type["liquidation.started"],
        "residuals": by_type["liquidation.residual"],
        "takeovers": by_type["takeover.approved"],
        "adl": by_type["adl.triggered"],
        "adl_executions": by_type["adl.executed"],
        "socialised": by_type["loss.socialised"],
        "cancelled": by_type["order.cancelled"],
        "by_event_type": dict(by_type),
        "reject_codes": dict(Counter(event["code"] for event in rejected)),
        "dead_letter_codes": {"malformed": 1, "unknown_type": 1},
    }


def test_the_report_names_its_inputs_and_hashes_its_events(replay: Callable[..., Run], tmp_path: Path) -> None:
    """Enough to tell later which files a report belongs to."""
    log = encoded(three_endings())
    run = replay(log, b"")
    report = run.report
    assert report["inputs"] == [
        {
            "file": str(tmp_path / "log-1.jsonl"),
            "bytes": len(log),
            "lines": len(three_endings()),
            "sha256": hashlib.sha256(log).hexdigest(),
        },
        {"file": str(tmp_path / "log-2.jsonl"), "bytes": 0, "lines": 0, "sha256": hashlib.sha256().hexdigest()},
    ]
    assert report["event_time"] == {"first": START, "last": START + (len(three_endings()) - 1) * 1_000_000}
    assert report["events_sha256"] == hashlib.sha256((run.out / "events.jsonl").read_bytes()).hexdigest()


def test_events_are_published_without_a_gap(replay: Callable[..., Run]) -> None:
    """Over batches and files, genesis included: `seq` counts up per stream, in the order of the file."""
    run = replay(encoded(deposits(1000)), encoded(three_endings()))
    last: Counter[str] = Counter()
    for event in run.events:
        last[event["stream"]] += 1
        assert event["seq"] == last[event["stream"]]


def test_one_log_in_three_wrappings_gives_the_same_events(replay: Callable[..., Run], tmp_path: Path) -> None:
    """Neither compression nor the split into files nor line endings are seen by the engine."""
    log = encoded(three_endings())
    lines = log.splitlines(keepends=True)
    (tmp_path / "log.gz").write_bytes(gzip.compress(log))
    (tmp_path / "log.zst").write_bytes(zstandard.compress(log.replace(b"\n", b"\r\n\r\n")))
    runs = [
        replay(log, out="plain"),
        replay(tmp_path / "log.gz", out="gz"),
        replay(tmp_path / "log.zst", out="zst"),
        replay(b"".join(lines[:7]), b"".join(lines[7:]).rstrip(), out="split"),
    ]
    assert len({run.report["events_sha256"] for run in runs}) == 1
    assert len({run.report["state_hash"] for run in runs}) == 1


def test_the_same_run_gives_the_same_bytes(venue: Path, tmp_path: Path) -> None:
    """No clock, no directory, no hash seed is in any file, the page included."""
    log = tmp_path / "log.jsonl"
    log.write_bytes(encoded(three_endings()) + b"{bad\n")
    contents = []
    for seed in ("1", "2"):
        out = tmp_path / f"out-{seed}"
        arguments = ["replay", log, "--config", venue, "--out", out, "--html"]
        environment = os.environ | {"PYTHONHASHSEED": seed}
        subprocess.run(
            [sys.executable, "-m", "consumers.cli", *arguments], check=True, env=environment, capture_output=True
        )
        contents.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert sorted(contents[0]) == ["dead-letters.jsonl", "events.jsonl", "report.html", "report.json"]
    assert contents[0] == contents[1]


def test_an_empty_log_is_a_complete_run(replay: Callable[..., Run]) -> None:
    run = replay(b"")
    assert run.exit_code == 0
    assert run.report["complete"] is True
    assert run.report["counts"]["commands"] == 0
    assert run.report["event_time"] == {"first": None, "last": None}
    assert [event["type"] for event in run.events if event["type"] == "fund.credited"] == ["fund.credited"]


def test_a_bad_line_becomes_a_dead_letter_and_the_run_goes_on(replay: Callable[..., Run], tmp_path: Path) -> None:
    """Each with its reason, where it came from and its bytes: text as text, anything else in base64."""
    bad = [b"{", b'{"type":"order.fly","ts":1}', b'{"type":"clock.tick","ts":-1}', b"\xff\xfe", b'"' + b"x" * 70_000]
    log = b"".join(TICK % i + line + b"\n" for i, line in enumerate(bad))
    run = replay(log)
    assert run.exit_code == 0
    assert run.report["complete"] is True
    assert run.report["counts"]["commands"] == 5
    letters = run.dead_letters
    assert [letter["code"] for letter in letters] == ["malformed", "unknown_type", "invalid", "malformed", "too_large"]
    assert [letter["line"] for letter in letters] == [2, 4, 6, 8, 10]
    assert {letter["source"] for letter in letters} == {str(tmp_path / "log-1.jsonl")}
    assert [letter.get("raw", "").encode() for letter in letters] == [*bad[:3], b"", bad[4]]
    assert letters[3]["raw_base64"] == "//4="
    assert "got 70001" in letters[4]["reason"]
    assert all(letter["reason"] for letter in letters)


def test_strict_stops_at_the_first_bad_line(replay: Callable[..., Run], tmp_path: Path) -> None:
    """What was applied before is there, the run says that it is incomplete, and the line says where to look."""
    run = replay(encoded(deposits(300)) + b"{bad\n{worse\n" + encoded(deposits(300)), options=("--strict",))
    assert run.exit_code == 2
    assert run.complaint.startswith(f"{tmp_path / 'log-1.jsonl'}:301: malformed: ")
    assert [letter["line"] for letter in run.dead_letters] == [301]
    assert run.report["complete"] is False
    assert run.report["stopped"] == {"code": "dead_letter", "reason": run.complaint}
    assert run.report["counts"]["commands"] == 300
    assert run.report["counts"]["events"] == len(run.events)


def test_what_a_bad_line_holds_stays_on_one_line(replay: Callable[..., Run]) -> None:
    """A field name may hold line breaks and terminal commands: they are shown as escapes."""
    run = replay(b'{"type":"clock.tick","ts":1,"a\\n\\u001b[31mb":1}\n', options=("--strict",))
    assert run.exit_code == 2
    assert "\x1b" not in run.stderr
    assert "invalid" in run.complaint


def test_a_file_of_any_name_can_be_a_log(replay: Callable[..., Run], tmp_path: Path) -> None:
    """Names are bytes; those that are no text are escaped."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/l\xff\nog.jsonl"))
    path.write_bytes(b"{bad\n")
    run = replay(path, options=("--html",))
    assert run.exit_code == 0
    assert run.dead_letters[0]["source"] == run.report["inputs"][0]["file"] == f"{tmp_path}/l\\udcff\\nog.jsonl"
    assert replay(path, options=("--strict",)).complaint.startswith(f"{tmp_path}/l\\udcff\\nog.jsonl:1: malformed")


def test_a_file_that_is_no_log_is_said_to_look_like_none(replay: Callable[..., Run]) -> None:
    run = replay(b"no log\nat all\n")
    assert run.exit_code == 0
    assert run.stderr == "Warning: no line of the log was a command; is it a command log?\n"


def test_strict_does_not_mind_a_rejected_command(replay: Callable[..., Run]) -> None:
    """A command that makes no sense for the state is answered; only what is no command at all is bad."""
    assert replay(encoded(three_endings()), options=("--strict",)).exit_code == 0


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_truncated_log_is_replayed_to_its_last_complete_line(
    replay: Callable[..., Run], tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "log"
    path.write_bytes(compress(encoded(deposits(20_000)))[:-200])
    run = replay(path)
    assert run.exit_code == 2
    assert run.complaint.startswith(f"{path}: after line ")
    assert "truncated" in run.complaint
    counts = run.report["counts"]
    assert 10_000 < counts["commands"] < 20_000
    assert f"after line {counts['commands']}:" in run.complaint
    assert run.report["complete"] is False
    assert run.report["stopped"]["code"] == "log_unreadable"
    assert counts["events"] == len(run.events)


NO_SUCH = "no/such/file"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["replay"], "Missing argument 'LOG...' (see 'backstop replay --help')"),
        (["replay", "{log}", "--out", "x"], "Missing option '--config': only a journal holds the "),
        (["replay", "{log}", "--config", "{venue}"], "Missing option '--out' (see 'backstop replay --help')"),
        (["replay", NO_SUCH, "--config", "{venue}", "--out", "x"], f"{NO_SUCH}: no such file"),
        (["replay", "{dir}", "--config", "{venue}", "--out", "x"], "{dir}: expected a file, it is a directory"),
        (["replay", "{log}", "--config", NO_SUCH, "--out", "x"], f"{NO_SUCH}: cannot be read: "),
        (["replay", "{log}", "--config", "{log}", "--out", "x"], "{log}: "),
        (["replay", "{log}", "--config", "{venue}", "--out", "{log}"], "{log}: cannot be made: "),
        (["replay", "{log}", "--config", "{venue}", "--out", "{log}/x"], "{log}/x: cannot be made: "),
        (["replay", "{log}", "--config", "{venue}", "--out", "x", "--check-every", "0"], "Invalid value for"),
        (["replay", "{log}", "--config", "{venue}", "--out", "x", "--fast"], "No such option"),
        (["play"], "No such command 'play'"),
        (["--loud"], "No such option"),
    ],
)
def test_what_the_user_can_put_right_is_one_line_and_exit_code_2(
    arguments: list[str], complaint: str, venue: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(TICK % 1)
    names = {"log": str(log), "venue": str(venue), "dir": str(tmp_path)}
    result = CliRunner().invoke(main, [argument.format(**names) for argument in arguments], prog_name="backstop")
    run = Run(result, tmp_path)
    assert run.exit_code == 2
    assert run.complaint.startswith(complaint.format(**names))
    assert log.read_bytes() == TICK % 1


def test_a_config_that_makes_no_sense_is_one_line(replay: Callable[..., Run], venue: Path) -> None:
    """Both what the file alone shows and what only the engine finds when it compiles it."""
    good = venue.read_text()
    for bad in (good.replace('"0.1"', "0.1"), good.replace('fund = "btc"', 'fund = "eth"'), good + "\nx = ["):
        venue.write_text(bad)
        run = replay(b"", out="never")
        assert run.exit_code == 2
        assert run.complaint.startswith(f"{venue}: ")
        assert not run.out.exists()


def test_an_input_is_never_overwritten(replay: Callable[..., Run], tmp_path: Path) -> None:
    """Replaying a log that is called like an output, in the directory it lies in, must not destroy it."""
    out = tmp_path / "out"
    out.mkdir()
    log = out / "events.jsonl"
    log.write_bytes(TICK % 1)
    run = replay(log)
    assert run.exit_code == 2
    assert "would be overwritten" in run.complaint
    assert log.read_bytes() == TICK % 1


def test_what_an_earlier_run_left_is_gone(replay: Callable[..., Run]) -> None:
    """A page of the last run beside a report of this one would mislead."""
    replay(encoded(three_endings()), options=("--html",))
    run = replay(b"{bad\n")
    assert sorted(path.name for path in run.out.iterdir()) == ["dead-letters.jsonl", "events.jsonl", "report.json"]
    assert len(run.dead_letters) == 1


def test_a_refused_run_leaves_the_earlier_outputs_alone(replay: Callable[..., Run], tmp_path: Path) -> None:
    """A typing error in the command must not cost the results of yesterday."""
    before = replay(encoded(three_endings())).report
    assert replay(tmp_path / NO_SUCH).exit_code == 2
    assert Run(CliRunner().invoke(main, ["--version"]), tmp_path / "out").report == before


def test_a_broken_invariant_ends_the_run_with_its_place(
    replay: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--check-every N` looks after each N commands; what it finds is a failure of ours, exit code 1."""
    checks = 0

    def check(venue: Venue) -> None:
        nonlocal checks
        checks += 1
        if checks == 3:
            raise InvariantBroken("signed sizes of BTC-USDT sum to 1 lots")

    monkeypatch.setattr(Venue, "check", check)
    run = replay(b"\n" + encoded(deposits(100)), options=("--check-every", "10"))
    assert run.exit_code == 1
    place = f"{tmp_path / 'log-1.jsonl'}:31"
    assert run.complaint == f"{place}: invariant broken after this command: signed sizes of BTC-USDT sum to 1 lots"
    assert run.report["stopped"]["code"] == "invariant_broken"
    assert run.report["counts"]["commands"] == 30


def test_the_state_is_checked_once_more_at_the_end(replay: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    def check(_: Venue) -> None:
        raise InvariantBroken("fund btc reserves too much")

    monkeypatch.setattr(Venue, "check", check)
    run = replay(encoded(deposits(5)), options=("--check-every", "10"))
    assert run.exit_code == 1
    assert run.complaint == "invariant broken at the end of the run: fund btc reserves too much"
    assert run.report["complete"] is True


def test_money_that_is_not_conserved_fails_every_run(
    replay: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody needs to ask for this check: a run that lost a unit must not exit 0."""
    monkeypatch.setattr(Venue, "residuals", lambda _: {"USDT": "-0.000001"})
    run = replay(encoded(deposits(5)))
    assert run.exit_code == 1
    assert run.complaint == "USDT is not conserved: -0.000001 at the end of the run"


def test_an_interruption_while_the_report_is_written_is_one_line(
    replay: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop is over, so nothing waits for a batch: the run ends at once and leaves no report."""

    def report(_: Venue) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Venue, "report", report)
    run = replay(encoded(deposits(5)))
    assert (run.exit_code, run.complaint) == (130, "interrupted by SIGINT")
    assert not (run.out / "report.json").exists()


@pytest.mark.parametrize("error", [KeyError("who"), AssertionError("no fill is worse than bankruptcy")])
def test_a_failure_of_the_engine_is_one_line_with_the_command_that_caused_it(
    replay: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The state is in doubt then, so the report says nothing about it; the traceback is there for who asks."""
    apply = Venue.apply

    def failing(venue: Venue, command: Command) -> list[Event]:
        if command.ts == START + 300:
            raise error
        return apply(venue, command)

    monkeypatch.setattr(Venue, "apply", failing)
    run = replay(encoded(deposits(400)))
    assert run.exit_code == 1
    assert run.complaint.startswith(f"{tmp_path / 'log-1.jsonl'}:301: ")
    assert "who" in run.complaint or "invariant broken" in run.complaint
    assert run.report["complete"] is False
    assert run.report["counts"]["commands"] == 300
    assert run.report["counts"]["events"] == len(run.events)
    assert "funds" not in run.report
    loud = replay(encoded(deposits(400)), verbose=True)
    said = [orjson.loads(line) for line in loud.stderr.splitlines()[:-1]]
    assert "Traceback" in next(line["traceback"] for line in said if line["event"] == "replay.failed")


def test_the_summary_says_the_headlines(replay: Callable[..., Run]) -> None:
    """What a person reads in the terminal is what the report holds."""
    run = replay(encoded(three_endings()), options=("--html",))
    report = run.report
    for said in (
        "1,050.000000",
        "takeover_pnl",
        "33.3 %",
        "-50.000000",
        "USDT: holds",
        report["state_hash"],
        report["events_sha256"],
        "report.html",
        "unknown_account 1",
    ):
        assert said in run.stdout


def test_a_reader_of_the_summary_may_go_away(venue: Path, tmp_path: Path) -> None:
    """`backstop replay … | head -1` is no failure: the files are written by then."""
    log = tmp_path / "log.jsonl"
    log.write_bytes(TICK % 1)
    arguments = ["replay", log, "--config", venue, "--out", tmp_path / "out"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "consumers.cli", *arguments], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_disk_is_one_line(venue: Path, tmp_path: Path) -> None:
    """The run cannot say more in its files, so it says it on stderr; no report means not finished."""
    log, out = tmp_path / "log.jsonl", tmp_path / "out"
    log.write_bytes(encoded(deposits(2_000)))
    done = subprocess.run(
        [sys.executable, "-m", "consumers.cli", "replay", log, "--config", venue, "--out", out],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [f"Error: {out / 'events.jsonl'}: cannot be written: File too large"]
    assert {path.name for path in out.iterdir()} == {"events.jsonl.partial", "dead-letters.jsonl.partial"}


def test_version_and_help_are_there() -> None:
    """Asking for nothing gets the help."""
    runner = CliRunner()
    assert runner.invoke(main, ["--version"]).output.startswith("backstop, version ")
    for arguments in ([], ["--help"], ["-h"]):
        result = runner.invoke(main, arguments)
        assert result.exit_code == 0
        assert "replay" in result.output
    assert "--check-every" in runner.invoke(main, ["replay", "--help"]).output


def test_the_summary_says_donations_and_what_all_funds_of_an_asset_come_to(
    replay: Callable[..., Run], venue: Path
) -> None:
    venue.write_text(TWO_FUNDS)
    run = replay(encoded(given_and_reconciled()))
    lines = [line.split() for line in run.stdout.splitlines()]
    assert ["all", "2", "USDT", "1,030.000000", "3,541.500000", "0.000000", "900.000000", "-"] in lines
    assert ["btc", "USDT", "2", "2,501.500000", "2,501.50", "0.000000"] in lines
    assert ["eth", "USDT", "1", "10.000000", "5.00", "0.000000"] in lines
    assert ["all", "USDT", "3", "2,511.500000", "2,506.50", "0.000000"] in lines


def test_one_fund_has_no_totals_and_without_donations_there_is_no_table_of_them(replay: Callable[..., Run]) -> None:
    run = replay(encoded(three_endings()))
    assert "all " not in run.stdout
    assert "Donations" not in run.stdout


def test_the_summary_says_how_much_of_takeovers_was_netted(tmp_path: Path) -> None:
    folder = Path(__file__).parents[1] / "examples" / "9_takeovers_of_opposite_sides_are_netted"
    arguments = ["replay", str(folder / "commands.jsonl"), "--config", str(folder / "venue.toml")]
    result = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "out"), "--html"])
    assert ["netted,", "quantity", "1.000"] in [line.split() for line in result.stdout.splitlines()]
    assert "closed against each other 1 times" in (tmp_path / "out" / "report.html").read_text("utf-8")
