"""The status of a market: what a halted market does not do, and what a reduce-only market takes."""

from schemas.claims import TakeoverExhausted, TakeoverFilled
from schemas.events import LiquidationStarted, OrderCancelled, OrderTriggered, TradeExecuted
from tests.engine.stage import MARKET, SECOND, codes, of_type, second_market
from tests.engine.test_config_change import change_market
from tests.engine.test_late_decisions import Late
from tests.engine.test_order_commands import open_market


def test_a_halted_market_takes_cancels_only() -> None:
    stage = open_market()
    stage.buy("alice", "1", "9000", order_id="open")
    change_market(stage, status="halted")
    assert codes(stage.buy("alice", "1", "9000")) == ["market_halted"]
    assert codes(stage.buy("alice", "1", trigger_price="11000", trigger_when="rises_to")) == ["market_halted"]
    assert codes(stage.amend("alice", "open", qty="0.5")) == ["market_halted"]
    assert codes(stage.funding("0.01")) == ["market_halted"]
    assert codes(stage.cancel("alice", "open")) == []
    change_market(stage, status="open")
    assert codes(stage.buy("alice", "1", "9000")) == []


def test_positions_of_a_halted_market_are_liquidated_at_its_first_mark_after() -> None:
    stage = open_market()
    stage.open_position("alice", "buy", "1", "10000", "20", against="bob")
    change_market(stage, status="halted")
    assert of_type(stage.mark("9000"), LiquidationStarted) == []
    assert of_type(stage.mark("8000"), LiquidationStarted) == []
    assert codes(stage.deposit("alice", "1")) == []
    assert of_type(change_market(stage, status="open"), LiquidationStarted) == []
    (started,) = of_type(stage.mark("8000"), LiquidationStarted)
    assert started.account == "alice"


def test_who_is_due_in_a_halted_market_does_not_wait_behind_others() -> None:
    """One liquidation per command, and three in another market before alice comes to be due."""
    late, eth = Late(market=second_market(), limits="liquidations_per_command = 1"), "ETH-USDT"
    late.send("price.mark", market=eth, price="100")
    late.mark("10000")
    for account, amount in (("bob", "100000"), ("alice", "600"), ("e1", "6"), ("e2", "6"), ("e3", "6")):
        late.fund_account(account, amount, "20")
        late.send("account.leverage", market=eth, account=account, leverage="20")
    late.order("bob", "sell", "1", "10000")
    late.order("alice", "buy", "1", "10000")
    for account in ("e1", "e2", "e3"):
        for who, side in (("bob", "sell"), (account, "buy")):
            order = {"side": side, "kind": "limit", "qty": "1", "price": "100", "order_id": account}
            assert codes(late.send("order.new", market=eth, account=who, **order)) == []
    late.send("config.set", changes={"markets": {MARKET: {"status": "halted"}}})
    assert len(of_type(late.send("price.mark", market=eth, price="90"), LiquidationStarted)) == 1
    assert len(of_type(late.mark("9000"), LiquidationStarted)) == 1
    events = late.send("account.margin", market=MARKET, account="alice", amount="1")
    assert len(of_type(events, LiquidationStarted)) == 1
    assert codes(events) == []


def test_who_waits_for_a_liquidation_is_let_go_when_the_market_is_halted() -> None:
    late = Late(limits="liquidations_per_command = 1")
    late.mark("10000")
    late.fund_account("bob", "100000", "20")
    for account in ("alice", "carol", "dora"):
        late.fund_account(account, "500", "20")
        late.order("bob", "sell", "1", "10000")
        late.order(account, "buy", "1", "10000")
    assert len(of_type(late.mark("9000"), LiquidationStarted)) == 1
    events = late.send("config.set", changes={"markets": {MARKET: {"status": "halted"}}})
    assert len(of_type(events, LiquidationStarted)) == 1, "the change comes after what waited before it"
    assert late.shard.state.waiting
    assert of_type(late.send("clock.tick"), LiquidationStarted) == []
    assert not late.shard.state.waiting
    late.send("config.set", changes={"markets": {MARKET: {"status": "open"}}})
    assert len(of_type(late.mark("9000"), LiquidationStarted)) == 1


def test_who_is_healthy_again_when_a_halted_market_opens_is_left_alone() -> None:
    stage = open_market()
    stage.open_position("alice", "buy", "1", "10000", "20", against="bob")
    change_market(stage, status="halted")
    stage.mark("9000")
    change_market(stage, status="open")
    assert of_type(stage.mark("9990"), LiquidationStarted) == []
    assert len(of_type(stage.mark("9500"), LiquidationStarted)) == 1


def test_a_cross_account_gives_what_it_has_in_markets_that_are_not_halted() -> None:
    stage = open_market(market=second_market(settings='default_mode = "cross"'))
    stage.send("price.mark", market="ETH-USDT", price="100")
    stage.deposit("crux", "600")
    stage.send("account.margin_mode", market=MARKET, account="crux", mode="cross")
    stage.open_position("crux", "buy", "1", "10000", "20", against="bob")
    for account, side in (("carol", "sell"), ("crux", "buy")):
        order = {"account": account, "side": side, "kind": "limit", "qty": "5", "price": "100", "order_id": f"e{side}"}
        assert codes(stage.send("order.new", market="ETH-USDT", **order)) == []
    change_market(stage, status="halted")
    started = of_type(stage.mark("9400"), LiquidationStarted)
    assert [event.market for event in started] == ["ETH-USDT"]
    assert of_type(stage.mark("9300"), LiquidationStarted) == []
    assert codes(stage.deposit("crux", "1")) == []
    change_market(stage, status="open")
    started = of_type(stage.mark("9300"), LiquidationStarted)
    assert [event.market for event in started] == [MARKET]


def test_inventory_of_a_halted_market_is_not_unwound_nor_asked_about_and_stop_orders_wait() -> None:
    stage = open_market(opening="1000")
    stage.deposit("dora", "500")
    stage.open_position("dora", "buy", "1", "10000", "20", against="bob")
    stage.buy("alice", "1", trigger_price="10900", trigger_when="rises_to")
    stage.mark("9500")
    assert stage.venue.shards["usdt"].state.markets[MARKET].residuals
    stage.buy("carol", "1", "10600")
    change_market(stage, status="halted")
    assert of_type(stage.mark("11000"), TakeoverFilled, OrderTriggered) == []
    assert of_type(stage.mark("9000"), TakeoverExhausted) == []
    stage.now += 601 * SECOND
    assert of_type(stage.send("clock.tick"), TakeoverExhausted) == []
    change_market(stage, status="open")
    (exhausted,) = of_type(stage.mark("11000"), TakeoverExhausted)
    assert exhausted.reason == "max_age"


def test_inventory_is_unwound_and_stop_orders_are_triggered_at_the_first_mark_after_a_halt() -> None:
    stage = open_market(opening="1000")
    stage.deposit("dora", "500")
    stage.open_position("dora", "buy", "1", "10000", "20", against="bob")
    stage.buy("alice", "1", trigger_price="10900", trigger_when="rises_to")
    stage.mark("9500")
    stage.buy("carol", "1", "10600")
    change_market(stage, status="halted")
    stage.mark("11000")
    change_market(stage, status="open")
    events = stage.mark("11000")
    assert len(of_type(events, TakeoverFilled)) == len(of_type(events, OrderTriggered)) == 1


def test_a_stop_order_whose_price_has_come_before_a_halt_is_refused() -> None:
    """One is activated by the mark, one before the change, and the third comes too late."""
    stage = open_market(limits="stops_per_command = 1")
    for number in range(3):
        stage.buy("alice", "0.01", "9000", trigger_price="10100", trigger_when="rises_to", order_id=f"s{number}")
    stage.mark("10200")
    change_market(stage, status="halted")
    (cancelled,) = of_type(stage.send("clock.tick"), OrderCancelled)
    assert (cancelled.order_id, cancelled.reason, cancelled.code) == ("s2", "refused", "market_halted")


def test_what_settlement_answers_during_a_halt_is_applied_but_for_the_book() -> None:
    """The fund takes over and waits for the book; ADL needs none."""
    for opening, kind in (("1000", "takeover.approved"), ("0", "adl.executed")):
        late = Late(opening=opening)
        for account, amount in (("alice", "500"), ("bob", "100000"), ("carol", "100000")):
            late.fund_account(account, amount, "20")
        late.mark("10000")
        late.order("bob", "sell", "1", "10000")
        late.order("alice", "buy", "1", "10000")
        late.mark("9400")
        assert late.decisions
        late.order("carol", "buy", "1", "9400")
        late.send("config.set", changes={"markets": {MARKET: {"status": "halted"}}})
        decided = [type(decision).__struct_config__.tag for decision in late.decisions]
        events = late.deliver()
        assert kind in decided + [type(event).__struct_config__.tag for event in events]
        assert of_type(events, TradeExecuted) == []


def test_a_reduce_only_market_takes_only_what_reduces() -> None:
    stage = open_market()
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    change_market(stage, status="reduce_only")
    assert codes(stage.buy("alice", "0.001", "9000")) == ["market_reduce_only"]
    assert codes(stage.sell("alice", "1.001", "10000")) == ["market_reduce_only"]
    assert codes(stage.sell("alice", "1", "10000")) == []
    assert len(of_type(stage.buy("bob", "0.5", "10000"), TradeExecuted)) == 1


def test_an_order_from_before_that_would_open_is_left_when_it_is_met() -> None:
    stage = open_market()
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    stage.buy("carol", "1", "9990", order_id="opens")
    change_market(stage, status="reduce_only")
    events = stage.sell("alice", "1", "9990", tif="ioc")
    assert of_type(events, TradeExecuted) == []
    assert ("opens", "reduce_only") in [(event.order_id, event.reason) for event in of_type(events, OrderCancelled)]
