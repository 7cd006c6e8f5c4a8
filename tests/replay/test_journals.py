"""A journal replays: its machine alone publishes the very bytes it did, or the run says where it does not follow."""

import gzip
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import orjson
import pytest
import zstandard
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.cli import main
from consumers.service.journal import decode_record
from consumers.service.stream import open_stream
from schemas.config import load_config
from schemas.wire import decode_command, encode
from tests.engine.test_delayed_settlement import VENUES
from tests.replay.conftest import VENUE, Run
from tests.service.venue_log import VenueLog, record_history

STREAMS = ("engine:usdt", "engine:more", "settlement:USDT")


@cache
def recorded() -> VenueLog:
    """A history in which most things happen."""
    return record_history(7, "tiny funds, short lives", 1_500)


@pytest.fixture
def replay_journal(tmp_path: Path) -> Callable[..., Run]:
    """Run `backstop replay` over journals, given as bytes or paths, without a config."""

    def replay(*journals: bytes | Path, options: tuple[str, ...] = ()) -> Run:
        paths = []
        for number, journal in enumerate(journals, 1):
            path = journal if isinstance(journal, Path) else tmp_path / f"{number}.jsonl"
            if isinstance(journal, bytes):
                path.write_bytes(journal)
            paths.append(str(path))
        result = CliRunner().invoke(main, ["replay", *paths, "--out", str(tmp_path / "out"), *options])
        return Run(result, tmp_path / "out")

    return replay


def _events_file(log: VenueLog, stream: str) -> bytes:
    return b"".join(outgoing.value + b"\n" for outgoing in log.published[stream])


@pytest.mark.parametrize("stream", STREAMS)
def test_a_journal_replays_to_the_bytes_that_were_published(stream: str, replay_journal: Callable[..., Run]) -> None:
    """In the order of emission over all topics, genesis included; and the report is that of the machine as it was."""
    log = recorded()
    run = replay_journal(log.journal(stream), options=("--check-every", "50", "--strict"))
    assert run.exit_code == 0, run.stderr
    assert (run.out / "events.jsonl").read_bytes() == _events_file(log, stream)
    assert run.dead_letters == []
    replica, report = log.replicas[stream], run.report
    assert report["state_hash"] == replica.machine.state_hash()
    assert report["stream"] == stream
    assert report["journal"]["last"] == replica.applied == report["counts"]["commands"]
    assert report["journal"]["chain"] == replica.chain.hex()
    assert report["conservation"] == {"USDT": "0.000000"}
    assert report["complete"]
    if stream.startswith("engine:"):
        assert report["accounts"].keys() == {stream.removeprefix("engine:")}
        assert "funds" not in report
    else:
        assert report["funds"].keys() == {"btc", "eth"}
        assert "accounts" not in report
    assert f"stream                  {stream}".split() in [line.split() for line in run.stdout.splitlines()]


@settings(max_examples=15)
@given(st.integers(0, 10**9), st.sampled_from(sorted(VENUES)), st.integers(50, 400))
def test_any_history_in_any_batches_replays_as_each_machine_ran_alone(seed: int, venue: str, length: int) -> None:
    """The machine's own `apply` over the inputs as they stand in the topics, against the run over the journal."""
    log = record_history(seed, venue, length)
    with TemporaryDirectory() as folder:
        journal, out = Path(folder) / "journal", Path(folder) / "out"
        for name in STREAMS:
            stream = open_stream(log.config, name)
            expected = [encode(event) for event in stream.machine.genesis()]
            for line in log.journal(name).splitlines():
                at = orjson.loads(line).get("at")
                if at is not None:
                    raw = _input_at(log, at) or orjson.dumps(orjson.loads(line)["input"])
                    message: Any = stream.decode(msgspec.Raw(raw)) if at.startswith(("liq", "dec")) else None
                    expected += [encode(event) for event in stream.machine.apply(message or decode_command(raw))]
            journal.write_bytes(log.journal(name))
            result = CliRunner().invoke(main, ["replay", str(journal), "--out", str(out)])
            assert result.exit_code == 0, result.stderr
            assert (out / "events.jsonl").read_bytes().splitlines() == expected


def _input_at(log: VenueLog, at: str) -> bytes | None:
    if at == "clock":
        return None
    topic, partition, offset = at.split("/")
    return next(each.value for each in log.topics[topic, int(partition)] if each.offset == int(offset))


def test_several_files_are_one_journal_however_they_are_packed(
    tmp_path: Path, replay_journal: Callable[..., Run]
) -> None:
    log = recorded()
    records = _records(log.journal("engine:usdt"))
    third = len(records) // 3
    first, second, third_part = (
        b"".join(records[:third]),
        b"".join(records[third : 2 * third]),
        b"".join(records[2 * third :]),
    )
    (tmp_path / "a.gz").write_bytes(gzip.compress(first))
    (tmp_path / "b.zst").write_bytes(zstandard.compress(second))
    run = replay_journal(tmp_path / "a.gz", tmp_path / "b.zst", third_part)
    assert run.exit_code == 0, run.stderr
    assert (run.out / "events.jsonl").read_bytes() == _events_file(log, "engine:usdt")
    assert run.report["journal"]["records"] == len(records)


def test_the_genesis_config_may_be_given_and_must_then_be_the_one_in_the_journal(
    tmp_path: Path, replay_journal: Callable[..., Run]
) -> None:
    log = recorded()
    same, other = tmp_path / "same.toml", tmp_path / "other.toml"
    same.write_text("# another layout\n" + log.toml)
    other.write_text(VENUE)
    journal = log.journal("settlement:USDT")
    assert replay_journal(journal, options=("--config", str(same))).exit_code == 0
    run = replay_journal(journal, options=("--config", str(other)))
    assert run.exit_code == 2
    expected, got = log.streams["engine:usdt"].config_hash, _hash(other)
    assert expected in run.complaint
    assert got in run.complaint
    assert "jq -r .genesis" in run.complaint


def _hash(path: Path) -> str:
    return open_stream(load_config(path), "engine:usdt").config_hash


# --- tampered journals ----------------------------------------------------------------------------------------


def _records(journal: bytes) -> list[bytes]:
    records: list[bytes] = []
    for line in journal.splitlines(keepends=True):
        if line.startswith(b'{"type":"journal.batch"'):
            records.append(line)
        else:
            records[-1] += line
    return records


def _altered(record: bytes, **fields: Any) -> bytes:
    header, *entries = record.splitlines(keepends=True)
    return b"".join([orjson.dumps({**orjson.loads(header), **fields}) + b"\n", *entries])


def _tampered(kind: str) -> list[bytes]:
    """The records of engine:usdt's journal with one thing wrong with them."""
    records = _records(recorded().journal("engine:usdt"))
    middle = next(n for n in range(40, len(records)) if records[n].count(b"\n") > 2)
    header, *entries = records[middle].splitlines(keepends=True)
    mark = next(n for n, record in enumerate(records) if n > 20 and b'"price.mark"' in record)
    match kind:
        case "an input changed":
            at = records[mark].index(b'"price":"') + len(b'"price":"')
            records[mark] = records[mark][:at] + b"7" + records[mark][at:]
        case "two inputs swapped":
            first = next(n for n, record in enumerate(records) if record.count(b'"account.deposit"') > 1)
            header, *entries = records[first].splitlines(keepends=True)
            one, other = [n for n, entry in enumerate(entries) if b'"account.deposit"' in entry][:2]
            entries[one], entries[other] = entries[other], entries[one]
            records[first] = b"".join([header, *entries])
        case "another chain":
            records[middle] = _altered(records[middle], chain="00" * 32)
        case "a record dropped":
            del records[middle]
        case "two records swapped":
            records[middle], records[middle + 1] = records[middle + 1], records[middle]
        case "a record twice":
            records.insert(middle, records[middle])
        case "an input dropped":
            records[middle] = b"".join([header, *entries[1:]])
        case "an input added":
            records[middle] = b"".join([header, *entries, entries[0]])
        case "a second genesis":
            count = decode_record(records[middle], "").header.first
            records.insert(middle, _altered(records[0], first=count, last=count - 1))
        case "a line cut off":
            records[middle] = records[middle][:-20] + b"\n"
        case "the end cut off":
            records = [*records[:middle], b"".join([header, *entries[:-1]])]
        case "no genesis":
            del records[0]
        case "another genesis config":
            toml = orjson.loads(records[0])["genesis"].replace('"10"', '"11"')
            records[0] = _altered(records[0], genesis=toml)
        case "a config that is none":
            records[0] = _altered(records[0], genesis="assets = 1")
        case "a record of another stream":
            records[middle] = _altered(records[middle], stream="engine:more")
        case "counting backwards":
            records[middle] = _altered(records[middle], last=0)
        case "an unknown field":
            records[middle] = _altered(records[middle], surplus=1)
        case "an input that is none":
            records[mark] = records[mark].replace(b'"price.mark"', b'"trade.executed"', 1)
    return records


TAMPERINGS = {
    "an input changed": (1, "the journal does not follow: 1.jsonl:{line}: its inputs"),
    "two inputs swapped": (1, "the journal does not follow: 1.jsonl:{line}: its inputs"),
    "another chain": (1, "the journal does not follow: 1.jsonl:{line}: its inputs"),
    "a record dropped": (2, "1.jsonl:{line}: begins with input {number}, expected"),
    "two records swapped": (2, "what lies between is missing"),
    "a record twice": (2, "was there before"),
    "an input dropped": (2, "1.jsonl:{line}: after"),
    "an input added": (2, "1.jsonl:{line}: expected the header of a journal record"),
    "a second genesis": (2, "1.jsonl:{line}: a second genesis"),
    "a line cut off": (2, "1.jsonl:{line}: after"),
    "the end cut off": (2, "1.jsonl:{line}: is cut off after"),
    "no genesis": (2, "1.jsonl:1: begins with input 1 of engine:usdt; a replay needs the journal from its genesis on"),
    "another genesis config": (2, "1.jsonl:1: the config in the journal has the hash"),
    "a config that is none": (2, "1.jsonl:1: the config in the journal: assets"),
    "a record of another stream": (2, "1.jsonl:{line}: belongs to engine:more, not to engine:usdt"),
    "counting backwards": (2, "1.jsonl:{line}: its last input, 0, comes before its first"),
    "an unknown field": (2, "1.jsonl:{line}: expected the header of a journal record"),
    "an input that is none": (2, "is none of engine:usdt"),
}


@pytest.mark.parametrize("kind", TAMPERINGS)
def test_a_journal_that_was_tampered_with_is_refused(
    kind: str, tmp_path: Path, replay_journal: Callable[..., Run]
) -> None:
    """With one line that names the file, the line and what is wrong."""
    original = _records(recorded().journal("engine:usdt"))
    records = _tampered(kind)
    journal = b"".join(records)
    run = replay_journal(journal)
    code, complaint = TAMPERINGS[kind]
    assert (run.exit_code, kind) == (code, kind)
    text = run.complaint.replace(f"{tmp_path}/", "")
    wrong = next((n for n, (a, b) in enumerate(zip(original, records, strict=False)) if a != b), len(records) - 1)
    line = b"".join(records[:wrong]).count(b"\n") + 1
    if kind in ("an input dropped", "an input added", "a line cut off"):
        line = int(text.split(":")[1])  # where it is noticed is somewhere in the record or behind it
        assert 0 <= line - b"".join(records[:wrong]).count(b"\n") <= records[wrong].count(b"\n") + 1
    number = decode_record(records[wrong], "").header.first if kind == "a record dropped" else 0
    assert complaint.format(line=line, number=number) in text
    if (run.out / "report.json").exists():
        assert run.report["complete"] is False


def test_a_journal_and_a_command_log_are_not_mixed(replay_journal: Callable[..., Run], venue: Path) -> None:
    journal, commands = recorded().journal("engine:usdt"), b'{"type":"clock.tick","ts":1}\n'
    run = replay_journal(journal, commands)
    assert run.exit_code == 2
    assert "2.jsonl:1: is no journal, and what came before is one: replay them apart" in run.complaint
    run = replay_journal(commands, journal, options=("--config", str(venue)))
    assert run.exit_code == 2
    assert "2.jsonl:1: is a journal, and what came before is a command log: replay them apart" in run.complaint


def test_journals_of_two_streams_are_two_runs(replay_journal: Callable[..., Run]) -> None:
    log = recorded()
    run = replay_journal(log.journal("engine:usdt"), log.journal("engine:more"))
    assert run.exit_code == 2
    assert "belongs to engine:more, not to engine:usdt" in run.complaint


def test_the_dashboard_shows_a_venue_and_not_a_stream(replay_journal: Callable[..., Run]) -> None:
    run = replay_journal(recorded().journal("engine:usdt"), options=("--html",))
    assert run.exit_code == 2
    assert "--html" in run.complaint
