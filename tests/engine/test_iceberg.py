"""Iceberg orders: what shows of them, whom they trade before, what they count for, and why they are refused."""

import random
from fractions import Fraction
from typing import Any

import orjson
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from engine.book import IcebergOrder, Order
from schemas.envelope import Event
from schemas.events import OrderAccepted, OrderAmended, OrderCancelled, OrderRejected, TradeExecuted
from schemas.wire import WireError, decode_command, encode
from tests.engine.stage import MARKET, SECOND, Stage, codes, of_type
from tests.engine.test_orders import cancels, is_killed, open_market, prints


def showing(stage: Stage, side: str = "sell") -> list[tuple[str, str, str]]:
    """What rests on a side, in the order in which it trades: order id, what shows, what is hidden."""
    market = stage.venue.shards["usdt"].state.markets[MARKET]
    text = market.spec.lots.text
    levels = market.book.bids if side == "buy" else market.book.asks
    return [(o.order_id, text(o.lots - o.hidden), text(o.hidden)) for level in levels for o in level]


def met(events: list[Event]) -> list[tuple[str, str]]:
    """The trades: the maker's order and the quantity."""
    return [(maker, qty) for _, qty, maker in prints(events)]


def iceberg_and_two(**given_settings: str) -> Stage:
    """Asks at 10,000: bob's iceberg of 10 that shows 3, then carol's 1 and dave's 2."""
    stage = open_market(**given_settings)
    stage.sell("bob", "10", "10000", display_qty="3", order_id="ice")
    stage.sell("carol", "1", "10000", order_id="c")
    stage.sell("dave", "2", "10000", order_id="d")
    return stage


# --- matching -------------------------------------------------------------------------------------------------


def test_an_iceberg_order_shows_its_display_quantity_and_hides_the_rest() -> None:
    stage = iceberg_and_two()
    assert showing(stage) == [("ice", "3.000", "7.000"), ("c", "1.000", "0.000"), ("d", "2.000", "0.000")]


def test_a_part_that_trades_in_part_keeps_its_place() -> None:
    stage = iceberg_and_two()
    assert met(stage.buy("alice", "2.999")) == [("ice", "2.999")]
    assert showing(stage)[:2] == [("ice", "0.001", "7.000"), ("c", "1.000", "0.000")]


def test_a_part_that_is_used_up_is_followed_by_the_next_one_behind_all_others_at_the_price() -> None:
    stage = iceberg_and_two()
    assert met(stage.buy("alice", "3")) == [("ice", "3.000")]
    assert showing(stage) == [("c", "1.000", "0.000"), ("d", "2.000", "0.000"), ("ice", "3.000", "4.000")]
    stage.sell("carol", "5", "10000", order_id="later")
    assert met(stage.buy("alice", "7")) == [("c", "1.000"), ("d", "2.000"), ("ice", "3.000"), ("later", "1.000")]
    assert showing(stage) == [("later", "4.000", "0.000"), ("ice", "3.000", "1.000")]


def test_the_hidden_part_trades_behind_the_others_at_its_price_and_before_any_worse_price() -> None:
    stage = iceberg_and_two()
    stage.sell("carol", "1", "10000.1", order_id="worse")
    assert met(stage.buy("alice", "14")) == [
        ("ice", "3.000"),
        ("c", "1.000"),
        ("d", "2.000"),
        ("ice", "3.000"),
        ("ice", "3.000"),
        ("ice", "1.000"),
        ("worse", "1.000"),
    ]
    assert showing(stage) == []


def test_the_last_part_is_what_is_left() -> None:
    stage = open_market()
    stage.buy("bob", "10", "10000", display_qty="4", order_id="ice")
    assert met(stage.sell("alice", "8")) == [("ice", "4.000"), ("ice", "4.000")]
    assert showing(stage, "buy") == [("ice", "2.000", "0.000")]
    assert met(stage.sell("alice", "3")) == [("ice", "2.000")]
    assert showing(stage, "buy") == []


def test_two_icebergs_at_one_price_take_turns() -> None:
    stage = open_market()
    stage.sell("bob", "5", "10000", display_qty="2", order_id="b")
    stage.sell("carol", "3", "10000", display_qty="1", order_id="c")
    assert met(stage.buy("alice", "8")) == [
        ("b", "2.000"),
        ("c", "1.000"),
        ("b", "2.000"),
        ("c", "1.000"),
        ("b", "1.000"),
        ("c", "1.000"),
    ]


def test_an_iceberg_order_takes_with_all_of_its_quantity_and_hides_in_what_rests() -> None:
    stage = open_market()
    stage.sell("bob", "5", "10000", order_id="b")
    events = stage.buy("alice", "9", "10000", display_qty="3", order_id="ice")
    assert met(events) == [("b", "5.000")]
    assert showing(stage, "buy") == [("ice", "3.000", "1.000")]
    stage.sell("bob", "5", "10000.1")
    stage.buy("alice", "6", "10000.1", display_qty="3", order_id="small")
    assert showing(stage, "buy")[0] == ("small", "1.000", "0.000"), "never more than is left"


def test_an_order_that_displays_all_of_itself_trades_like_any_other() -> None:
    stage = open_market()
    stage.sell("bob", "2", "10000", display_qty="2", order_id="ice")
    stage.sell("carol", "1", "10000", order_id="c")
    assert showing(stage)[0] == ("ice", "2.000", "0.000")
    assert met(stage.buy("alice", "1")) == [("ice", "1.000")]
    assert met(stage.buy("alice", "2")) == [("ice", "1.000"), ("c", "1.000")]


def test_each_meeting_with_a_part_is_one_of_the_meetings_an_order_may_have() -> None:
    stage = iceberg_and_two(limits="max_fills_per_order = 5")
    events = stage.buy("alice", "13", order_id="a")
    assert met(events) == [("ice", "3.000"), ("c", "1.000"), ("d", "2.000"), ("ice", "3.000"), ("ice", "3.000")]
    assert cancels(events) == [("a", "1.000", "max_fills")]


def test_a_liquidation_order_meets_an_iceberg_part_by_part() -> None:
    stage = open_market(opening="1000")
    stage.open_position("alice", "buy", "3", "10000", "50", against="bob")
    stage.buy("carol", "5", "9990", display_qty="2", order_id="ice")
    stage.buy("dave", "0.5", "9990", order_id="d")
    assert met(stage.mark("9840")) == [("ice", "2.000"), ("d", "0.500"), ("ice", "0.500")]


def test_an_iceberg_whose_margin_fails_is_cancelled_whole_between_its_parts() -> None:
    """Sales at 10,000 with the mark at 10,400 need 1,400 each: 3,000 carries two parts."""
    stage = open_market()
    stage.deposit("poor", "3000")
    stage.sell("poor", "3", "10000", display_qty="1", order_id="ice")
    stage.mark("10400")
    events = stage.buy("alice", "3", order_id="a")
    assert met(events) == [("ice", "1.000"), ("ice", "1.000")]
    assert cancels(events) == [("ice", "1.000", "margin"), ("a", "1.000", "ioc")]


@pytest.mark.parametrize(
    ("stp", "cancelled", "left"),
    [
        ("cancel_taker", [("a", "2.000", "self_trade")], ["own"]),
        ("cancel_maker", [("own", "9.000", "self_trade"), ("a", "2.000", "ioc")], []),
        ("cancel_both", [("own", "9.000", "self_trade"), ("a", "2.000", "self_trade")], []),
    ],
)
def test_self_trade_prevention_cancels_the_whole_iceberg(
    stp: str, cancelled: list[tuple[str, str, str]], left: list[str]
) -> None:
    stage = open_market()
    stage.sell("bob", "1", "10000", order_id="b")
    stage.sell("alice", "9", "10000", display_qty="2", order_id="own")
    events = stage.buy("alice", "3", order_id="a", stp=stp)
    assert met(events) == [("b", "1.000")]
    assert cancels(events) == cancelled
    assert [order_id for order_id, _, _ in showing(stage)] == left


# --- events and limits count the total ------------------------------------------------------------------------


def test_order_events_tell_the_total_and_nothing_tells_that_a_part_is_hidden() -> None:
    events, plain = [], []
    for into, fields in ((events, {"display_qty": "1"}), (plain, {})):
        stage = open_market()
        into += stage.sell("bob", "5", "10000", order_id="o", **fields)
        into += stage.buy("alice", "0.5", order_id="a")
        into += stage.amend("bob", "o", qty="4")
        into += stage.amend("bob", "o", price="10001")
        into += stage.cancel("bob", "o")
    told = of_type(events, OrderAccepted, OrderAmended, OrderCancelled)
    assert [(event.order_id, event.remaining) for event in told] == [
        ("o", "5.000"),
        ("a", "0.500"),
        ("o", "4.000"),
        ("o", "4.000"),
        ("o", "4.000"),
    ]
    assert [encode(event) for event in events] == [encode(event) for event in plain]


def test_margin_is_held_back_for_the_total() -> None:
    stage = open_market()
    stage.buy("alice", "5", "9000", display_qty="1", order_id="ice")
    assert stage.account("alice")["free"] == "95500.000000"
    stage.sell("bob", "2", "9000")
    assert showing(stage, "buy") == [("ice", "1.000", "2.000")]
    assert stage.account("alice")["free"] == "95500.000000", "800 for 2 at 9,000 and 3 × 900, less what the fill gained"


@pytest.mark.parametrize(
    ("settings_", "qty", "code"),
    [
        ({"market": 'max_order_qty = "3"'}, "4", "order_too_large"),
        ({"market": 'max_order_notional = "30000"'}, "4", "order_too_large"),
        ({}, "101", "position_limit"),
        ({"tiers": '[{ up_to = "99000000", initial = "0.01", maintenance = "0.005" }]'}, "101", "insufficient_margin"),
    ],
)
def test_the_rules_for_size_and_margin_count_the_total(settings_: dict[str, str], qty: str, code: str) -> None:
    stage = open_market(**settings_)
    assert codes(stage.buy("alice", qty, "10000", display_qty="2")) == [code]


# --- what is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({"display_qty": "0.0001"}, "off_lot", "display_qty 0.0001 is not a multiple of the lot 0.001"),
        ({"display_qty": "1.0005"}, "off_lot", "display_qty 1.0005 is not a multiple of the lot 0.001"),
        ({"display_qty": "2.001"}, "display_too_large", "display_qty 2.001 is more than qty 2.000"),
        ({"display_qty": "9" * 24}, "display_too_large", f"display_qty {'9' * 24}.000 is more than qty 2.000"),
        ({"display_qty": "0.019"}, "display_too_small", "display_qty 0.019 shows qty 2.000 in over 100 parts"),
    ],
)
@pytest.mark.parametrize("trigger", [{}, {"trigger_price": "10100", "trigger_when": "rises_to"}])
def test_a_display_quantity_off_the_grid_or_above_the_quantity_is_refused(
    fields: dict[str, str], code: str, reason: str, trigger: dict[str, str]
) -> None:
    stage = open_market()
    before = stage.rows()
    (refusal,) = of_type(stage.buy("alice", "2", "9000", **fields, **trigger), OrderRejected)
    assert (refusal.code, refusal.reason) == (code, reason)
    assert stage.rows() == before


@pytest.mark.parametrize(
    "fields", [{"tif": "ioc"}, {"tif": "fok"}, {"kind": "market"}, {"display_qty": "0.0"}, {"display_qty": "-1"}]
)
def test_an_iceberg_that_cannot_rest_or_shows_nothing_is_no_command(fields: dict[str, Any]) -> None:
    order = {"market": MARKET, "account": "alice", "order_id": "x", "side": "buy", "kind": "limit", "qty": "2"}
    order |= {"price": "9000", "display_qty": "1", "type": "order.new", "ts": 1} | fields
    if order["kind"] == "market":
        del order["price"]
    with pytest.raises(WireError, match="display_qty"):
        decode_command(orjson.dumps(order))


@pytest.mark.parametrize("fields", [{}, {"post_only": True}, {"tif": "gtt"}])
def test_whatever_may_rest_may_be_an_iceberg(fields: dict[str, Any]) -> None:
    stage = open_market()
    if fields.get("tif") == "gtt":
        fields = {**fields, "expire_at": stage.now + 5 * SECOND}
    assert codes(stage.buy("alice", "2", "9000", display_qty="0.5", order_id="ice", **fields)) == []
    assert showing(stage, "buy") == [("ice", "0.500", "1.500")]
    if "expire_at" in fields:
        stage.now += 10 * SECOND
        assert cancels(stage.send("clock.tick")) == [("ice", "2.000", "expired")]
    stage.sell("bob", "1", "9001")
    assert codes(stage.buy("alice", "2", "9001", display_qty="0.5", post_only=True)) == ["post_only"]


# --- stop orders ----------------------------------------------------------------------------------------------


def test_a_stop_limit_order_is_an_iceberg_once_it_is_triggered() -> None:
    stage = open_market()
    stage.buy("alice", "5", "9990", display_qty="2", trigger_price="10100", trigger_when="rises_to", order_id="ice")
    assert showing(stage, "buy") == []
    stage.mark("10100")
    assert showing(stage, "buy") == [("ice", "2.000", "3.000")]


def test_the_state_hash_tells_what_a_waiting_stop_order_will_show() -> None:
    hashes = set()
    for display in (None, "1", "2"):
        stage = open_market()
        stop = {"trigger_price": "10100", "trigger_when": "rises_to", "order_id": "ice"}
        stage.buy("alice", "5", "9990", display_qty=display, **stop)
        hashes.add(stage.venue.shards["usdt"].state_hash())
    assert len(hashes) == 3


def test_the_state_hash_tells_what_shows_and_what_will() -> None:
    hashes = []
    for display, traded in (("2", "2"), ("2", "1"), ("3", "1"), ("4", "2"), ("8", "2")):
        stage = open_market()
        stage.sell("bob", "8", "10000", display_qty=display, order_id="ice")
        stage.buy("alice", traded, "10000")
        (row,) = [row for row in stage.rows() if row[0] == "order"]
        hashes.append(row)
    assert len(set(hashes)) == 5
    assert [row[-2:] for row in hashes] == [(2000, 4000), (2000, 6000), (3000, 5000), (4000, 4000), (8000, 0)]


# --- amend ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("qty", "shown", "hidden"),
    [("9", "3.000", "6.000"), ("3.5", "3.000", "0.500"), ("3", "3.000", "0.000"), ("1", "1.000", "0.000")],
)
def test_a_decrease_takes_from_the_hidden_part_first_and_keeps_the_place(qty: str, shown: str, hidden: str) -> None:
    stage = iceberg_and_two()
    (amended,) = of_type(stage.amend("bob", "ice", qty=qty), OrderAmended)
    assert Fraction(amended.remaining) == Fraction(qty)
    assert showing(stage)[0] == ("ice", shown, hidden)


def test_a_decrease_leaves_a_part_that_traded_in_part_as_it_is() -> None:
    stage = iceberg_and_two()
    stage.buy("alice", "2")
    stage.amend("bob", "ice", qty="4")
    assert showing(stage)[0] == ("ice", "1.000", "3.000")
    stage.buy("alice", "1")
    assert showing(stage)[-1] == ("ice", "3.000", "0.000"), "the next part is whole again"


@pytest.mark.parametrize(
    ("change", "shown", "hidden"),
    [
        ({"qty": "12"}, "3.000", "9.000"),
        ({"price": "10000.1"}, "3.000", "5.000"),
        ({"price": "10000.1", "qty": "2"}, "2.000", "0.000"),
    ],
)
def test_any_other_amendment_comes_back_last_and_shows_a_whole_part(
    change: dict[str, str], shown: str, hidden: str
) -> None:
    stage = iceberg_and_two()
    stage.buy("alice", "2")
    stage.amend("bob", "ice", **change)
    assert showing(stage)[-1] == ("ice", shown, hidden)


def test_the_display_quantity_stays_when_the_order_was_smaller_meanwhile() -> None:
    stage = iceberg_and_two()
    stage.amend("bob", "ice", qty="1")
    stage.amend("bob", "ice", qty="8")
    assert showing(stage)[-1] == ("ice", "3.000", "5.000")


def test_an_amendment_must_not_make_more_parts_than_are_allowed() -> None:
    stage = iceberg_and_two()
    before = stage.rows()
    assert codes(stage.amend("bob", "ice", qty="300.001")) == ["display_too_small"]
    assert stage.rows() == before


# --- reduce-only ----------------------------------------------------------------------------------------------


def test_a_reduce_only_iceberg_is_cut_to_the_position_the_hidden_part_first() -> None:
    stage = open_market()
    stage.open_position("alice", "buy", "5", "10000", "10", against="bob")
    events = stage.sell("alice", "9", "10010", reduce_only=True, display_qty="2", order_id="ice")
    assert [event.remaining for event in of_type(events, OrderAccepted)] == ["5.000"]
    stage.sell("carol", "1", "10010", order_id="behind")
    for sold, left, shown, hidden in (("1", "4", "2", "2"), ("1.5", "2.5", "2", "0.5"), ("1.5", "1", "1", "0")):
        stage.buy("dave", sold, "9999")
        (shrunk,) = of_type(stage.sell("alice", sold), OrderAmended)
        assert Fraction(shrunk.remaining) == Fraction(left)
        assert [Fraction(part) for part in showing(stage)[0][1:]] == [Fraction(shown), Fraction(hidden)]
        assert [order_id for order_id, _, _ in showing(stage)] == ["ice", "behind"]


def test_reduce_only_icebergs_shrink_while_they_are_taken_and_never_flip_the_position() -> None:
    stage = open_market()
    stage.open_position("alice", "buy", "5", "10000", "10", against="bob")
    for order_id in ("x", "y"):
        stage.sell("alice", "5", "10000", reduce_only=True, display_qty="2", order_id=order_id)
    events = stage.buy("carol", "9", "10000", order_id="c")
    assert met(events) == [("x", "2.000"), ("y", "2.000"), ("x", "1.000")]
    assert cancels(events) == [("y", "1.000", "reduce_only")]
    assert stage.account("alice")["positions"] == {}


# --- fill or kill ---------------------------------------------------------------------------------------------


def test_fill_or_kill_counts_the_hidden_parts() -> None:
    stage = iceberg_and_two()
    assert is_killed(stage, "buy", "13.001")
    assert not is_killed(stage, "buy", "13")


def test_fill_or_kill_counts_each_part_as_a_meeting() -> None:
    """The queue is 3, 1, 2, 3, 3, 1: twelve take five meetings, thirteen take six."""
    stage = iceberg_and_two(limits="max_fills_per_order = 5")
    assert is_killed(stage, "buy", "12.001")
    assert not is_killed(stage, "buy", "12")


def test_fill_or_kill_meets_its_own_order_before_the_next_part_of_another() -> None:
    stage = open_market()
    stage.sell("bob", "4", "10000", display_qty="2", order_id="ice")
    stage.sell("alice", "1", "10000", order_id="own")
    assert is_killed(stage, "buy", "3")
    assert not is_killed(stage, "buy", "2")


def test_fill_or_kill_counts_reduce_only_icebergs_for_what_their_position_still_gives() -> None:
    """The queue is x 2, y 2, x 1, and then the position is closed."""
    stage = open_market()
    stage.open_position("bob", "buy", "5", "10000", "10", against="carol")
    for order_id in ("x", "y"):
        stage.sell("bob", "5", "10000", reduce_only=True, display_qty="2", order_id=order_id)
    assert is_killed(stage, "buy", "5.001")
    assert not is_killed(stage, "buy", "5")


def test_fill_or_kill_does_not_count_a_reduce_only_order_that_is_gone_by_then_as_a_meeting() -> None:
    """Closing bob's position cancels his second order before anybody meets it."""
    stage = open_market(limits="max_fills_per_order = 2")
    stage.open_position("bob", "buy", "1", "10000", "10", against="carol")
    stage.sell("bob", "1", "10000", reduce_only=True)
    stage.sell("bob", "1", "10000", reduce_only=True)
    stage.sell("dave", "1", "10000")
    assert not is_killed(stage, "buy", "2")


@settings(max_examples=80, phases=[Phase.reuse, Phase.generate])  # a smaller seed is not a simpler book
@given(seed=st.integers(0, 10**9))
def test_fill_or_kill_agrees_with_taking_on_any_book_of_icebergs(seed: int) -> None:
    """What is killed would fall short as an IOC order; what is not fills whole. Makers are poor, meetings few."""
    rng = random.Random(seed)
    fees = 'maker_fee = "-0.0001"\ntaker_fee = "0.0005"'
    stage = open_market(limits=f"max_fills_per_order = {rng.randrange(4, 16)}", market=fees)
    for name in ("poor", "poorer"):
        stage.deposit(name, str(rng.randrange(300, 4000)))
    makers = ["bob", "bob", "carol", "carol", "poor", "poor", "poorer", "poorer", "alice"]
    side = rng.choice(["buy", "sell"])
    stage.open_position("carol", side, "3", "10000", "10", against="dave")
    for i in range(rng.randrange(3, 12)):
        qty = rng.randrange(1, 3000)
        fields: dict[str, Any] = {"display_qty": f"{max(1, qty // rng.randrange(1, 6)) / 1000:.3f}"}
        maker = rng.choice(makers)
        price = 10_000 + (rng.randrange(4) if side == "buy" else -rng.randrange(4))
        send = stage.sell if side == "buy" else stage.buy
        send(maker, f"{qty / 1000:.3f}", str(price), reduce_only=maker == "carol", order_id=f"m{i}", **fields)
    stage.mark(str(10_000 + rng.randrange(-150, 151)))
    for i in range(6):
        qty = f"{rng.randrange(1, rng.choice([500, 2000, 8000])) / 1000:.3f}"
        limit = str(10_000 + (rng.randrange(5) if side == "buy" else -rng.randrange(5)))
        stp = rng.choice(["cancel_taker", "cancel_maker", "cancel_both"])
        if not is_killed(stage, side, qty, limit, stp=stp):
            continue
        send = stage.buy if side == "buy" else stage.sell
        events = send("alice", qty, limit, stp=stp, tif="ioc", order_id=f"ioc{i}")
        assert [event for event in of_type(events, OrderCancelled) if event.order_id == f"ioc{i}"]


# --- the book alone -------------------------------------------------------------------------------------------


def resting_iceberg(stage: Stage) -> Order:
    """bob's order of 10 that shows 3."""
    stage.sell("bob", "10", "10000", display_qty="3", order_id="ice")
    order = stage.venue.shards["usdt"].state.accounts["bob"].positions[MARKET].orders["ice"]
    stage.venue.check()
    return order


@pytest.mark.parametrize(
    ("hidden", "says"),
    [
        (-1, "shows at least one lot"),
        (10_000, "shows at least one lot"),
        (6_999, "shows at most one part"),
        (0, "shows at most one part"),
    ],
)
def test_the_check_sees_an_iceberg_that_shows_nothing_or_too_much(hidden: int, says: str) -> None:
    stage = open_market()
    order = resting_iceberg(stage)
    assert isinstance(order, IcebergOrder)
    order.hidden = hidden
    with pytest.raises(AssertionError, match=says):
        stage.venue.shards["usdt"].state.markets[MARKET].book.check()


def test_the_check_sees_a_plain_order_that_hides_something() -> None:
    stage = open_market()
    order = resting_iceberg(stage)
    assert isinstance(order, IcebergOrder)
    order.display = 0
    with pytest.raises(AssertionError, match="only icebergs hide something"):
        stage.venue.shards["usdt"].state.markets[MARKET].book.check()


def test_a_plain_order_carries_no_fields_of_an_iceberg() -> None:
    stage = open_market()
    stage.sell("bob", "10", "10000", order_id="plain")
    order = stage.venue.shards["usdt"].state.accounts["bob"].positions[MARKET].orders["plain"]
    assert type(order) is Order
    assert (order.display, order.hidden) == (0, 0)
    assert not hasattr(order, "__dict__")
    assert not hasattr(resting_iceberg(open_market()), "__dict__")


def test_many_parts_alone_at_their_price_take_one_meeting_each() -> None:
    stage = open_market(limits="max_fills_per_order = 500\nmax_iceberg_parts = 500")
    stage.sell("bob", "0.5", "10000", display_qty="0.001", order_id="ice")
    events = stage.buy("alice", "0.499")
    assert len(of_type(events, TradeExecuted)) == 499
    assert showing(stage) == [("ice", "0.001", "0.000")]
