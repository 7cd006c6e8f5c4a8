"""Whether an instance is alive, and whether it is ready.

Alive: restarting it would not help. A leader or a standby is alive while its loop turns, which it does several times a
second and at least once per commit deadline. A broker that is away does not stop a standby's loop, and a leader ends by
itself when a commit finds no answer; an instance that is still starting or taking over waits for the broker as long as
it takes. A loop that computes for ever answers nobody: the probe's own timeout is the failure then.

Ready: a leader that commits and has no more than so many records before it; a standby that could take over.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from consumers.observability.watch import Watch

STUCK_SECONDS: Final = 30
"""More than any commit deadline that makes sense, so that a broker that is away never looks like a stuck loop."""

LAG_MAX: Final = 10_000
SILENCE_SECONDS: Final = 3.0


class Health(NamedTuple):
    """An answer: `reasons` say why not, and `facts` what was seen."""

    ok: bool
    reasons: list[str]
    facts: Mapping[str, object]


def liveness(watch: Watch, stuck_seconds: float = STUCK_SECONDS) -> Health:
    """Whether the loop has turned lately."""
    idle = watch.since_turn
    reasons = []
    if watch.role in ("leader", "standby", "stopping") and idle > stuck_seconds:
        reasons.append(f"the loop has not turned for {idle:.1f} s; expected at least every {stuck_seconds:g} s")
    return Health(not reasons, reasons, _facts(watch) | {"idle_seconds": round(idle, 3)})


async def readiness(watch: Watch, lag_max: int = LAG_MAX, role: str | None = None) -> Health:
    """Whether it does its work: that of `role`, or whatever it is."""
    facts = _facts(watch)
    reasons: list[str] = []
    if watch.role == "leader":
        lag: dict[str, int | None] = await watch.input_lag()
        if watch.since_commit > SILENCE_SECONDS:
            reasons.append(f"nothing was committed for {watch.since_commit:.1f} s")
    elif watch.role == "standby":
        lag = {"journal": await watch.journal_lag()}
        journal = watch.journal
        assert journal is not None
        facts |= {"silence_seconds": round(journal.silence, 3)}
        if journal.since_fetch > SILENCE_SECONDS:
            reasons.append(f"no fetch of the journal was answered for {journal.since_fetch:.1f} s")
    else:
        lag = {}
        reasons.append(f"{watch.role.replace('_', ' ')}: at input {watch.number}")
    for name, behind in lag.items():
        if behind is None:
            reasons.append(f"{name}: how much is left to read is not known yet")
        elif behind > lag_max:
            reasons.append(f"{name}: {behind} records behind; expected at most {lag_max}")
    if role is not None and role != watch.role:
        reasons.append(f"expected role {role}, it is {watch.role}")
    return Health(not reasons, reasons, facts | {"lag": lag})


def _facts(watch: Watch) -> dict[str, object]:
    stream, instance, code, _ = watch.identity
    return {"stream": stream, "instance": instance, "version": code, "role": watch.role, "number": watch.number}
