"""What `backstop explain` reads: plain and compressed files of any size, and one clear line where it cannot."""

import gzip
import tracemalloc
from pathlib import Path

import orjson
import pytest
import zstandard

from consumers.explain.liquidation import LiquidationStory
from consumers.explain.source import tell_all
from consumers.explain.terms import Terms
from tests.explain.conftest import Explain

EXAMPLES = Path(__file__).parents[1] / "examples"
EVENTS = EXAMPLES / "3_adl_when_the_loss_exceeds_the_fund" / "expected.jsonl"


def bystanders(count: int) -> bytes:
    """Deposits of accounts that nobody asks about, as an engine of another shard publishes them."""
    lines = []
    for number in range(count):
        header = {"stream": "engine:other", "seq": 2 * number + 1, "prev": 0, "ts": 1, "cause": number + 1}
        wallet = {"shard": "other", "account": f"b{number}", "wallet": "5.000000"}
        lines.append(orjson.dumps({"type": "account.updated", **header, **wallet}))
        line = {"debit": "other/external", "credit": f"other/wallet/b{number}", "amount": "5.000000"}
        posting = {"posting_id": f"engine:other/{number + 1}", "asset": "USDT"}
        posted = {**posting, "lines": [{**line, "cause_kind": "deposit"}]}
        lines.append(orjson.dumps({"type": "ledger.posted", **header, "seq": 2 * number + 2, **posted}))
    return b"".join(line + b"\n" for line in lines)


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_compressed_events_tell_the_same_story(explain: Explain, tmp_path: Path, ending: str) -> None:
    compress = gzip.compress if ending == ".gz" else zstandard.ZstdCompressor().compress
    path = tmp_path / f"events.jsonl{ending}"
    path.write_bytes(compress(EVENTS.read_bytes()))
    for question in (("--liquidation", "usdt:1"), ("--account", "carl")):
        for output in ("text", "json"):
            assert (
                explain(path, *question, "--format", output).text == explain(EVENTS, *question, "--format", output).text
            )


def test_memory_does_not_grow_with_what_others_do(tmp_path: Path) -> None:
    """The story's own events stand in the middle of a file of 25 MB, and take a fraction of it."""
    path = tmp_path / "events.jsonl.zst"
    crowd = bystanders(30_000)
    path.write_bytes(zstandard.ZstdCompressor().compress(crowd + EVENTS.read_bytes() + crowd))
    story = LiquidationStory("usdt:1", Terms())
    tracemalloc.start()
    try:
        tell_all(path, story)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(crowd) > 10_000_000
    assert peak < 6_000_000
    assert len(story.steps) == 10


def test_events_in_other_words_are_understood(explain: Explain, tmp_path: Path) -> None:
    """Fields in another order, as a tool may have written them."""
    path = tmp_path / "events.jsonl"
    events = [orjson.loads(line) for line in EVENTS.read_bytes().splitlines()]
    spaced = [", ".join(orjson.dumps({name: event[name]}).decode()[1:-1] for name in sorted(event)) for event in events]
    path.write_text("".join(f"{{{line}}}\n" for line in spaced))
    assert explain(path, "--liquidation", "usdt:1").text == explain(EVENTS, "--liquidation", "usdt:1").text


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "{path}: holds no events"),
        (b"hello\n", "{path}:1: no event: record: expected one JSON object; "),
        (
            b'{"type":"price.mark","ts":1,"market":"A","price":"1"}\n',
            "{path}:1: no event: type: 'price.mark' is unknown",
        ),
        (EVENTS.read_bytes()[:-40], "{path}:55: no event: record: expected one JSON object; "),
        (b"\x1f\x8b\x08", "{path}: truncated gzip data"),
    ],
)
def test_what_is_no_events_file_is_named_in_one_line(
    explain: Explain, tmp_path: Path, content: bytes, complaint: str
) -> None:
    path = tmp_path / "input"
    path.write_bytes(content)
    said = explain(path, "--liquidation", "usdt:1").complaint
    lines = len(EVENTS.read_bytes().splitlines())
    assert said.startswith(complaint.format(path=path).replace(":55:", f":{lines}:"))


def test_a_command_log_is_recognised(explain: Explain) -> None:
    said = explain(EVENTS.parent / "commands.jsonl", "--account", "alice").complaint
    assert said.endswith("commands.jsonl the events.jsonl of a replay?")


def test_an_unknown_liquidation_is_answered_by_what_there_is(explain: Explain) -> None:
    said = explain(EVENTS, "--liquidation", "usdt:2").complaint
    assert said == f"{EVENTS}: no liquidation 'usdt:2'; it has 1 from usdt:1 to usdt:1"
    quiet = EXAMPLES / "6_fund_minimum_and_withdrawal" / "expected.jsonl"
    assert explain(quiet, "--liquidation", "usdt:1").complaint.endswith("nobody was liquidated in it")


def test_an_unknown_account_is_answered_by_those_spelled_alike(explain: Explain) -> None:
    assert explain(EVENTS, "--account", "carla").complaint == f"{EVENTS}: no account 'carla'; is it carl?"
    said = explain(EVENTS, "--account", "9999").complaint
    assert said == f"{EVENTS}: no account '9999'; it has accounts like alice, bob, carl"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ((), "expected one of --liquidation ID and --account A"),
        (("--liquidation", "usdt:1", "--account", "bob"), "expected one of --liquidation ID and --account A"),
        (("--liquidation", "a b"), "--liquidation: expected a shard and a number, like usdt:1, got 'a b'"),
        (("--account", ""), "--account: expected 1 to 128 characters of A-Z a-z 0-9 . _ : -, got ''"),
        (("--account", "bob", "--config", "/nowhere.toml"), "/nowhere.toml: cannot be read: No such file or directory"),
        (("--account", "bob", "--format", "xml"), "Invalid value for '--format'"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(
    explain: Explain, options: tuple[str, ...], complaint: str
) -> None:
    assert explain(EVENTS, *options).complaint.startswith(complaint)


def test_a_missing_file_is_named(explain: Explain, tmp_path: Path) -> None:
    assert explain(tmp_path / "none.jsonl", "--account", "bob").complaint == f"{tmp_path}/none.jsonl: no such file"


def test_a_log_that_ends_in_the_middle_says_so(explain: Explain, tmp_path: Path) -> None:
    """Cut after the question to settlement: the story is open, and does not pretend to add up."""
    path = tmp_path / "events.jsonl"
    lines = EVENTS.read_bytes().splitlines(keepends=True)
    end = next(i for i, line in enumerate(lines) if b'"adl.triggered"' in line)
    path.write_bytes(b"".join(lines[:end]))
    story = explain(path, "--liquidation", "usdt:1", "--format", "json").story
    assert story["outcome"] == "open"
    assert "not over when the log ends" in explain(path, "--liquidation", "usdt:1").text
    path.write_bytes(b"".join(line for line in lines if b'"ledger.posted"' not in line))
    said = explain(path, "--liquidation", "usdt:1").text
    assert "3 amounts not found in the ledger: the log is not whole." in said
