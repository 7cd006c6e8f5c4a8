"""A book of icebergs against models that are too simple to be wrong."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from engine.book import BUY, SELL
from schemas.envelope import Event
from tests.engine.stage import Stage
from tests.engine.test_iceberg import showing
from tests.engine.test_orders import open_market, prints


@dataclass
class NaiveOrder:
    """`arrival` is when its visible part came to the end of the queue."""

    order_id: str
    sign: int
    price: int
    total: int
    display: int
    shown: int
    arrival: int


class NaiveVenue:
    """Every question is answered by looking at all orders."""

    def __init__(self) -> None:
        self.orders: list[NaiveOrder] = []
        self.clock = 0

    def queue(self, sign: int) -> list[NaiveOrder]:
        own = [order for order in self.orders if order.sign == sign]
        return sorted(own, key=lambda order: (-sign * order.price, order.arrival))

    def place(self, order_id: str, sign: int, price: int, lots: int, display: int) -> list[tuple[str, int, int]]:
        trades = []
        while lots:
            crossing = [order for order in self.queue(-sign) if (price - order.price) * sign >= 0]
            if not crossing:
                self.orders.append(
                    NaiveOrder(order_id, sign, price, lots, display, min(display, lots), self.next_arrival())
                )
                break
            maker = crossing[0]
            traded = min(lots, maker.shown)
            trades.append((maker.order_id, maker.price, traded))
            lots -= traded
            maker.total -= traded
            maker.shown -= traded
            if not maker.total:
                self.orders.remove(maker)
            elif not maker.shown:
                maker.shown = min(maker.display, maker.total)
                maker.arrival = self.next_arrival()
        return trades

    def amend(self, order_id: str, price: int, lots: int) -> list[tuple[str, int, int]]:
        (order,) = [order for order in self.orders if order.order_id == order_id]
        if price == order.price and lots <= order.total:
            order.total = lots
            order.shown = min(order.shown, lots)
            return []
        self.orders.remove(order)
        return self.place(order_id, order.sign, price, lots, order.display)

    def next_arrival(self) -> int:
        self.clock += 1
        return self.clock


TICKS, LOTS = 10, 1000
ALL = 10**9
"""What a plain order displays: all that it may ever be."""


def drawn_orders(rng: random.Random, count: int) -> Iterator[tuple[int, int, int, int]]:
    """Sign, price in ticks around 10,000, lots, and how many of them show."""
    for _ in range(count):
        sign = rng.choice([BUY, SELL])
        lots = rng.choice([1, 2, 5, 40, 100])
        display = rng.choice([ALL, ALL, max(1, lots // 4), 1 if lots < 50 else 9])
        yield sign, 10_000 * TICKS + rng.randrange(-3, 4), lots, display


def place(stage: Stage, order_id: str, sign: int, price: int, lots: int, display: int) -> list[Event]:
    """Buyers only buy and sellers only sell, so nobody meets himself."""
    send, account = (stage.buy, "alice") if sign > 0 else (stage.sell, "bob")
    fields = {"display_qty": f"{display / LOTS:.3f}"} if display < ALL else {}
    return send(account, f"{lots / LOTS:.3f}", f"{price / TICKS:.1f}", order_id=order_id, **fields)


def traded(events: list[Event]) -> list[tuple[str, int, int]]:
    """The trades: the maker's order, ticks, lots."""
    return [(maker, int(Fraction(price) * TICKS), int(Fraction(qty) * LOTS)) for price, qty, maker in prints(events)]


@pytest.mark.parametrize("seed", range(6))
def test_a_book_of_icebergs_trades_and_rests_as_the_naive_model_says(seed: int) -> None:
    rng = random.Random(seed)
    stage, naive = open_market(), NaiveVenue()
    for i, (sign, price, lots, display) in enumerate(drawn_orders(rng, 150)):
        if naive.orders and rng.random() < 0.3:
            order = rng.choice(naive.orders)
            account = "alice" if order.sign > 0 else "bob"
            if rng.random() < 0.3:
                stage.cancel(account, order.order_id)
                naive.orders.remove(order)
            else:
                moved = rng.choice([order.price, order.price, price])
                events = stage.amend(account, order.order_id, price=f"{moved / TICKS:.1f}", qty=f"{lots / LOTS:.3f}")
                assert traded(events) == naive.amend(order.order_id, moved, lots)
        else:
            events = place(stage, f"o{i}", sign, price, lots, display)
            assert traded(events) == naive.place(f"o{i}", sign, price, lots, display)
        for side, rests in (("buy", BUY), ("sell", SELL)):
            assert [(o, int(Fraction(s) * LOTS), int(Fraction(h) * LOTS)) for o, s, h in showing(stage, side)] == [
                (order.order_id, order.shown, order.total - order.shown) for order in naive.queue(rests)
            ]


@settings(max_examples=25, phases=[Phase.reuse, Phase.generate])
@given(seed=st.integers(0, 10**9))
def test_hiding_changes_with_whom_an_order_trades_but_not_how_much_at_which_price(seed: int) -> None:
    icebergs, plain = open_market(), open_market()
    for i, (sign, price, lots, display) in enumerate(drawn_orders(random.Random(seed), 40)):
        by_price: list[Counter[int]] = []
        for stage, shown in ((icebergs, display), (plain, ALL)):
            at: Counter[int] = Counter()
            for _, ticks, filled in traded(place(stage, f"o{i}", sign, price, lots, shown)):
                at[ticks] += filled
            by_price.append(at)
        assert by_price[0] == by_price[1]
