"""Rules of the wire that hold for all bytes and all messages, tried on generated ones."""

import json
from typing import Any

import hypothesis.strategies as st
import orjson
import pytest
from hypothesis import given, settings

from schemas.commands import COMMAND_TYPES, Command
from schemas.documents import MESSAGE_TYPES, type_name
from schemas.envelope import Event
from schemas.events import EVENT_TYPES
from schemas.wire import WireError, decode_command, decode_event, encode
from tests.schemas.examples import NAMES, example
from tests.schemas.messages import messages
from tests.schemas.validation import complaints

_ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def _decodes_or_is_refused(record: bytes) -> None:
    for decode in (decode_command, decode_event):
        try:
            message = decode(record)
        except WireError as error:
            orjson.dumps({"code": error.code, "reason": error.reason})
        else:
            encode(message)


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(record: bytes) -> None:
    """Nothing but WireError comes out for bytes of any kind; its reason can be written to the dead letters."""
    _decodes_or_is_refused(record)


@given(_ANY_JSON)
def test_any_json_decodes_or_is_refused(value: Any) -> None:
    """The same for everything that Python's json writes, NaN and lone surrogates included."""
    _decodes_or_is_refused(json.dumps(value).encode())


@given(st.sampled_from(NAMES), st.data())
@settings(max_examples=400)
def test_a_message_with_any_value_in_a_field_decodes_or_is_refused(name: str, data: st.DataObject) -> None:
    """One field of a valid message replaced by anything: what gets through can be written again."""
    fields = example(name)
    field = data.draw(st.sampled_from(sorted(fields)))
    _decodes_or_is_refused(json.dumps(fields | {field: data.draw(_ANY_JSON)}).encode())


@given(st.sampled_from(NAMES), st.data())
@settings(max_examples=400)
def test_a_damaged_message_decodes_or_is_refused(name: str, data: st.DataObject) -> None:
    """A valid record with a stretch of bytes replaced by others, as a broken producer would send it."""
    record = orjson.dumps(example(name))
    start = data.draw(st.integers(0, len(record)))
    end = data.draw(st.integers(start, min(len(record), start + 8)))
    _decodes_or_is_refused(record[:start] + data.draw(st.binary(max_size=8)) + record[end:])


@pytest.mark.parametrize("message", COMMAND_TYPES, ids=type_name)
@given(data=st.data())
@settings(max_examples=50)
def test_a_command_survives_the_wire(message: type[Command], data: st.DataObject) -> None:
    """decode(encode(x)) == x for every command, and what we write its schema accepts."""
    command = data.draw(messages(message))
    record = encode(command)
    assert decode_command(record) == command
    assert encode(decode_command(record)) == record
    assert complaints(type_name(message), orjson.loads(record)) == []


@pytest.mark.parametrize("message", EVENT_TYPES, ids=type_name)
@given(data=st.data())
@settings(max_examples=50)
def test_an_event_survives_the_wire(message: type[Event], data: st.DataObject) -> None:
    """decode(encode(x)) == x for every event, and what we write its schema accepts."""
    event = data.draw(messages(message))
    record = encode(event)
    assert decode_event(record) == event
    assert encode(decode_event(record)) == record
    assert complaints(type_name(message), orjson.loads(record)) == []


def test_no_two_messages_share_a_type() -> None:
    """A record's `type` alone says what it is, commands and events together."""
    assert len({type_name(message) for message in MESSAGE_TYPES}) == len(MESSAGE_TYPES)
