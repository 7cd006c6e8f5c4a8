"""The flow of the core's benchmark (`tests/bench/core.py`) as records to be sent: makers, takers, marks."""

import re
from typing import Final, NamedTuple

from schemas.wire import decode_command
from tests.bench import core

_TS: Final = re.compile(rb'"ts":\d+')
_ORDER: Final = re.compile(rb'"type":"order\.new".*"order_id":"([^"]+)"')


class Sendable(NamedTuple):
    """A command without its time, which is that of sending. `order` is the id that a new order carries, else None."""

    topic: str
    before: bytes
    after: bytes
    order: str | None

    def at(self, ts: int) -> bytes:
        """The record, as of a time in µs."""
        return b"%b%d%b" % (self.before, ts, self.after)


class Flow(NamedTuple):
    """What is sent once, to fund the accounts, and the commands to be measured."""

    setup: list[Sendable]
    commands: list[Sendable]


def draw(count: int) -> Flow:
    """So many commands, the same each time."""
    setup, commands = core.draw_log(count)
    return Flow([_sendable(raw) for raw in setup], [_sendable(raw) for raw in commands])


def _sendable(raw: bytes) -> Sendable:
    found = _TS.search(raw)
    assert found is not None, "every command has a time"
    order = _ORDER.search(raw)
    before, after = raw[: found.start()] + b'"ts":', raw[found.end() :]
    return Sendable(decode_command(raw).topic, before, after, None if order is None else order[1].decode())
