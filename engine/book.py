"""The order book of one market: price, then time.

Each side keeps its price levels in a dictionary, an ascending list of their keys with the best at the end, and
the best level itself, so the best order is found in O(1). A level is a FIFO of orders linked to each other, so an
order leaves in O(1). 9 of 10 levels that vanish are the best one, which is a pop from the end of the list; the
others shift a slice of a plain list, which stays cheap as `limits.max_price_levels` bounds it.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import TYPE_CHECKING

from schemas.fields import SelfTradePrevention

if TYPE_CHECKING:
    from engine.position import Position

BUY = 1
SELL = -1


class Order:
    """An order at rest. `sign` is +1 for a buy and −1 for a sell; `cost` is the margin set aside for it."""

    __slots__ = (
        "ahead",
        "behind",
        "cost",
        "level",
        "lots",
        "order_id",
        "position",
        "post_only",
        "price",
        "reduce_only",
        "sign",
        "stp",
    )

    def __init__(
        self,
        position: "Position",
        order_id: str,
        sign: int,
        price: int,
        lots: int,
        cost: int,
        *,
        reduce_only: bool = False,
        post_only: bool = False,
        stp: SelfTradePrevention = "cancel_taker",
    ) -> None:
        self.position = position
        self.order_id = order_id
        self.sign = sign
        self.price = price
        self.lots = lots
        self.cost = cost
        self.reduce_only = reduce_only
        self.post_only = post_only
        self.stp: SelfTradePrevention = stp
        self.level: Level | None = None
        self.ahead: Order | None = None
        self.behind: Order | None = None

    def row(self) -> tuple[object, ...]:
        """The state as a row of plain values, for the state hash."""
        return (
            "order",
            self.position.account.name,
            self.order_id,
            self.sign,
            self.price,
            self.lots,
            self.cost,
            self.reduce_only,
            self.post_only,
            self.stp,
        )


class Level:
    """The orders at one price, first come first."""

    __slots__ = ("first", "key", "last", "price")

    def __init__(self, price: int, key: int) -> None:
        self.price = price
        self.key = key
        self.first: Order | None = None
        self.last: Order | None = None

    def __iter__(self) -> Iterator[Order]:
        order = self.first
        while order is not None:
            yield order
            order = order.behind


class BookSide:
    """One side of a book. The key of a level is its price times the side's sign, so that the best is the largest."""

    __slots__ = ("best", "keys", "levels", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.levels: dict[int, Level] = {}
        self.keys: list[int] = []
        self.best: Level | None = None

    def add(self, order: Order) -> None:
        """Put an order behind all others at its price."""
        key = order.price * self.sign
        level = self.levels.get(key)
        if level is None:
            self.levels[key] = level = Level(order.price, key)
            best = self.best
            if best is None or key > best.key:
                self.keys.append(key)
                self.best = level
            else:
                insort(self.keys, key)
            level.first = order
        else:
            last = level.last
            order.ahead = last
            last.behind = order  # type: ignore[union-attr]  # a level in the dictionary is never empty
        level.last = order
        order.level = level

    def remove(self, order: Order) -> None:
        """Take an order out, and its level if it was the last one there."""
        level = order.level
        assert level is not None
        ahead = order.ahead
        behind = order.behind
        if ahead is None:
            level.first = behind
        else:
            ahead.behind = behind
            order.ahead = None
        if behind is None:
            level.last = ahead
        else:
            behind.ahead = ahead
            order.behind = None
        order.level = None
        if level.first is None:
            self._remove_level(level.key)

    def _remove_level(self, key: int) -> None:
        del self.levels[key]
        keys = self.keys
        if keys[-1] == key:
            keys.pop()
            self.best = self.levels[keys[-1]] if keys else None
        else:
            del keys[bisect_left(keys, key)]

    def __iter__(self) -> Iterator[Level]:
        """The levels from the best on."""
        return (self.levels[key] for key in reversed(self.keys))


class Book:
    """Bids and asks of one market."""

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids = BookSide(BUY)
        self.asks = BookSide(SELL)

    def side(self, sign: int) -> BookSide:
        """The side on which orders of this sign rest."""
        return self.bids if sign > 0 else self.asks

    def add(self, order: Order) -> None:
        """Put an order behind all others at its price."""
        (self.bids if order.sign > 0 else self.asks).add(order)

    def remove(self, order: Order) -> None:
        """Take an order out."""
        (self.bids if order.sign > 0 else self.asks).remove(order)

    def would_take(self, sign: int, price: int) -> bool:
        """Whether a limit order would trade at once."""
        best = (self.asks if sign > 0 else self.bids).best
        return best is not None and (price - best.price) * sign >= 0

    def has_room(self, sign: int, price: int, levels_max: int) -> bool:
        """Whether an order at this price may rest without exceeding the bound on price levels."""
        side = self.bids if sign > 0 else self.asks
        return len(side.keys) < levels_max or price * sign in side.levels

    def check(self) -> None:
        """Assert every invariant of the structure."""
        for side in (self.bids, self.asks):
            assert side.keys == sorted(side.levels), "keys are the levels, ascending"
            assert len(side.keys) == len(side.levels), "no key twice"
            assert side.best is (side.levels[side.keys[-1]] if side.keys else None), "best is the last key"
            for key, level in side.levels.items():
                assert level.key == key == level.price * side.sign, "a level knows its key"
                assert level.first is not None, "no level is empty"
                ahead: Order | None = None
                for order in level:
                    assert order.level is level, "an order knows its level"
                    assert order.ahead is ahead, "the queue is linked both ways"
                    assert order.price == level.price, "an order rests at its price"
                    assert order.sign == side.sign, "an order rests on its side"
                    assert order.lots > 0, "an order at rest has a quantity"
                    ahead = order
                assert level.last is ahead, "last is the end of the queue"
        bid, ask = self.bids.best, self.asks.best
        assert bid is None or ask is None or bid.price < ask.price, "the book is never crossed"
