"""What became of each liquidation, followed from its start until nobody owes anything about it."""

import heapq
from decimal import Decimal
from typing import Final, Generic, Literal, TypeVar

from msgspec import Struct

from consumers.exact import ZERO

T = TypeVar("T")
Outcome = Literal["book", "takeover", "adl", "last_resort", "open"]

OUTCOMES: Final[dict[Outcome, str]] = {
    "book": "book",
    "takeover": "takeover",
    "adl": "ADL",
    "last_resort": "last resort",
    "open": "open",
}


class Case(Struct):
    """One liquidation. Quantities and amounts as the events gave them, in the units of the market and its asset."""

    liquidation_id: str
    market: str
    account: str
    side: str
    ts: int
    qty: Decimal
    mark_price: str
    notional: Decimal
    equity: str
    maintenance_margin: str
    bankruptcy_price: str | None
    filled_qty: Decimal = ZERO
    average_price: str | None = None
    surplus: Decimal = ZERO
    residual_qty: Decimal = ZERO
    expected_loss: Decimal = ZERO
    fund: str | None = None
    takeover_pnl: Decimal = ZERO
    adl_qty: Decimal = ZERO
    adl_counterparties: int = 0
    socialised: Decimal = ZERO
    deficit: Decimal = ZERO
    is_settled: bool = False
    owes_answer: bool = False
    is_held: bool = False
    reached_last_resort: bool = False

    @property
    def is_finished(self) -> bool:
        return self.is_settled and not self.owes_answer and not self.is_held

    @property
    def outcome(self) -> Outcome:
        """The furthest instance that the liquidation went to: each later one is worse news."""
        if self.reached_last_resort:
            return "last_resort"
        if self.adl_qty:
            return "adl"
        if self.owes_answer:
            return "open"
        if self.fund is not None:
            return "takeover"
        return "book" if self.is_settled else "open"

    @property
    def says(self) -> str:
        return OUTCOMES[self.outcome]


class Largest(Generic[T]):
    """The largest of what was added, at most `limit` of them; says how many it has let go."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._heap: list[tuple[Decimal, int, T]] = []
        self.added = 0

    def add(self, size: Decimal, item: T) -> None:
        """Keep the item if it is among the largest; of equals the earlier."""
        self.added += 1
        entry = (size, -self.added, item)
        if len(self._heap) < self._limit:
            heapq.heappush(self._heap, entry)
        elif size > self._heap[0][0]:
            heapq.heapreplace(self._heap, entry)

    def by_size(self) -> list[T]:
        """What was kept, the largest first."""
        return [item for _, _, item in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]

    def in_order(self) -> list[T]:
        """What was kept, in the order in which it was added."""
        return [item for _, _, item in sorted(self._heap, key=lambda entry: -entry[1])]

    @property
    def cut(self) -> int:
        return self.added - len(self._heap)
