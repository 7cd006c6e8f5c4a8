"""A dead letter of Kafka, as it is read back, and whether it may go back to where it came from."""

import re
from typing import Any, Final, NamedTuple

from msgspec import Struct

from consumers.dead_letters.line import as_text, describe_bytes
from consumers.errors import UsageFailure
from consumers.moments import moment
from consumers.printable import printable
from consumers.service.dead_letter import Arrival
from schemas.commands import ClockTick
from schemas.wire import WireError, decode_command, encode_plain

_PLACE: Final = re.compile(r"([a-z-]{1,64})/([0-9]{1,9})/([0-9]{1,18})")


class Place(NamedTuple):
    """Where the record stood that became a dead letter; the topic without prefix."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """From TOPIC/PARTITION/OFFSET. Raises UsageFailure."""
        found = _PLACE.fullmatch(text)
        if not found:
            raise UsageFailure(
                "expected TOPIC/PARTITION/OFFSET, as 'backstop dead-letters list' prints it; "
                f"got {printable(text[:100])!r}"
            )
        return cls(found[1], int(found[2]), int(found[3]))


class Letter(Struct, frozen=True):
    """A dead letter: the record's bytes and key, where it stood, which stream gave up on it, when and why.

    `raw` is all there is of the record unless `whole_bytes` says how long the whole was; `sha256` is that of the whole.
    `appended_ms` is when the record was appended, `buried_ms` when the letter was.
    """

    at: str
    buried_ms: int
    place: Place
    stream: str
    code: str
    reason: str
    appended_ms: int
    key: bytes | None
    raw: bytes
    whole_bytes: int | None
    sha256: str | None
    trace: bytes | None

    @classmethod
    def parse(cls, record: Arrival) -> "Letter":
        """From a record of the topic. Raises ValueError for one that no service of ours wrote."""
        headers = dict(record.headers)
        try:
            text = {name: headers[name].decode() for name in ("code", "reason", "stream", "topic")}
            numbers = {name: int(headers[name]) for name in ("partition", "offset", "appended_ms")}
            size = int(headers["bytes"]) if "bytes" in headers else None
            sha256 = headers["sha256"].decode() if size is not None else None
        except (KeyError, ValueError) as error:
            raise ValueError(f"{record.place}: not a dead letter; {type(error).__name__}: {error}") from None
        return cls(
            at=record.place,
            buried_ms=record.timestamp,
            place=Place(text["topic"], numbers["partition"], numbers["offset"]),
            stream=text["stream"],
            code=text["code"],
            reason=text["reason"],
            appended_ms=numbers["appended_ms"],
            key=record.key,
            raw=record.value or b"",
            whole_bytes=size,
            sha256=sha256,
            trace=headers.get("traceparent"),
        )

    @property
    def size(self) -> int:
        """How long the record was."""
        return len(self.raw) if self.whole_bytes is None else self.whole_bytes

    @property
    def is_cut(self) -> bool:
        """Whether only its beginning was kept."""
        return self.whole_bytes is not None

    def encode(self) -> bytes:
        """One JSON object."""
        document: dict[str, Any] = {
            "letter": self.at,
            "time": _time(self.buried_ms),
            "stream": self.stream,
            "source": str(self.place),
            "code": self.code,
            "reason": self.reason,
            "bytes": self.size,
        }
        if self.key is not None:
            for name, value in _describe(self.key, is_cut=False).items():
                document[name.replace("raw", "key")] = value
        document |= _describe(self.raw, is_cut=self.is_cut)
        if self.is_cut:
            document |= {"truncated": True, "sha256": self.sha256}
        return encode_plain(document)

    def row(self) -> tuple[str, ...]:
        """The cells of a table: time, stream, place, code, size, reason."""
        size = f"{self.size:,}"
        return (_time(self.buried_ms), self.stream, str(self.place), self.code, size, printable(self.reason))


def check_command(value: bytes, topic: str, *, now_us: int, ahead_max_us: int) -> None:
    """Raise UsageFailure where a service would make a dead letter of this record again, for what can be told here."""
    try:
        command = decode_command(value)
    except WireError as error:
        raise UsageFailure(
            f"this is no command, and would come back: {error.code}: {printable(error.reason)}"
        ) from None
    if command.topic != topic and not isinstance(command, ClockTick):
        kind = str(type(command).__struct_config__.tag)
        raise UsageFailure(f"wrong_topic: {kind} belongs on {command.topic}, and {topic} is where the letter came from")
    if command.ts - now_us > ahead_max_us:
        raise UsageFailure(
            f"ts_ahead: ts {command.ts} is still in the future; expected at most {now_us + ahead_max_us}"
        )


def _time(ms: int) -> str:
    return moment(ms * 1_000)


def _describe(raw: bytes, *, is_cut: bool) -> dict[str, str]:
    return describe_bytes(raw, as_text(raw, is_cut=is_cut))
