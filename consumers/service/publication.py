"""From an event to the record that carries it: topic, partition, key, value, headers, all of which follow from it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final, Literal, NamedTuple

from schemas.envelope import Event
from schemas.wire import encode

HeaderStyle = Literal["type", "cloudevents"]
Headers = Sequence[tuple[str, bytes]]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# What a reader would like to have together; the first that an event has. On its partition it is in order anyway.
_KEYS: Final = ("liquidation_id", "fund", "account", "market", "shard", "asset")


class Outgoing(NamedTuple):
    """A record to be written."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: Headers


class Publisher:
    """Makes the records of one stream's events."""

    def __init__(self, stream: str, partition_of: Callable[[Event], int], style: HeaderStyle) -> None:
        self._stream = stream
        self._partition_of = partition_of
        self._headers = _type_header if style == "type" else _cloud_event_headers

    def publish(self, event: Event, trace: str | None) -> Outgoing:
        """The record of an event; `trace` is the trace context of the command that caused it."""
        headers = self._headers(event)
        if trace is not None:
            headers = (*headers, ("traceparent", trace.encode()))
        return Outgoing(event.topic, self._partition_of(event), self._key(event), encode(event), headers)

    def _key(self, event: Event) -> bytes:
        field = key_field(type(event))
        key = getattr(event, field) if field else ""
        return (key if isinstance(key, str) and key else self._stream).encode()


@cache
def key_field(event: type[Event]) -> str:
    """Which field of an event is its key; empty where it has none, and the stream is."""
    return next((field for field in _KEYS if field in event.__struct_fields__), "")


@cache
def _tag(event: type[Event]) -> bytes:
    return str(event.__struct_config__.tag).encode()


@cache
def _type_headers(event: type[Event]) -> Headers:
    return (("ce_type", _tag(event)),)


def _type_header(event: Event) -> Headers:
    return _type_headers(type(event))


def _cloud_event_headers(event: Event) -> Headers:
    """CloudEvents 1.0 in the binary mode of its Kafka binding. The time is event time."""
    time = (_EPOCH + timedelta(microseconds=event.ts)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return (
        ("ce_specversion", b"1.0"),
        ("ce_id", f"{event.stream}/{event.seq}".encode()),
        ("ce_source", f"/backstop/{event.stream}".encode()),
        ("ce_type", _tag(type(event))),
        ("ce_time", time.encode()),
        ("content-type", b"application/json"),
    )
