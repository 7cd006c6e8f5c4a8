"""Which positions a mark price liquidates, or makes worth a look, without looking at the others.

Long positions are kept by the highest mark that liquidates them, shorts by the lowest. A mark that reaches
neither end of the index costs two comparisons, however many positions there are.
"""

from collections.abc import Iterable

from sortedcontainers import SortedList

from engine.contract import NO_TRIGGER
from engine.position import Position


class TriggerIndex:
    """Positions by trigger price, in ticks: a dictionary of buckets, and the sorted prices of each side."""

    __slots__ = (
        "_highest_long",
        "_long_buckets",
        "_long_prices",
        "_lowest_short",
        "_short_buckets",
        "_short_prices",
    )

    def __init__(self) -> None:
        # A bucket is a dictionary used as a set that keeps its order.
        self._long_buckets: dict[int, dict[Position, None]] = {}
        self._short_buckets: dict[int, dict[Position, None]] = {}
        self._long_prices: SortedList[int] = SortedList()
        self._short_prices: SortedList[int] = SortedList()
        self._highest_long = 0
        self._lowest_short = 0

    def place(self, position: Position, trigger: int) -> None:
        """Move a position to where it belongs now."""
        if trigger == position.trigger and position.sign == position.indexed_sign:
            return
        self.discard(position)
        if trigger == NO_TRIGGER:
            return
        position.trigger = trigger
        position.indexed_sign = position.sign
        buckets, prices = self._side(position.sign)
        bucket = buckets.get(trigger)
        if bucket is None:
            buckets[trigger] = {position: None}
            prices.add(trigger)
            self._refresh_ends()
        else:
            bucket[position] = None

    def fill(self, triggers: Iterable[tuple[Position, int]]) -> None:
        """Put many positions into an empty index: what `place` one by one comes to, but faster."""
        assert not self._long_buckets, "the index is empty"
        assert not self._short_buckets, "the index is empty"
        for position, trigger in triggers:
            if trigger == NO_TRIGGER:
                continue
            position.trigger = trigger
            position.indexed_sign = sign = position.sign
            buckets = self._long_buckets if sign > 0 else self._short_buckets
            bucket = buckets.get(trigger)
            if bucket is None:
                buckets[trigger] = {position: None}
            else:
                bucket[position] = None
        self._long_prices.update(self._long_buckets)
        self._short_prices.update(self._short_buckets)
        self._refresh_ends()

    def discard(self, position: Position) -> None:
        """Take a position out of the index, if it is in it."""
        if position.trigger == NO_TRIGGER:
            return
        buckets, prices = self._side(position.indexed_sign)
        bucket = buckets[position.trigger]
        del bucket[position]
        if not bucket:
            del buckets[position.trigger]
            prices.remove(position.trigger)
            self._refresh_ends()
        position.trigger = NO_TRIGGER
        position.indexed_sign = 0

    def take(self, mark: int) -> list[Position]:
        """Take out every position that this mark liquidates."""
        taken: list[Position] = []
        while self._highest_long and mark <= self._highest_long:
            taken.extend(self._long_buckets[self._highest_long])
            for position in list(self._long_buckets[self._highest_long]):
                self.discard(position)
        while self._lowest_short and mark >= self._lowest_short:
            taken.extend(self._short_buckets[self._lowest_short])
            for position in list(self._short_buckets[self._lowest_short]):
                self.discard(position)
        return taken

    def check(self) -> None:
        """Assert every invariant of the structure."""
        for sign in (1, -1):
            buckets, prices = self._side(sign)
            assert list(prices) == sorted(buckets), "the sorted prices are those of the buckets"
            for trigger, bucket in buckets.items():
                assert bucket, "no bucket is empty"
                for position in bucket:
                    assert position.trigger == trigger, "a position knows its bucket"
                    assert position.indexed_sign == sign, "a position knows its side of the index"
        assert self._highest_long == (self._long_prices[-1] if self._long_prices else 0), "highest long is cached"
        assert self._lowest_short == (self._short_prices[0] if self._short_prices else 0), "lowest short is cached"

    def _side(self, sign: int) -> tuple[dict[int, dict[Position, None]], "SortedList[int]"]:
        if sign > 0:
            return self._long_buckets, self._long_prices
        return self._short_buckets, self._short_prices

    def _refresh_ends(self) -> None:
        self._highest_long = self._long_prices[-1] if self._long_prices else 0
        self._lowest_short = self._short_prices[0] if self._short_prices else 0
