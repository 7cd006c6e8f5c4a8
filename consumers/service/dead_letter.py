"""Records of outside topics that are no command, kept with their bytes, the reason and where they came from."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from consumers.service.publication import Outgoing

TOPIC: Final = "dead-letters"

RAW_BYTES_MAX: Final = 1024 * 1024
"""What is kept of one record. Of a longer one its beginning, with length and SHA-256 of the whole."""


class Arrival(NamedTuple):
    """A record as it was read. `timestamp` is when the broker appended it, in ms."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]

    @property
    def place(self) -> str:
        """Where it stands: topic, partition and offset."""
        return f"{self.topic}/{self.partition}/{self.offset}"


def dead_letter(arrival: Arrival, stream: str, partition: int, code: str, reason: str) -> Outgoing:
    """The record that keeps an arrival which cannot be used: its bytes as the value, all else in the headers."""
    raw = arrival.value or b""
    headers = [
        ("code", code.encode()),
        ("reason", reason.encode()),
        ("stream", stream.encode()),
        ("topic", arrival.topic.encode()),
        ("partition", str(arrival.partition).encode()),
        ("offset", str(arrival.offset).encode()),
        ("appended_ms", str(arrival.timestamp).encode()),
    ]
    if len(raw) > RAW_BYTES_MAX:
        headers += [("bytes", str(len(raw)).encode()), ("sha256", sha256(raw).hexdigest().encode())]
        raw = raw[:RAW_BYTES_MAX]
    headers += [(name, value) for name, value in arrival.headers if name == "traceparent"]
    return Outgoing(TOPIC, partition, arrival.key or b"", raw, headers)


def code_of(letter: Outgoing) -> str:
    """Why a dead letter is one, as a stable code."""
    return next(value for name, value in letter.headers if name == "code").decode()
