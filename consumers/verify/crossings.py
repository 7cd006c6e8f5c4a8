"""What engines and settlement told each other: the same messages in the same order on both sides, and their money.

What arrived stands in the journal of the receiver, what was sent follows from that of the sender, and the two are
looked at one after the other. So that memory stays small, hashes over blocks of messages are kept and not the messages.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from consumers.verify.verdict import Findings
from schemas.claims import (
    Claim,
    Decision,
    DeficitRepaid,
    FeeShareAccrued,
    LiquidationSettled,
    LossCovered,
    Outcome,
    TakeoverFilled,
)
from schemas.wire import encode

BLOCK: Final = 64
"""Messages under one hash: a difference is narrowed down to that many."""

Ends = tuple[str, str]
"""The streams of sender and receiver."""

CrossMessage = Claim | Decision


class _Blocks:
    """Hashes of a sequence of messages, block by block."""

    def __init__(self) -> None:
        self.count = 0
        self._digest = blake2b(digest_size=16)

    def add(self, message: CrossMessage) -> None:
        if self.count % BLOCK == 0:
            self._digest = blake2b(digest_size=16)
        self._digest.update(encode(message) + b"\n")
        self.count += 1

    @property
    def hash(self) -> bytes:
        """Of the present block, as far as it goes."""
        return self._digest.digest()


class Arrived(_Blocks):
    """The messages of one sender in the journal of one receiver."""

    def __init__(self) -> None:
        super().__init__()
        self.full: list[bytes] = []

    def add(self, message: CrossMessage) -> None:
        """Take the next one."""
        super().add(message)
        if self.count % BLOCK == 0:
            self.full.append(self.hash)


class Sent(_Blocks):
    """The messages that one sender sends one receiver, compared with what arrived there."""

    def __init__(self, ends: Ends, arrived: Arrived, findings: Findings) -> None:
        super().__init__()
        self._ends = ends
        self._arrived = arrived
        self._findings = findings

    def add(self, message: CrossMessage) -> None:
        """Send the next one."""
        if number_of(message) != self.count + 1:
            place = f"message {self.count + 1} to {self._ends[1]}"
            self._findings.add("messages", place, f"number {self.count + 1}", f"number {number_of(message)}")
        super().add(message)
        arrived = self._arrived
        if self.count > arrived.count:
            return
        if self.count % BLOCK == 0:
            self._compare(arrived.full[self.count // BLOCK - 1])
        elif self.count == arrived.count:
            self._compare(arrived.hash)

    @property
    def is_behind(self) -> bool:
        """Whether more has arrived than is known to have been sent."""
        return self.count < self._arrived.count

    def finish(self) -> None:
        """The sender's journal has ended."""
        if self.is_behind:
            self._findings.add(
                "messages",
                f"messages to {self._ends[1]}",
                f"at least the {self._arrived.count} that are in its journal",
                f"{self.count} sent up to the end of the sender's journal",
            )

    def _compare(self, arrived: bytes) -> None:
        if self.hash != arrived:
            first = (self.count - 1) // BLOCK * BLOCK + 1
            place = f"messages {first} to {self.count} to {self._ends[1]}"
            self._findings.add("messages", place, "in its journal what was sent", "something else")


def number_of(message: CrossMessage) -> int:
    """The number of a message among those of its sender and receiver."""
    return message.claim if isinstance(message, Claim) else message.decision


def receiver_of(message: CrossMessage, settlement: str) -> str:
    """The stream that a message is for; claims are for the settlement of their shard's asset."""
    return settlement if isinstance(message, Claim) else f"engine:{message.shard}"


def money_in(message: CrossMessage, units: Callable[[str], int]) -> int:
    """What a message moves, in units of the asset: a claim to the funds, a decision back to the shard."""
    match message:
        case LiquidationSettled():
            return units(message.fee) + (units(message.surplus) if message.to == "fund" else 0)
        case TakeoverFilled():
            return units(message.pnl)
        case Outcome():
            return units(message.surplus)
        case FeeShareAccrued() | LossCovered() | DeficitRepaid():
            return units(message.amount)
        case _:
            return 0
