"""Orders: how they match, rest, shrink, change and leave, and why they are refused."""

import itertools
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from schemas.envelope import Event
from schemas.events import OrderAccepted, OrderAmended, OrderCancelled, OrderRejected, PositionUpdated, TradeExecuted
from tests.engine.histories import ACCOUNTS, History
from tests.engine.stage import MARKET, SECOND, Stage, codes, of_type, second_market

NAMES = ("alice", "bob", "carol", "dave")


def open_market(**given_settings: str) -> Stage:
    """A mark of 10,000 and four accounts with 100,000 each, at leverage 10."""
    stage = Stage(**given_settings)
    stage.mark("10000")
    for name in NAMES:
        stage.deposit(name, "100000")
    return stage


def prints(events: list[Event]) -> list[tuple[str, str, str]]:
    """The trades: price, quantity, the maker's order."""
    return [(event.price, event.qty, event.maker.order_id) for event in of_type(events, TradeExecuted)]


def cancels(events: list[Event]) -> list[tuple[str, str, str]]:
    """What was cancelled: order, remaining quantity, reason."""
    return [(event.order_id, event.remaining, event.reason) for event in of_type(events, OrderCancelled)]


# --- price, then time -----------------------------------------------------------------------------------------


def test_the_best_price_trades_first_however_late_it_came() -> None:
    stage = open_market()
    for price, order_id in (("10002", "a"), ("10001", "b"), ("10000", "c")):
        stage.sell("bob", "1", price, order_id=order_id)
    assert prints(stage.buy("alice", "2.5")) == [
        ("10000.0", "1.000", "c"),
        ("10001.0", "1.000", "b"),
        ("10002.0", "0.500", "a"),
    ]
    for price, order_id in (("9998", "d"), ("9999", "e")):
        stage.buy("bob", "1", price, order_id=order_id)
    assert prints(stage.sell("alice", "2")) == [("9999.0", "1.000", "e"), ("9998.0", "1.000", "d")]


def test_at_one_price_the_oldest_order_trades_first() -> None:
    stage = open_market()
    for name in ("bob", "carol", "dave"):
        stage.sell(name, "1", "10000", order_id=name)
    assert [maker for _, _, maker in prints(stage.buy("alice", "2.001"))] == ["bob", "carol", "dave"]
    assert stage.book("sell") == [("10000.0", "dave", "0.999")]


def test_a_trade_prints_at_the_makers_price() -> None:
    stage = open_market()
    stage.sell("bob", "1", "9990", order_id="cheap")
    (trade,) = of_type(stage.buy("alice", "1", "10050", order_id="eager"), TradeExecuted)
    assert (trade.price, trade.taker_side) == ("9990.0", "buy")
    assert (trade.maker.account, trade.maker.order_id) == ("bob", "cheap")
    assert (trade.taker.account, trade.taker.order_id) == ("alice", "eager")


def test_a_maker_that_is_filled_in_part_keeps_its_place() -> None:
    stage = open_market()
    stage.sell("bob", "1", "10000", order_id="first")
    stage.sell("carol", "1", "10000", order_id="second")
    stage.buy("alice", "0.3")
    assert stage.book("sell") == [("10000.0", "first", "0.700"), ("10000.0", "second", "1.000")]


def test_a_limit_order_stops_at_its_price_and_rests_the_remainder_there() -> None:
    stage = open_market()
    stage.sell("bob", "1", "10000", order_id="b")
    stage.sell("bob", "1", "10001.1")
    events = stage.buy("alice", "3", "10001", order_id="a")
    assert [event.remaining for event in of_type(events, OrderAccepted)] == ["3.000"]
    assert prints(events) == [("10000.0", "1.000", "b")]
    assert stage.book("buy") == [("10001.0", "a", "2.000")]
    assert cancels(events) == []


def test_an_order_that_finds_nobody_rests_whole() -> None:
    stage = open_market()
    events = stage.buy("alice", "1", "10000", order_id="a")
    assert [type(event) for event in events] == [OrderAccepted]
    assert stage.book("buy") == [("10000.0", "a", "1.000")]


@pytest.mark.parametrize("tif", ["gtc", "ioc"])
def test_a_market_order_takes_at_any_price_and_cancels_the_rest(tif: str) -> None:
    stage = open_market()
    assert cancels(stage.buy("alice", "1", tif=tif, order_id="empty")) == [("empty", "1.000", "ioc")]
    stage.sell("bob", "1", "10000", order_id="near")
    stage.sell("bob", "1", "12000", order_id="far")
    events = stage.buy("alice", "3", tif=tif, order_id="a")
    assert prints(events) == [("10000.0", "1.000", "near"), ("12000.0", "1.000", "far")]
    assert cancels(events) == [("a", "1.000", "ioc")]
    assert stage.book("buy") == stage.book("sell") == []


def test_an_ioc_limit_order_cancels_what_it_does_not_take_at_its_price() -> None:
    stage = open_market()
    stage.sell("bob", "1", "10000")
    stage.sell("bob", "1", "10002")
    events = stage.buy("alice", "3", "10001", tif="ioc", order_id="a")
    assert len(prints(events)) == 1
    assert cancels(events) == [("a", "2.000", "ioc")]
    assert stage.book("buy") == []


# --- fill or kill ---------------------------------------------------------------------------------------------


def unclosed(stage: Stage) -> list[tuple[object, ...]]:
    """The state but for the ids of closed orders and for who is known to a market without a position there."""
    return [
        row
        for row in stage.rows()
        if row[0] not in ("closed_order", "closed_orders") and not (row[0] == "position" and row[2] == 0)
    ]


def is_killed(stage: Stage, side: str, qty: str, price: str | None = None, **fields: Any) -> bool:
    """Whether a fill-or-kill order of alice is killed. It fills whole, or nothing but its id is remembered."""
    before = unclosed(stage)
    send = stage.buy if side == "buy" else stage.sell
    events = send("alice", qty, price, tif="fok", order_id=f"fok{len(stage.log)}", **fields)
    if of_type(events, TradeExecuted):
        assert sum(Fraction(filled) for _, filled, _ in prints(events)) == Fraction(qty)
        return False
    assert [type(event) for event in events] == [OrderAccepted, OrderCancelled]
    assert cancels(events)[0][2] == "fok"
    assert unclosed(stage) == before
    return True


def test_fill_or_kill_fills_whole_over_several_prices_or_changes_nothing() -> None:
    stage = open_market()
    assert is_killed(stage, "buy", "1", "10005")
    stage.sell("bob", "1", "10000")
    stage.sell("carol", "1", "10001")
    assert is_killed(stage, "buy", "2.001")
    assert is_killed(stage, "buy", "2", "10000")
    assert not is_killed(stage, "buy", "2", "10001")
    assert stage.book("sell") == []


def test_fill_or_kill_does_not_count_makers_whose_margin_fails_and_leaves_them_when_killed() -> None:
    """A sale at 10,000 with the mark at 10,500 needs 1,000 margin and 500 open loss: poor has 1,000."""
    stage = open_market()
    stage.deposit("poor", "1000")
    stage.sell("poor", "1", "10000", order_id="poor")
    stage.sell("bob", "1", "10001", order_id="rich")
    stage.mark("10500")
    assert is_killed(stage, "buy", "2")
    events = stage.buy("alice", "1", tif="fok")
    assert cancels(events) == [("poor", "1.000", "margin")]
    assert prints(events) == [("10001.0", "1.000", "rich")]


def test_fill_or_kill_judges_the_orders_of_one_maker_one_after_another() -> None:
    """Sales at 10,000 with the mark at 10,400 need 1,400 each: 2,000 carries the first only."""
    stage = open_market()
    stage.deposit("poor", "2000")
    stage.sell("poor", "1", "10000")
    stage.sell("poor", "1", "10000")
    stage.mark("10400")
    assert is_killed(stage, "buy", "2")
    assert not is_killed(stage, "buy", "1")


def test_fill_or_kill_is_killed_when_its_own_margin_does_not_carry_the_whole() -> None:
    stage = open_market()
    stage.sell("bob", "1", "10000")
    stage.sell("bob", "9", "60000")  # open loss 50,000 each
    assert is_killed(stage, "buy", "10")
    assert not is_killed(stage, "buy", "2")


@pytest.mark.parametrize("stp", ["cancel_taker", "cancel_both"])
def test_fill_or_kill_is_killed_by_its_own_order_in_the_way(stp: str) -> None:
    stage = open_market()
    stage.sell("bob", "1", "10000")
    stage.sell("alice", "1", "10001", order_id="own")
    stage.sell("bob", "1", "10002")
    assert is_killed(stage, "buy", "2", stp=stp)
    assert not is_killed(stage, "buy", "1", stp=stp)
    assert ("10001.0", "own", "1.000") in stage.book("sell")


def test_fill_or_kill_that_cancels_makers_passes_over_its_own_orders_and_keeps_them_when_killed() -> None:
    stage = open_market()
    stage.sell("alice", "1", "10000", order_id="own")
    stage.sell("bob", "1", "10001", order_id="bobs")
    assert is_killed(stage, "buy", "2", stp="cancel_maker")
    events = stage.buy("alice", "1", tif="fok", stp="cancel_maker")
    assert cancels(events) == [("own", "1.000", "self_trade")]
    assert prints(events) == [("10001.0", "1.000", "bobs")]


def test_fill_or_kill_counts_reduce_only_makers_for_what_their_position_still_gives() -> None:
    stage = open_market()
    stage.open_position("bob", "buy", "1", "10000", "10", against="carol")
    stage.sell("bob", "1", "10000", reduce_only=True)
    stage.sell("bob", "1", "10001", reduce_only=True)
    assert is_killed(stage, "buy", "1.001")
    assert not is_killed(stage, "buy", "1")
    assert stage.book("sell") == []


@settings(max_examples=60, phases=[Phase.reuse, Phase.generate])  # a smaller seed is not a simpler history
@given(seed=st.integers(0, 10**9), data=st.data())
def test_fill_or_kill_is_killed_exactly_when_an_ioc_order_would_not_fill_whole(seed: int, data: st.DataObject) -> None:
    """What is not killed fills to the last lot; what is killed changes nothing, and as IOC it falls short."""
    stage = Stage(market='maker_fee = "-0.0001"\ntaker_fee = "0.0005"')
    history = ((command.pop("type"), command) for command in History(seed))
    for type_, fields in itertools.islice(history, 60):
        stage.send(type_, **fields)
    market = stage.venue.shards["usdt"].state.markets[MARKET]
    for i in range(25):
        for type_, fields in itertools.islice(history, 4):
            stage.send(type_, **fields)
        order: dict[str, Any] = {
            "ts": fields["ts"],
            "market": MARKET,
            "account": data.draw(st.sampled_from(ACCOUNTS)),
            "side": data.draw(st.sampled_from(["buy", "sell"])),
            "kind": "market",
            "qty": data.draw(st.sampled_from(["0.007", "0.05", "0.107", "0.333", "1.4"])),
            "stp": data.draw(st.sampled_from(["cancel_taker", "cancel_maker", "cancel_both"])),
            "reduce_only": data.draw(st.booleans()),
        }
        if data.draw(st.booleans()):
            order |= {"kind": "limit", "price": market.spec.ticks.text(max(1, market.mark + 20))}
        stage.send("clock.tick", ts=fields["ts"])  # a fund command does not tell the engine the time
        before = unclosed(stage)
        killed = stage.send("order.new", tif="fok", order_id=f"fok{i}", **order)
        if codes(killed):
            continue
        if not [event for event in of_type(killed, OrderCancelled) if event.order_id == f"fok{i}"]:
            accepted = of_type(killed, OrderAccepted)[0].remaining
            own = [event for event in of_type(killed, TradeExecuted) if event.taker.order_id == f"fok{i}"]
            assert sum(Fraction(event.qty) for event in own) == Fraction(accepted)
            continue
        assert cancels(killed) == [(f"fok{i}", of_type(killed, OrderAccepted)[0].remaining, "fok")]
        assert unclosed(stage) == before
        fell_short = stage.send("order.new", tif="ioc", order_id=f"ioc{i}", **order)
        assert [event for event in of_type(fell_short, OrderCancelled) if event.order_id == f"ioc{i}"]


# --- post-only ------------------------------------------------------------------------------------------------


def test_a_post_only_order_that_would_take_is_refused_and_one_that_would_not_rests() -> None:
    stage = open_market()
    stage.sell("bob", "1", "10000")
    for price in ("10000", "10000.1", "99999"):
        assert codes(stage.buy("alice", "1", price, post_only=True)) == ["post_only"]
    assert codes(stage.buy("alice", "1", "9999.9", post_only=True, order_id="a")) == []
    assert stage.book("buy") == [("9999.9", "a", "1.000")]
    assert codes(stage.sell("carol", "1", "9999.9", post_only=True)) == ["post_only"]
    assert codes(stage.sell("carol", "1", "10000", post_only=True)) == []


# --- reduce-only ----------------------------------------------------------------------------------------------


def test_a_reduce_only_order_with_nothing_to_reduce_is_refused() -> None:
    stage = open_market()
    assert codes(stage.sell("alice", "1", "10000", reduce_only=True)) == ["reduce_only"]
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    assert codes(stage.buy("alice", "1", "10000", reduce_only=True)) == ["reduce_only"]
    assert codes(stage.sell("bob", "1", "10000", reduce_only=True)) == ["reduce_only"]
    assert codes(stage.sell("alice", "1", "10000", reduce_only=True)) == []


@pytest.mark.parametrize("price", [None, "9999"])
def test_a_reduce_only_order_is_cut_to_the_position_and_never_flips_it(price: str | None) -> None:
    stage = open_market()
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    stage.buy("carol", "5", "9999")
    events = stage.sell("alice", "5", price, reduce_only=True)
    assert [event.remaining for event in of_type(events, OrderAccepted)] == ["1.000"]
    assert prints(events)[0][1] == "1.000"
    assert cancels(events) == []
    assert stage.account("alice")["positions"] == {}


def test_resting_reduce_only_orders_shrink_with_the_position_and_keep_their_place() -> None:
    stage = open_market()
    stage.open_position("alice", "buy", "2", "10000", "10", against="bob")
    stage.sell("alice", "2", "10010", reduce_only=True, order_id="a")
    stage.sell("carol", "1", "10010", order_id="behind")
    stage.sell("alice", "0.5", "10020", reduce_only=True, order_id="small")
    stage.buy("dave", "1.2", "9999")
    events = stage.sell("alice", "1.2")
    (shrunk,) = of_type(events, OrderAmended)
    assert (shrunk.order_id, shrunk.price, shrunk.remaining) == ("a", "10010.0", "0.800")
    assert stage.book("sell") == [
        ("10010.0", "a", "0.800"),
        ("10010.0", "behind", "1.000"),
        ("10020.0", "small", "0.500"),
    ]


def test_reduce_only_orders_that_together_exceed_the_position_never_flip_it() -> None:
    stage = open_market()
    stage.open_position("alice", "sell", "1", "10000", "10", against="bob")
    for order_id in ("a", "b", "c"):
        stage.buy("alice", "1", "9990", reduce_only=True, order_id=order_id)
    events = stage.sell("carol", "0.4", "9990", order_id="first")
    assert {event.order_id: event.remaining for event in of_type(events, OrderAmended)} == {"b": "0.600", "c": "0.600"}
    events = stage.sell("carol", "5", "9990", order_id="second")
    assert prints(events) == [("9990.0", "0.600", "a")]
    assert cancels(events) == [("b", "0.600", "reduce_only"), ("c", "0.600", "reduce_only")]
    assert stage.book("sell") == [("9990.0", "second", "4.400")]
    assert stage.account("alice")["positions"] == {}


@pytest.mark.parametrize("qty", ["1", "1.5"])
def test_reduce_only_orders_are_cancelled_when_the_position_closes_or_flips(qty: str) -> None:
    stage = open_market()
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    stage.sell("alice", "0.7", "10010", reduce_only=True, order_id="a")
    stage.buy("carol", "2", "9999")
    assert cancels(stage.sell("alice", qty)) == [("a", "0.700", "reduce_only")]


def test_reduce_only_orders_stay_as_they_are_when_the_position_grows() -> None:
    stage = open_market()
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    stage.sell("alice", "1", "10010", reduce_only=True, order_id="a")
    stage.sell("bob", "1", "10000")
    assert of_type(stage.buy("alice", "1"), OrderAmended, OrderCancelled) == []
    assert stage.book("sell") == [("10010.0", "a", "1.000")]


# --- self-trade prevention ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stp", "traded", "cancelled", "left"),
    [
        ("cancel_taker", ["before"], [("taker", "2.000", "self_trade")], ["own", "after"]),
        ("cancel_maker", ["before", "after"], [("own", "1.000", "self_trade"), ("taker", "1.000", "ioc")], []),
        ("cancel_both", ["before"], [("own", "1.000", "self_trade"), ("taker", "2.000", "self_trade")], ["after"]),
    ],
)
def test_an_order_that_would_trade_with_its_own_account_is_stopped(
    stp: str, traded: list[str], cancelled: list[tuple[str, str, str]], left: list[str]
) -> None:
    stage = open_market()
    stage.sell("bob", "1", "10000", order_id="before")
    stage.sell("alice", "1", "10001", order_id="own")
    stage.sell("bob", "1", "10002", order_id="after")
    events = stage.buy("alice", "3", order_id="taker", stp=stp)
    assert [maker for _, _, maker in prints(events)] == traded
    assert cancels(events) == cancelled
    assert [order_id for _, order_id, _ in stage.book("sell")] == left


def test_by_default_the_taker_is_cancelled_and_none_of_it_rests() -> None:
    stage = open_market()
    stage.sell("alice", "1", "10000", order_id="own")
    events = stage.buy("alice", "1", "10005", order_id="taker")
    assert cancels(events) == [("taker", "1.000", "self_trade")]
    assert (stage.book("buy"), stage.book("sell")) == ([], [("10000.0", "own", "1.000")])


def test_own_orders_beyond_the_price_or_the_quantity_are_left_alone() -> None:
    stage = open_market()
    stage.sell("bob", "1", "10000")
    stage.sell("alice", "1", "10001", order_id="own")
    for qty, price in (("0.5", None), ("0.5", "10000")):
        assert cancels(stage.buy("alice", qty, price, stp="cancel_both")) == []
    assert stage.book("sell") == [("10001.0", "own", "1.000")]


# --- numbers on every stream ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_every_stream_is_gapless_chained_per_topic_and_reports_each_position_once_behind_its_fills(seed: int) -> None:
    stage = Stage(opening="300", market='maker_fee = "0.0001"\ntaker_fee = "0.0005"\nfund_fee_share = "0.5"')
    for command in itertools.islice(History(seed), 350):
        fields = {name: value for name, value in command.items() if name != "type"}
        stage.send(command["type"], **fields)
    seq: dict[str, int] = {}
    ends: dict[tuple[str, str], int] = {}
    ts: dict[str, int] = {}
    reported: set[tuple[int, str, str]] = set()
    for event in stage.events:
        assert event.seq == seq.get(event.stream, 0) + 1
        assert event.prev == ends.get((event.stream, event.topic), 0)
        assert event.ts >= ts.get(event.stream, 0)
        seq[event.stream] = ends[event.stream, event.topic] = event.seq
        ts[event.stream] = event.ts
        if isinstance(event, PositionUpdated):
            key = (event.cause, event.market, event.account)
            assert key not in reported
            reported.add(key)
        elif event.topic in ("executions", "adl"):
            assert event.cause not in {cause for cause, _, _ in reported}, "fills come before what they led to"
    assert len(reported) > 100
    assert of_type(stage.events, OrderRejected)


def test_a_taker_with_many_fills_is_reported_once_with_the_sum_of_what_it_realised() -> None:
    stage = open_market(market=second_market())
    stage.open_position("alice", "buy", "3", "10000", "10", against="bob")
    for price in ("10010", "10020", "10030"):
        stage.buy("carol", "1", price)
    updates = of_type(stage.sell("alice", "3"), PositionUpdated)
    assert [(event.account, event.side, event.qty) for event in updates] == [
        ("alice", "flat", "0.000"),
        ("carol", "long", "3.000"),
    ]
    assert updates[0].realised_pnl == "60.000000"


def test_event_time_never_goes_back() -> None:
    stage = open_market()
    latest = stage.now
    events = stage.send(
        "order.new",
        ts=latest - 30 * SECOND,
        market=MARKET,
        account="alice",
        order_id="late",
        side="buy",
        kind="limit",
        price="10000",
        qty="1",
    )
    assert [(type(event), event.ts) for event in events] == [(OrderAccepted, latest)]
