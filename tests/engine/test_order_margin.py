"""What orders cost, what fills may do, what is charged: worked to the unit, and nothing that colluders can gain."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.position import Parcel
from schemas.claims import FeeShareAccrued
from schemas.envelope import Event
from schemas.events import (
    AccountRejected,
    FundCredited,
    LedgerPosted,
    LiquidationStarted,
    OrderCancelled,
    OrderRejected,
    PositionUpdated,
    TradeExecuted,
)
from tests.engine.stage import Stage, codes, of_type, second_market
from tests.engine.test_orders import cancels, open_market, prints

FEES = 'maker_fee = "0.0002"\ntaker_fee = "0.0005"'
TWO_TIERS = """[{ up_to = "50000", initial = "0.01", maintenance = "0.005" },
                { up_to = "200000", initial = "0.2", maintenance = "0.1" }]"""

UNIT = Fraction(1, 10**6)


def decimal(value: Fraction) -> str:
    """An amount in the canonical form of USDT."""
    units = value / UNIT
    assert units.denominator == 1
    return f"{units.numerator // 10**6}.{units.numerator % 10**6:06}"


# --- acceptance -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "price", "leverage", "need"),
    [
        # initial margin + the dearer fee, 0.05 % + what it would lose at once against the mark of 10,000
        ("buy", "10000", "10", "1005.000000"),
        ("buy", "9000", "10", "904.500000"),
        ("buy", "10100", "10", "1115.050000"),
        ("sell", "10000", "10", "1005.000000"),
        ("sell", "11000", "10", "1105.500000"),
        ("sell", "9900", "10", "1094.950000"),
        ("buy", "10000", "3", "3338.333334"),  # 3,333.3333… is rounded up
        ("buy", "10000", "33.3", "305.300301"),
        ("buy", "10000", "0.5", "20005.000000"),
    ],
)
def test_an_order_needs_initial_margin_fee_and_open_loss_to_the_unit(
    side: str, price: str, leverage: str, need: str
) -> None:
    stage = Stage(market=FEES)
    stage.mark("10000")
    short_of_it = decimal(Fraction(need) - UNIT)
    stage.deposit("alice", short_of_it)
    stage.leverage("alice", leverage)
    order = stage.buy if side == "buy" else stage.sell
    (refused,) = order("alice", "1", price)
    assert isinstance(refused, OrderRejected)
    assert (refused.code, refused.reason) == (
        "insufficient_margin",
        f"position and orders need {need} in BTC-USDT, {short_of_it} is there",
    )
    stage.deposit("alice", "0.000001")
    assert codes(order("alice", "1", price)) == []
    assert stage.account("alice")["free"] == "0.000000"
    assert codes(order("alice", "0.001", price)) == ["insufficient_margin"]


def test_the_orders_of_a_side_add_up_and_the_worse_side_counts() -> None:
    stage = open_market()
    for side, price, qty, free in (
        (stage.buy, "9000", "1", "99100"),
        (stage.sell, "11000", "0.5", "99100"),  # 550 is less than 900
        (stage.sell, "11000", "1", "98350"),  # 1,650
        (stage.buy, "8000", "1", "98300"),  # 1,700
    ):
        assert codes(side("alice", qty, price)) == []
        assert stage.account("alice")["free"] == f"{free}.000000"


def test_orders_that_add_to_a_position_need_their_margin_and_those_that_close_it_need_none() -> None:
    stage = open_market()
    stage.deposit("poor", "1000")
    stage.open_position("poor", "buy", "1", "10000", "10", against="bob")
    assert stage.account("poor")["wallet"] == "0.000000"
    assert codes(stage.buy("poor", "0.001", "9000")) == ["insufficient_margin"]
    assert codes(stage.sell("poor", "0.4", "11000")) == []
    assert codes(stage.sell("poor", "0.6", "12000")) == []
    assert codes(stage.sell("poor", "0.001", "11000")) == ["insufficient_margin"]
    assert stage.account("poor")["free"] == "0.000000"


def test_what_exceeds_the_position_needs_its_share_of_the_cost() -> None:
    stage = open_market()
    stage.deposit("long", "1500")
    stage.open_position("long", "buy", "1", "10000", "10", against="bob")
    stage.sell("long", "1.4", "10000")  # 0.4 of 1.4 of 1,400
    assert stage.account("long")["free"] == "100.000000"
    assert codes(stage.sell("long", "0.1", "10001")) == ["insufficient_margin"]  # 0.5 of 1.5 of 1,500.01
    assert codes(stage.sell("long", "0.1", "10000")) == []
    assert stage.account("long")["free"] == "0.000000"


def test_the_orders_of_all_markets_share_one_wallet() -> None:
    stage = open_market(market=second_market())
    stage.send("price.mark", market="ETH-USDT", price="2000")
    stage.buy("alice", "50", "10000")
    eth = {"market": "ETH-USDT", "account": "alice", "side": "sell", "kind": "limit", "price": "2000"}
    assert codes(stage.send("order.new", **eth, order_id="a", qty="250.01")) == ["insufficient_margin"]
    assert codes(stage.send("order.new", **eth, order_id="a", qty="250")) == []
    assert stage.account("alice")["free"] == "0.000000"


def test_the_share_of_the_cost_that_exceeds_the_position_is_rounded_up() -> None:
    """0.4 of 1.4 of ceil(14,000.14 ÷ 3) = 1,333.346666857…"""
    for side in ("buy", "sell"):
        stage = open_market()
        for name in ("alice", "bob"):
            stage.leverage(name, "3")
        stage.open_position("alice", side, "1", "10000", "3", against="bob")
        before = Fraction(stage.account("alice")["free"])
        order = stage.sell if side == "buy" else stage.buy
        order("alice", "1.4", "10000.1" if side == "buy" else "9999.9")
        held = {"buy": "1333.346667", "sell": "1333.320000"}[side]
        assert before - Fraction(stage.account("alice")["free"]) == Fraction(held)


def test_a_flip_opens_no_more_than_the_tier_allows() -> None:
    """At 20,000 a short of 4.9 is above the tier of leverage 10, opened at once or by flipping a long of 4.9."""
    stage = open_market(tiers=TWO_TIERS)
    for name in ("bob", "carol"):
        stage.deposit(name, "1000000")
        stage.leverage(name, "1")
    stage.open_position("alice", "buy", "4.9", "10000", "10", against="bob")
    stage.mark("20000")
    assert codes(stage.sell("dave", "4.9", "20000")) == ["position_limit"]
    assert codes(stage.sell("alice", "9.8", "20000")) == ["position_limit"]
    assert codes(stage.sell("alice", "7.4", "20000")) == []


@pytest.mark.parametrize(
    ("leverage", "largest", "refused"),
    [("100", "5", "5.001"), ("10", "5", "5.001"), ("5", "20", "20.001"), ("1", "20", "20.001")],
)
def test_position_and_orders_stay_within_the_last_tier_that_the_leverage_fits(
    leverage: str, largest: str, refused: str
) -> None:
    """At leverage 5 the second tier (initial 20 %) is open; beyond the last tier nothing can be added."""
    for side in ("buy", "sell"):
        stage = open_market(tiers=TWO_TIERS)
        stage.deposit("alice", "900000")
        stage.leverage("alice", leverage)
        order = stage.buy if side == "buy" else stage.sell
        assert codes(order("alice", refused, "10000")) == ["position_limit"]
        assert codes(order("alice", largest, "10000")) == []
        assert codes(order("alice", "0.001", "10000")) == ["position_limit"]


def test_the_position_counts_towards_its_limit_on_its_side_and_gives_room_on_the_other() -> None:
    stage = open_market(tiers=TWO_TIERS)
    stage.leverage("bob", "1")
    stage.open_position("alice", "buy", "3", "10000", "10", against="bob")
    assert codes(stage.buy("alice", "2.001", "10000")) == ["position_limit"]
    assert codes(stage.buy("alice", "2", "10000")) == []
    assert codes(stage.sell("alice", "8.001", "10001")) == ["position_limit"]
    assert codes(stage.sell("alice", "8", "10001")) == []


def test_a_position_above_its_limit_can_still_be_reduced() -> None:
    stage = open_market(tiers=TWO_TIERS)
    stage.leverage("bob", "1")
    stage.open_position("alice", "buy", "5", "10000", "10", against="bob")
    stage.mark("15000")
    assert codes(stage.buy("alice", "0.001", "10000")) == ["position_limit"]
    assert codes(stage.sell("alice", "1", "15000")) == []
    assert codes(stage.sell("alice", "4", "15000", reduce_only=True)) == []


# --- at the fill ----------------------------------------------------------------------------------------------


def test_an_increase_puts_initial_margin_and_open_loss_into_the_margin() -> None:
    stage = open_market()
    stage.leverage("bob", "7")
    stage.open_position("alice", "buy", "1", "10100", "3", against="bob")
    assert stage.position("alice")["margin"] == "3466.666667"  # 10,100 ÷ 3, up, + 100 below the print
    assert stage.position("bob")["margin"] == "1442.857143"  # 10,100 ÷ 7, up; the mark is on its side
    assert stage.account("alice")["wallet"] == "96533.333333"


def test_a_maker_is_margined_at_the_mark_of_the_fill_not_of_the_order() -> None:
    stage = open_market()
    stage.deposit("maker", "1400")
    stage.sell("maker", "1", "10000")
    stage.mark("10300")
    stage.buy("alice", "1")
    assert stage.position("maker")["margin"] == "1300.000000"
    assert stage.account("maker")["wallet"] == "100.000000"


@pytest.mark.parametrize(("price", "filled"), [("4999.9", False), ("5000", False), ("5000.1", True)])
def test_no_fill_opens_a_short_that_is_due_for_liquidation_at_the_mark(price: str, filled: bool) -> None:
    """At leverage 100 a print of half the mark brings 50 of margin beside the open loss: maintenance of the mark."""
    stage = open_market()
    stage.leverage("alice", "100")
    stage.buy("bob", "1", price)
    events = stage.sell("alice", "1", order_id="a")
    assert cancels(events) == ([] if filled else [("a", "1.000", "margin")])
    assert of_type(stage.mark("10000"), LiquidationStarted) == []
    assert bool(stage.account("alice")["positions"]) == filled


def test_a_maker_whose_margin_fails_is_cancelled_and_matching_goes_on() -> None:
    stage = open_market()
    stage.deposit("maker", "1299.999999")
    stage.sell("maker", "1", "10000", order_id="poor")
    stage.sell("carol", "1", "10001", order_id="rich")
    stage.mark("10300")
    events = stage.buy("alice", "2", "10001", order_id="a")
    assert cancels(events) == [("poor", "1.000", "margin")]
    assert prints(events) == [("10001.0", "1.000", "rich")]
    assert stage.book("buy") == [("10001.0", "a", "1.000")]
    assert stage.account("maker")["free"] == "1299.999999"


def test_a_taker_whose_margin_fails_keeps_its_fills_and_is_cancelled() -> None:
    """A market order is accepted at the mark; the second fill at 10,500 would need 1,050 + 500."""
    stage = open_market()
    stage.deposit("taker", "2500")
    stage.sell("bob", "1", "10000", order_id="near")
    stage.sell("bob", "1", "10500", order_id="far")
    events = stage.buy("taker", "2", order_id="a")
    assert prints(events) == [("10000.0", "1.000", "near")]
    assert cancels(events) == [("a", "1.000", "margin")]
    assert stage.book("sell") == [("10500.0", "far", "1.000")]
    assert stage.account("taker")["wallet"] == "1500.000000"


def long_of_margin_1000(**given_settings: str) -> Stage:
    """alice is long 1 at 10,000 with margin 1,000 and an empty wallet: bankruptcy price 9,000."""
    stage = Stage(**given_settings)
    stage.mark("10000")
    stage.deposit("alice", "1000")
    for name in ("bob", "carol"):
        stage.deposit(name, "100000")
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    return stage


def test_a_taker_closes_down_to_its_bankruptcy_price_and_no_further() -> None:
    stage = long_of_margin_1000()
    stage.buy("carol", "1", "8999.9")
    assert cancels(stage.sell("alice", "1", order_id="a")) == [("a", "1.000", "margin")]
    assert stage.position("alice")["margin"] == "1000.000000"
    stage.buy("carol", "1", "9000")
    assert cancels(stage.sell("alice", "1", order_id="b")) == []
    account = stage.account("alice")
    assert (account["wallet"], account["free"], account["positions"]) == ("0.000000", "0.000000", {})


def test_the_wallet_does_not_pay_for_a_close_beyond_the_bankruptcy_price() -> None:
    """Isolated: what the position can lose is its margin, however much money lies beside it."""
    stage = long_of_margin_1000()
    stage.deposit("alice", "5000")
    stage.buy("carol", "1", "8999.9")
    for qty in ("1.000", "0.001", "1.500"):
        assert cancels(stage.sell("alice", qty, order_id=qty)) == [(qty, qty, "margin")]
    assert stage.account("alice")["wallet"] == "5000.000000"
    assert stage.position("alice")["margin"] == "1000.000000"


def test_a_maker_closes_down_to_its_bankruptcy_price_and_no_further() -> None:
    stage = long_of_margin_1000()
    stage.deposit("alice", "1000")
    stage.sell("alice", "0.5", "8999.9", order_id="beyond")
    stage.sell("alice", "0.5", "9000", order_id="at")
    events = stage.buy("carol", "1", "9000", order_id="c")
    assert cancels(events) == [("beyond", "0.500", "margin")]
    assert prints(events) == [("9000.0", "0.500", "at")]
    assert stage.position("alice")["margin"] == "500.000000"
    assert stage.account("alice")["wallet"] == "1000.000000"


def test_a_short_closes_up_to_its_bankruptcy_price_and_no_further() -> None:
    stage = Stage()
    stage.mark("10000")
    stage.deposit("alice", "1000")
    stage.deposit("bob", "1000000")
    stage.open_position("alice", "sell", "1", "10000", "10", against="bob")
    stage.sell("bob", "1", "11000.1")
    assert cancels(stage.buy("alice", "1", order_id="a")) == [("a", "1.000", "margin")]
    stage.sell("bob", "1", "11000")
    assert cancels(stage.buy("alice", "1", order_id="b")) == []
    assert stage.account("alice")["wallet"] == "0.000000"


def test_a_part_that_is_closed_takes_its_share_of_margin_along() -> None:
    stage = long_of_margin_1000()
    stage.buy("carol", "0.25", "10400")
    (update, _) = of_type(stage.sell("alice", "0.25"), PositionUpdated)
    assert (update.qty, update.entry_value, update.margin) == ("0.750", "7500.000000", "750.000000")
    assert (update.realised_pnl, update.wallet) == ("100.000000", "350.000000")


def test_a_flip_closes_at_its_share_of_the_print_and_opens_with_the_rest() -> None:
    stage = long_of_margin_1000()
    stage.deposit("alice", "500")
    stage.buy("carol", "3", "10300")
    events = stage.sell("alice", "1.5")
    (update, _) = of_type(events, PositionUpdated)
    assert (update.side, update.qty, update.entry_value) == ("short", "0.500", "5150.000000")
    assert update.margin == "515.000000"
    assert update.realised_pnl == "300.000000"
    assert update.wallet == "1285.000000"  # 500 + 1,000 + 300 − 515
    assert len(of_type(events, TradeExecuted)) == 1


def test_a_flip_that_its_proceeds_do_not_carry_is_cancelled_whole() -> None:
    """At 9,400 the close leaves 1,000 − 600 beside the 1,000 in the wallet; 1 more needs 940 + 600."""
    stage = long_of_margin_1000()
    stage.buy("carol", "3", "9400")
    stage.deposit("alice", "1000")
    assert cancels(stage.sell("alice", "2", order_id="a")) == [("a", "2.000", "margin")]
    assert stage.position("alice")["qty"] == "1.000"


def test_entry_value_leaves_in_parts_that_do_not_depend_on_how_it_is_cut() -> None:
    """Three lots for 30.0001: after one lot 20.000067 is left, after two 10.000034, whatever the steps."""
    for steps in (("0.001", "0.001", "0.001"), ("0.002", "0.001"), ("0.001", "0.002")):
        stage = open_market()
        for price, qty in (("10000", "0.002"), ("10000.1", "0.001")):
            stage.sell("bob", qty, price)
            stage.buy("alice", qty, price)
        assert stage.position("alice")["entry_value"] == "30.000100"
        stage.buy("carol", "1", "10000")
        left, realised = 3, Fraction(0)
        for qty in steps:
            (update, _) = of_type(stage.sell("alice", qty), PositionUpdated)
            left -= int(qty[-1])
            realised += Fraction(update.realised_pnl)
            assert update.entry_value == ("0.000000", "10.000034", "20.000067")[left]
        assert realised == Fraction("-0.0001")


@given(value=st.integers(1, 10**9), cuts=st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_after_j_of_n_lots_the_floor_of_their_share_has_left(value: int, cuts: list[int]) -> None:
    lots = sum(cuts)
    parcel = Parcel(lots, value)
    gone = 0
    for cut in cuts:
        part = parcel.part(cut)
        parcel.lots -= cut
        parcel.value -= part
        gone += cut
        assert value - parcel.value == value * gone // lots
    assert parcel.value == 0


# --- fees -----------------------------------------------------------------------------------------------------


def fees_of(events: list[Event]) -> list[tuple[str, str]]:
    """What maker and taker paid, per trade."""
    return [(event.maker.fee, event.taker.fee) for event in of_type(events, TradeExecuted)]


@pytest.mark.parametrize(
    ("fees", "qty", "charged"),
    [
        (FEES, "1", ("2.000000", "5.000000")),
        (FEES, "0.001", ("0.002000", "0.005000")),
        ('maker_fee = "0.000000001"\ntaker_fee = "0.000000001"', "0.001", ("0.000001", "0.000001")),
        ('maker_fee = "-0.0002"\ntaker_fee = "0.0005"', "1", ("-2.000000", "5.000000")),
        ('maker_fee = "-0.000000001"\ntaker_fee = "0.000000001"', "0.001", ("0.000000", "0.000001")),
        ('maker_fee = "0.0005"\ntaker_fee = "-0.0002"', "1", ("5.000000", "-2.000000")),
    ],
)
def test_fees_are_rounded_up_and_rebates_towards_zero(fees: str, qty: str, charged: tuple[str, str]) -> None:
    stage = open_market(market=fees)
    stage.sell("bob", qty, "10000")
    assert fees_of(stage.buy("alice", qty)) == [charged]
    margin = Fraction(qty) * 1000
    for name, fee in zip(("bob", "alice"), charged, strict=True):
        assert Fraction(stage.account(name)["wallet"]) == 100_000 - margin - Fraction(fee)
    held = stage.venue.shards["usdt"].state.fees.balance
    assert held * UNIT == Fraction(charged[0]) + Fraction(charged[1]) >= 0


def test_every_fill_is_charged_on_its_own() -> None:
    stage = open_market(market=FEES)
    for price in ("10000", "10000.1"):
        stage.sell("bob", "0.001", price)
    assert fees_of(stage.buy("alice", "0.002")) == [("0.002000", "0.005000"), ("0.002001", "0.005001")]


def test_a_close_without_means_to_pay_its_fee_is_cancelled() -> None:
    """At 9,004.5 the margin that comes back pays the fee of 4.50225; at the bankruptcy price nothing is left for it."""
    stage = Stage(market='taker_fee = "0.0005"')
    stage.mark("10000")
    stage.deposit("alice", "1005")
    for name in ("bob", "carol"):
        stage.deposit(name, "100000")
    stage.sell("bob", "1", "10000")
    stage.buy("alice", "1", "10000")
    assert stage.account("alice")["wallet"] == "0.000000"
    stage.buy("carol", "1", "9004.5")
    assert cancels(stage.sell("alice", "1", order_id="a")) == [("a", "1.000", "margin")]
    stage.buy("carol", "1", "9004.6")
    assert cancels(stage.sell("alice", "1", order_id="b")) == []
    assert stage.account("alice")["wallet"] == "0.097700"  # 4.6 − 4.5023


@pytest.mark.parametrize(("maker_fee", "charged"), [("-0.0002", "0.000000"), ("0.0002", "1.820000")])
def test_whom_a_liquidation_order_meets_pays_its_fee_but_gets_no_rebate(maker_fee: str, charged: str) -> None:
    """A rebate comes out of the taker's fee, and a forced order pays none: fees held are never below zero."""
    stage = open_market(market=f'maker_fee = "{maker_fee}"\ntaker_fee = "0.0005"\nfund_fee_share = "1"')
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    stage.buy("carol", "1", "9100")
    events = stage.mark("9040")
    assert of_type(events, LiquidationStarted)
    assert fees_of(events) == [(charged, "0.000000")]
    assert stage.venue.shards["usdt"].state.fees.balance == 0


def test_the_funds_share_of_the_fees_of_a_command_is_rounded_down_per_trade_and_claimed_once() -> None:
    stage = open_market(market=f'{FEES}\nfund_fee_share = "0.333333333"')
    for price in ("10000", "10000.1"):
        stage.sell("bob", "0.001", price)
    events = stage.buy("alice", "0.002")
    (claim,) = of_type(events, FeeShareAccrued)
    # 0.007 and 0.007002: 0.002333 and 0.002333 of them, in whole units
    assert (claim.market, claim.fund, claim.amount) == ("BTC-USDT", "btc", "0.004666")
    (credit,) = of_type(events, FundCredited)
    assert (credit.cause_kind, credit.amount) == ("fee_share", "0.004666")
    assert stage.fund()["balance"] == "0.004666"


def test_a_share_of_a_fee_that_a_rebate_eats_up_is_nothing() -> None:
    stage = open_market(market='maker_fee = "-0.0005"\ntaker_fee = "0.0005"\nfund_fee_share = "1"')
    stage.sell("bob", "1", "10000")
    assert of_type(stage.buy("alice", "1"), FeeShareAccrued) == []


# --- collusion ------------------------------------------------------------------------------------------------

PRICES = st.one_of(st.integers(1, 300_000), st.integers(90_000, 110_000), st.sampled_from([1, 2, 10**6, 10**9]))
PAIRS = st.sampled_from([("alice", "bob"), ("bob", "alice")])
STEPS = st.one_of(
    st.tuples(
        st.just("trade"), PAIRS, PRICES, st.sampled_from(["0.001", "0.01", "0.333", "1", "4", "20"]), st.booleans()
    ),
    st.tuples(
        st.just("trade"), PAIRS, PRICES, st.sampled_from(["0.001", "0.01", "0.333", "1", "4", "20"]), st.booleans()
    ),
    st.tuples(st.just("mark"), PRICES),
    st.tuples(st.just("leverage"), st.sampled_from(["alice", "bob"]), st.sampled_from(["0.3", "1", "10", "100"])),
    st.tuples(st.just("margin"), st.sampled_from(["alice", "bob"]), st.integers(-5000, 5000)),
    st.tuples(st.just("withdraw"), st.sampled_from(["alice", "bob"])),
)


def tick_text(ticks: int) -> str:
    """A price of so many ticks of 0.1."""
    return f"{ticks // 10}.{ticks % 10}"


class Colluders:
    """alice and bob trade with each other at prices of their choice; carol has money here and does nothing."""

    def __init__(self, opening: str, market: str) -> None:
        self.stage = Stage(opening=opening, market=market)
        self.stage.mark("10000")
        for name in ("alice", "bob", "carol"):
            self.stage.deposit(name, "3000")
        self.withdrawn = Fraction(0)

    def act(self, step: tuple[Any, ...]) -> None:
        kind, *what = step
        getattr(self, kind)(*what)

    def trade(self, pair: tuple[str, str], price: int, qty: str, buy_first: bool) -> None:
        orders = [(self.stage.buy, pair[0]), (self.stage.sell, pair[1])]
        for order, name in orders if buy_first else reversed(orders):
            order(name, qty, tick_text(price))
        for name in pair:
            self.stage.send("order.cancel_all", shard="usdt", account=name)

    def mark(self, price: int) -> None:
        self.stage.mark(tick_text(price))

    def leverage(self, name: str, leverage: str) -> None:
        self.stage.leverage(name, leverage)

    def margin(self, name: str, amount: int) -> None:
        if amount:
            self.stage.margin(name, str(amount))

    def withdraw(self, name: str) -> None:
        free = self.stage.account(name)["free"]
        if not Fraction(free):
            return
        refused = of_type(self.take_out(name, free), AccountRejected)
        assert not refused
        self.withdrawn += Fraction(free)

    def take_out(self, name: str, amount: str) -> list[Event]:
        return self.stage.send(
            "account.withdraw",
            shard="usdt",
            account=name,
            amount=amount,
            transfer_id=f"w{len(self.stage.log)}",
        )


@pytest.mark.parametrize(
    ("opening", "market"),
    [("0", ""), ("1000", ""), ("1000", 'surplus = "account"\nmaker_fee = "-0.0002"\ntaker_fee = "0.0005"')],
    ids=["no fund", "a fund", "a fund, rebates"],
)
@settings(max_examples=120)
@given(steps=st.lists(STEPS, max_size=14))
def test_colluders_take_out_no_more_than_they_put_in_and_the_fund_paid(
    opening: str, market: str, steps: list[tuple[Any, ...]]
) -> None:
    """At any price, whatever the marks: prints far from the mark create no money, and nobody else pays."""
    colluders = Colluders(opening, market)
    for step in steps:
        colluders.act(step)
        assert colluders.withdrawn <= 6_000 + Fraction(opening)
    report = colluders.stage.venue.report()["markets"]["BTC-USDT"]
    assert Fraction(report["deficit"]) == 0
    for name in ("alice", "bob"):
        colluders.withdraw(name)
    untouched = colluders.stage.fund()["available"]  # a takeover's loss is reserved before it is paid
    assert colluders.withdrawn <= 6_000 + Fraction(opening) - Fraction(untouched)
    assert colluders.stage.account("carol")["free"] == "3000.000000"
    assert not of_type(colluders.take_out("carol", "3000"), AccountRejected)
    assert Fraction(colluders.stage.account("carol")["wallet"]) == 0


def test_the_postings_of_a_trade_name_margin_fee_and_pnl() -> None:
    stage = open_market(market=FEES)
    stage.sell("bob", "1", "10000")
    (posted,) = of_type(stage.buy("alice", "1"), LedgerPosted)
    assert sorted((line.debit, line.credit, line.amount, line.cause_kind) for line in posted.lines) == [
        ("usdt/wallet/alice", "usdt/fees", "5.000000", "trading_fee"),
        ("usdt/wallet/alice", "usdt/margin/BTC-USDT/alice", "1000.000000", "margin"),
        ("usdt/wallet/bob", "usdt/fees", "2.000000", "trading_fee"),
        ("usdt/wallet/bob", "usdt/margin/BTC-USDT/bob", "1000.000000", "margin"),
    ]
    assert of_type(stage.events, OrderCancelled) == []


def test_of_orders_beyond_the_position_the_average_cost_is_held_back_and_the_fill_is_checked_again() -> None:
    """Long 1; asks of 1 at 10,001 and 1 at 35,000 cost 1,000.1 and 3,500: half of it, 2,250.05, is held back.

    The first ask closes, so the second would need 3,500; where the wallet has less it is cancelled at its fill.
    """
    stage = open_market()
    stage.deposit("long", "3300")
    stage.open_position("long", "buy", "1", "10000", "10", against="bob")
    stage.sell("long", "1", "10001")
    assert codes(stage.sell("long", "1", "35000")) == []
    assert stage.account("long")["free"] == "49.950000"  # 2,300 − 2,250.05
    stage.buy("carol", "1", "10001")
    assert stage.account("long")["free"] == "0.000000"
    assert [event.reason for event in of_type(stage.buy("carol", "1", "35000"), OrderCancelled)] == ["margin"]


def test_an_order_of_a_position_that_is_due_is_no_way_out_of_its_liquidation() -> None:
    """Two longs of 1 from 10,000 with 1,000 are bankrupt at 9,000. The mark falls to 8,000 and long1 goes first.

    It meets the bid of long2, which would add 95 and its open loss to an equity of −1,000: the bid is cancelled.
    """
    stage = open_market()
    for name in ("long1", "long2"):
        stage.deposit(name, "10000")
        stage.open_position(name, "buy", "1", "10000", "10", against="bob")
    stage.leverage("long2", "100")
    stage.buy("long2", "1", "9500", order_id="bid")
    events = stage.mark("8000")
    (cancelled,) = [event for event in of_type(events, OrderCancelled) if event.order_id == "bid"]
    assert cancelled.reason == "margin"
