"""A state machine that decides nothing: it answers with as many events of the same types and sizes as the engine does.

In the place of an engine it shows what the rest costs: fetching, decoding, the merge, encoding, journal, transaction.
"""

import copy
from collections import defaultdict
from collections.abc import Sequence

from engine.shard import Shard
from engine.spec import ShardSpec
from schemas.claims import AnyDecision
from schemas.commands import Command, OrderCancel, OrderNew
from schemas.envelope import Event
from schemas.events import LedgerPosted, OrderAccepted, OrderCancelled, PositionUpdated, TradeExecuted
from schemas.wire import decode_command, encode
from tests.bench import core

_SAMPLE = 5_000


class PassThrough(Shard):
    """Answers an order with its acceptance and now and then with what a trade causes, a cancel with a cancellation."""

    def __init__(self, spec: ShardSpec) -> None:
        super().__init__(spec)
        samples, orders = _samples()
        self._accepted = _typical(samples[OrderAccepted])
        self._cancelled = _typical(samples[OrderCancelled])
        # How many orders there are for one event of what only some of them cause.
        self._sometimes = [
            (max(1, round(orders / len(samples[of]))), _typical(samples[of]))
            for of in (TradeExecuted, PositionUpdated, LedgerPosted)
        ]
        self._orders = 0

    def apply(self, command: Command | AnyDecision) -> list[Event]:
        """The answer to any input."""
        outbox = self.state.outbox
        outbox.begin(command.ts)
        if type(command) is OrderNew:
            self._orders += 1
            accepted = copy.copy(self._accepted)
            accepted.order_id = command.order_id  # type: ignore[attr-defined]
            outbox.emit(accepted)
            for every, event in self._sometimes:
                if self._orders % every == 0:
                    outbox.emit(copy.copy(event))
        elif type(command) is OrderCancel:
            outbox.emit(copy.copy(self._cancelled))
        return outbox.take()


def _samples() -> tuple[dict[type[Event], list[Event]], int]:
    """What an engine publishes over some of the flow, by type, and over how many orders."""
    setup, commands = core.draw_log(_SAMPLE)
    shard = core.prepared_shard(setup)
    samples: dict[type[Event], list[Event]] = defaultdict(list)
    orders = 0
    for raw in commands:
        command = decode_command(raw)
        orders += type(command) is OrderNew
        for event in shard.apply(command):
            samples[type(event)].append(event)
    return samples, orders


def _typical(events: Sequence[Event]) -> Event:
    """The event of mean size, as sizes add up in a batch."""
    mean = sum(len(encode(event)) for event in events) / len(events)
    return min(events, key=lambda event: abs(len(encode(event)) - mean))
