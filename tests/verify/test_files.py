"""`backstop verify` over exported files: the journals against themselves and each other, without Kafka."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from consumers.cli import main
from tests.replay.conftest import VENUE
from tests.service.venue_log import VenueLog, record_history

NAMES = ("engine:usdt", "engine:more", "settlement:USDT")


@pytest.fixture(scope="module")
def log() -> VenueLog:
    """A history that ends in the middle of it all."""
    return record_history(11, "rich funds, fees, surplus to the account", 500)


def _verify(*arguments: Path | str) -> Result:
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


def _files(log: VenueLog, folder: Path, **changed: bytes) -> list[Path]:
    """A file per stream, by its kind and name without the colon."""
    paths = []
    for name in NAMES:
        path = folder / name.replace(":", "_")
        path.write_bytes(changed.get(path.name, log.journal(name)))
        paths.append(path)
    return paths


def test_the_journals_of_a_venue_hold(log: VenueLog, tmp_path: Path) -> None:
    """In any order of streams; money under way is told, and nothing is left over."""
    result = _verify(*reversed(_files(log, tmp_path)), "--json")
    assert result.exit_code == 0, result.output
    verdict = orjson.loads(result.stdout)
    assert verdict["holds"]
    assert not verdict["topics"]
    assert {each["stream"]: each["inputs"] for each in verdict["streams"]} == {
        name: log.replicas[name].applied for name in NAMES
    }
    assert [(each["asset"], each["residual"]) for each in verdict["conservation"]] == [("USDT", "0.000000")]
    assert all(each["sent"] >= each["arrived"] for each in verdict["crossings"])


def test_one_stream_alone_is_proved_as_far_as_it_goes(log: VenueLog, tmp_path: Path) -> None:
    """Without the others there is nobody to compare messages with, and no sum over the asset."""
    result = _verify(_files(log, tmp_path)[2], "--json")
    assert result.exit_code == 0, result.output
    verdict = orjson.loads(result.stdout)
    assert [each["stream"] for each in verdict["streams"]] == ["settlement:USDT"]
    assert verdict["absent"] == ["engine:usdt", "engine:more"]
    assert verdict["conservation"] == []


def _with_claim(journal: bytes, **fields: Any) -> bytes:
    """Settlement's journal with a field of one of its claims changed, to where nothing of it shows in its events."""
    lines = [orjson.loads(line) for line in journal.splitlines()]
    claim = next(line for line in lines if line.get("input", {}).get("type") == "takeover.closed")
    claim["input"] |= fields
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


def test_a_claim_that_arrived_otherwise_than_it_was_sent_is_found(log: VenueLog, tmp_path: Path) -> None:
    """Settlement's own replay cannot notice: what it does not use of a claim is in none of its events."""
    changed = _with_claim(log.journal("settlement:USDT"), price="1.23456789")
    files = _files(log, tmp_path, settlement_USDT=changed)
    assert _verify(files[2]).exit_code == 0
    result = _verify(*files)
    assert result.exit_code == 1
    assert "messages: engine:" in result.stdout
    assert "expected in its journal what was sent; got something else" in result.stdout


def test_a_sender_whose_file_ends_before_what_arrived_is_told(log: VenueLog, tmp_path: Path) -> None:
    """The files do not belong together: the sender's has to be the later one."""
    journal = log.journal("engine:usdt").splitlines(keepends=True)
    headers = [n for n, line in enumerate(journal) if b'"journal.batch"' in line]
    short = b"".join(journal[: headers[len(headers) // 3]])
    result = _verify(*_files(log, tmp_path, engine_usdt=short))
    assert result.exit_code == 1
    assert "sent up to the end of the sender's journal" in result.stdout


def test_a_gap_or_a_cut_is_named_by_file_and_line(log: VenueLog, tmp_path: Path) -> None:
    journal = log.journal("engine:usdt").splitlines(keepends=True)
    headers = [n for n, line in enumerate(journal) if b'"journal.batch"' in line]
    at = next(n for n, (a, b) in enumerate(pairwise(headers)) if n > 5 and b - a > 1)
    gap = b"".join([*journal[: headers[at]], *journal[headers[at + 1] :]])
    result = _verify(*_files(log, tmp_path, engine_usdt=gap))
    assert result.exit_code == 1
    assert f"engine_usdt:{headers[at] + 1}: begins with input" in result.stdout
    result = _verify(*_files(log, tmp_path, engine_usdt=b"".join(journal[: headers[at] + 1])))
    assert result.exit_code == 1
    assert f"engine_usdt:{headers[at] + 1}: is cut off after 0 of the inputs" in result.stdout


def test_what_is_no_journal_is_one_line(log: VenueLog, tmp_path: Path) -> None:
    other, empty, venue = tmp_path / "other", tmp_path / "empty", tmp_path / "venue.toml"
    other.write_bytes(b'{"type":"clock.tick","ts":1}\n')
    empty.write_bytes(b"")
    venue.write_text(VENUE)
    (journal, *_) = _files(log, tmp_path)
    for arguments, complaint in (
        ((other,), "expected the header of a journal record"),
        ((empty,), "has no line that can be read"),
        ((tmp_path / "none",), "no such file"),
        ((journal, "--config", venue), "leave --config out"),
        ((journal, "--config", other), "not valid TOML"),
    ):
        result = _verify(*arguments)
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1), result.output
        assert complaint in result.stderr
