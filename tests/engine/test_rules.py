"""Trading rules: order size, price band, number of open orders. Each is refused by its code and changes nothing."""

from typing import Any

import orjson
import pytest

from engine.venue import Venue
from schemas.config import parse_config
from schemas.envelope import Event
from schemas.events import LedgerPosted, OrderAmended, OrderCancelled, TradeExecuted
from schemas.wire import decode_command, encode
from tests.engine.stage import MARKET, SECOND, Stage, codes, of_type, venue_toml


def market(**settings: str) -> Stage:
    """alice and bob with plenty of money, at a mark of 10,000."""
    stage = Stage(**settings)
    for account in ("alice", "bob"):
        stage.deposit(account, "1000000")
    stage.mark("10000")
    return stage


@pytest.mark.parametrize(("qty", "expected"), [("2", []), ("2.001", ["order_too_large"])])
def test_an_order_has_at_most_the_maximum_quantity(qty: str, expected: list[str]) -> None:
    stage = market(market='max_order_qty = "2"')
    assert codes(stage.buy("alice", qty, "10000")) == expected
    assert codes(stage.sell("bob", qty)) == expected


@pytest.mark.parametrize(
    ("price", "qty", "expected"),
    [
        ("10000", "2", []),
        ("10000.1", "2", ["order_too_large"]),
        ("9000", "2.222", []),
        (None, "2.001", ["order_too_large"]),
    ],
)
def test_an_order_is_worth_at_most_the_maximum_notional(price: str | None, qty: str, expected: list[str]) -> None:
    stage = market(market='max_order_notional = "20000"')
    assert codes(stage.buy("alice", qty, price)) == expected


@pytest.mark.parametrize(
    ("price", "expected"),
    [("9500", []), ("9499.9", ["price_band"]), ("10500", []), ("10500.1", ["price_band"])],
)
def test_limit_prices_lie_within_the_band_around_the_mark(price: str, expected: list[str]) -> None:
    stage = market(market='price_band = "0.05"')
    assert codes(stage.buy("alice", "1", price)) == expected
    assert codes(stage.sell("bob", "1", price)) == expected


def test_a_market_order_does_not_trade_beyond_the_band() -> None:
    stage = market(market='price_band = "0.05"')
    stage.sell("bob", "1", "10400")
    stage.mark("9900")
    events = stage.buy("alice", "1")  # 9,900 × 1.05 = 10,395
    assert of_type(events, TradeExecuted) == []
    (cancelled,) = of_type(events, OrderCancelled)
    assert cancelled.reason == "ioc"
    stage.mark("10000")
    assert of_type(stage.buy("alice", "1"), TradeExecuted)


def test_an_amendment_keeps_the_rules_too() -> None:
    stage = market(market='price_band = "0.05"\nmax_order_qty = "2"')
    stage.buy("alice", "1", "9900", order_id="a")
    assert codes(stage.amend("alice", "a", price="9499.9")) == ["price_band"]
    assert codes(stage.amend("alice", "a", qty="2.001")) == ["order_too_large"]
    assert of_type(stage.amend("alice", "a", qty="2", price="9500"), OrderAmended)


def test_a_decrease_is_taken_also_when_the_mark_has_moved_the_order_off_the_band() -> None:
    stage = market(market='price_band = "0.05"')
    stage.buy("alice", "1", "9600", order_id="a")
    stage.mark("11000")
    assert of_type(stage.amend("alice", "a", qty="0.5"), OrderAmended)


def test_an_account_has_at_most_so_many_orders_open_in_a_market() -> None:
    stage = market(limits="max_open_orders = 2")
    stage.buy("alice", "1", "9900", order_id="a")
    stage.buy("alice", "1", "9800")
    assert codes(stage.buy("alice", "1", "9700")) == ["too_many_orders"]
    assert codes(stage.buy("bob", "1", "9700")) == []
    assert codes(stage.sell("bob", "0.5", "9900", tif="ioc")) == []
    stage.cancel("alice", "a")
    assert codes(stage.buy("alice", "1", "9700")) == []


def test_liquidation_orders_are_not_bound_by_the_rules() -> None:
    stage = market(market='price_band = "0.001"\nmax_order_qty = "1"')
    stage.leverage("alice", "20")
    for _ in range(2):
        stage.sell("bob", "1", "10000")
        stage.buy("alice", "1", "10000")
    stage.deposit("carl", "1000000")
    stage.mark("9600")
    stage.buy("carl", "1", "9600")
    stage.buy("carl", "1", "9600")
    (trade, other) = of_type(stage.mark("9540"), TradeExecuted)
    assert (trade.price, other.price, trade.qty, other.qty) == ("9600.0", "9600.0", "1.000", "1.000")


def ladder(**settings: str) -> Stage:
    """bob asks 1 at each of four prices."""
    stage = market(**settings)
    for price in ("10000", "10001", "10002", "10003"):
        stage.sell("bob", "1", price)
    return stage


@pytest.mark.parametrize("price", [None, "10100"])
def test_an_order_meets_at_most_so_many_others_and_its_remainder_is_cancelled(price: str | None) -> None:
    stage = ladder(limits="max_fills_per_order = 3")
    events = stage.buy("alice", "4", price)
    assert len(of_type(events, TradeExecuted)) == 3
    (cancelled,) = of_type(events, OrderCancelled)
    assert (cancelled.reason, cancelled.remaining) == ("max_fills", "1.000")
    assert of_type(stage.buy("alice", "1", price), OrderCancelled) == []


def test_fill_or_kill_knows_how_many_orders_it_may_meet() -> None:
    stage = ladder(limits="max_fills_per_order = 3")
    (killed,) = of_type(stage.buy("alice", "4", "10100", tif="fok"), OrderCancelled)
    assert killed.reason == "fok"
    assert len(of_type(stage.buy("alice", "3", "10100", tif="fok"), TradeExecuted)) == 3


RECORD_BYTES_MAX = 1_048_588
"""Kafka's default `message.max.bytes`."""


def test_no_record_of_one_command_exceeds_what_a_broker_takes_under_default_limits() -> None:

    venue = Venue(parse_config(venue_toml(market='maker_fee = "0.0002"\ntaker_fee = "0.0005"')))
    now = 1_700_000_000 * SECOND

    def apply(type_: str, **fields: Any) -> list[Event]:
        return venue.apply(decode_command(orjson.dumps({"type": type_, "ts": now, **fields})))

    apply("price.mark", market=MARKET, price="10000")
    for account in ("taker", *(f"m{i}" for i in range(5_000))):
        apply("account.deposit", shard="usdt", account=account, amount="100000", transfer_id=account)
        if account != "taker":
            fields = {"side": "sell", "kind": "limit", "price": "10000", "qty": "0.001"}
            apply("order.new", market=MARKET, account=account, order_id="1", **fields)
    events = apply("order.new", market=MARKET, account="taker", order_id="1", side="buy", kind="market", qty="5")
    assert max(len(encode(event)) for event in events) <= RECORD_BYTES_MAX
    postings = of_type(events, LedgerPosted)
    assert [len(posting.lines) for posting in postings] == [1_000, 1_000, 1_000, 1_000]
    first = postings[0].posting_id
    assert [posting.posting_id for posting in postings] == [first, f"{first}.2", f"{first}.3", f"{first}.4"]
