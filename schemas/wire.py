"""Bytes to typed commands and events, and back: msgspec validates what comes in, orjson writes what goes out."""

from typing import Any, Final, TypeVar

import msgspec
import orjson

from schemas.commands import Command, OutsideCommand
from schemas.events import AnyEvent, Event

T = TypeVar("T")

RECORD_BYTES_MAX: Final = 64 * 1024
"""The largest command: the `max.message.bytes` of the input topics."""


class WireError(ValueError):
    """A record that is not a message of the contract. `code` is stable, the text names the field."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


_command_decoder: Final[msgspec.json.Decoder[Command]] = msgspec.json.Decoder(OutsideCommand)
_event_decoder: Final[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(AnyEvent)


def decode_command(record: bytes) -> Command:
    """Decode one outside command. Raises WireError: `too_large`, `malformed`, `unknown_type` or `invalid`."""
    if len(record) > RECORD_BYTES_MAX:
        raise WireError("too_large", f"record: expected at most {RECORD_BYTES_MAX} bytes, got {len(record)}")
    return _decode(_command_decoder, record)


def decode_event(record: bytes) -> Event:
    """Decode one event that a state machine published. Raises WireError as `decode_command` does."""
    return _decode(_event_decoder, record)


def encode(event: Event) -> bytes:
    """One event as canonical JSON, fields in the order of the type."""
    return orjson.dumps(msgspec.to_builtins(event))


def encode_plain(value: Any) -> bytes:
    """Any other document we write (reports, dead letters, generated commands) as JSON."""
    return orjson.dumps(value)


def _decode(decoder: msgspec.json.Decoder[T], record: bytes) -> T:
    try:
        return decoder.decode(record)
    except msgspec.ValidationError as error:
        raise _explain(str(error)) from None
    except msgspec.DecodeError as error:
        raise WireError("malformed", f"record: expected one JSON object; {error}") from None
    except UnicodeDecodeError as error:
        raise WireError("malformed", f"record: expected UTF-8; {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise WireError("malformed", "record: nested too deeply") from None


def _explain(message: str) -> WireError:
    """msgspec names the path last; a reader wants the field first."""
    text, _, path = message.partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if field == "type" and text.startswith("Invalid value"):
        return WireError("unknown_type", f"type: {text[0].lower()}{text[1:]}")
    if field:
        return WireError("invalid", f"{field}: {text[0].lower()}{text[1:]}")
    return WireError("invalid", text)
