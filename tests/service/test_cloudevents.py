"""`headers = "cloudevents"`: what an independent reader of the CloudEvents Kafka binding makes of our records."""

from datetime import UTC, datetime

import orjson
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event

from consumers.service.publication import HeaderStyle, Outgoing
from schemas.wire import decode_event
from tests.service.streams import TS, buy, deposit, engine, mark, replica, sequencer, topics

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _published(style: HeaderStyle) -> list[Outgoing]:
    of = replica(engine(), style)
    work, on = sequencer(of), topics(of.stream)
    work.add(
        [
            (on["mark-prices"].source, [on["mark-prices"].append(mark())]),
            (on["accounts"].source, [on["accounts"].append(deposit("a"))]),
            (on["orders"].source, [on["orders"].append(buy("a", "o"), trace=TRACE)]),
        ]
    )
    return work.batch().published


def test_a_reader_of_cloud_events_understands_every_record() -> None:
    records = _published("cloudevents")
    assert len(records) > 2
    ids = set()
    for record in records:
        names = [name for name, _ in record.headers]
        assert len(set(names)) == len(names)
        read = from_kafka_event(KafkaMessage(dict(record.headers), record.key, record.value))
        event = decode_event(record.value)
        assert read.get_specversion() == "1.0"
        assert read.get_id() == f"engine:usdt/{event.seq}"
        assert read.get_source() == "/backstop/engine:usdt"
        assert read.get_type() == event.__struct_config__.tag
        assert read.get_time() == datetime.fromtimestamp(TS // 1_000_000, tz=UTC)
        assert read.get_datacontenttype() == "application/json"
        assert read.get_data() == orjson.loads(record.value)
        assert read.get_extension("partitionkey") == record.key.decode()
        ids.add((read.get_source(), read.get_id()))
    assert len(ids) == len(records), "source and id together tell events apart"


def test_the_time_has_microseconds_and_follows_from_the_event_alone() -> None:
    of = replica(engine(), "cloudevents")
    work, on = sequencer(of), topics(of.stream)
    work.add([(on["accounts"].source, [on["accounts"].append(deposit("a", ts=TS + 7))])])
    headers = dict(work.batch().published[0].headers)
    assert headers["ce_time"] == b"2025-06-15T15:06:40.000007Z"


def test_the_trace_stands_beside_them() -> None:
    traced = [dict(record.headers).get("traceparent") for record in _published("cloudevents")]
    assert traced[-1] == TRACE
    assert traced[0] is None


def test_the_plain_style_has_the_type_and_nothing_else() -> None:
    plain, full = _published("type"), _published("cloudevents")
    assert [record.value for record in plain] == [record.value for record in full]
    assert [name for name, _ in plain[0].headers] == ["ce_type"]
    assert [name for name, _ in plain[-1].headers] == ["ce_type", "traceparent"]
