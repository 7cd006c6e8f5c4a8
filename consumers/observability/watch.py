"""What is known of one running instance: its role, its progress, and of its state what is committed."""

import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from consumers.observability.audit import LEADER_SIZE_MAX, Audit, Finding
from consumers.observability.figures import Figures, read_figures
from consumers.observability.metrics import Metrics
from consumers.service.observer import Fetched, Followed, Observer, Role
from consumers.service.replica import Replica
from consumers.service.sequencing import Batch
from consumers.service.stream import Stream

AUDIT_SECONDS: Final = 60.0


class Identity(NamedTuple):
    """What does not change while a process lives."""

    stream: str
    instance: str
    code: str
    config: str


class Snapshot(NamedTuple):
    """The last snapshot: the number of the input it is after, and when it was taken, in seconds since the epoch."""

    number: int
    moment: float


class _Made(NamedTuple):
    seconds: float
    figures: Figures
    finding: Finding | None


class Watch(Observer):
    """Keeps what an operator wants to know. A leader's memory may be one batch ahead of what is committed, so what is
    read from it waits here until that batch's commit has returned; a follower's memory is committed as it is."""

    def __init__(self, stream: Stream, *, instance: str, code: str, audit_seconds: float = AUDIT_SECONDS) -> None:
        self.identity = Identity(stream.name, instance, code, stream.config_hash)
        self.metrics = Metrics()
        self.metrics.expect(source.topic for source in stream.inputs)
        self.audit = Audit(audit_seconds)
        self.role: Role = "starting"
        self.epoch = 0
        self.snapshot: Snapshot | None = None
        self.journal: Followed | None = None
        self._inputs: Sequence[Fetched] = ()
        self._replica: Replica | None = None
        self._figures: Figures | None = None
        self._made: deque[_Made] = deque()
        self._read: Counter[str] = Counter()
        self._turned_at = self._committed_at = time.monotonic()
        self.committed_moment: float | None = None

    def following(self, journal: Followed) -> None:
        self.journal = journal

    def leading(self, replica: Replica, inputs: Sequence[Fetched], epoch: int) -> None:
        self._figures = read_figures(replica.machine)
        self._replica, self._inputs, self.epoch, self.journal = replica, inputs, epoch, None
        self.became("leader")

    def became(self, role: Role) -> None:
        self.role = role
        self._turned_at = self._committed_at = time.monotonic()

    def turned(self) -> None:
        self._turned_at = time.monotonic()
        if self.role == "standby" and self.journal is not None:
            replica = self.journal.replica
            if self.audit.is_due(replica.machine, size_max=None):
                self.audit.show(self.audit.look(replica.machine), self.identity.stream, replica.applied)

    def made(self, batch: Batch, seconds: float) -> None:
        assert self._replica is not None
        machine = self._replica.machine
        is_idle = not batch.read and not batch.inputs
        looks = is_idle and self.audit.is_due(machine, size_max=LEADER_SIZE_MAX)
        self._made.append(_Made(seconds, read_figures(machine), self.audit.look(machine) if looks else None))

    def committed(self, batch: Batch, seconds: float) -> None:
        made = self._made.popleft()
        self._figures = made.figures
        self._read.update(batch.read)
        self._committed_at, self.committed_moment = time.monotonic(), time.time()
        self.metrics.committed(batch, made.seconds, seconds)
        if made.finding is not None:
            self.audit.show(made.finding, self.identity.stream, made.figures.number)

    def snapshot_taken(self, number: int, moment: float) -> None:
        self.snapshot = Snapshot(number, moment)

    @property
    def figures(self) -> Figures | None:
        """The committed state; None before there is a machine."""
        return read_figures(self.journal.replica.machine) if self.journal is not None else self._figures

    @property
    def number(self) -> int:
        """The number of the last committed input."""
        figures = self.figures
        return 0 if figures is None else figures.number

    @property
    def since_turn(self) -> float:
        """Seconds since the loop last turned."""
        return time.monotonic() - self._turned_at

    @property
    def since_commit(self) -> float:
        """Seconds since a commit last returned; in a leader that has not committed yet, since it began to lead."""
        return time.monotonic() - self._committed_at

    async def input_lag(self) -> dict[str, int | None]:
        """Of each input of a leader, how many offsets are not in a committed batch yet; None: not known yet."""
        lag: dict[str, int | None] = {}
        for fetched in self._inputs:
            name, behind = fetched.source.name, await fetched.lag()
            # What the loop was given and is still working on counts as not read.
            lag[name] = None if behind is None else behind + fetched.handed_out - self._read[name]
        return lag

    async def journal_lag(self) -> int | None:
        """Of a follower, how many offsets of the journal are not applied yet."""
        return None if self.journal is None else await self.journal.lag()
