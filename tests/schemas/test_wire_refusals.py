"""What is not a command becomes a dead letter with a reason that a producer can act on."""

import json

import orjson
import pytest

from schemas.commands import ClockTick, ConfigSet
from schemas.wire import RECORD_BYTES_MAX, WireError, decode_command, decode_event
from tests.schemas.examples import changed, example
from tests.schemas.refused import REFUSED, Refused

REASON_LENGTH_MAX = 2_000


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_a_refusal_names_the_field_and_what_was_expected(case: Refused) -> None:
    """Code, field and expectation, for everything that is JSON but no command; never an endless text."""
    with pytest.raises(WireError) as caught:
        decode_command(json.dumps(case.record).encode())
    assert caught.value.code == case.code
    assert caught.value.reason.startswith(f"{case.field}: ")
    assert case.says in caught.value.reason
    assert len(caught.value.reason) <= REASON_LENGTH_MAX


MALFORMED = {
    "nothing": (b"", "truncated"),
    "only spaces": (b"  \n", "truncated"),
    "truncated object": (b'{"type":"clock.tick","ts":1', "truncated"),
    "truncated text": (b'{"type":"clock.ti', "truncated"),
    "two records": (b'{"type":"clock.tick","ts":1}{"type":"clock.tick","ts":1}', "trailing characters"),
    "rest after the record": (b'{"type":"clock.tick","ts":1}x', "trailing characters"),
    "single quotes": (b"{'type':'clock.tick','ts':1}", "malformed"),
    "comma after the last field": (b'{"type":"clock.tick","ts":1,}', "malformed"),
    "comment": (b'{"type":"clock.tick","ts":1}//', "trailing characters"),
    "bare NaN": (b'{"type":"clock.tick","ts":NaN}', "invalid character"),
    "number with a leading zero": (b'{"type":"clock.tick","ts":01}', "invalid number"),
    "number with a plus": (b'{"type":"clock.tick","ts":+1}', "invalid character"),
    "byte order mark": (b'\xef\xbb\xbf{"type":"clock.tick","ts":1}', "invalid character"),
    "UTF-16": ('{"type":"clock.tick","ts":1}'.encode("utf-16"), "expected UTF-8"),
    "Latin-1 text": (b'{"type":"order.cancel","ts":1,"account":"zo\xeb"}', "expected UTF-8; invalid"),
    "Latin-1 field": (b'{"type":"clock.tick","zo\xeb":1}', "expected UTF-8; invalid"),
    "surrogate in UTF-8": (b'{"type":"clock.tick","\xed\xa0\x80":1}', "expected UTF-8; invalid"),
    "overlong UTF-8": (b'{"type":"\xc0\xae"}', "expected UTF-8; invalid"),
    "lone high surrogate": (b'{"type":"order.cancel","ts":1,"account":"\\ud800 and more"}', "surrogate"),
    "lone low surrogate": (b'{"type":"order.cancel","ts":1,"account":"\\udc00 and more"}', "surrogate"),
    "lone surrogate in a setting": (b'{"type":"config.set","ts":1,"changes":{"a":"\\ud800 and more"}}', "surrogate"),
    "control character in a text": (b'{"type":"clock\n.tick"}', "invalid character"),
    "deeply nested record": (b"[" * 60_000, "expected one JSON object"),
    "deeply nested setting": (b'{"type":"config.set","ts":1,"changes":{"a":' + b"[" * 60_000, "too deeply"),
    "deeply nested type": (b'{"type":' + b'{"a":' * 10_000, ""),
}


@pytest.mark.parametrize(("record", "says"), MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_not_json_in_utf8_is_malformed(record: bytes, says: str) -> None:
    """Broken text gives a reason too, and nothing but WireError."""
    with pytest.raises(WireError, match=r"\A(record|type): ") as caught:
        decode_command(record)
    assert caught.value.code in {"malformed", "invalid"}
    assert says in caught.value.reason


def test_a_byte_position_counts_from_the_start_of_the_record() -> None:
    """The position in a UTF-8 error is that in the record, where a producer looks for it."""
    record = b'{"type":"order.cancel","account":"zo\xeb"}'
    with pytest.raises(WireError, match=f"at byte {record.index(0xEB)}"):
        decode_command(record)


def test_a_record_above_the_topic_limit_is_too_large() -> None:
    """64 KiB is the largest record of an input topic; the limit itself is allowed."""
    record = orjson.dumps(example("clock.tick"))
    assert decode_command(record.ljust(RECORD_BYTES_MAX)) == ClockTick(ts=example("clock.tick")["ts"])
    with pytest.raises(WireError) as caught:
        decode_command(record.ljust(RECORD_BYTES_MAX + 1))
    assert caught.value.code == "too_large"
    assert caught.value.reason == "record: expected at most 65536 bytes, got 65537"


def test_of_a_field_given_twice_the_last_wins() -> None:
    """JSON leaves duplicates open; the last counts, as for orjson and most readers."""
    assert decode_command(b'{"type":"clock.tick","ts":1,"ts":2}') == ClockTick(ts=2)


def test_a_second_type_that_differs_is_refused() -> None:
    """A record that claims to be two messages is neither."""
    with pytest.raises(WireError, match="type: given more than once") as caught:
        decode_command(b'{"type":"clock.tick","ts":1,"type":"order.new"}')
    assert caught.value.code == "invalid"


def test_fields_may_come_in_any_order_and_with_white_space() -> None:
    """Only our own output is canonical; input need not be."""
    assert decode_command(b' {"ts" : 7,\n"type":\t"clock.tick"}\r\n') == ClockTick(ts=7)


def test_an_escaped_character_is_the_character() -> None:
    """Escapes are resolved before anything is checked."""
    record = orjson.dumps(example("order.cancel")).replace(b"bob", b"b\\u006fb")
    assert decode_command(record) == decode_command(orjson.dumps(example("order.cancel")))


@pytest.mark.parametrize(
    "value",
    [1 << 63, -(1 << 63) - 1, 10**30, 1e300, [[1.0]], {"a": {"b": 10**30}}],
    ids=repr,
)
def test_a_setting_that_orjson_could_not_write_again_does_not_get_in(value: object) -> None:
    """What is journalled must be writable: wide integers would stop the service later, floats would round."""
    with pytest.raises(WireError, match=r"changes"):
        decode_command(json.dumps(changed("config.set", changes={"limits": value})).encode())


def test_settings_of_every_toml_kind_get_in() -> None:
    """What a config file can say, a config change can say; and null, for the default."""
    changes = {
        "limits": {"max_open_residuals": 10},
        "markets": {"BTC-USDT": {"tick": "0.1", "tiers": [{"up_to": "1"}], "halted": True, "price_band": None}},
    }
    command = decode_command(orjson.dumps(changed("config.set", changes=changes)))
    assert isinstance(command, ConfigSet)
    assert command.changes == changes


def test_a_spoofed_path_does_not_hide_the_reason() -> None:
    """A field that imitates the decoder's own wording is still named as unknown."""
    with pytest.raises(WireError, match="unknown"):
        decode_command(orjson.dumps(changed("clock.tick", **{"x` - at `$.ts": 1})))


def test_an_event_is_refused_by_the_same_rules() -> None:
    """Our own topics are read with the same strictness, down to the parts of an event."""
    trade = example("trade.executed")
    for record, says in (
        (trade | {"colour": 1}, "colour: unknown"),
        (trade | {"maker": trade["maker"] | {"colour": 1}}, "maker.colour: unknown; expected one of account"),
        (trade | {"price": 1.5}, "price: expected `str`, got `float`"),
        (trade | {"seq": -1}, "seq: expected `int` >= 0"),
        (trade | {"type": "order.new"}, "type: 'order.new' is unknown"),
    ):
        with pytest.raises(WireError, match=f"^{says}"):
            decode_event(orjson.dumps(record))
