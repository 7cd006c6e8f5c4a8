"""One order, numbers, dead letters: what the loop makes of a poll, before anything is written."""

import pytest

from consumers.service.dead_letter import RAW_BYTES_MAX
from consumers.service.journal import RECORD_BYTES_MAX, decode_record
from consumers.service.sequencing import Batch, Poisoned
from engine.sequence import BrokenStream
from schemas.claims import DeficitRepaid, FeeShareAccrued
from schemas.events import LiquidationStarted
from schemas.wire import decode_event, encode
from tests.service.streams import (
    APPENDED_MS,
    TS,
    buy,
    command,
    deposit,
    engine,
    mark,
    replica,
    sequencer,
    settlement,
    topics,
)


def _letters(batch: Batch) -> list[tuple[str, str]]:
    return [
        (dict(letter.headers)["code"].decode(), dict(letter.headers)["reason"].decode())
        for letter in batch.dead_letters
    ]


def test_a_batch_is_ordered_by_rank_of_the_topic_and_then_by_offset() -> None:
    stream = engine()
    of, on = replica(stream), topics(stream)
    work = sequencer(of)
    orders = [on["orders"].append(buy("a", f"o{n}")) for n in range(2)]
    money = [on["accounts"].append(deposit("a"))]
    marks = [on["mark-prices"].append(mark())]
    by_topic = {"orders": orders, "accounts": money, "mark-prices": marks}
    work.add([(source, by_topic.get(source.topic, [])) for source in stream.inputs])
    batch = work.batch()
    record = decode_record(batch.journal, "here")
    assert [entry.at for entry in record.entries] == [
        "mark-prices/0/0",
        "accounts/0/0",
        "orders/0/0",
        "orders/0/1",
    ]
    assert (record.header.first, record.header.last) == (1, 4)
    assert record.header.next == {"mark-prices/0": 1, "accounts/0": 1, "orders/0": 2}
    kinds = [decode_event(out.value).__struct_config__.tag for out in batch.published]
    assert kinds.count("order.accepted") == 2


def test_a_record_that_is_no_command_is_a_dead_letter_with_its_bytes_and_place_and_gets_no_number() -> None:
    stream = engine()
    work, on = sequencer(replica(stream)), topics(stream)
    work.add([(on["orders"].source, [on["orders"].append(b"{nonsense"), on["orders"].append(None)])])
    batch = work.batch()
    assert batch.inputs == 0
    assert batch.number == 0
    letter = batch.dead_letters[0]
    headers = dict(letter.headers)
    assert letter.value == b"{nonsense"
    assert (letter.topic, letter.partition) == ("dead-letters", 0)
    assert (headers["topic"], headers["partition"], headers["offset"]) == (b"orders", b"0", b"0")
    assert headers["code"] == b"malformed"
    assert batch.dead_letters[1].value == b""
    header = decode_record(batch.journal, "here").header
    assert header.next == {"orders/0": 2}
    assert not header.genesis


def test_a_command_on_a_topic_that_is_not_its_own_is_a_dead_letter() -> None:
    stream = engine()
    work, on = sequencer(replica(stream)), topics(stream)
    fund = command("fund.deposit", fund="btc", amount="1", kind="injection", transfer_id="t")
    work.add([(on["orders"].source, [on["orders"].append(deposit("a")), on["orders"].append(fund)])])
    assert _letters(work.batch()) == [
        ("wrong_topic", "type: account.deposit belongs on accounts, not on orders"),
        ("wrong_topic", "type: fund.deposit belongs on fund-admin, not on orders"),
    ]


def test_a_clock_tick_may_come_on_any_topic() -> None:
    stream = engine()
    work, on = sequencer(replica(stream)), topics(stream)
    work.add([(on["orders"].source, [on["orders"].append(command("clock.tick"))])])
    assert work.batch().inputs == 1


@pytest.mark.parametrize(("ahead", "is_dead"), [(5_000_000, False), (5_000_001, True)])
def test_a_ts_more_than_five_seconds_ahead_of_its_append_time_is_a_dead_letter(ahead: int, is_dead: bool) -> None:
    stream = engine()
    of, on = replica(stream), topics(stream)
    work = sequencer(of)
    work.add([(on["accounts"].source, [on["accounts"].append(deposit("a", ts=TS + ahead), at_ms=APPENDED_MS)])])
    batch = work.batch()
    assert (batch.inputs, [code for code, _ in _letters(batch)]) == ((0, ["ts_ahead"]) if is_dead else (1, []))


def test_of_a_record_longer_than_a_dead_letter_may_be_the_beginning_is_kept_with_size_and_hash() -> None:
    stream = engine()
    work, on = sequencer(replica(stream)), topics(stream)
    raw = b"x" * (5 * 1024 * 1024)
    work.add([(on["orders"].source, [on["orders"].append(raw)])])
    letter = work.batch().dead_letters[0]
    headers = dict(letter.headers)
    assert letter.value == raw[:RAW_BYTES_MAX]
    assert headers["bytes"] == str(len(raw)).encode()
    assert len(headers["sha256"]) == 64


def test_a_batch_is_cut_where_its_journal_record_would_be_too_long_and_the_rest_comes_next() -> None:
    stream = engine()
    work, on = sequencer(replica(stream)), topics(stream)
    long_id = "i" * 60
    records = [on["accounts"].append(deposit("a", transfer_id=f"{long_id}{n:04}")) for n in range(5_000)]
    work.add([(on["accounts"].source, records)])
    batches = []
    while work.has_more:
        batches.append(work.batch())
    assert len(batches) > 1
    assert all(len(batch.journal) <= RECORD_BYTES_MAX for batch in batches)
    numbers = [decode_record(batch.journal, "here").header for batch in batches]
    assert [header.first for header in numbers] == [1, *(header.last + 1 for header in numbers[:-1])]
    assert numbers[-1].last == 5_000
    assert numbers[0].next["accounts/0"] == numbers[0].last


def test_what_the_state_machine_cannot_digest_names_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = engine()
    of, on = replica(stream), topics(stream)
    monkeypatch.setattr(stream.machine, "apply", lambda _: 1 // 0)
    work = sequencer(of)
    work.add([(on["accounts"].source, [on["accounts"].append(deposit("a"))])])
    with pytest.raises(Poisoned, match="accounts/0/0: ZeroDivisionError"):
        work.batch()


def test_a_quarantined_record_is_a_dead_letter_and_work_goes_on() -> None:
    stream = engine()
    work, on = sequencer(replica(stream), quarantined=["accounts/0/0"]), topics(stream)
    work.add([(on["accounts"].source, [on["accounts"].append(deposit("a")), on["accounts"].append(deposit("b"))])])
    batch = work.batch()
    assert batch.inputs == 1
    assert _letters(batch) == [("quarantined", "set aside by --quarantine")]


def test_a_decision_that_cannot_be_read_stops_the_engine() -> None:
    stream = engine()
    work, on = sequencer(replica(stream)), topics(stream)
    work.add([(on["decisions"].source, [on["decisions"].append(b"{}")])])
    with pytest.raises(BrokenStream, match="decisions/0/0: not what decisions look like"):
        work.batch()


def test_a_gap_between_decisions_stops_the_engine() -> None:
    stream = engine()
    work, on = sequencer(replica(stream)), topics(stream)
    late = DeficitRepaid(stream="settlement:USDT", shard="usdt", decision=2, market="BTC-USDT", fund="btc", amount="1")
    work.add([(on["decisions"].source, [on["decisions"].append(encode(late))])])
    with pytest.raises(Poisoned, match="2 arrived after 0"):
        work.batch()


def test_a_claim_that_was_applied_before_is_passed_over_without_a_number() -> None:
    stream = settlement()
    of, on = replica(stream), topics(stream)
    work = sequencer(of)
    claim = FeeShareAccrued(stream="engine:usdt", claim=1, market="BTC-USDT", fund="btc", amount="1.000000", ts=TS)
    source = on["liquidations"]
    work.add([(source.source, [source.append(encode(claim)), source.append(encode(claim))])])
    batch = work.batch()
    assert (batch.inputs, batch.ignored, batch.number) == (1, 1, 1)
    assert decode_record(batch.journal, "here").header.next == {"liquidations/0": 2}


def test_settlement_passes_over_what_is_no_claim() -> None:
    stream = settlement()
    work, on = sequencer(replica(stream)), topics(stream)
    told = LiquidationStarted(
        stream="engine:usdt",
        liquidation_id="usdt-1",
        market="BTC-USDT",
        account="a",
        side="long",
        qty="1",
        mark_price="1",
        bankruptcy_price="1",
        bankruptcy_value="1",
        equity="0",
        maintenance_margin="0",
        mode="isolated",
    )
    work.add([(on["liquidations"].source, [on["liquidations"].append(encode(told))])])
    batch = work.batch()
    assert (batch.inputs, batch.ignored, batch.dead_letters) == (0, 0, [])
    assert decode_record(batch.journal, "here").header.next == {"liquidations/0": 1}
