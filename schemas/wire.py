"""Bytes to typed commands and events, and back: msgspec reads and writes messages, orjson every other document."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec
import orjson

from schemas.commands import COMMAND_TYPES, Command, OutsideCommand
from schemas.envelope import Event
from schemas.events import EVENT_TYPES, AnyEvent
from schemas.refusals import choice, quote, read_refusal

T = TypeVar("T", bound=msgspec.Struct)

RECORD_BYTES_MAX: Final = 64 * 1024
"""The largest command: the `max.message.bytes` of the input topics."""


class WireError(ValueError):
    """A record that is not a message of the contract. `code` is stable, the text names the field."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _Tagged(msgspec.Struct):
    type: str | None = None


COMMANDS_BY_TYPE: Final = MappingProxyType({str(t.__struct_config__.tag): t for t in COMMAND_TYPES})
EVENTS_BY_TYPE: Final = MappingProxyType({str(t.__struct_config__.tag): t for t in EVENT_TYPES})

_message_encoder: Final = msgspec.json.Encoder()
_tag_decoder: Final = msgspec.json.Decoder(_Tagged)
_command_decoder: Final[msgspec.json.Decoder[Command]] = msgspec.json.Decoder(OutsideCommand)
_event_decoder: Final[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(AnyEvent)


def decode_command(record: bytes) -> Command:
    """Decode one outside command. Raises WireError: `too_large`, `malformed`, `unknown_type` or `invalid`."""
    if len(record) > RECORD_BYTES_MAX:
        raise WireError("too_large", f"record: expected at most {RECORD_BYTES_MAX} bytes, got {len(record)}")
    return _decode(_command_decoder, record, COMMANDS_BY_TYPE)


def decode_event(record: bytes) -> Event:
    """Decode one event that a state machine published. Raises WireError as `decode_command` does."""
    return _decode(_event_decoder, record, EVENTS_BY_TYPE)


def encode(message: Event | Command) -> bytes:
    """One message as canonical JSON, fields in the order of the type."""
    return _message_encoder.encode(message)


def encode_plain(value: Any) -> bytes:
    """Any other document we write (reports, dead letters, generated commands) as JSON."""
    return orjson.dumps(value)


def _decode(decoder: msgspec.json.Decoder[T], record: bytes, types: Mapping[str, type[T]]) -> T:
    try:
        return decoder.decode(record)
    except msgspec.ValidationError as error:
        raise _explain(error, record, types) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _explain_malformed(error, record) from None
    except RecursionError:
        raise WireError("malformed", "record: nested too deeply") from None


def _explain(error: msgspec.ValidationError, record: bytes, types: Mapping[str, type[T]]) -> WireError:
    """Which field was refused, and why, for a record that is JSON."""
    try:
        tag = _tag_decoder.decode(record).type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        tag = None
    expected = types.get(tag) if tag is not None else None
    refusal = read_refusal(error, expected)
    if refusal.field != "type":
        code = "invalid" if refusal.field else "malformed"
        return WireError(code, f"{refusal.field or 'record'}: {refusal.reason}")
    if tag is None:
        return WireError("invalid", "type: expected a string that names the message")
    if expected is not None:
        return WireError("invalid", "type: given more than once, with different values")
    return WireError("unknown_type", f"type: {quote(tag)!r} is unknown; expected {choice(list(types))}")


def _explain_malformed(error: Exception, record: bytes) -> WireError:
    """Why a record is no JSON in UTF-8."""
    try:
        record.decode("utf-8")
    except UnicodeDecodeError as undecodable:
        return WireError("malformed", f"record: expected UTF-8; {undecodable.reason} at byte {undecodable.start}")
    return WireError("malformed", f"record: expected one JSON object; {error}")
