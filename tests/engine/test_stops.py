"""Stop and take-profit orders: when they are triggered, in which order, and what becomes of them."""

from typing import Any

import pytest

from schemas.envelope import Event
from schemas.events import LiquidationStarted, OrderAccepted, OrderCancelled, OrderTriggered, TradeExecuted
from tests.engine.stage import MARKET, SECOND, Stage, codes, of_type
from tests.engine.test_order_commands import apply_alone
from tests.engine.test_orders import open_market


def market(**settings: str) -> Stage:
    """alice, bob and carol with money at a mark of 10,000; bob quotes 10 on either side of it."""
    stage = Stage(**settings)
    for account in ("alice", "bob", "carol"):
        stage.deposit(account, "1000000")
    stage.mark("10000")
    stage.buy("bob", "10", "9000")
    stage.sell("bob", "10", "11000")
    return stage


def stop(stage: Stage, side: str, when: str, trigger: str, **fields: Any) -> list[Event]:
    """A market order of alice for 1 that waits for the mark, unless told otherwise."""
    fields = {"qty": "1", "account": "alice", "price": None, "trigger_when": when, "trigger_price": trigger} | fields
    send = stage.buy if side == "buy" else stage.sell
    return send(fields.pop("account"), fields.pop("qty"), fields.pop("price"), **fields)


def triggered(events: list[Event]) -> list[str]:
    """The ids of the orders that were triggered, in order."""
    return [event.order_id for event in of_type(events, OrderTriggered)]


@pytest.mark.parametrize(
    ("side", "when", "trigger", "before", "at"),
    [
        ("buy", "rises_to", "10100", "10099.9", "10100"),
        ("sell", "falls_to", "9900", "9900.1", "9900"),
        ("sell", "rises_to", "10100", "10099.9", "10200"),
        ("buy", "falls_to", "9900", "9900.1", "9800"),
    ],
)
def test_a_stop_order_trades_when_the_mark_reaches_its_trigger_price_and_not_before(
    side: str, when: str, trigger: str, before: str, at: str
) -> None:
    stage = market()
    assert of_type(stop(stage, side, when, trigger, order_id="s"), OrderAccepted)
    assert stage.mark(before) == []
    events = stage.mark(at)
    (event,) = of_type(events, OrderTriggered)
    assert (event.order_id, event.trigger_price, event.price) == ("s", f"{trigger}.0", f"{at}.0")
    (trade,) = of_type(events, TradeExecuted)
    assert trade.taker.order_id == "s"


def test_a_triggered_limit_order_rests_without_being_accepted_twice() -> None:
    stage = market()
    stop(stage, "buy", "falls_to", "9900", price="9500", order_id="s")
    events = stage.mark("9900")
    assert triggered(events) == ["s"]
    assert of_type(events, OrderAccepted, TradeExecuted) == []
    assert stage.account("alice")["open_orders"] == 1
    (cancelled,) = of_type(stage.cancel("alice", "s"), OrderCancelled)
    assert cancelled.reason == "requested"


def test_nothing_is_held_back_for_a_stop_order_and_margin_is_checked_when_it_is_triggered() -> None:
    stage = market()
    stage.deposit("poor", "100")
    assert of_type(stop(stage, "buy", "rises_to", "10100", account="poor", order_id="s"), OrderAccepted)
    assert stage.account("poor")["free"] == "100.000000"
    events = stage.mark("10100")
    (cancelled,) = of_type(events, OrderCancelled)
    assert (cancelled.reason, cancelled.code, cancelled.remaining) == ("refused", "insufficient_margin", "1.000")
    assert codes(stop(stage, "buy", "rises_to", "10200", account="poor", order_id="s")) == ["duplicate_order_id"]


def test_a_trigger_price_that_the_mark_has_reached_is_refused() -> None:
    stage = market()
    assert codes(stop(stage, "buy", "rises_to", "10000")) == ["would_trigger"]
    assert codes(stop(stage, "sell", "falls_to", "10000")) == ["would_trigger"]
    assert codes(stop(stage, "buy", "rises_to", "10000", trigger_by="last")) == []


def test_a_reduce_only_stop_closes_no_more_than_the_position_and_is_refused_without_one() -> None:
    stage = market()
    stop(stage, "sell", "falls_to", "9900", qty="5", reduce_only=True, order_id="early")
    (refused,) = of_type(stage.mark("9900"), OrderCancelled)
    assert (refused.reason, refused.code) == ("refused", "reduce_only")
    stage.mark("10000")
    stage.buy("alice", "2")
    stop(stage, "sell", "falls_to", "9900", qty="5", reduce_only=True, order_id="late")
    stage.mark("9900")
    assert stage.account("alice")["positions"] == {}


def test_of_several_those_the_mark_passed_first_come_first_then_in_order_of_arrival_rising_before_falling() -> None:
    stage = market()
    stop(stage, "buy", "rises_to", "10300", order_id="r3")
    stop(stage, "buy", "rises_to", "10100", order_id="r1a")
    stop(stage, "buy", "rises_to", "10200", order_id="r2")
    stop(stage, "buy", "rises_to", "10100", order_id="r1b")
    assert triggered(stage.mark("10400")) == ["r1a", "r1b", "r2", "r3"]
    stop(stage, "sell", "falls_to", "9800", order_id="f2")
    stop(stage, "sell", "falls_to", "9900", order_id="f1")
    assert triggered(stage.mark("9700")) == ["f1", "f2"]


def test_a_stop_by_last_price_is_triggered_by_trades_after_the_command_that_made_them() -> None:
    stage = market()
    stop(stage, "buy", "rises_to", "10500", trigger_by="last", order_id="s")
    assert triggered(stage.mark("10600")) == []
    events = stage.buy("carol", "1")  # prints at 11,000
    assert triggered(events) == ["s"]
    assert [trade.taker.account for trade in of_type(events, TradeExecuted)] == ["carol", "alice"]


def test_a_stop_by_last_price_is_triggered_by_the_extremes_that_a_command_printed() -> None:
    stage = market()
    stage.sell("bob", "1", "10200")
    stage.sell("bob", "1", "10500")
    stop(stage, "sell", "rises_to", "10400", trigger_by="last", order_id="high")
    stop(stage, "sell", "falls_to", "10300", trigger_by="last", order_id="low")
    events = stage.buy("carol", "2")  # prints 10,200, then 10,500
    prices = [(event.order_id, event.price) for event in of_type(events, OrderTriggered)]
    assert prices == [("high", "10500.0"), ("low", "10200.0")]


def test_activations_that_trade_may_trigger_others() -> None:
    stage = market()
    stage.sell("bob", "1", "10200")
    stage.sell("bob", "1", "10400")
    stop(stage, "buy", "rises_to", "10100", order_id="first")
    stop(stage, "buy", "rises_to", "10200", trigger_by="last", account="carol", order_id="second")
    events = stage.mark("10100")
    assert triggered(events) == ["first", "second"]
    assert [trade.price for trade in of_type(events, TradeExecuted)] == ["10200.0", "10400.0"]


def test_activations_above_the_cap_wait_in_their_order_and_run_before_the_next_command() -> None:
    stage = market(limits="stops_per_command = 2")
    for name in ("a", "b", "c", "d", "e"):
        stop(stage, "buy", "rises_to", "10100", order_id=name)
    assert triggered(stage.mark("10100")) == ["a", "b"]
    stage_events = stage.cancel("alice", "e")
    assert triggered(stage_events) == ["c", "d"]
    assert [event.order_id for event in of_type(stage_events, OrderCancelled)] == ["e"]
    assert triggered(stage.send("clock.tick")) == []


def test_a_stop_order_can_be_cancelled_and_not_amended() -> None:
    stage = market()
    stop(stage, "buy", "rises_to", "10100", order_id="s")
    assert codes(stage.amend("alice", "s", qty="2")) == ["not_supported"]
    (cancelled,) = of_type(stage.cancel("alice", "s"), OrderCancelled)
    assert (cancelled.reason, cancelled.remaining) == ("requested", "1.000")
    assert stage.mark("10100") == []


def test_cancel_all_expiry_and_the_dead_man_switch_reach_stop_orders() -> None:
    stage = market()
    stop(stage, "buy", "rises_to", "10100", order_id="all")
    stage.send("order.cancel_all", shard="usdt", account="alice")
    stop(stage, "buy", "rises_to", "10100", price="10100", tif="gtt", expire_at=stage.now + 3 * SECOND, order_id="time")
    stage.send("clock.tick")
    stage.send("clock.tick")
    stop(stage, "buy", "rises_to", "10100", order_id="dead")
    stage.send("account.cancel_after", shard="usdt", account="alice", seconds=1)
    stage.send("clock.tick")
    reasons = {event.order_id: event.reason for event in of_type(stage.events, OrderCancelled)}
    assert reasons == {"all": "requested", "time": "expired", "dead": "disconnected"}
    assert stage.mark("10100") == []


def test_a_liquidation_cancels_the_stop_orders_of_the_position() -> None:
    stage = market(opening="1000")
    stage.leverage("alice", "10")
    stage.buy("alice", "1")  # at 11,000, with 1,100 + 1,000 of open loss as margin: bankrupt at 8,900
    stop(stage, "sell", "falls_to", "8000", reduce_only=True, order_id="s")
    events = stage.mark("8900")
    assert of_type(events, LiquidationStarted)
    (cancelled,) = [event for event in of_type(events, OrderCancelled) if event.order_id == "s"]
    assert cancelled.reason == "liquidation"


def test_stop_orders_count_among_the_open_orders() -> None:
    stage = market(limits="max_open_orders = 2")
    stop(stage, "buy", "rises_to", "10100")
    stop(stage, "buy", "rises_to", "10200")
    assert codes(stop(stage, "buy", "rises_to", "10300")) == ["too_many_orders"]
    assert codes(stage.buy("alice", "1", "9500")) == ["too_many_orders"]


def test_a_triggered_stop_order_takes_its_own_place_among_the_open_orders() -> None:
    stage = market(limits="max_open_orders = 2")
    stop(stage, "buy", "falls_to", "9900", price="9500", order_id="s")
    stage.buy("alice", "1", "9000")
    assert of_type(stage.mark("9900"), OrderCancelled) == []
    assert stage.account("alice")["open_orders"] == 2


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"trigger": "10100.05"}, "off_tick"), ({"qty": "0.0005"}, "off_lot"), ({"price": "10100.05"}, "off_tick")],
)
def test_the_grids_are_checked_when_a_stop_order_is_sent(fields: dict[str, str], code: str) -> None:
    fields = {"trigger": "10100"} | fields
    assert codes(stop(market(), "buy", "rises_to", fields.pop("trigger"), **fields)) == [code]


def test_a_stop_order_is_not_triggered_by_what_a_waiting_liquidation_traded_before_it_came() -> None:
    """long2 waits for its turn, which comes before carol's stop order is accepted, and sells to dave's bid at 9,200."""
    stage = open_market(limits="liquidations_per_command = 1")
    for name in ("long1", "long2", "carol", "dave"):
        stage.deposit(name, "20000")
    for name in ("long1", "long2"):
        stage.open_position(name, "buy", "1", "10000", "10", against="bob")
    stage.buy("dave", "2", "9200")
    stop(stage, "sell", "rises_to", "20000", order_id="another", trigger_by="last")  # somebody watches what trades
    started = apply_alone(stage, "price.mark", market=MARKET, price="9010")
    assert len(of_type(started, LiquidationStarted)) == 1
    new = {"market": MARKET, "account": "carol", "side": "buy", "kind": "market", "qty": "1", "trigger_by": "last"}
    events = apply_alone(stage, "order.new", **new, order_id="s", trigger_price="9500", trigger_when="falls_to")
    assert len(of_type(events, LiquidationStarted)) == 1
    assert of_type(events, OrderTriggered) == []
