"""The ADL queue of one side of a market: the best-ranked positions, without ranking everybody for each liquidation.

A cascade asks for the best few of the same positions hundreds of times under one mark. So one side of a market is
ranked once, in a heap, when it is first asked for under a mark; whoever changes afterwards is ranked anew before the
next question. An ADL that closes k of n positions costs O(k log n) then, and the first one O(n). Whoever is passed over
is looked at again by the next ADL, as its price is another; but where the price is beyond the best entry price on the
side, so that nobody can gain by it, nobody needs to be looked at to know.

The queue is derived: it always answers as if everybody were ranked at the moment of the question (`rank_anew`, the
plain way). It is no part of the state hash, and a mark drops it: its market's own, or, as cross accounts rank by their
equity over all markets, any of the shard's if there is a cross position on that side.
"""

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final

from engine.market import Market
from engine.pool import is_due
from engine.position import Position
from engine.ranking import score

if TYPE_CHECKING:
    from engine.state import ShardState

_HEAPIFY_FROM: Final = 8
"""Entries that are put back are sifted in one by one where they are fewer than this fraction of the heap."""

_ROUNDING: Final = 4
"""More units than the rounding of two values, of what is closed and of what it was opened for, can differ by."""

_Entry = tuple[int, str, int, Position]


class AdlQueue:
    """One side of a market in the order of its ranking, highest score first, ties by account name.

    `has_cross` says whether there is or was a cross position on that side. Who has been taken is put back before the
    queue is used again. An entry of the heap holds good while its serial number is the one under its account's name.
    """

    __slots__ = ("_best_entry", "_changed", "_heap", "_serial", "_serials", "_taken", "has_cross", "sign")

    def __init__(self, market: Market, sign: int) -> None:
        self.sign = sign
        self.has_cross = False
        self._heap: list[_Entry] = []
        self._serial = 0
        self._best_entry: tuple[int, int] | None = None
        self._serials: dict[str, int] = {}
        self._taken: list[_Entry] = []
        self._changed: dict[str, Position] = {}
        for position in market.positions.values():
            if self._admits(position):
                self._heap.append(self._entry(position))
        heapify(self._heap)

    def note_change(self, position: Position) -> None:
        """Have a position that something has changed, and that may be new or gone, ranked anew when it matters."""
        self._changed[position.account.name] = position

    def refresh(self) -> None:
        """Rank those anew that have changed."""
        for name, position in self._changed.items():
            self._serials.pop(name, None)
            if self._admits(position):
                heappush(self._heap, self._entry(position))
        self._changed.clear()
        if len(self._heap) > 2 * len(self._serials) + _HEAPIFY_FROM:
            self._heap = [entry for entry in self._heap if self._holds(entry)]
            heapify(self._heap)

    def take(self) -> Position | None:
        """The best of those that have not been taken."""
        while self._heap:
            entry = heappop(self._heap)
            if self._holds(entry):
                self._taken.append(entry)
                return entry[-1]
        return None

    def put_back(self) -> None:
        """Have all that were taken stand in the queue again."""
        taken, heap = self._taken, self._heap
        if len(taken) * _HEAPIFY_FROM < len(heap):
            for entry in taken:
                heappush(heap, entry)
        else:
            heap.extend(taken)
            heapify(heap)
        taken.clear()

    def nobody_gains(self, exposure: int, value: int, lots: int) -> bool:
        """Whether everybody is sure to realise a loss who is closed at `value` for so many lots; `exposure` is theirs.

        Compared with the best entry value per lot that anybody has or had under this mark, so it may not know.
        """
        if self._best_entry is None:
            return False
        entry, entry_lots = self._best_entry
        return exposure * (value * entry_lots - entry * lots) < -_ROUNDING * lots * entry_lots

    def order(self) -> list[Position]:
        """Everybody in the queue, in order, for those who check it. Leaves it as it is."""
        self.refresh()
        return [entry[-1] for entry in sorted(self._heap) if self._holds(entry)]

    def _admits(self, position: Position) -> bool:
        if position.sign != self.sign:
            return False
        # Also of one that is due: the mark of another market may change that.
        self.has_cross = self.has_cross or position.is_cross
        return not is_due(position)

    def _entry(self, position: Position) -> _Entry:
        self._serial += 1
        self._serials[position.account.name] = self._serial
        value, lots = position.parcel.start_value, position.parcel.start_lots
        best = self._best_entry
        if best is None or position.exposure * (value * best[1] - best[0] * lots) < 0:
            self._best_entry = value, lots
        return -score(position), position.account.name, self._serial, position

    def _holds(self, entry: _Entry) -> bool:
        return self._serials.get(entry[1]) == entry[2]


def rank_anew(market: Market, sign: int) -> list[Position]:
    """One side of a market in order, the plain way: everybody is looked at, and all are sorted."""
    ranked = [position for position in market.positions.values() if position.sign == sign and not is_due(position)]
    ranked.sort(key=lambda position: (-score(position), position.account.name))
    return ranked


def queue_of(state: "ShardState", market: Market, sign: int) -> AdlQueue:
    """The queue of one side of a market, up to date."""
    queue = market.adl_queues.get(sign)
    if queue is None:
        queue = market.adl_queues[sign] = AdlQueue(market, sign)
        if market not in state.queued:
            state.queued.append(market)
    queue.refresh()
    return queue


def drop_queues(state: "ShardState", marked: Market) -> None:
    """Forget the queues in which the new mark of a market may have moved somebody."""
    for market in state.queued:
        for sign, queue in list(market.adl_queues.items()):
            if market is marked or queue.has_cross:
                del market.adl_queues[sign]
    state.queued = [market for market in state.queued if market.adl_queues]
