"""The order book of one market: price, then time.

Each side keeps its price levels in a dictionary, their prices in a heap, and the best level itself, so the best
order is found in O(1). A level is a FIFO of orders linked to each other, so an order leaves in O(1). A new price
costs a push; a price is popped only when the market has moved over it. (A sorted list of prices shifts half of
itself for every level that comes or goes behind the best: at 20,000 levels that halves the speed of the book.)

An iceberg order shows a part of itself. Only what shows has a place in time: when it is used up, the next part shows
and queues behind all others at the price.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, Final

from engine.rows import BrokenDump, Row
from schemas.fields import SelfTradePrevention

if TYPE_CHECKING:
    from engine.position import Position

BUY: Final = 1
SELL: Final = -1

_EMPTY_LEVELS_KEPT: Final = 64


class Order:
    """An order at rest. `sign` is +1 for a buy and −1 for a sell.

    `cost` is the margin set aside for it, in units; `expire_at` the event time at which it leaves, 0 if it has none.
    `lots` is all that remains, of which `hidden` do not show yet. Only an iceberg hides any: `display`, the most that
    it shows at a time, is 0 for any other.
    """

    # Of the class, not of each order: a plain one is made as fast as if there were no icebergs.
    display: int = 0
    hidden: int = 0

    __slots__ = (
        "ahead",
        "behind",
        "cost",
        "expire_at",
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
        reduce_only: bool = False,  # noqa: FBT001, FBT002 -- by position: keyword-only costs a fifth of making an order
        post_only: bool = False,  # noqa: FBT001, FBT002 -- as above
        stp: SelfTradePrevention = "cancel_taker",
        expire_at: int = 0,
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
        self.expire_at = expire_at
        self.level: Level | None = None
        self.ahead: Order | None = None
        self.behind: Order | None = None

    def row(self) -> Row:
        """The state as a row of plain values."""
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
            self.expire_at,
            self.display,
            self.hidden,
        )


def order_of_row(position: "Position", row: tuple[Any, ...]) -> Order:
    """The order that a row tells of, which is not in the book yet."""
    _, _, order_id, sign, price, lots, cost, reduce_only, post_only, stp, expires, display, hidden = row
    terms = (position, order_id, sign, price, lots, cost, reduce_only, post_only, stp, expires)
    if not display:
        if hidden:
            raise BrokenDump(f"order {order_id} hides {hidden} lots and is no iceberg")
        return Order(*terms)
    order = IcebergOrder(*terms, display)
    order.hidden = hidden
    return order


class IcebergOrder(Order):
    """An order at rest that shows at most `display` lots at a time."""

    __slots__ = ("display", "hidden")

    def __init__(
        self,
        position: "Position",
        order_id: str,
        sign: int,
        price: int,
        lots: int,
        cost: int,
        reduce_only: bool,  # noqa: FBT001 -- as for any order
        post_only: bool,  # noqa: FBT001 -- as above
        stp: SelfTradePrevention,
        expire_at: int,
        display: int,
    ) -> None:
        super().__init__(position, order_id, sign, price, lots, cost, reduce_only, post_only, stp, expire_at)
        self.display = display
        self.hidden = max(0, lots - display)


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

    def show_next_part(self) -> None:
        """The first order has nothing left that shows: show its next part, behind all others."""
        order, last = self.first, self.last
        assert isinstance(order, IcebergOrder)
        assert last is not None
        order.hidden = max(0, order.lots - order.display)
        second = order.behind
        if second is None:
            return
        second.ahead = None
        self.first = second
        last.behind = self.last = order
        order.ahead = last
        order.behind = None


class BookSide:
    """One side of a book. The key of a level is its price times minus the side's sign: the best is the smallest.

    So an incoming order of sign t with limit L takes from this side while the best key is not above L × t.

    `heap` and `levels` hold the same keys. A level that empties behind the best stays in both, so that an order
    at its price finds it again; `empty` counts those. One that empties at the best leaves with all empty ones
    that follow it, so the top of the heap is always the best level.
    """

    __slots__ = ("best", "empty", "heap", "levels", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.levels: dict[int, Level] = {}
        self.heap: list[int] = []
        self.best: Level | None = None
        self.empty = 0

    def __len__(self) -> int:
        """How many levels hold orders."""
        return len(self.heap) - self.empty

    def __iter__(self) -> Iterator[Level]:
        """The levels that hold orders, from the best on."""
        keys = self.heap.copy()
        while keys:
            level = self.levels[heappop(keys)]
            if level.first is not None:
                yield level

    def has_level(self, price: int) -> bool:
        """Whether orders rest at this price."""
        level = self.levels.get(-price * self.sign)
        return level is not None and level.first is not None

    def add(self, order: Order) -> None:
        """Put an order behind all others at its price."""
        key = -order.price * self.sign
        level = self.levels.get(key)
        if level is None:
            self.levels[key] = order.level = level = Level(order.price, key)
            heappush(self.heap, key)
        else:
            order.level = level
            last = level.last
            if last is not None:
                order.ahead = last
                last.behind = level.last = order
                return
            self.empty -= 1
        level.first = level.last = order
        best = self.best
        if best is None or key < best.key:
            self.best = level

    def remove(self, order: Order) -> None:
        """Take an order out."""
        level = order.level
        assert level is not None
        ahead = order.ahead
        behind = order.behind
        order.level = None
        if behind is None:
            level.last = ahead
        else:
            behind.ahead = ahead
            order.behind = None
        if ahead is not None:
            ahead.behind = behind
            order.ahead = None
            return
        level.first = behind
        if behind is None:
            if level is self.best:
                heap, levels = self.heap, self.levels
                del levels[heappop(heap)]
                # Every level that holds orders is in the heap, so the first one found is the best.
                while heap:
                    best = levels[heap[0]]
                    if best.first is not None:
                        self.best = best
                        return
                    del levels[heappop(heap)]
                    self.empty -= 1
                self.best = None
            else:
                self.empty += 1
                if self.empty > _EMPTY_LEVELS_KEPT and 2 * self.empty > len(self.heap):
                    self._drop_empty()

    def _drop_empty(self) -> None:
        """Forget all empty levels: a cost that as many removals have paid for."""
        self.levels = {key: level for key, level in self.levels.items() if level.first is not None}
        self.heap = list(self.levels)
        heapify(self.heap)
        self.empty = 0


class Book:
    """Bids and asks of one market."""

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids = BookSide(BUY)
        self.asks = BookSide(SELL)

    def side(self, sign: int) -> BookSide:
        """The side on which orders of this sign rest."""
        return self.bids if sign > 0 else self.asks

    def would_take(self, sign: int, price: int) -> bool:
        """Whether a limit order would trade at once."""
        best = (self.asks if sign > 0 else self.bids).best
        return best is not None and (price - best.price) * sign >= 0

    def has_room(self, sign: int, price: int, levels_max: int) -> bool:
        """Whether an order at this price may rest without exceeding the bound on price levels."""
        side = self.bids if sign > 0 else self.asks
        return len(side.heap) < levels_max or len(side) < levels_max or side.has_level(price)

    def check(self) -> None:
        """Assert every invariant of the structure."""
        for side in (self.bids, self.asks):
            assert sorted(side.heap) == sorted(side.levels), "the heap holds the keys of the levels"
            assert side.best is (side.levels[side.heap[0]] if side.heap else None), "the top of the heap is the best"
            assert side.empty == sum(level.first is None for level in side.levels.values()), "empty ones are counted"
            assert side.best is None or side.best.first is not None, "the best level holds an order"
            for key, level in side.levels.items():
                assert level.key == key == -level.price * side.sign, "a level knows its key"
                ahead: Order | None = None
                for order in level:
                    assert order.level is level, "an order knows its level"
                    assert order.ahead is ahead, "the queue is linked both ways"
                    assert order.price == level.price, "an order rests at its price"
                    assert order.sign == side.sign, "an order rests on its side"
                    assert order.lots > 0, "an order at rest has a quantity"
                    assert 0 <= order.hidden < order.lots, "an order shows at least one lot of what remains"
                    if order.display:
                        assert order.lots - order.hidden <= order.display, "an iceberg shows at most one part"
                    else:
                        assert not order.hidden, "only icebergs hide something"
                    ahead = order
                assert level.last is ahead, "last is the end of the queue"
        bid, ask = self.bids.best, self.asks.best
        assert bid is None or ask is None or bid.price < ask.price, "the book is never crossed"
