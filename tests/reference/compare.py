"""Engine and model side by side: the same commands, and the events of both, byte by byte."""

import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from engine.venue import Venue
from schemas.config import VenueConfig
from schemas.envelope import Event
from schemas.events import AccountRejected, ConfigRejected, FundRejected, OrderRejected, PriceRejected
from schemas.wire import decode_command, encode
from tests.reference.venue import VenueModel

REJECTIONS = (AccountRejected, ConfigRejected, FundRejected, OrderRejected, PriceRejected)


@dataclass(frozen=True)
class Difference:
    """Where they part: the number of the command (0: genesis), the command, and what each published."""

    number: int
    command: bytes
    engine: list[bytes]
    model: list[bytes]

    def __str__(self) -> str:
        """The command, what both agree on until they part, and what each says then."""
        same = 0
        while self.engine[same : same + 1] == self.model[same : same + 1] and same < len(self.engine):
            same += 1
        lines = [f"command {self.number}: {self.command.decode()}"]
        lines.extend(f"  both    {record.decode()}" for record in self.engine[:same])
        lines.extend(f"  engine  {record.decode()}" for record in self.engine[same : same + 6])
        lines.extend(f"  model   {record.decode()}" for record in self.model[same : same + 6])
        return "\n".join(lines)


@dataclass
class Run:
    """How a comparison went: events by type, refusals by code, and where engine and model parted, if they did."""

    commands: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    difference: Difference | None = None


def compare(config: VenueConfig, commands: Iterable[dict[str, Any]]) -> Run:
    """Apply all commands to both; stops at the first difference."""
    run = Run()
    engine, model = Venue(config), VenueModel(config)
    run.difference = _step(run, 0, b"", engine.genesis, model.genesis)
    for fields in commands:
        if run.difference is not None:
            return run
        record = orjson.dumps(fields)
        command = decode_command(record)
        run.commands += 1
        run.counts[f"command {fields['type']}"] += 1
        run.difference = _step(
            run, run.commands, record, lambda: engine.apply(command), lambda: model.apply(command)  # noqa: B023
        )
    return run


def _step(
    run: Run, number: int, record: bytes, engine: Callable[[], list[Event]], model: Callable[[], list[Event]]
) -> Difference | None:
    published = _published(engine, run.counts)
    expected = _published(model, None)
    return None if published == expected else Difference(number, record, published, expected)


def _published(machine: Callable[[], list[Event]], counts: Counter[str] | None) -> list[bytes]:
    """The bytes of all events. The reason of a rejection is prose and left out, its code is not."""
    try:
        events = machine()
    except Exception:  # noqa: BLE001 -- a machine that stops is a difference like any other
        return [f"stopped: {traceback.format_exc()}".encode()]
    records = []
    for event in events:
        if isinstance(event, REJECTIONS):
            event.reason = ""
        if counts is not None:
            counts[str(event.__struct_config__.tag)] += 1
            code = getattr(event, "code", None) or getattr(event, "reason", None) or getattr(event, "cause_kind", None)
            if isinstance(code, str):
                counts[f"{event.__struct_config__.tag} {code}"] += 1
        records.append(encode(event))
    return records
