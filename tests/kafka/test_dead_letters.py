"""`backstop dead-letters` against a real broker and the letters of a real service."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from tests.kafka.conftest import SharedBroker
from tests.kafka.venue import OnBroker, Ran, Serving
from tests.service.streams import command, deposit, mark

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CUT = b'{"type":"order.new","account":"' + b"x" * (1024 * 1024 + 5)


@pytest.fixture
def venue(broker: SharedBroker, prefix: str, tmp_path: Path) -> OnBroker:
    on_broker = OnBroker(broker.address, prefix, tmp_path)
    asyncio.run(on_broker.create_topics())
    return on_broker


@pytest.fixture
def serving(venue: OnBroker) -> Iterator[Serving]:
    """An engine that has put five records aside: two are no JSON, one is on the wrong topic, one is early, one long."""
    ahead = (time.time_ns() // 1_000) + 3_600_000_000

    async def feed() -> None:
        await venue.send("orders", b"\xff\x00{", key=b"k1", headers=[("traceparent", TRACE)])
        await venue.send("orders", b'{"type":"order.new",\n', key=b"k2")
        await venue.send("accounts", mark(ts=1))
        await venue.send("mark-prices", mark(ts=ahead))
        await venue.send("orders", CUT)

    asyncio.run(feed())
    with venue.service("engine:usdt") as running:
        read = 'backstop_records_read_total{topic="orders"} 3.0'
        running.until("/metrics", lambda _, body: read in (body or ""))
        running.until("/readyz?lag=0", lambda status, _: status == 200)
        yield running


def _list(venue: OnBroker, *flags: str) -> list[dict[str, Any]]:
    ran = venue.run("dead-letters", "list", "--json", *flags, *venue.options())
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def _refusal(ran: Ran) -> str:
    assert ran.returncode == 2, (ran.stdout, ran.stderr)
    assert ran.stdout == b""
    text = ran.stderr.decode()
    assert text.count("\n") == 1, text
    return text


def test_they_are_listed_with_reason_place_and_bytes(venue: OnBroker, serving: Serving) -> None:
    letters = {letter["source"]: letter for letter in _list(venue)}
    assert {place: letter["code"] for place, letter in letters.items()} == {
        "orders/0/0": "malformed",
        "orders/0/1": "malformed",
        "orders/0/2": "too_large",
        "accounts/0/0": "wrong_topic",
        "mark-prices/0/0": "ts_ahead",
    }
    assert letters["orders/0/0"]["raw_base64"] == "/wB7"
    assert letters["orders/0/0"]["key"] == "k1"
    assert letters["orders/0/1"]["raw"] == '{"type":"order.new",\n'
    assert letters["orders/0/2"]["bytes"] == len(CUT)
    assert letters["orders/0/2"]["truncated"] is True
    assert len(letters["orders/0/2"]["raw"]) == 1024 * 1024
    assert {letter["stream"] for letter in letters.values()} == {"engine:usdt"}

    def places(*flags: str) -> list[str]:
        return sorted(letter["source"] for letter in _list(venue, *flags))

    assert places("--topic", "accounts") == ["accounts/0/0"]
    assert places("--code", "malformed") == ["orders/0/0", "orders/0/1"]
    assert places("--stream", "settlement:USDT") == []
    assert places("--since", "1h") == sorted(letters)
    assert places("--since", "2199-01-01") == []
    assert len(places("--limit", "2")) == 2
    ran = venue.run("dead-letters", "list", *venue.options())
    lines = ran.stdout.decode().splitlines()
    assert lines[0].split() == ["TIME", "(UTC)", "STREAM", "RECORD", "CODE", "BYTES", "REASON"]
    assert len(lines) == 6
    assert all(letter["reason"] in ran.stdout.decode() for letter in letters.values())
    assert "the last 1 of 5" in venue.run("dead-letters", "list", "--limit", "1", *venue.options()).stderr.decode()
    ran = venue.run("dead-letters", "show", "orders/0/0", "--raw", "-", *venue.options())
    assert ran.stdout == b"\xff\x00{"
    file = venue.folder / "raw"
    ran = venue.run("dead-letters", "show", "orders/0/2", "--raw", str(file), *venue.options())
    assert file.read_bytes() == CUT[: 1024 * 1024]
    assert f"the first 1,048,576 of {len(CUT):,} bytes" in ran.stderr.decode()
    shown = venue.run("dead-letters", "show", "orders/0/1", *venue.options()).stdout
    assert json.loads(shown) == letters["orders/0/1"]


def test_a_repaired_record_goes_back_once_with_its_key_and_trace_and_is_applied(
    venue: OnBroker, serving: Serving
) -> None:
    order = command("order.cancel", market="BTC-USDT", account="a", order_id="o", ts=1)
    repaired = venue.folder / "repaired.json"
    repaired.write_bytes(order + b"\n")
    resubmit = ("dead-letters", "resubmit", "orders/0/0", *venue.options())
    assert "no command, and would come back: malformed" in _refusal(venue.run(*resubmit))
    ran = venue.run(*resubmit, "--value", str(repaired))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == b"orders/0/0 was sent again as orders/0/3\n"
    record = asyncio.run(venue.read("orders"))[-1]
    assert (record.offset, record.key, record.value) == (3, b"k1", order)
    assert dict(record.headers) == {"resubmitted_from": b"orders/0/0", "traceparent": TRACE}
    serving.until("/metrics", lambda _, body: 'backstop_rejects_total{code="unknown_account"} 1.0' in body)
    refused = _refusal(venue.run(*resubmit, "--value", str(repaired)))
    assert "orders/0/0: was sent back before, as orders/0/3; --again sends it once more" in refused
    assert len(asyncio.run(venue.read("orders"))) == 4
    ran = venue.run(*resubmit, "--value", str(repaired), "--again")
    assert ran.stdout == b"orders/0/0 was sent again as orders/0/4\n"


def test_what_would_come_back_is_refused(venue: OnBroker, serving: Serving) -> None:
    def refusal(*arguments: str) -> str:
        return _refusal(venue.run("dead-letters", "resubmit", *arguments, *venue.options()))

    wrong = venue.folder / "wrong.json"
    wrong.write_bytes(deposit("a", ts=1))
    assert "wrong_topic: price.mark belongs on mark-prices" in refusal("accounts/0/0")
    assert "wrong_topic: account.deposit belongs on accounts" in refusal("orders/0/1", "--value", str(wrong))
    assert "ts_ahead" in refusal("mark-prices/0/0")
    assert "only 1,048,576 of" in refusal("orders/0/2")
    assert "there is no dead letter of orders/0/77" in refusal("orders/0/77")
    assert "expected TOPIC/PARTITION/OFFSET" in refusal("orders-0-1")
    assert "cannot be read" in refusal("orders/0/1", "--value", str(venue.folder / "nowhere"))
    assert len(asyncio.run(venue.read("orders"))) == 3, "nothing was sent"


def test_a_record_that_was_quarantined_does_not_go_back_by_accident(venue: OnBroker) -> None:
    asyncio.run(venue.send("mark-prices", mark(ts=1)))
    with venue.service("engine:usdt", "--quarantine", "mark-prices:0:0") as running:
        running.until("/metrics", lambda _, body: 'backstop_dead_letters_total{code="quarantined"} 1.0' in (body or ""))
        resubmit = ("dead-letters", "resubmit", "mark-prices/0/0", *venue.options())
        assert "cannot digest it" in _refusal(venue.run(*resubmit))
        ran = venue.run(*resubmit, "--even-if-quarantined")
        assert ran.stdout == b"mark-prices/0/0 was sent again as mark-prices/0/1\n"
        running.until("/metrics", lambda _, body: 'backstop_records_read_total{topic="mark-prices"} 2.0' in body)
        assert asyncio.run(venue.read("dead-letters"))[1:] == [], "it is applied now"


def test_where_records_are_gone_it_does_not_pretend_to_know_what_was_sent_before(venue: OnBroker) -> None:
    async def feed() -> None:
        for value in (b"{", mark(ts=1), mark(ts=2)):
            await venue.send("mark-prices", value)

    async def forget() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=venue.address)
        await admin.start()
        partition = TopicPartition(venue.prefix + "mark-prices", 0)
        await admin.delete_records({partition: RecordsToDelete(before_offset=2)})
        await admin.close()

    asyncio.run(feed())
    with venue.service("engine:usdt") as running:
        running.until("/metrics", lambda _, body: 'backstop_dead_letters_total{code="malformed"} 1.0' in (body or ""))
    asyncio.run(forget())
    repaired = venue.folder / "repaired.json"
    repaired.write_bytes(mark(ts=3))
    resubmit = ("dead-letters", "resubmit", "mark-prices/0/0", "--value", str(repaired), *venue.options())
    refused = _refusal(venue.run(*resubmit))
    assert "whether it was sent back before cannot be told, as mark-prices/0 begins at offset 2" in refused
    assert venue.run(*resubmit, "--again").stdout == b"mark-prices/0/0 was sent again as mark-prices/0/3\n"


def test_a_topic_that_is_empty_or_not_there_is_said_in_one_line(venue: OnBroker, broker: SharedBroker) -> None:
    ran = venue.run("dead-letters", "list", *venue.options())
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"no dead letters\n")
    nowhere = OnBroker(broker.address, venue.prefix + "other.", venue.folder)
    assert "there is no topic" in _refusal(nowhere.run("dead-letters", "list", *nowhere.options()))
    assert "--since yesterday: expected" in _refusal(
        venue.run("dead-letters", "list", "--since", "yesterday", *venue.options())
    )
    asyncio.run(venue.send("dead-letters", b"?", headers=[("code", b"x")]))
    ran = venue.run("dead-letters", "list", *venue.options())
    assert ran.returncode == 0
    assert b"dead-letters/0/0: not a dead letter" in ran.stderr
