"""The events file of a run, read line by line: plain, gzip or Zstandard, in bounded memory.

Most lines of a large file concern somebody else. They are told apart by their bytes, which costs a fraction of decoding
them; what is decoded is checked as strictly as anywhere else.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from consumers.command_log import CommandLog, Line
from consumers.errors import UsageFailure
from consumers.printable import display_name, printable
from schemas.envelope import Event
from schemas.wire import EVENTS_BY_TYPE, WireError, decode_event

_OPENING: Final = b'{"type":"'
_TAGS: Final = frozenset(tag.encode() for tag in EVENTS_BY_TYPE)


class Listener(Protocol):
    """Who follows the events: says by its bytes which event it wants to see, then sees it."""

    def wants(self, tag: bytes, raw: bytes) -> bool: ...
    def hear(self, event: Event) -> None: ...


def tell_all(path: Path, listener: Listener) -> None:
    """Pass every event that the listener wants, in order. Raises UsageFailure where the file is no events file."""
    seen = 0
    for line in _lines(path):
        tag = _tag(line.raw)
        # A line that we did not write as it stands, and the very first one, is looked at in any case.
        if not seen or tag not in _TAGS or listener.wants(tag, line.raw):
            event = _decode(line, path, is_first=not seen)
            if listener.wants(_tag_of(event), line.raw):
                listener.hear(event)
        seen += 1
    if not seen:
        raise UsageFailure(f"{display_name(path)}: holds no events")


def _lines(path: Path) -> Iterator[Line]:
    log = CommandLog([path])
    while batch := log.poll():
        yield from batch


def _tag(raw: bytes) -> bytes:
    if not raw.startswith(_OPENING):
        return b""
    return raw[len(_OPENING) : raw.find(b'"', len(_OPENING))]


def _tag_of(event: Event) -> bytes:
    return str(type(event).__struct_config__.tag).encode()


def _decode(line: Line, path: Path, *, is_first: bool) -> Event:
    try:
        return decode_event(line.raw)
    except WireError as error:
        reason = error.reason
        if error.code == "unknown_type":
            reason = reason.partition(";")[0]  # without all the types that there are
        hint = f"; is {display_name(path)} the events.jsonl of a replay?" if is_first else ""
        raise UsageFailure(printable(f"{line.place}: no event: {reason}{hint}")) from None
