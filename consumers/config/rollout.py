"""Bringing a running venue to a config: settlements first, then engines, each told once and waited for.

A settlement has to know a market before an engine does: a claim about one that it does not know would stop it. So no
engine is told before every settlement has answered. What was sent stays: a stream that is down reads it when it starts,
and a second run sees that it waits, and completes the rest.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from consumers.config.difference import Difference
from consumers.kafka.running import RunningStream
from schemas.config import config_hash
from schemas.events import ConfigChanged, ConfigRejected

Change = Callable[[Difference], bytes | None]


class Target(NamedTuple):
    """A stream, and the difference that is to be made there: between its config once it has read what waits, and the
    file.
    """

    stream: RunningStream
    difference: Difference

    @property
    def is_reached(self) -> bool:
        """Whether it goes by the file and nothing waits for it."""
        return not self.difference.changes and not self.stream.waiting


class Failure(NamedTuple):
    """A stream that does not go by the file, and why."""

    stream: str
    reason: str


async def roll_out(
    targets: Sequence[Target], change: Change, seconds: float, said: Callable[[str], None]
) -> list[Failure]:
    """Tell all streams, kind by kind, and wait that long for each kind; what failed."""
    for kind in ("settlement:", "engine:"):
        told = [target for target in targets if target.stream.name.startswith(kind)]
        until = time.monotonic() + seconds
        outcomes = await asyncio.gather(*(_bring(target, change, until, seconds, said) for target in told))
        failures = [outcome for outcome in outcomes if outcome is not None]
        if failures:
            return failures
    return []


async def _bring(
    target: Target, change: Change, until: float, seconds: float, said: Callable[[str], None]
) -> Failure | None:
    stream, difference = target
    name = stream.name
    if target.is_reached:
        return None
    await stream.refresh()
    if config_hash(stream.ahead) != difference.before:
        return Failure(
            name, "its config was changed meanwhile by somebody else; nothing was sent. 'backstop config diff' shows it"
        )
    line = change(difference)
    if line is not None:
        offset = await stream.tell(line)
    elif stream.waiting:
        offset = stream.waiting[-1].offset
    else:
        said(f"{name}: goes by it")  # it has read meanwhile what waited
        return None
    answer = await stream.answer(offset, until)
    place = f"admin/{stream.partition}/{offset}"
    if answer is None:
        return Failure(
            name,
            f"no answer within {seconds:g} s: is the service running? The change stands at {place} and is read when it "
            "runs; start it with the config file that it had",
        )
    if answer.number is None:
        return Failure(name, f"took {place} for no command: 'backstop dead-letters list --stream {name}' says why")
    match answer.event:
        case ConfigRejected(code=code, reason=reason):
            return Failure(name, f"refused the change at input {answer.number}, {code}: {reason}")
        case ConfigChanged(after=after) if after != difference.after:
            return Failure(
                name,
                f"its config has the hash {after} after input {answer.number}, expected {difference.after}: somebody "
                "else changed it at the same time. 'backstop config diff' shows what it is now",
            )
        case None:
            return Failure(name, f"has read the change as input {answer.number}, and its answer was not seen in time")
    said(f"{name}: goes by it from input {answer.number} on")
    return None
