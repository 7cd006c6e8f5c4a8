"""Ten kinds of bad input in one log: each is answered as the contract says, and the run goes on."""

import secrets
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from consumers.cli import main
from tests.replay.conftest import START, VENUE


def record(type_: str, **fields: Any) -> bytes:
    """One command as a line of the log."""
    return orjson.dumps({"type": type_, "ts": START, **fields})


def order(order_id: str, **fields: Any) -> bytes:
    """A good limit order, but for the fields that are given."""
    good = {
        "market": "BTC-USDT",
        "account": "alice",
        "order_id": order_id,
        "side": "buy",
        "kind": "limit",
        "price": "9000",
        "qty": "0.1",
    }
    return record("order.new", **(good | fields))


GOOD_BEFORE = [
    record("account.deposit", shard="usdt", account="alice", amount="1000", transfer_id="d1"),
    record("price.mark", market="BTC-USDT", price="10000"),
    order("first"),
]
GOOD_AFTER = order("last")

DEAD_LETTERS: dict[str, tuple[bytes, str, str]] = {
    "binary rubbish": (b"\x00\xff\xfe\x80" + secrets.token_bytes(40).replace(b"\n", b" "), "malformed", "record"),
    "truncated JSON": (order("o1")[:-10], "malformed", "record"),
    "float price": (order("o2").replace(b'"9000"', b"9000.5"), "invalid", "price"),
    "negative quantity": (order("o3", qty="-0.1"), "invalid", "qty"),
    "unknown type": (record("order.nwe", market="BTC-USDT"), "unknown_type", "type"),
    "a 10 MB line": (order("o4", account="a" * 10_000_000), "too_large", "record"),
}

REJECTIONS: dict[str, tuple[bytes, str, str]] = {
    "unknown market": (order("o5", market="DOGE-USDT"), "order.rejected", "unknown_market"),
    "off-tick price": (order("o6", price="9000.05"), "order.rejected", "off_tick"),
    "duplicate order id": (order("first"), "order.rejected", "duplicate_order_id"),
    "withdrawal above the free balance": (
        # 1,000 less what the order for 0.1 at 9,000 holds back at 10 times: 90.
        record("account.withdraw", shard="usdt", account="alice", amount="910.000001", transfer_id="w1"),
        "account.rejected",
        "insufficient_balance",
    ),
}


def replayed(lines: list[bytes], folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """Report, events and dead letters of a log."""
    log, venue, out = folder / "log.jsonl", folder / "venue.toml", folder / "out"
    log.write_bytes(b"\n".join(lines) + b"\n")
    venue.write_text(VENUE, encoding="utf-8")
    arguments = ["replay", str(log), "--config", str(venue), "--out", str(out), "--check-every", "1"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return (
        orjson.loads((out / "report.json").read_bytes()),
        [orjson.loads(line) for line in (out / "events.jsonl").read_bytes().splitlines()],
        [orjson.loads(line) for line in (out / "dead-letters.jsonl").read_bytes().splitlines()],
    )


@pytest.mark.parametrize("kind", DEAD_LETTERS)
def test_what_is_no_command_becomes_a_dead_letter_and_the_run_goes_on(kind: str, tmp_path: Path) -> None:
    raw, code, field = DEAD_LETTERS[kind]
    report, events, (letter,) = replayed([*GOOD_BEFORE, raw, GOOD_AFTER], tmp_path)
    assert (letter["line"], letter["code"]) == (4, code)
    assert letter["reason"].startswith(f"{field}: ")
    assert letter["source"].endswith("log.jsonl")
    assert ("raw" in letter) != ("raw_base64" in letter)
    assert events[-1]["order_id"] == "last"
    assert (report["counts"]["dead_letters"], report["counts"]["commands"]) == (1, 4)


@pytest.mark.parametrize("kind", REJECTIONS)
def test_what_makes_no_sense_for_the_state_is_rejected_and_the_run_goes_on(kind: str, tmp_path: Path) -> None:
    raw, type_, code = REJECTIONS[kind]
    report, events, letters = replayed([*GOOD_BEFORE, raw, GOOD_AFTER], tmp_path)
    assert letters == []
    (rejected,) = [event for event in events if event["type"] == type_]
    assert rejected["code"] == code
    assert rejected["reason"]
    assert events[-1]["order_id"] == "last"
    assert report["counts"]["rejected"] == 1


def test_all_ten_in_one_log(tmp_path: Path) -> None:
    bad = [raw for raw, _, _ in (*DEAD_LETTERS.values(), *REJECTIONS.values())]
    report, events, letters = replayed([*GOOD_BEFORE, *bad, GOOD_AFTER], tmp_path)
    assert len(bad) == 10
    assert [letter["line"] for letter in letters] == list(range(4, 10))
    assert report["counts"]["reject_codes"] == {code: 1 for _, _, code in REJECTIONS.values()}
    assert events[-1]["order_id"] == "last"
    assert report["conservation"] == {"USDT": "0.000000"}
