"""Orders after they rest: cancel, cancel-all, amend; ids that are taken; and every code an order is refused with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.fixed import AMOUNT_LIMIT
from engine.reject import Code
from schemas.envelope import Event
from schemas.events import OrderAccepted, OrderAmended, OrderCancelled, OrderRejected, PriceRejected, TradeExecuted
from schemas.wire import decode_command
from tests.engine.stage import MARKET, SECOND, Stage, codes, of_type, second_market
from tests.engine.test_orders import cancels, open_market, prints

MINUTE = 60 * SECOND
TWO_TIERS = """[{ up_to = "50000", initial = "0.01", maintenance = "0.005" },
                { up_to = "200000", initial = "0.2", maintenance = "0.1" }]"""

# --- cancel ---------------------------------------------------------------------------------------------------


def test_a_cancelled_order_leaves_the_book_and_gives_its_margin_back() -> None:
    stage = open_market()
    stage.buy("alice", "1", "9000", order_id="a")
    assert stage.account("alice")["free"] == "99100.000000"
    assert cancels(stage.cancel("alice", "a")) == [("a", "1.000", "requested")]
    assert stage.book("buy") == []
    assert stage.account("alice")["free"] == "100000.000000"


def test_a_cancel_says_what_was_left_of_the_order() -> None:
    stage = open_market()
    stage.buy("alice", "1", "10000", order_id="a")
    stage.sell("bob", "0.4", "10000")
    assert cancels(stage.cancel("alice", "a")) == [("a", "0.600", "requested")]


def test_only_an_open_order_of_the_account_itself_can_be_cancelled_or_amended() -> None:
    stage = open_market()
    stage.buy("alice", "1", "9000", order_id="a")
    before = stage.rows()
    assert codes(stage.cancel("bob", "a")) == ["unknown_order"]
    assert codes(stage.amend("bob", "a", qty="2")) == ["unknown_order"]
    assert codes(stage.cancel("alice", "b")) == ["unknown_order"]
    assert stage.rows() == before
    stage.cancel("alice", "a")
    assert codes(stage.cancel("alice", "a")) == ["unknown_order"]
    assert codes(stage.amend("alice", "a", qty="2")) == ["unknown_order"]


def test_cancel_all_takes_the_orders_of_one_account_out_market_by_market() -> None:
    stage = open_market(market=second_market())
    stage.send("price.mark", market="ETH-USDT", price="2000")
    stage.deposit("alice", "1")
    for order_id, side in (("a", "buy"), ("b", "sell"), ("c", "buy")):
        eth = {"market": "ETH-USDT", "account": "alice", "order_id": f"eth-{order_id}", "side": side, "kind": "limit"}
        stage.send("order.new", **eth, price="1900" if side == "buy" else "2100", qty="1")
    stage.buy("alice", "1", "9000", order_id="d")
    stage.sell("alice", "1", "11000", order_id="e")
    stage.buy("bob", "1", "9000", order_id="bobs")
    events = stage.send("order.cancel_all", shard="usdt", account="alice")
    assert [(event.market, event.order_id, event.reason) for event in of_type(events, OrderCancelled)] == [
        (MARKET, "d", "requested"),
        (MARKET, "e", "requested"),
        ("ETH-USDT", "eth-a", "requested"),
        ("ETH-USDT", "eth-b", "requested"),
        ("ETH-USDT", "eth-c", "requested"),
    ]
    assert [order_id for _, order_id, _ in stage.book("buy")] == ["bobs"]
    assert stage.account("alice")["free"] == stage.account("alice")["wallet"]


def test_cancel_all_of_one_market_leaves_the_others_alone() -> None:
    stage = open_market(market=second_market())
    stage.send("price.mark", market="ETH-USDT", price="2000")
    eth = {"market": "ETH-USDT", "account": "alice", "order_id": "a", "side": "buy", "kind": "limit"}
    stage.send("order.new", **eth, price="1900", qty="1")
    stage.buy("alice", "1", "9000", order_id="a")
    events = stage.send("order.cancel_all", shard="usdt", account="alice", market="ETH-USDT")
    assert [event.market for event in of_type(events, OrderCancelled)] == ["ETH-USDT"]
    assert stage.book("buy") == [("9000.0", "a", "1.000")]
    assert stage.book("buy", "ETH-USDT") == []


# --- amend ----------------------------------------------------------------------------------------------------


def two_bids(**given_settings: str) -> Stage:
    """alice and bob bid 1 at 9,990, alice first; carol asks 1 at 10,010."""
    stage = open_market(**given_settings)
    stage.buy("alice", "1", "9990", order_id="a")
    stage.buy("bob", "1", "9990", order_id="b")
    stage.sell("carol", "1", "10010", order_id="c")
    return stage


@pytest.mark.parametrize(
    ("change", "queue"),
    [
        ({"qty": "0.4"}, [("9990.0", "a", "0.400"), ("9990.0", "b", "1.000")]),
        ({"qty": "1"}, [("9990.0", "a", "1.000"), ("9990.0", "b", "1.000")]),
        ({"qty": "0.4", "price": "9990"}, [("9990.0", "a", "0.400"), ("9990.0", "b", "1.000")]),
        ({"price": "9990.0"}, [("9990.0", "a", "1.000"), ("9990.0", "b", "1.000")]),
        ({"qty": "1.001"}, [("9990.0", "b", "1.000"), ("9990.0", "a", "1.001")]),
        ({"price": "9990.1"}, [("9990.1", "a", "1.000"), ("9990.0", "b", "1.000")]),
        ({"price": "9989.9"}, [("9990.0", "b", "1.000"), ("9989.9", "a", "1.000")]),
        ({"price": "9989.9", "qty": "0.1"}, [("9990.0", "b", "1.000"), ("9989.9", "a", "0.100")]),
    ],
)
def test_only_a_pure_decrease_keeps_the_place_in_the_queue(
    change: dict[str, str], queue: list[tuple[str, str, str]]
) -> None:
    stage = two_bids()
    events = stage.amend("alice", "a", **change)
    (amended,) = of_type(events, OrderAmended)
    assert [type(event) for event in events] == [OrderAmended]
    assert stage.book("buy") == queue
    assert (amended.price, "a", amended.remaining) in queue


def test_an_order_that_left_the_price_and_came_back_is_the_last_there() -> None:
    stage = two_bids()
    stage.amend("alice", "a", price="9980")
    stage.amend("alice", "a", price="9990")
    assert [order_id for _, order_id, _ in stage.book("buy")] == ["b", "a"]


def test_an_amendment_that_crosses_trades_at_the_makers_price_and_rests_the_remainder() -> None:
    stage = two_bids()
    events = stage.amend("alice", "a", price="10020", qty="1.5")
    assert [type(event) for event in events[:2]] == [OrderAmended, TradeExecuted]
    assert prints(events) == [("10010.0", "1.000", "c")]
    assert stage.book("buy") == [("10020.0", "a", "0.500"), ("9990.0", "b", "1.000")]
    (trade,) = of_type(events, TradeExecuted)
    assert (trade.taker.account, trade.taker.order_id) == ("alice", "a")


def test_an_amended_quantity_is_the_new_remainder_whatever_was_filled() -> None:
    stage = two_bids()
    stage.sell("carol", "0.3", "9990")
    stage.amend("alice", "a", qty="0.9")
    assert stage.book("buy") == [("9990.0", "b", "1.000"), ("9990.0", "a", "0.900")]
    stage.sell("carol", "1", "9990")
    stage.amend("alice", "a", qty="0.5")
    assert stage.book("buy") == [("9990.0", "a", "0.500")]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"qty": "1000"}, "insufficient_margin"),
        ({"price": "9999.95"}, "off_tick"),
        ({"qty": "0.0001"}, "off_lot"),
        ({"price": "9990", "qty": "21"}, "position_limit"),
        ({"price": "10010"}, "post_only"),
        ({"price": "10015", "qty": "0.5"}, "post_only"),
        ({"price": "9980"}, "book_full"),
    ],
)
def test_a_refused_amendment_leaves_the_order_as_it_was(change: dict[str, str], code: str) -> None:
    tiers = '[{ up_to = "200000", initial = "0.01", maintenance = "0.005" }]'
    if code == "insufficient_margin":
        tiers = tiers.replace("200000", "999999999")
    stage = open_market(tiers=tiers, limits="max_price_levels = 1" if code == "book_full" else "")
    stage.buy("alice", "1", "9990", order_id="a", post_only=True)
    stage.buy("bob", "1", "9990", order_id="b")
    stage.sell("carol", "1", "10010", order_id="c")
    before = stage.rows()
    assert codes(stage.amend("alice", "a", **change)) == [code]
    assert stage.rows() == before
    assert stage.book("buy") == [("9990.0", "a", "1.000"), ("9990.0", "b", "1.000")]


def test_an_order_alone_at_its_price_can_be_moved_while_the_side_is_full() -> None:
    """It leaves its level before it needs another one."""
    stage = open_market(limits="max_price_levels = 2")
    stage.buy("alice", "1", "9000", order_id="a")
    stage.buy("alice", "1", "8000", order_id="b")
    assert codes(stage.amend("alice", "b", price="8500")) == []
    assert stage.book("buy") == [("9000.0", "a", "1.000"), ("8500.0", "b", "1.000")]
    stage.buy("bob", "1", "8500", order_id="c")
    assert codes(stage.amend("alice", "b", price="8600")) == ["book_full"]
    assert codes(stage.amend("alice", "b", price="9000")) == []


def test_an_amended_order_stays_post_only_and_reduce_only() -> None:
    stage = two_bids()
    stage.buy("alice", "1", "9980", order_id="post", post_only=True)
    stage.amend("alice", "post", price="9985")
    assert codes(stage.amend("alice", "post", price="10010")) == ["post_only"]
    stage.open_position("dave", "sell", "1", "10000", "10", against="bob")
    stage.buy("dave", "1", "9980", order_id="close", reduce_only=True)
    events = stage.amend("dave", "close", price="9981", qty="7")
    assert [event.remaining for event in of_type(events, OrderAmended)] == ["1.000"]
    assert ("9981.0", "close", "1.000") in stage.book("buy")
    events = stage.amend("dave", "close", price="10020", qty="7")
    assert prints(events) == [("10010.0", "1.000", "c")]
    assert stage.account("dave")["positions"] == {}
    assert stage.account("dave")["open_orders"] == 0


def test_an_amended_order_is_kept_from_trading_with_its_own_account() -> None:
    stage = open_market()
    stage.sell("alice", "1", "10010", order_id="ask")
    stage.buy("alice", "1", "9990", order_id="bid", stp="cancel_both")
    events = stage.amend("alice", "bid", price="10010")
    assert cancels(events) == [("ask", "1.000", "self_trade"), ("bid", "1.000", "self_trade")]
    assert stage.book("buy") == stage.book("sell") == []
    assert stage.account("alice")["free"] == "100000.000000"


def test_an_amendment_moves_the_margin_that_the_order_holds_back() -> None:
    stage = open_market()
    stage.buy("alice", "1", "9000", order_id="a")
    for change, free in (({"qty": "2"}, "98200"), ({"price": "8000"}, "98400"), ({"qty": "0.5"}, "99600")):
        stage.amend("alice", "a", **change)
        assert stage.account("alice")["free"] == f"{free}.000000"


# --- ids ------------------------------------------------------------------------------------------------------


def test_an_order_id_is_taken_while_its_order_is_open_however_long() -> None:
    stage = open_market()
    stage.buy("alice", "1", "9000", order_id="a")
    stage.now += 100 * MINUTE
    assert codes(stage.buy("alice", "1", "9000", order_id="a")) == ["duplicate_order_id"]


def filled(stage: Stage) -> None:
    """Order a of alice trades whole."""
    stage.sell("bob", "1", "10000")
    stage.buy("alice", "1", "10000", order_id="a")


def requested(stage: Stage) -> None:
    """Order a of alice is cancelled."""
    stage.buy("alice", "1", "9000", order_id="a")
    stage.cancel("alice", "a")


def expired(stage: Stage) -> None:
    """Order a of alice is an IOC order that finds nobody."""
    stage.buy("alice", "1", order_id="a")


def killed(stage: Stage) -> None:
    """Order a of alice is a fill-or-kill order that finds nobody."""
    stage.buy("alice", "1", order_id="a", tif="fok")


def filled_at_rest(stage: Stage) -> None:
    """Order a of alice is a maker's."""
    stage.buy("alice", "1", "10000", order_id="a")
    stage.sell("bob", "1", "10000")


@pytest.mark.parametrize("close", [filled, requested, expired, killed, filled_at_rest])
def test_the_id_of_a_closed_order_cannot_be_used_again_for_sixty_seconds(close: Callable[[Stage], None]) -> None:
    stage = open_market()
    close(stage)
    stage.buy("bob", "1", "8000", order_id="a")  # another account has its own ids
    closed_at = stage.now - SECOND
    stage.now = closed_at + MINUTE - 1 - SECOND
    assert codes(stage.buy("alice", "1", "9000", order_id="a")) == ["duplicate_order_id"]
    stage.now = closed_at + MINUTE - SECOND
    assert codes(stage.buy("alice", "1", "9000", order_id="a")) == []


def test_every_id_is_remembered_for_its_own_sixty_seconds_however_many_follow() -> None:
    """Ids are forgotten in bulk, but none of them early: one closes every 7 seconds, each is tried at 59 and at 60."""
    stage = open_market()
    began = stage.now + SECOND

    def close(number: int, at: int) -> list[str]:
        stage.now = at - SECOND
        return codes(stage.buy("alice", "1", order_id=f"o{number}"))

    closed_at: dict[int, int] = {}
    for second in range(400):
        at = began + second * SECOND
        if second % 7 == 0:
            assert close(second, at) == []
            closed_at[second] = at
        for number, closed in list(closed_at.items()):
            if at == closed + MINUTE - SECOND:
                assert close(number, at) == ["duplicate_order_id"]
            elif at == closed + MINUTE:
                assert close(number, at) == []
                del closed_at[number]


def test_a_refused_order_leaves_its_id_free() -> None:
    stage = open_market()
    assert codes(stage.buy("alice", "1", "9000.05", order_id="a")) == ["off_tick"]
    assert codes(stage.buy("alice", "1", "9000", order_id="a")) == []


def test_an_order_too_old_to_rule_out_a_repetition_is_refused() -> None:
    stage = open_market()
    order = {"market": MARKET, "account": "alice", "side": "buy", "kind": "limit", "price": "9000", "qty": "1"}
    now = stage.now + SECOND
    stage.send("clock.tick")
    assert codes(stage.send("order.new", ts=now - MINUTE, order_id="a", **order)) == ["too_old"]
    assert codes(stage.send("order.new", ts=now - MINUTE + 1, order_id="a", **order)) == []


def test_the_memory_of_closed_orders_is_a_setting() -> None:
    stage = open_market(limits='closed_order_memory = "5s"')
    expired(stage)
    stage.now += 3 * SECOND
    assert codes(stage.buy("alice", "1", "9000", order_id="a")) == ["duplicate_order_id"]
    assert codes(stage.buy("alice", "1", "9000", order_id="a")) == []


# --- refusals -------------------------------------------------------------------------------------------------

ORDER = {"market": MARKET, "account": "alice", "order_id": "x", "side": "buy", "kind": "limit"}


@pytest.mark.parametrize(
    ("code", "order"),
    [
        ("unknown_market", {"market": "DOGE-USDT"}),
        ("unknown_account", {"account": "nobody"}),
        ("no_mark", {"market": "ETH-USDT"}),
        ("off_tick", {"price": "9000.05"}),
        ("off_lot", {"qty": "0.0001"}),
        ("duplicate_order_id", {"order_id": "open"}),
        ("reduce_only", {"reduce_only": True}),
        ("post_only", {"post_only": True, "price": "10010"}),
        ("book_full", {"price": "8990"}),
        ("position_limit", {"qty": "101"}),
        ("position_limit", {"qty": "101", "side": "sell", "price": "12000"}),
        ("insufficient_margin", {"qty": "99", "price": "10005"}),
    ],
)
def test_an_order_that_makes_no_sense_is_answered_with_a_code_and_changes_nothing(
    code: str, order: dict[str, Any]
) -> None:
    stage = open_market(limits="max_price_levels = 2", market=second_market())
    stage.buy("alice", "1", "9000", order_id="open")
    stage.buy("bob", "1", "8995")
    stage.sell("bob", "1", "10010")
    before = stage.rows()
    command = {**ORDER, "price": "9000", "qty": "1", **order}
    (refused,) = stage.send("order.new", **command)
    assert isinstance(refused, OrderRejected)
    assert refused.code == code
    assert refused.reason
    named = (refused.market, refused.account, refused.order_id)
    assert named == (command["market"], command["account"], command["order_id"])
    assert stage.rows() == before


def test_an_order_that_trades_whole_needs_no_room_in_the_book_and_a_remainder_without_room_is_cancelled() -> None:
    stage = open_market(limits="max_price_levels = 1")
    stage.sell("bob", "1", "11000")
    stage.buy("carol", "2", "10000", order_id="bid")
    assert prints(stage.sell("alice", "1", "10000")) == [("10000.0", "1.000", "bid")]
    events = stage.sell("alice", "3", "10000", order_id="a")
    assert prints(events) == [("10000.0", "1.000", "bid")]
    assert cancels(events) == [("a", "2.000", "book_full")]
    assert codes(stage.sell("alice", "1", "10000")) == ["book_full"]
    assert codes(stage.sell("alice", "1", "11000")) == []


def test_every_code_of_a_refusal_is_given_somewhere() -> None:
    """What docs/wire.md lists comes from the type that lists the codes."""
    engine = Path(__file__).parents[2] / "engine"
    sources = [path.read_text("utf-8") for path in engine.glob("*.py") if path.name != "reject.py"]
    sources.append((engine.parent / "schemas" / "config_change.py").read_text("utf-8"))
    assert [code for code in get_args(Code) if not any(f'"{code}"' in source for source in sources)] == []


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("unknown_market", {"market": "DOGE-USDT"}),
        ("off_tick", {"price": "10000.05"}),
        ("amount_too_large", {"price": "92233720368547758.1"}),
        ("amount_too_large", {"price": "92233720368547.8"}),
    ],
)
def test_a_mark_that_makes_no_sense_is_refused_and_the_last_one_stays(code: str, named: dict[str, str]) -> None:
    """One lot of 0.001 is worth 2^63 units at 9.2e15; a position of 1 at 9.2e12."""
    stage = open_market()
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    before = stage.rows()
    (refused,) = stage.send("price.mark", **{"market": MARKET, "price": "10000", **named})
    assert isinstance(refused, PriceRejected)
    assert (refused.code, refused.market) == (code, named.get("market", MARKET))
    assert stage.rows() == before


@pytest.mark.parametrize("up_to", ["20000", "1000000", "9000000000000"])
@settings(max_examples=80)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 17), st.integers(1, 99), st.sampled_from(["", "0.001", "0.1", "7", "300", "90000"])),
        min_size=1,
        max_size=8,
    )
)
def test_a_mark_is_refused_exactly_when_a_position_would_be_worth_two_to_the_63_units(
    up_to: str, steps: list[tuple[int, int, str]]
) -> None:
    """Positions are opened at marks between 0.1 and 10^18, and marks move to anywhere between."""
    stage = Stage(tiers=f'[{{ up_to = "{up_to}", initial = "0.01", maintenance = "0.005" }}]')
    for name in ("alice", "bob"):
        stage.deposit(name, "4000000000000")
    market = stage.venue.shards["usdt"].state.markets[MARKET]
    for exponent, digits, qty in steps:
        mark = digits * 10**exponent
        largest = max((position.parcel.lots for position in market.positions.values()), default=1)
        too_large = market.spec.value(mark, max(1, largest)) >= AMOUNT_LIMIT
        assert codes(stage.mark(market.spec.ticks.text(mark))) == (["amount_too_large"] if too_large else [])
        if qty and not too_large:
            stage.sell("bob", qty, market.spec.ticks.text(mark))
            stage.buy("alice", qty, market.spec.ticks.text(mark))
            for name in ("alice", "bob"):
                stage.send("order.cancel_all", shard="usdt", account=name)


def test_a_refused_first_order_does_not_make_the_account_known_to_the_market() -> None:
    """Who is known there is worked through in the order of appearance, so it is state."""
    stage = open_market()
    before = stage.rows()
    assert codes(stage.buy("alice", "1000", "10000")) == ["position_limit"]
    assert codes(stage.sell("alice", "1", "10000", reduce_only=True)) == ["reduce_only"]
    assert codes(stage.buy("alice", "1", "10000.05")) == ["off_tick"]
    assert stage.rows() == before


@pytest.mark.parametrize("kind", ["order.cancel", "order.amend"])
@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("unknown_market", {"market": "DOGE-USDT"}),
        ("unknown_account", {"account": "nobody"}),
        ("unknown_order", {"order_id": "other"}),
    ],
)
def test_a_change_to_an_order_that_is_not_there_is_refused(kind: str, code: str, named: dict[str, str]) -> None:
    stage = open_market()
    stage.buy("alice", "1", "9000", order_id="x")
    change = {"qty": "1"} if kind == "order.amend" else {}
    command = {"market": MARKET, "account": "alice", "order_id": "x", **change, **named}
    assert codes(stage.send(kind, **command)) == [code]


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("unknown_market", {"market": "DOGE-USDT"}),
        ("unknown_account", {"account": "nobody"}),
        ("wrong_shard", {"shard": "other"}),
    ],
)
def test_a_cancel_all_that_names_nothing_known_is_refused(code: str, named: dict[str, str]) -> None:
    stage = open_market()
    stage.buy("alice", "1", "9000", order_id="x")
    (refused,) = stage.send("order.cancel_all", **{"shard": "usdt", "account": "alice", **named})
    assert isinstance(refused, OrderRejected)
    assert (refused.code, refused.account) == (code, named.get("account", "alice"))
    assert len(stage.book("buy")) == 1


def apply_alone(stage: Stage, type_: str, **fields: Any) -> list[Event]:
    """Apply a command to the engine while settlement does not answer."""
    stage.now += SECOND
    record = orjson.dumps({"type": type_, "ts": stage.now, **fields})
    return stage.venue.shards["usdt"].apply(decode_command(record))


def test_while_settlement_is_behind_only_orders_that_reduce_risk_are_taken() -> None:
    """Two bankrupt longs without bids leave two open questions; the limit is one."""
    stage = open_market(limits="max_open_residuals = 1")
    for name in ("long1", "long2"):
        stage.deposit(name, "1000")
        stage.open_position(name, "buy", "1", "10000", "10", against="bob")
    stage.buy("carol", "0.5", "5000", order_id="resting")
    assert codes(apply_alone(stage, "price.mark", market=MARKET, price="8000")) == []
    order = {"market": MARKET, "kind": "limit", "price": "8000", "qty": "1"}
    for side, account in (("buy", "alice"), ("sell", "bob")):
        refused = apply_alone(stage, "order.new", **order, account=account, side=side, order_id=f"{side}1")
        assert codes(refused) == ["settlement_behind"]
    assert codes(apply_alone(stage, "order.new", **order, account="bob", side="buy", order_id="less")) == []
    assert (
        codes(apply_alone(stage, "order.new", **order, account="bob", side="buy", order_id="only", reduce_only=True))
        == []
    )
    flip = apply_alone(stage, "order.new", **{**order, "qty": "3"}, account="bob", side="buy", order_id="flip")
    assert codes(flip) == ["settlement_behind"]
    amend = {"market": MARKET, "account": "carol", "order_id": "resting"}
    assert codes(apply_alone(stage, "order.amend", **amend, qty="2")) == ["settlement_behind"]
    assert codes(apply_alone(stage, "order.amend", **amend, qty="0.1")) == []
    assert codes(apply_alone(stage, "order.cancel", **amend)) == []


def test_an_open_question_up_to_the_limit_hinders_nobody() -> None:
    stage = open_market(limits="max_open_residuals = 1")
    stage.deposit("long1", "1000")
    stage.open_position("long1", "buy", "1", "10000", "10", against="bob")
    apply_alone(stage, "price.mark", market=MARKET, price="8000")
    order = {"market": MARKET, "kind": "limit", "price": "8000", "qty": "1"}
    accepted = apply_alone(stage, "order.new", **order, account="alice", side="buy", order_id="a")
    assert [type(event) for event in accepted] == [OrderAccepted]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("order.new", {"order_id": "y", "side": "buy", "kind": "limit", "price": "9000", "qty": "0.001"}),
        ("order.cancel", {"order_id": "x"}),
        ("order.amend", {"order_id": "x", "qty": "0.002"}),
        ("order.cancel_all", {}),
    ],
)
def test_an_account_that_waits_for_its_liquidation_cannot_touch_its_orders(kind: str, fields: dict[str, Any]) -> None:
    """Of three bankrupt accounts one is liquidated at the mark, one before the next command, and one waits."""
    stage = open_market(limits="liquidations_per_command = 1")
    for name in ("long1", "long2", "long3"):
        stage.deposit(name, "1010")
        stage.open_position(name, "buy", "1", "10000", "10", against="bob")
        stage.buy(name, "0.001", "1000", order_id="x")
    apply_alone(stage, "price.mark", market=MARKET, price="9000")
    where = {"shard": "usdt"} if kind == "order.cancel_all" else {"market": MARKET}
    assert codes(apply_alone(stage, kind, account="long3", **where, **fields)) == ["in_liquidation"]
    apply_alone(stage, "clock.tick")
    assert not stage.venue.shards["usdt"].state.waiting
    again = codes(apply_alone(stage, kind, account="long3", **where, **fields))
    assert again == (["unknown_order"] if "order_id" in fields and kind != "order.new" else [])
