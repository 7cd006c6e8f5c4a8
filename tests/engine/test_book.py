"""The order book against one that is too simple to be wrong: lists that are searched from end to end."""

import random

import pytest

from engine import book as book_module
from engine.account import Account
from engine.book import BUY, SELL, Book, Order
from engine.market import Market
from engine.position import Position
from engine.spec import compile_venue
from schemas.config import parse_config
from tests.engine.stage import MARKET, venue_toml


class NaiveBook:
    """Resting orders in the order in which they came. Every question is answered by looking at all of them."""

    def __init__(self) -> None:
        self.orders: list[Order] = []

    def add(self, order: Order) -> None:
        self.orders.append(order)

    def remove(self, order: Order) -> None:
        self.orders.remove(order)

    def prices(self, sign: int) -> list[int]:
        """From the best on: the highest bid, the lowest ask."""
        return sorted({order.price for order in self.orders if order.sign == sign}, reverse=sign == BUY)

    def levels(self, sign: int) -> list[tuple[int, list[Order]]]:
        """Prices from the best on, with the orders there, first come first."""
        return [(price, self.at(sign, price)) for price in self.prices(sign)]

    def at(self, sign: int, price: int) -> list[Order]:
        return [order for order in self.orders if order.sign == sign and order.price == price]

    def would_take(self, sign: int, price: int) -> bool:
        others = self.prices(-sign)
        return bool(others) and (price >= others[0] if sign == BUY else price <= others[0])

    def has_room(self, sign: int, price: int, levels_max: int) -> bool:
        return bool(self.at(sign, price)) or len(self.prices(sign)) < levels_max


class BothBooks:
    """Does the same to both books and compares what can be seen of them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.fast = Book()
        self.naive = NaiveBook()
        market = compile_venue(parse_config(venue_toml())).shards["usdt"].markets[MARKET]
        self.position = Position(Account("usdt", "alice"), Market("usdt", market))
        self.count = 0

    def add(self, sign: int, price: int) -> Order:
        self.count += 1
        order = Order(self.position, f"o{self.count}", sign, price, self.rng.randrange(1, 9), 0)
        self.fast.side(sign).add(order)
        self.naive.add(order)
        return order

    def remove(self, order: Order) -> None:
        self.fast.side(order.sign).remove(order)
        self.naive.remove(order)

    def random_price(self, sign: int, prices: int) -> int:
        """A price that does not cross, mostly near the other side, among about `prices` of them."""
        far = self.rng.randrange(prices) if self.rng.random() < 0.5 else self.rng.randrange(1 + prices // 8)
        others = self.naive.prices(-sign)
        start = others[0] - sign if others else 10 * prices
        return max(1, start - sign * far)

    def step(self, prices: int, orders: int) -> None:
        """One random order comes or goes, so that about `orders` rest."""
        resting = self.naive.orders
        if self.rng.random() < len(resting) / (2 * orders):
            if self.rng.random() < 0.4:  # the next to trade
                best = self.fast.side(self.rng.choice([BUY, SELL])).best
                if best is not None and best.first is not None:
                    self.remove(best.first)
            else:
                self.remove(self.rng.choice(resting))
        else:
            sign = self.rng.choice([BUY, SELL])
            self.add(sign, self.random_price(sign, prices))

    def compare(self) -> None:
        """Best level, every level and every queue are the same; the fast book keeps its invariants."""
        self.fast.check()
        for sign in (BUY, SELL):
            side = self.fast.side(sign)
            levels = self.naive.levels(sign)
            assert [(level.price, list(level)) for level in side] == levels
            assert len(side) == len(levels)
            assert (side.best and side.best.price) == (levels[0][0] if levels else None)

    def compare_answers(self, prices: int) -> None:
        """Whether an order would take, would find its price, would find room."""
        for sign in (BUY, SELL):
            price = self.rng.randrange(1, 12 * prices)
            assert self.fast.would_take(sign, price) == self.naive.would_take(sign, price)
            assert self.fast.side(sign).has_level(price) == bool(self.naive.at(sign, price))
            occupied = self.rng.choice(self.naive.prices(sign) or [1])
            for levels_max in (1, len(self.naive.prices(sign)), 50):
                for asked in (price, occupied):
                    expected = self.naive.has_room(sign, asked, levels_max)
                    assert self.fast.has_room(sign, asked, levels_max) == expected


@pytest.fixture(params=[0, 3, 64], ids=lambda kept: f"{kept} empty levels kept")
def empty_levels_kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The bound above which empty levels are dropped; a small one makes that happen all the time."""
    kept: int = request.param
    monkeypatch.setattr(book_module, "_EMPTY_LEVELS_KEPT", kept)
    return kept


@pytest.mark.parametrize(("prices", "orders"), [(1, 12), (6, 20), (60, 20), (400, 60)])
def test_the_book_and_the_naive_book_agree_on_random_histories(
    empty_levels_kept: int, prices: int, orders: int
) -> None:
    books = BothBooks(seed=prices)
    for i in range(5_000):
        books.step(prices, orders)
        books.compare()
        if i % 10 == 0:
            books.compare_answers(prices)


def test_a_book_that_fills_and_drains_again_and_again_agrees() -> None:
    """Waves of many levels, then few: empty levels pile up behind the best and are forgotten."""
    books = BothBooks(seed=5)
    for wave in range(6):
        for _ in range(250):
            books.step(300, 400)
        books.compare()
        while len(books.naive.orders) > 10:
            books.remove(books.rng.choice(books.naive.orders[: 5 + wave]))
            if len(books.naive.orders) % 7 == 0:
                books.compare()
    books.compare()


def queue_at(book: Book, sign: int) -> list[str]:
    """The order ids of a side in the order in which they trade."""
    return [order.order_id for level in book.side(sign) for order in level]


def test_better_prices_come_first_and_older_orders_come_first_at_a_price() -> None:
    books = BothBooks(seed=0)
    for price in (100, 102, 101, 102, 100):
        books.add(BUY, price)
    for price in (110, 108, 109, 108):
        books.add(SELL, price)
    assert queue_at(books.fast, BUY) == ["o2", "o4", "o3", "o1", "o5"]
    assert queue_at(books.fast, SELL) == ["o7", "o9", "o8", "o6"]


@pytest.mark.parametrize("leaving", [0, 1, 2])
def test_an_order_leaves_from_any_place_in_the_queue_and_comes_back_behind_it(leaving: int) -> None:
    books = BothBooks(seed=0)
    orders = [books.add(BUY, 100) for _ in range(3)]
    books.remove(orders[leaving])
    books.compare()
    books.fast.side(BUY).add(orders[leaving])
    books.naive.add(orders[leaving])
    books.compare()
    assert queue_at(books.fast, BUY)[-1] == orders[leaving].order_id


def test_an_emptied_level_is_passed_over_and_used_again() -> None:
    books = BothBooks(seed=0)
    books.add(SELL, 100)
    books.remove(books.add(SELL, 105))
    side = books.fast.asks
    assert (len(side), side.empty, side.has_level(105)) == (1, 1, False)
    books.add(SELL, 105)
    assert (len(side), side.empty, side.has_level(105)) == (2, 0, True)
    books.compare()


def test_the_best_level_takes_the_empty_ones_behind_it_along() -> None:
    books = BothBooks(seed=0)
    first = books.add(BUY, 100)
    behind = [books.add(BUY, price) for price in (99, 98, 97)]
    books.add(BUY, 96)
    for order in behind:
        books.remove(order)
    assert books.fast.bids.empty == 3
    books.remove(first)
    assert books.fast.bids.empty == 0
    assert books.fast.bids.heap == [-96]
    books.compare()


def test_empty_levels_are_forgotten_once_they_are_most_of_the_book() -> None:
    books = BothBooks(seed=0)
    orders = [books.add(SELL, 1_000 + i) for i in range(200)]
    sizes = []
    for order in orders[:0:-1]:
        books.remove(order)
        side = books.fast.asks
        sizes.append(len(side.heap))
        assert side.empty <= 64 or 2 * side.empty <= len(side.heap)
        books.compare()
    assert len(sizes) > len(set(sizes)), "not at every removal"
    assert sizes[-1] <= 65
    assert queue_at(books.fast, SELL) == ["o1"]


def test_a_full_side_takes_orders_at_its_own_prices_only() -> None:
    books = BothBooks(seed=0)
    books.add(BUY, 100)
    books.add(BUY, 99)
    gone = books.add(BUY, 98)
    books.remove(gone)
    assert books.fast.has_room(BUY, 99, 2)
    assert not books.fast.has_room(BUY, 98, 2), "an empty level is no level"
    assert books.fast.has_room(BUY, 98, 3)
    assert books.fast.has_room(SELL, 120, 1)


def test_the_check_sees_a_crossed_book_and_a_lost_order() -> None:
    books = BothBooks(seed=0)
    books.add(BUY, 100)
    books.fast.check()
    books.add(SELL, 100)
    with pytest.raises(AssertionError, match="never crossed"):
        books.fast.check()
    books = BothBooks(seed=0)
    order = books.add(BUY, 100)
    order.level = None
    with pytest.raises(AssertionError, match="an order knows its level"):
        books.fast.check()
