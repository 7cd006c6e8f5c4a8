"""Adds all money of a machine up while nothing else is to be done, and remembers what came out.

That looks at every account, so a leader does it only when it is idle and small enough not to stall; a follower of the
journal, which nobody waits for, does it whatever the size.
"""

import time
from typing import Final, NamedTuple

import structlog

from consumers.observability.figures import size
from engine.conservation import InvariantBroken, settlement_residual, shard_residual
from engine.settlement import Settlement
from engine.shard import Shard

log = structlog.get_logger()

LEADER_SIZE_MAX: Final = 20_000
"""Accounts, positions and funds that a leader adds up: about 10 ms."""

SHARE_MAX: Final = 0.005
"""Of the time of a follower that is spent on it, whatever the interval."""


class Finding(NamedTuple):
    """What came out: the residual in units, None where a balance is negative that may not be. `moment` is in seconds
    since the epoch."""

    residual: int | None
    reason: str
    moment: float


class Audit:
    """Looks every `interval` seconds. `failures` counts what did not add up."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._due = 0.0
        self.latest: Finding | None = None
        self.failures = 0

    def is_due(self, machine: object, *, size_max: int | None) -> bool:
        """Whether it is time, and the machine is not too large."""
        return time.monotonic() >= self._due and (size_max is None or size(machine) <= size_max)

    def look(self, machine: object) -> Finding:
        """Add up. The state must be that between two batches; the finding is shown when that state may be."""
        began = time.monotonic()
        try:
            finding = Finding(_residual(machine), "", time.time())
        except InvariantBroken as broken:
            finding = Finding(None, str(broken), time.time())
        ended = time.monotonic()
        self._due = ended + max(self._interval, (ended - began) / SHARE_MAX)
        return finding

    def show(self, finding: Finding, stream: str, number: int) -> None:
        """Remember what was found, and say aloud what is wrong."""
        self.latest = finding
        if finding.residual != 0:
            self.failures += 1
            residual, reason = finding.residual, finding.reason
            log.error("not_conserved", stream=stream, number=number, residual_units=residual, reason=reason)


def _residual(machine: object) -> int:
    if isinstance(machine, Shard):
        return shard_residual(machine)
    if isinstance(machine, Settlement):
        return settlement_residual(machine)
    raise TypeError(f"{type(machine).__name__} is no machine that can be added up")
