"""What a service tells whoever watches it, after the fact or with care: what is not committed may not be shown."""

from collections.abc import Sequence
from typing import Literal, Protocol

from consumers.service.replica import Replica
from consumers.service.sequencing import Batch
from consumers.service.stream import Input

Role = Literal["starting", "standby", "taking_over", "leader", "stopping"]
"""What an instance is at the moment, in the order in which it goes through them."""


class Followed(Protocol):
    """The journal as a follower sees it: seconds since the leader's last sign of life, and since a fetch's answer."""

    @property
    def replica(self) -> Replica: ...
    @property
    def silence(self) -> float: ...
    @property
    def since_fetch(self) -> float: ...
    @property
    def epoch(self) -> int: ...
    async def lag(self) -> int | None: ...


class Fetched(Protocol):
    """An input as a leader sees it. `handed_out` counts the records that went to the loop."""

    @property
    def source(self) -> Input: ...
    @property
    def handed_out(self) -> int: ...
    async def lag(self) -> int | None: ...


class Observer:
    """Is told what happens and does nothing about it; to be derived from. Nothing here may raise or take long."""

    def following(self, journal: Followed) -> None:
        """A follower has begun to read its journal."""

    def leading(self, replica: Replica, inputs: Sequence[Fetched], epoch: int) -> None:
        """The journal is read to its end, all earlier instances are fenced, the inputs are open."""

    def became(self, role: Role) -> None:
        """The instance is something else now."""

    def turned(self) -> None:
        """The loop of a leader or a follower has turned once."""

    def made(self, batch: Batch, seconds: float) -> None:
        """A batch was computed in `seconds`. The state is that after it, to be shown when it is committed."""

    def committed(self, batch: Batch, seconds: float) -> None:
        """The oldest batch that was made is committed; that took `seconds`."""

    def snapshot_taken(self, number: int, moment: float) -> None:
        """A snapshot of the state after input `number` was written, at a moment in seconds since the epoch."""
