"""Stop and take-profit orders: orders that wait for a price before they are orders at all.

One waits for the mark price or the last traded price to rise to its trigger price, or to fall to it. Nothing of the
wallet is held back for it; every check of a new order is made when it is triggered, and one that fails then is
cancelled, reason `refused` with the code. Of several that one price triggers, those it passed first come first (rising:
the lowest trigger price, falling: the highest), at one price in the order in which they were sent; rising before
falling. A triggered order may trade and so trigger others: at most `limits.stops_per_command` are activated by one
command, the rest before the next.
"""

from typing import TYPE_CHECKING, Any, Final

from sortedcontainers import SortedDict

from engine.rows import Row
from schemas.commands import OrderNew
from schemas.fields import TriggerSource

if TYPE_CHECKING:
    from engine.position import Position

RISING: Final = 1
FALLING: Final = -1


class StopOrder:
    """An order that waits. `trigger` is in ticks, `direction` RISING or FALLING; `command` is what was asked for."""

    __slots__ = ("command", "direction", "position", "trigger")

    def __init__(self, position: "Position", command: OrderNew, trigger: int, direction: int) -> None:
        self.position = position
        self.command = command
        self.trigger = trigger
        self.direction = direction

    def row(self) -> Row:
        """The state as a row of plain values."""
        command = self.command
        return (
            "stop",
            self.position.account.name,
            command.order_id,
            self.trigger,
            self.direction,
            command.trigger_by,
            command.ts,
            command.side,
            command.kind,
            command.price,
            command.qty,
            command.tif,
            command.expire_at,
            command.post_only,
            command.reduce_only,
            command.stp,
            command.display_qty,
        )


def stop_of_row(position: "Position", row: tuple[Any, ...]) -> StopOrder:
    """The stop order that a row tells of, which does not wait yet."""
    _, account, order_id, trigger, direction, by, ts, side, kind, price, qty, tif, expires, post, reduce, stp, shown = (
        row
    )
    spec = position.market.spec
    command = OrderNew(
        ts=ts,
        market=spec.name,
        account=account,
        order_id=order_id,
        side=side,
        kind=kind,
        qty=qty,
        price=price,
        tif=tif,
        expire_at=expires,
        post_only=post,
        reduce_only=reduce,
        stp=stp,
        trigger_price=spec.ticks.text(trigger),
        trigger_when="rises_to" if direction == RISING else "falls_to",
        trigger_by=by,
        display_qty=shown,
    )
    return StopOrder(position, command, trigger, direction)


class StopIndex:
    """The stop orders of a market that wait for one source of prices, in one direction."""

    __slots__ = ("_by_price", "_direction")

    def __init__(self, direction: int) -> None:
        self._direction = direction
        # Keyed by trigger × direction, so that what a price passes first comes first. A bucket keeps arrival order.
        self._by_price: SortedDict[int, dict[StopOrder, None]] = SortedDict()

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._by_price.values())

    def add(self, stop: StopOrder) -> None:
        """Have it wait."""
        key = stop.trigger * self._direction
        bucket = self._by_price.get(key)
        if bucket is None:
            self._by_price[key] = {stop: None}
        else:
            bucket[stop] = None

    def discard(self, stop: StopOrder) -> bool:
        """Have it wait no longer; whether it did."""
        key = stop.trigger * self._direction
        bucket = self._by_price.get(key)
        if bucket is None or stop not in bucket:
            return False
        del bucket[stop]
        if not bucket:
            del self._by_price[key]
        return True

    def take(self, price: int) -> list[StopOrder]:
        """Take out what this price triggers, in the order in which the price passed it."""
        taken: list[StopOrder] = []
        while self._by_price:
            key, bucket = self._by_price.peekitem(0)
            if key > price * self._direction:
                break
            taken.extend(bucket)
            del self._by_price[key]
        return taken

    def rows(self) -> list[Row]:
        """The state as rows of plain values."""
        return [stop.row() for bucket in self._by_price.values() for stop in bucket]


class MarketStops:
    """All stop orders of a market. `high` and `low` are the extremes traded since they were last looked at."""

    __slots__ = ("_indexes", "count_by_last", "high", "low")

    def __init__(self) -> None:
        self._indexes: dict[tuple[TriggerSource, int], StopIndex] = {
            (source, direction): StopIndex(direction) for source in ("mark", "last") for direction in (RISING, FALLING)
        }
        self.count_by_last = 0
        self.high = 0
        self.low = 0

    def __len__(self) -> int:
        return sum(len(index) for index in self._indexes.values())

    def add(self, stop: StopOrder) -> None:
        """Have it wait for its price."""
        self._indexes[stop.command.trigger_by, stop.direction].add(stop)
        self.count_by_last += stop.command.trigger_by == "last"

    def discard(self, stop: StopOrder) -> None:
        """Have it wait no longer, if it does."""
        if self._indexes[stop.command.trigger_by, stop.direction].discard(stop):
            self.count_by_last -= stop.command.trigger_by == "last"

    def note_print(self, price: int) -> None:
        """A trade, in ticks: remember the extremes for `take_by_last`."""
        if price > self.high:
            self.high = price
        if not self.low or price < self.low:
            self.low = price

    def take_by_mark(self, mark: int) -> list[StopOrder]:
        """Take out what a mark price triggers."""
        return self._indexes["mark", RISING].take(mark) + self._indexes["mark", FALLING].take(mark)

    def take_by_last(self) -> list[StopOrder]:
        """Take out what the trades since the last call trigger; there were some."""
        taken = self._indexes["last", RISING].take(self.high) + self._indexes["last", FALLING].take(self.low)
        self.high = self.low = 0
        self.count_by_last -= len(taken)
        return taken

    def rows(self) -> list[Row]:
        """The state as rows of plain values, by source and direction, then by price, then by age."""
        return [row for index in self._indexes.values() for row in index.rows()]
