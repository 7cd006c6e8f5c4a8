"""Engine and model side by side: the same inputs in the same order, and the events of both, byte by byte.

Embedded, a whole venue takes a command and answers with all that follows from it. Delayed, as over a broker, each
machine is fed by itself: what it claims or decides waits on a topic of its own and arrives some commands later.
"""

import random
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from engine.venue import Venue
from schemas.claims import CLAIM_TYPES, DECISION_TYPES
from schemas.commands import Command
from schemas.envelope import Event
from schemas.events import AccountRejected, ConfigRejected, FundRejected, OrderRejected, PriceRejected
from schemas.wire import decode_command, decode_event, encode
from tests.engine.restored import restore_machines
from tests.reference.venue import Machine, VenueModel
from tests.reference.worlds import World

REJECTIONS = (AccountRejected, ConfigRejected, FundRejected, OrderRejected, PriceRejected)
RESTORE_EVERY = 25
TOLD = ("code", "reason", "cause_kind", "mode", "to")
"""The fields by which events are counted apart."""

Step = Callable[[], list[Event]]


@dataclass(frozen=True)
class Difference:
    """Where they part: the number of the command (0: genesis), the input, and what each published."""

    number: int
    record: bytes
    engine: list[bytes]
    model: list[bytes]

    def __str__(self) -> str:
        """The input, what both agree on until they part, and what each says then."""
        same = 0
        while same < len(self.engine) and self.engine[same : same + 1] == self.model[same : same + 1]:
            same += 1
        lines = [f"at command {self.number}: {self.record.decode()}"]
        lines.extend(f"  both    {record.decode()}" for record in self.engine[:same])
        lines.extend(f"  engine  {record.decode()}" for record in self.engine[same : same + 6])
        lines.extend(f"  model   {record.decode()}" for record in self.model[same : same + 6])
        return "\n".join(lines)


@dataclass
class Run:
    """How a comparison went: events and commands by kind, and where engine and model parted, if they did."""

    commands: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    difference: Difference | None = None

    def differs(self) -> bool:
        """Whether they parted."""
        return self.difference is not None


def compare(world: World, commands: Iterable[dict[str, Any]], restore_every: int = RESTORE_EVERY) -> Run:
    """Apply all commands to both; stops at the first difference.

    After each `restore_every` commands the engine goes on as what its snapshots restore to; 0: never.
    """
    run = Run()
    engine, model = Venue(world.config), VenueModel(world.config)
    venues = _Embedded(engine, model) if world.arrivals is None else _Delayed(engine, model, world.arrivals)
    _step(run, b"genesis", engine.genesis, model.genesis)
    for fields in commands:
        if run.differs():
            break
        record = orjson.dumps(fields)
        run.commands += 1
        run.counts[f"command {fields['type']}"] += 1
        for cause, of_engine, of_model in venues.steps(record, decode_command(record)):
            venues.publish(_step(run, cause, of_engine, of_model))
            if run.differs():
                break
        if restore_every and not run.commands % restore_every and not run.differs():
            _restore(run, engine)
    return run


class _Embedded:
    """Two venues, each of which lets its machines answer each other at once."""

    def __init__(self, engine: Venue, model: VenueModel) -> None:
        self._engine, self._model = engine, model

    def steps(self, record: bytes, command: Command) -> Iterator[tuple[bytes, Step, Step]]:
        """One step."""
        yield record, lambda: self._engine.apply(command), lambda: self._model.apply(command)

    def publish(self, events: list[Event]) -> None:
        """Both venues have acted on it themselves."""


class _Delayed:
    """Machine beside machine. What the engine's say is on its way for a while, per machine in order."""

    def __init__(self, engine: Venue, model: VenueModel, arrivals: float) -> None:
        self._engines: dict[str, Any] = {shard.stream: shard for shard in engine.shards.values()}
        self._engines |= {settlement.stream: settlement for settlement in engine.settlements.values()}
        self._models: dict[str, Machine] = {machine.stream.name: machine for machine in model.machines()}
        self._model = model
        self._on_the_way: dict[str, deque[Event]] = {name: deque() for name in self._engines}
        self._arrivals = arrivals
        self._rng = random.Random(f"arrivals {arrivals}")

    def steps(self, record: bytes, command: Command) -> Iterator[tuple[bytes, Step, Step]]:
        """The command at every machine it is for, and whatever arrives before the next."""
        machines: list[Machine] = self._model.addressed(command)
        for machine in machines:
            yield self._both(record, machine.stream.name, command)
        self._model.take_rules()
        for name, waiting in self._on_the_way.items():
            while waiting and self._rng.random() < self._arrivals:
                event = waiting.popleft()
                yield self._both(encode(event), name, event)

    def _both(self, record: bytes, name: str, message: Command | Event) -> tuple[bytes, Step, Step]:
        return record, lambda: self._engines[name].apply(message), lambda: self._models[name].apply(message)

    def publish(self, events: list[Event]) -> None:
        """Put claims and decisions on their way, through their bytes."""
        for event in events:
            if isinstance(event, (*CLAIM_TYPES, *DECISION_TYPES)):
                self._on_the_way[self._model.receiver(event).stream.name].append(decode_event(encode(event)))


def _restore(run: Run, venue: Venue) -> None:
    """Put what they restore to in the place of the engine's machines. What cannot be restored is a difference."""
    try:
        run.counts["machine restored"] += restore_machines(venue)
    except Exception:  # noqa: BLE001 -- as of a machine that stops
        run.difference = Difference(run.commands, b"restore", [traceback.format_exc().encode()], [])


def _step(run: Run, record: bytes, engine: Step, model: Step) -> list[Event]:
    """Take one step on both sides; what the engine published."""
    events, published = _published(engine)
    _, expected = _published(model)
    if published != expected:
        run.difference = Difference(run.commands, record, published, expected)
    for event in events:
        kind = str(event.__struct_config__.tag)
        run.counts[kind] += 1
        for name in TOLD:
            told = getattr(event, name, None)
            if isinstance(told, str) and told:
                run.counts[f"{kind} {name}={told}"] += 1
    return events


def _published(machine: Step) -> tuple[list[Event], list[bytes]]:
    """Events and their bytes. The reason of a rejection is prose and left out, its code is not."""
    try:
        events = machine()
    except Exception:  # noqa: BLE001 -- a machine that stops is a difference like any other
        return [], [f"stopped: {traceback.format_exc()}".encode()]
    for event in events:
        if isinstance(event, REJECTIONS):
            event.reason = ""
    return events, [encode(event) for event in events]
