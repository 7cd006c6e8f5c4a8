"""Orders that expire and dead-man switches, by event time."""

import pytest

from schemas.events import AccountRejected, AccountUpdated, OrderAccepted, OrderCancelled, TradeExecuted
from tests.engine.stage import MARKET, SECOND, Stage, codes, of_type, second_market


def market(**settings: str) -> Stage:
    """alice and bob with money, at a mark of 10,000."""
    stage = Stage(**settings)
    for account in ("alice", "bob"):
        stage.deposit(account, "1000000")
    stage.mark("10000")
    return stage


def cancelled(stage: Stage) -> list[tuple[str, str]]:
    """Order ids and reasons of all cancellations so far."""
    return [(event.order_id, event.reason) for event in of_type(stage.events, OrderCancelled)]


def switch(stage: Stage, seconds: int, account: str = "alice") -> list[object]:
    """Set the dead-man switch."""
    return list(stage.send("account.cancel_after", shard="usdt", account=account, seconds=seconds))


def test_an_order_good_till_time_leaves_at_that_event_time_and_not_before() -> None:
    stage = market()
    stage.buy("alice", "1", "9000", order_id="a", tif="gtt", expire_at=stage.now + 4 * SECOND)
    stage.send("clock.tick")
    stage.send("clock.tick")
    assert cancelled(stage) == []
    stage.send("clock.tick")
    assert cancelled(stage) == [("a", "expired")]
    assert stage.account("alice")["free"] == "1000000.000000"


def test_an_expired_order_is_gone_before_the_command_that_brings_the_time() -> None:
    stage = market()
    stage.buy("alice", "1", "9000", order_id="a", tif="gtt", expire_at=stage.now + 2 * SECOND)
    events = stage.sell("bob", "1", "9000")
    assert of_type(events, TradeExecuted) == []
    assert cancelled(stage) == [("a", "expired")]


def test_an_order_that_is_expired_already_is_rejected() -> None:
    stage = market()
    assert codes(stage.buy("alice", "1", "9000", tif="gtt", expire_at=stage.now + SECOND)) == ["expired"]


def test_an_amended_order_keeps_its_time() -> None:
    stage = market()
    stage.buy("alice", "1", "9000", order_id="a", tif="gtt", expire_at=stage.now + 3 * SECOND)
    stage.amend("alice", "a", price="9100")
    stage.send("clock.tick")
    assert cancelled(stage) == [("a", "expired")]


def test_the_timer_of_an_order_that_is_gone_does_not_touch_another_of_its_name() -> None:
    stage = market(limits='closed_order_memory = "1s"')
    stage.buy("alice", "1", "9000", order_id="a", tif="gtt", expire_at=stage.now + 5 * SECOND)
    stage.cancel("alice", "a")
    stage.send("clock.tick")
    assert of_type(stage.buy("alice", "1", "9000", order_id="a"), OrderAccepted)
    stage.send("clock.tick")
    assert cancelled(stage) == [("a", "requested")]


def test_orders_leave_when_the_dead_man_switch_is_not_set_again_in_time() -> None:
    stage = market()
    stage.buy("alice", "1", "9000", order_id="a")
    stage.sell("alice", "1", "11000", order_id="b")
    stage.buy("bob", "1", "9000", order_id="c")
    (answer,) = switch(stage, 3)
    assert isinstance(answer, AccountUpdated)
    assert answer.cancel_at == stage.now + 3 * SECOND
    stage.send("clock.tick")
    switch(stage, 3)
    stage.send("clock.tick")
    stage.send("clock.tick")
    assert cancelled(stage) == []
    stage.send("clock.tick")
    assert cancelled(stage) == [("a", "disconnected"), ("b", "disconnected")]


def test_zero_switches_the_dead_man_switch_off_and_it_goes_off_once() -> None:
    stage = market()
    stage.buy("alice", "1", "9000", order_id="a")
    switch(stage, 2)
    switch(stage, 0)
    for _ in range(4):
        stage.send("clock.tick")
    assert cancelled(stage) == []
    switch(stage, 1)
    stage.send("clock.tick")
    stage.buy("alice", "1", "9000", order_id="b")
    stage.send("clock.tick")
    assert cancelled(stage) == [("a", "disconnected")]


@pytest.mark.parametrize(
    ("shard", "account", "code"), [("usdt", "zoe", "unknown_account"), ("eth", "alice", "wrong_shard")]
)
def test_a_switch_for_nobody_is_rejected(shard: str, account: str, code: str) -> None:
    stage = market()
    (refused,) = stage.send("account.cancel_after", shard=shard, account=account, seconds=5)
    assert isinstance(refused, AccountRejected)
    assert refused.code == code


def test_timers_above_the_cap_go_off_before_the_next_command_in_their_order() -> None:
    stage = market(limits="timers_per_command = 2")
    for name in ("d", "c", "b", "a"):
        stage.buy("alice", "1", "9000", order_id=name, tif="gtt", expire_at=1_700_000_100 * SECOND)
    stage.now = 1_700_000_100 * SECOND
    stage.send("clock.tick")
    assert cancelled(stage) == [("a", "expired"), ("b", "expired")]
    stage.send("clock.tick")
    assert cancelled(stage)[2:] == [("c", "expired"), ("d", "expired")]


def test_a_dead_man_switch_at_the_end_of_time_goes_off_no_later_than_time_itself() -> None:
    stage = Stage()
    stage.deposit("bob", "1")
    stage.now = 2**63 - 1 - SECOND
    (answer,) = of_type(stage.send("account.cancel_after", shard="usdt", account="bob", seconds=1), AccountUpdated)
    assert answer.cancel_at == 2**63 - 1


def two_markets(first: str, second: str) -> Stage:
    """bob has set his leverage in two markets, in this order, and then has an order in each."""
    stage = Stage(market=second_market())
    stage.deposit("bob", "1000000")
    for market, price in ((MARKET, "10000"), ("ETH-USDT", "1000")):
        stage.send("price.mark", market=market, price=price)
    for market in (first, second):
        stage.send("account.leverage", market=market, account="bob", leverage="10")
    return stage


def test_a_switch_goes_through_the_markets_in_the_order_of_the_config_not_in_that_of_the_account() -> None:
    one, other = two_markets(MARKET, "ETH-USDT"), two_markets("ETH-USDT", MARKET)
    assert one.venue.state_hash() == other.venue.state_hash()
    futures = []
    for stage in (one, other):
        for market, price in ((MARKET, "9000"), ("ETH-USDT", "900")):
            fields = {"order_id": f"o:{market}", "side": "buy", "kind": "limit", "price": price, "qty": "1"}
            stage.send("order.new", market=market, account="bob", **fields)
        stage.send("account.cancel_after", shard="usdt", account="bob", seconds=1)
        stage.now += 5 * SECOND
        futures.append([event.market for event in of_type(stage.send("clock.tick"), OrderCancelled)])
    assert futures == [[MARKET, "ETH-USDT"], [MARKET, "ETH-USDT"]]
