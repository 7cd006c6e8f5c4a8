"""The order book alone, in five flows. A message is one order added, cancelled or taken.

Orders are drawn before the clock starts, as tuples; making the Order object and everything the book does with
it is timed.
"""

import random
from collections.abc import Callable, Iterator

from engine.book import BUY, SELL, Book, Order
from engine.fixed import RATE
from tests.bench.stage import bare_position

Message = tuple[str, int, int, int]
"""What ("add", "cancel", "take"), sign or index, price, lots."""


def rest_and_cancel(count: int, rng: random.Random) -> Iterator[Message]:
    """Quotes come and go at the five best prices of both sides: levels are made and emptied all the time."""
    live: list[int] = []
    number = 0
    while number < count:
        if len(live) < 8 or rng.random() < 0.5:
            sign = rng.choice((BUY, SELL))
            yield "add", sign, 10_000 - sign * rng.randrange(1, 6), rng.randrange(1, 50)
            live.append(number)
        else:
            yield "cancel", live.pop(rng.randrange(len(live))), 0, 0
        number += 1


def deep_ladder(count: int, rng: random.Random) -> Iterator[Message]:
    """20,000 orders over 1,000 levels a side; each message adds or cancels one anywhere."""
    yield from _ladder(count, rng, width=1_000, standing=20_000)


def wide_ladder(count: int, rng: random.Random) -> Iterator[Message]:
    """20,000 orders over 20,000 levels a side: nearly every order makes and removes a level of its own."""
    yield from _ladder(count, rng, width=20_000, standing=20_000)


def take_one(count: int, rng: random.Random) -> Iterator[Message]:
    """An order comes, an order of the same size takes it."""
    for _ in range(count // 2):
        sign = rng.choice((BUY, SELL))
        lots = rng.randrange(1, 50)
        yield "add", sign, 10_000 - sign * rng.randrange(1, 6), lots
        yield "take", -sign, 10_000 - sign * 10, lots


def sweep(count: int, rng: random.Random) -> Iterator[Message]:
    """Nineteen orders on nineteen levels, then one that sweeps them all."""
    for _ in range(count // 20):
        sign = rng.choice((BUY, SELL))
        for offset in rng.sample(range(1, 20), 19):
            yield "add", sign, 10_000 - sign * offset, 10
        yield "take", -sign, 10_000 - sign * 30, 190


FLOWS: dict[str, Callable[[int, random.Random], Iterator[Message]]] = {
    "rest and cancel at the touch": rest_and_cancel,
    "deep ladder, 1,000 levels": deep_ladder,
    "wide ladder, 20,000 levels": wide_ladder,
    "take one by one": take_one,
    "sweep 19 levels": sweep,
}


def _ladder(count: int, rng: random.Random, *, width: int, standing: int) -> Iterator[Message]:
    live: list[int] = []
    for number in range(count):
        if len(live) < standing or rng.random() < 0.5:
            sign = rng.choice((BUY, SELL))
            yield "add", sign, 100_000 - sign * rng.randrange(1, width + 1), rng.randrange(1, 50)
            live.append(number)
        else:
            at = rng.randrange(len(live))
            live[at], live[-1] = live[-1], live[at]
            yield "cancel", live.pop(), 0, 0


def run(messages: list[Message]) -> int:
    """Drive a book through the messages; returns how many fills there were."""
    book = Book()
    bids, asks = book.bids, book.asks
    position = bare_position(leverage=10 * RATE)
    orders: list[Order | None] = []
    fills = 0
    for what, a, price, lots in messages:
        if what == "add":
            order = Order(position, "order", a, price, lots, 0)
            (bids if a > 0 else asks).add(order)
            orders.append(order)
        elif what == "cancel":
            resting = orders[a]
            orders.append(None)
            if resting is not None and resting.level is not None:
                (bids if resting.sign > 0 else asks).remove(resting)
        else:
            orders.append(None)
            side = asks if a > 0 else bids
            limit_key = price * a
            while lots:
                level = side.best
                if level is None or level.key > limit_key:
                    break
                maker = level.first
                assert maker is not None
                filled = lots if lots < maker.lots else maker.lots
                maker.lots -= filled
                lots -= filled
                fills += 1
                if not maker.lots:
                    side.remove(maker)
    return fills
