"""A trace context goes from a command to all its events, into the journal, and through claims to decisions."""

import pytest

from consumers.service.dead_letter import Arrival
from consumers.service.journal import decode_record
from consumers.service.publication import Outgoing
from consumers.service.sequencing import Batch
from schemas.wire import decode_event
from tests.service.streams import (
    APPENDED_MS,
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

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = b"00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203332-00"

REFUSED = {
    "no trace id": b"00-00000000000000000000000000000000-b7ad6b7169203331-01",
    "no parent": b"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
    "version ff": b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "capital letters": TRACE.upper(),
    "too short": TRACE[:-1],
    "more behind it": TRACE + b"\n",
    "not ASCII": TRACE[:-2] + "٠١".encode(),
    "empty": b"",
}


def _traces(records: list[Outgoing]) -> set[bytes | None]:
    return {dict(record.headers).get("traceparent") for record in records}


def test_all_events_of_a_command_carry_its_trace_and_those_of_others_do_not() -> None:
    of = replica(engine())
    work, on = sequencer(of), topics(of.stream)
    work.add(
        [
            (on["mark-prices"].source, [on["mark-prices"].append(mark())]),
            (on["accounts"].source, [on["accounts"].append(deposit("a"), trace=OTHER)]),
            (on["orders"].source, [on["orders"].append(buy("a", "o"), trace=TRACE)]),
        ]
    )
    batch = work.batch()
    by_cause: dict[int, set[bytes | None]] = {}
    for record in batch.published:
        by_cause.setdefault(decode_event(record.value).cause, set()).update(_traces([record]))
    assert by_cause == {2: {OTHER}, 3: {TRACE}}
    entries = decode_record(batch.journal, "here").entries
    assert [entry.trace for entry in entries] == [None, OTHER.decode(), TRACE.decode()]


def test_a_follower_of_the_journal_publishes_the_same_traces() -> None:
    of, follower = replica(engine()), replica(engine())
    work, on = sequencer(of), topics(of.stream)
    genesis = work.genesis("# config")
    work.add([(on["accounts"].source, [on["accounts"].append(deposit("a"), trace=TRACE)])])
    batch = work.batch()
    follower.follow(decode_record(genesis.journal, "first"), "first")
    assert follower.follow(decode_record(batch.journal, "second"), "second") == batch.published
    assert _traces(batch.published) == {TRACE}


@pytest.mark.parametrize("trace", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_trace_context_is_not_carried(trace: bytes) -> None:
    of = replica(engine())
    work, on = sequencer(of), topics(of.stream)
    work.add([(on["accounts"].source, [on["accounts"].append(deposit("a"), trace=trace)])])
    batch = work.batch()
    assert batch.published
    assert _traces(batch.published) == {None}
    assert decode_record(batch.journal, "here").entries[0].trace is None


def test_a_decision_carries_the_trace_of_the_mark_that_led_to_its_question() -> None:
    """mark → liquidation.residual → decision → what the engine did with it: one trace through both services."""
    shard, funds = replica(engine()), replica(settlement())
    of_shard, of_funds = sequencer(shard), sequencer(funds)
    shard.begin()
    funds.begin()
    on, claims = topics(shard.stream), topics(funds.stream)["liquidations"]

    def to_engine(topic: str, value: bytes, trace: bytes | None = None) -> Batch:
        of_shard.add([(on[topic].source, [on[topic].append(value, trace=trace)])])
        return of_shard.batch()

    sell = command(
        "order.new", market="BTC-USDT", account="b", order_id="s", side="sell", kind="limit", qty="1", price="10000"
    )
    to_engine("mark-prices", mark())
    to_engine("accounts", deposit("a", amount="1100"))
    to_engine("accounts", deposit("b", amount="100000", transfer_id="t2"))
    to_engine("orders", sell)
    to_engine("orders", buy("a", "o", qty="1"))
    to_engine("orders", buy("b", "bid", qty="1", price="8995"))
    crash = to_engine("mark-prices", mark("8995"), TRACE)
    asked = [record for record in crash.published if record.topic == "liquidations"]
    assert any(decode_event(record.value).__struct_config__.tag == "liquidation.residual" for record in asked)
    arrivals = [
        Arrival("liquidations", 0, claims.append(record.value).offset, APPENDED_MS, None, record.value, record.headers)
        for record in asked
    ]
    of_funds.add([(claims.source, arrivals)])
    decided = [record for record in of_funds.batch().published if record.topic == "decisions"]
    assert decided
    assert _traces(decided) == {TRACE}
    answer = on["decisions"]
    of_shard.add([(answer.source, [answer.append(decided[0].value, trace=dict(decided[0].headers)["traceparent"])])])
    assert _traces(of_shard.batch().published) == {TRACE}
