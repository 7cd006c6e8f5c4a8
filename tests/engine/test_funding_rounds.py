"""A round of funding that the cap cuts: its order, what comes in between, and that it is one moment for everybody."""

import itertools
from collections import Counter
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.conservation import InvariantBroken
from engine.funding import pay_residual
from engine.last_resort import close_at_mark
from engine.liquidation import queue_payers
from engine.venue import Venue
from schemas.claims import TakeoverExhausted
from schemas.config import parse_config
from schemas.envelope import Event
from schemas.events import (
    AdlExecuted,
    FundingPaid,
    FundingSettled,
    LiquidationStarted,
    OrderCancelled,
    TradeExecuted,
)
from schemas.wire import decode_command
from tests.engine.histories import History
from tests.engine.stage import MARKET, SECOND, Stage, codes, of_type, second_market, venue_toml
from tests.engine.test_conservation import TIERS
from tests.engine.test_funding import fund_holds_a_long, liquidated, margins, payments, several

ONE_PER_COMMAND = "funding_payments_per_command = 1"
TWO_PER_COMMAND = "funding_payments_per_command = 2"


def test_payments_above_the_cap_are_made_before_the_next_command_in_the_order_of_first_appearance() -> None:
    stage = several(4, limits=TWO_PER_COMMAND)
    assert list(payments(stage.funding("0.001"))) == ["maker", "a1"]
    events = stage.send("clock.tick")
    assert list(payments(events)) == ["a2", "a3"]
    assert of_type(events, FundingSettled) == []
    events = stage.send("clock.tick")
    assert list(payments(events)) == ["a4"]
    (settled,) = of_type(events, FundingSettled)
    assert (settled.paid, settled.positions) == ("40.000000", 5)
    assert payments(stage.send("clock.tick")) == {}


def test_the_purse_holds_what_is_under_way_and_is_empty_when_the_round_is_over() -> None:
    stage = several(3, limits=TWO_PER_COMMAND)
    market = stage.venue.shards["usdt"].state.markets[MARKET]
    stage.funding("0.001")
    assert market.funding_purse.balance == -20_000_000  # maker got 30 and a1 paid 10
    assert stage.venue.report()["markets"][MARKET]["waiting_funding_payments"] == 2
    stage.send("clock.tick")
    assert market.funding_purse.balance == 0
    assert stage.venue.report()["markets"][MARKET]["waiting_funding_payments"] == 0


def test_a_funding_while_one_runs_is_rejected_but_what_is_left_of_that_is_paid_before() -> None:
    stage = several(5, limits=TWO_PER_COMMAND)
    stage.funding("0.001")
    events = stage.funding("0.002")
    assert list(payments(events)) == ["a2", "a3"]
    assert codes(events) == ["funding_running"]
    # The rest of the first ends it, so the next is taken; both have the one cap.
    events = stage.funding("0.002")
    assert [(event.account, event.round) for event in of_type(events, FundingPaid)] == [("a4", 1), ("a5", 1)]
    assert codes(events) == []
    events = stage.send("clock.tick")
    assert [(event.account, event.round) for event in of_type(events, FundingPaid)] == [("maker", 2), ("a1", 2)]


def test_rounds_of_several_markets_go_in_the_order_in_which_they_began() -> None:
    stage = several(4, limits=TWO_PER_COMMAND, market=second_market())
    eth = {"market": "ETH-USDT", "kind": "limit", "price": "100", "qty": "1"}
    stage.send("price.mark", market="ETH-USDT", price="100")
    for i, (account, side) in enumerate((("a2", "buy"), ("a1", "sell"))):
        stage.send("order.new", account=account, side=side, order_id=f"e{i}", **eth)

    def shown(events: list[Event]) -> list[tuple[str, str]]:
        return [(event.market[:3], event.account) for event in of_type(events, FundingPaid)]

    assert shown(stage.funding("0.001")) == [("BTC", "maker"), ("BTC", "a1")]
    assert shown(stage.funding("0.001", market="ETH-USDT")) == [("BTC", "a2"), ("BTC", "a3")]
    assert shown(stage.send("clock.tick")) == [("BTC", "a4"), ("ETH", "a2")]
    assert shown(stage.send("clock.tick")) == [("ETH", "a1")]
    assert [event.market for event in of_type(stage.events, FundingSettled)] == [MARKET, "ETH-USDT"]


def test_residuals_pay_after_the_positions() -> None:
    stage = fund_holds_a_long(limits=ONE_PER_COMMAND)
    assert list(payments(stage.funding("0.01"))) == ["bob"]
    assert list(payments(stage.send("clock.tick"))) == ["usdt:1"]


def test_who_pays_late_pays_by_the_mark_at_which_the_round_began() -> None:
    stage = several(4, limits=ONE_PER_COMMAND)
    stage.margin("maker", "200000")
    stage.funding("0.001")
    stage.mark("20000")  # a1 pays before it
    assert payments(stage.mark("30000")) == {"a2": "-10.000000"}
    assert payments(stage.margin("a4", "1")) == {"a4": "-10.000000", "a3": "-10.000000"}


def test_what_was_opened_after_the_round_began_owes_nothing() -> None:
    # late appeared first of all, as flat; fred not at all yet.
    stage = Stage(limits=ONE_PER_COMMAND)
    for account in ("late", "fred", "a1", "a2", "a3", "a4"):
        stage.deposit(account, "100000")
    stage.mark("10000")
    stage.leverage("late", "5")
    for account, other in (("a1", "a2"), ("a3", "a4")):
        stage.open_position(account, "buy", "1", "10000", "10", against=other)
    stage.funding("0.001")
    stage.sell("late", "1", "10000", order_id="first")
    stage.buy("fred", "1", "10000")
    assert of_type(stage.events, FundingSettled) == []
    stage.send("clock.tick")
    assert set(payments(stage.events)) == {"a1", "a2", "a3", "a4"}
    assert len(of_type(stage.events, FundingSettled)) == 1


@pytest.mark.parametrize("command", ["margin", "leverage", "order", "withdraw"])
def test_who_sends_a_command_pays_before_it(command: str) -> None:
    stage = several(5, limits=ONE_PER_COMMAND)
    stage.funding("0.001")
    events = {
        "margin": lambda: stage.margin("a5", "-1"),
        "leverage": lambda: stage.leverage("a5", "7"),
        "order": lambda: stage.sell("a5", "1", "10500"),
        "withdraw": lambda: stage.send("account.withdraw", shard="usdt", account="a5", amount="1", transfer_id="w"),
    }[command]()
    assert payments(events) == {"a5": "-10.000000", "a1": "-10.000000"}
    assert isinstance(events[0], FundingPaid)


def test_margin_can_be_taken_only_of_what_is_left_after_the_funding() -> None:
    # 1,000 is the initial margin; 100 were added, of which the funding takes 50.
    stage = several(4, limits=ONE_PER_COMMAND)
    stage.margin("a4", "100")
    stage.funding("0.005")
    assert codes(stage.margin("a4", "-51")) == ["insufficient_margin"]
    assert codes(stage.margin("a4", "-50")) == []


def test_whom_funding_makes_due_is_liquidated_before_his_own_command() -> None:
    stage = several(4, limits=ONE_PER_COMMAND)
    stage.deposit("bidder", "1000000")
    stage.buy("bidder", "4", "9960")
    stage.funding("0.095")
    events = stage.margin("a4", "500")
    assert liquidated(events) == ["a1", "a4"]
    assert codes(events) == ["no_position"]


def test_a_maker_who_is_met_pays_before_he_is_filled() -> None:
    stage = several(4, limits=ONE_PER_COMMAND)
    stage.deposit("carl", "100000")
    stage.sell("a4", "0.4", "10000")
    stage.funding("0.001")
    events = stage.buy("carl", "0.4", "10000")
    shown = [event for event in events if isinstance(event, FundingPaid | TradeExecuted)]
    assert [getattr(event, "account", "trade") for event in shown] == ["a1", "a4", "trade"]
    # 1 − 0.4 is left of a margin of 990, and not 1,000 × 0.6 − 10.
    assert margins(stage, "a4") == ["594.000000"]


def test_a_fill_or_kill_order_has_only_those_pay_whom_it_would_meet() -> None:
    stage = several(4, limits=f"{ONE_PER_COMMAND}\nmax_fills_per_order = 1")
    stage.deposit("carl", "100000")
    for account in ("a3", "a4"):
        stage.sell(account, "0.4", "10000")
    stage.funding("0.001")
    events = stage.buy("carl", "0.8", "10000", tif="fok")
    assert [event.account for event in of_type(events, FundingPaid)] == ["a1", "a3"]
    assert [event.reason for event in of_type(events, OrderCancelled)] == ["fok"]


def test_a_maker_whom_his_funding_makes_due_is_filled_all_the_same_and_then_liquidated() -> None:
    # 1,000 − 970 = 30 ≤ MM 50; of the 0.6 that stay 18 ≤ 30.
    stage = several(4, limits=ONE_PER_COMMAND)
    for account in ("carl", "bidder"):
        stage.deposit(account, "100000")
    stage.buy("bidder", "4", "9980")
    stage.sell("a4", "0.4", "10000")
    stage.funding("0.097")
    events = stage.buy("carl", "0.4", "10000")
    trades = [(event.taker.account, event.qty) for event in of_type(events, TradeExecuted)]
    assert trades == [("a1", "1.000"), ("carl", "0.400"), ("a4", "0.600")]
    assert liquidated(events) == ["a1", "a4"]


def test_whom_a_liquidation_meets_is_liquidated_by_the_same_command_if_his_funding_makes_him_due() -> None:
    # a4 bids for 0.1 more at 1 % of margin; its payment leaves it due, so the bid is cancelled and a4 is next.
    stage = several(4, limits=TWO_PER_COMMAND)
    stage.deposit("bidder", "100000")
    stage.leverage("a4", "100")
    stage.buy("a4", "0.1", "9980")
    stage.buy("bidder", "4", "9975")
    events = stage.funding("0.097")
    trades = [(event.taker.account, event.maker.account, event.qty) for event in of_type(events, TradeExecuted)]
    assert trades == [("a1", "bidder", "1.000"), ("a4", "bidder", "1.000")]
    assert liquidated(events) == ["a1", "a4"]


def test_whom_a_stop_order_meets_is_liquidated_by_the_same_command_if_his_funding_makes_him_due() -> None:
    stage = several(4, limits=ONE_PER_COMMAND)
    for account in ("carl", "bidder"):
        stage.deposit(account, "100000")
    stage.buy("bidder", "4", "9980")
    stage.sell("a4", "0.4", "10000.5")
    stage.buy("carl", "0.4", trigger_price="10000.1", trigger_when="rises_to")
    stage.funding("0.097")
    events = stage.mark("10000.1")
    assert liquidated(events) == ["a1", "a4"]


def test_who_paid_twice_is_queued_once() -> None:
    stage = several(1)
    state = stage.venue.shards["usdt"].state
    position = state.markets[MARKET].positions["a1"]
    position.margin.balance = 0
    state.payers += [position, position]
    queue_payers(state)
    assert state.waiting == [position]
    assert position.account.waiting == 1


def test_fill_or_kill_foresees_what_a_maker_will_have_paid() -> None:
    # At 9,020 a4 sells out with 1,000 − 980 left, and with its funding of 100 it could not.
    stage = several(4, limits=ONE_PER_COMMAND)
    stage.deposit("carl", "100000")
    stage.sell("a4", "1", "9020", order_id="cheap", post_only=True)
    stage.funding("0.01")
    events = stage.buy("carl", "1", "9020", tif="fok")
    assert payments(events)["a4"] == "-100.000000"
    assert of_type(events, TradeExecuted) == []
    assert [event.reason for event in of_type(events, OrderCancelled)] == ["fok"]


def test_a_stop_order_that_comes_up_pays_before_it_is_an_order() -> None:
    stage = several(5, limits=ONE_PER_COMMAND)
    stage.deposit("carl", "100000")
    stage.buy("carl", "5", "9990")
    stage.sell("a5", "1", trigger_price="9995", trigger_when="falls_to")
    stage.funding("0.001")
    events = stage.mark("9995")
    assert payments(events) == {"a1": "-10.000000", "a5": "-10.000000"}
    assert events.index(of_type(events, FundingPaid)[1]) < events.index(of_type(events, TradeExecuted)[0])


def test_who_is_liquidated_pays_before_he_is_looked_at() -> None:
    # Equity at 9,060 is 60 of an MM of 45.3, and 50 after a funding of 10.
    stage = several(4, limits=ONE_PER_COMMAND, opening="100000")
    stage.funding("0.001")
    stage.send("clock.tick")
    stage.send("clock.tick")
    events = stage.mark("9045")  # due: 45 of 45.225
    assert list(payments(events))[:1] == ["a3"]
    started = {event.account: event.equity for event in of_type(events, LiquidationStarted)}
    assert started["a4"] == "35.000000"
    assert of_type(events, FundingPaid)[1].account == "a4"


def test_who_is_let_go_because_of_what_he_receives_costs_one_of_the_cap() -> None:
    # Due at 9,045 with 45 of 45.225, and not with the 100 that a short pays each of them.
    limits = f"{ONE_PER_COMMAND}\nliquidations_per_command = 2"
    stage = several(6, limits=limits, opening="100000")
    stage.margin("maker", "10000")
    stage.funding("-0.01")
    events = stage.mark("9045")
    assert liquidated(events) == []
    assert list(payments(events)) == ["a1", "a2", "a3"]  # one carried over, two looked at
    assert stage.venue.report()["markets"][MARKET]["waiting_liquidations"] == 3
    stage.send("clock.tick")
    stage.send("clock.tick")
    assert stage.venue.report()["markets"][MARKET]["waiting_liquidations"] == 0
    assert liquidated(stage.events) == []


def test_a_position_that_waits_is_not_queued_again_for_its_funding() -> None:
    limits = f"{ONE_PER_COMMAND}\nliquidations_per_command = 1"
    stage = several(4, leverage="50", limits=limits, opening="100000")
    stage.deposit("bidder", "1000000")
    stage.buy("bidder", "4", "9850")
    stage.funding("0.0001")
    assert liquidated(stage.mark("9849.2")) == ["a1"]
    for _ in range(4):
        stage.send("clock.tick")
    assert liquidated(stage.events) == ["a1", "a2", "a3", "a4"]


def test_who_is_deleveraged_pays_before() -> None:
    # carl's long 4 from 10,000 is bankrupt, the fund is empty, and s4 has the highest leverage.
    stage = Stage(limits=ONE_PER_COMMAND)
    stage.deposit("carl", "400")
    stage.mark("10000")
    stage.leverage("carl", "100")
    for i in range(1, 5):
        stage.deposit(f"s{i}", "100000")
        stage.leverage(f"s{i}", str(i))
        stage.sell(f"s{i}", "1", "10000")
    stage.buy("carl", "4", "10000")
    stage.funding("-0.001")
    events = stage.mark("9800")
    assert [event.account for event in of_type(events, AdlExecuted)] == ["s4", "s3", "s2", "s1"]
    assert payments(stage.events) == dict.fromkeys(("s1", "s2", "s4", "s3"), "-10.000000") | {"carl": "40.000000"}
    # carl was paid when he was looked at, so his bankruptcy price is 9,890; each gains 110 and has paid 10.
    assert {event.price for event in of_type(events, AdlExecuted)} == {"9890.00000000"}
    assert {stage.account(f"s{i}")["wallet"] for i in range(1, 5)} == {"100100.000000"}
    # s4 paid when his turn came, and the leverage is that after it: 9,800 ÷ (2,500 − 10 + 200).
    assert of_type(events, AdlExecuted)[0].leverage == "3.643122676579925650"


def test_whom_funding_makes_due_is_not_deleveraged_but_liquidated() -> None:
    # The fund's long 1 at 9,900 grows too old. s4, short from 10,000 with a margin of 200, ranks above s1 with 15,000
    # for 3, but 2.6 % of 9,900 leave him 42.6 of an MM of 49.5.
    stage = Stage(opening="100000", limits=ONE_PER_COMMAND, fund='takeover_max_age = "60s"')
    for account in ("carl", "s1", "d1", "d2", "d3", "s4"):
        stage.deposit(account, "100000")
    stage.mark("10000")
    stage.leverage("s1", "2")
    for account in ("d1", "d2", "d3"):
        stage.open_position(account, "buy", "1", "10000", "2", against="s1")
    stage.leverage("s4", "50")
    stage.open_position("carl", "buy", "1", "10000", "100", against="s4")
    stage.mark("9900")
    stage.funding("-0.026")
    stage.now += 60 * SECOND
    events = stage.send("clock.tick")
    assert list(payments(events)) == ["d1", "usdt:1", "d2", "s4", "d3"]
    assert [(event.account, event.rank) for event in of_type(events, AdlExecuted)] == [("s1", 1)]
    (started,) = of_type(events, LiquidationStarted)
    assert (started.account, started.equity) == ("s4", "42.600000")


def test_the_last_resort_has_the_whole_other_side_pay_before() -> None:
    # bob and eve's residual are short; the fund's long would be closed against both.
    stage = fund_holds_a_long(limits=ONE_PER_COMMAND)
    stage.deposit("eve", "500")
    stage.mark("9500")
    stage.open_position("eve", "sell", "1", "9500", "20", against="dave")
    state = stage.venue.shards["usdt"].state
    market = state.markets[MARKET]
    long = market.residuals["usdt:1"]
    state.ask(long)  # else the two inventories are netted
    stage.mark("9980")
    stage.funding("0.01")
    pay_residual(state, market, long)
    assert list(payments(stage.events)) == ["dave"]
    close_at_mark(state, market, long)
    assert list(payments(state.outbox.take())) == ["usdt:1", "bob", "usdt:2"]


def test_a_residual_pays_before_a_mark_or_a_tick_asks_about_it() -> None:
    stage = fund_holds_a_long(limits=ONE_PER_COMMAND)
    for i in range(3):
        stage.deposit(f"s{i}", "100000")
        stage.buy(f"s{i}", "1", "9400")
        stage.sell("dave", "1", "9400")
    stage.funding("0.01")
    events = stage.mark("9500")
    assert payments(events)["usdt:1"] == "-95.000000"
    assert [event.expected_loss for event in of_type(events, TakeoverExhausted)] == ["95.000000"]


# --- the state ----------------------------------------------------------------------------------------------


def test_the_state_hash_covers_the_round() -> None:
    stage = several(4, limits=TWO_PER_COMMAND)
    before = stage.rows()
    stage.funding("0")
    assert stage.rows() != before  # rounds are numbered
    stage.funding("0.001")
    rows: list[Any] = [row for row in stage.rows() if row[0] in ("funding", "owes_funding")]
    assert rows == [
        ("funding", MARKET, 2, 1_000_000, 100_000, 5, 10_000_000, 40_000_000),
        ("owes_funding", "a2"),
        ("owes_funding", "a3"),
        ("owes_funding", "a4"),
    ]


def test_the_check_sees_a_round_that_does_not_add_up() -> None:
    stage = several(4, limits=TWO_PER_COMMAND)
    stage.funding("0.001")
    market = stage.venue.shards["usdt"].state.markets[MARKET]
    assert market.funding is not None
    market.funding.paid += 1
    with pytest.raises(InvariantBroken, match="the round says"):
        stage.venue.check_consistency()
    market.funding.paid -= 1
    market.positions["a4"].owes_funding = False
    with pytest.raises(InvariantBroken, match="counted that owe funding"):
        stage.venue.check_consistency()
    market.positions["a4"].owes_funding = True
    running, market.funding = market.funding, None
    with pytest.raises(InvariantBroken, match="rounds of funding"):
        stage.venue.check_consistency()
    market.funding = running
    stage.venue.check_consistency()
    market.funding_purse.balance += 1
    with pytest.raises(InvariantBroken, match="conservation residual 1 units"):
        stage.venue.check()


# --- any history --------------------------------------------------------------------------------------------

VENUES = {
    "one payment per command": venue_toml(tiers=TIERS, opening="500", limits=ONE_PER_COMMAND),
    "three payments, one liquidation": venue_toml(
        tiers=TIERS,
        opening="50",
        limits="funding_payments_per_command = 3\nliquidations_per_command = 1\nmax_open_residuals = 1",
        fund='takeover_max_age = "90s"',
        market='taker_fee = "0.0005"\nliquidation_fee = "0.002"',
    ),
    "no bound, no fund, coarse units": venue_toml(tiers=TIERS).replace("decimals = 6", "decimals = 4"),
    "partial liquidation, slippage": venue_toml(
        tiers=TIERS,
        opening="20000",
        limits=TWO_PER_COMMAND,
        fund='takeover_slippage = "0.01"',
        market='partial = "tier"\nsurplus = "account"',
    ),
}


class OftenFunded(History):
    """A history in which every seventh command or so is a funding; seldom one that ruins a whole side."""

    def _next(self) -> dict[str, Any]:
        if self._rng.random() < 0.14:
            rate = self._rng.choice(["0.0001", "0.003", "0.003", "0.01", "0.000000007", self._rng.choice(["0.3", "1"])])
            sign = self._rng.choice(["", "-"])
            return self._stamp({"type": "price.funding", "market": self._market, "rate": f"{sign}{rate}"})
        return super()._next()


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=10)
@given(seed=st.integers(0, 10**9))
def test_a_round_is_one_moment_for_everybody_whatever_comes_in_between(venue: str, seed: int) -> None:
    """Money is conserved after every command; who was open then pays once, with the size and at the mark of then."""
    machine = Venue(parse_config(VENUES[venue]))
    market = machine.shards["usdt"].state.markets[MARKET]
    lots, units = market.spec.lots.parse, market.spec.asset.parse
    cap = machine.shards["usdt"].state.spec.limits.funding_payments_per_command
    rounds: dict[int, list[FundingPaid]] = {}
    for command in itertools.islice(OftenFunded(seed), 300):
        mark = market.spec.ticks.text(market.mark) if market.mark else ""
        number, owing = market.fundings, market.funding.owing if market.funding is not None else 0
        events = machine.apply(decode_command(orjson.dumps(command)))
        machine.check()
        machine.check_consistency()
        if market.fundings > number:
            rounds[market.fundings] = []
            last_mark = mark
        for event in of_type(events, FundingPaid):
            assert event.mark_price == (last_mark if event.round == market.fundings else event.mark_price)
            rounds[event.round].append(event)
        fok = command.get("tif") == "fok" and "trigger_price" not in command
        if fok and any(event.order_id == command["order_id"] for event in of_type(events, OrderCancelled)):
            assert not any(event.taker.order_id == command["order_id"] for event in of_type(events, TradeExecuted))
        for settled in of_type(events, FundingSettled):
            paid = rounds[settled.round]
            assert {event.mark_price for event in paid} <= {settled.mark_price}
            assert len(paid) == settled.positions
            assert max(Counter(f"{event.account}{event.liquidation_id}" for event in paid).values(), default=1) == 1
            longs = sum(lots(event.qty) or 0 for event in paid if event.side == "long")
            assert longs == sum(lots(event.qty) or 0 for event in paid if event.side == "short")
            amounts = [units(event.amount) or 0 for event in paid]
            assert units(settled.paid) == -sum(amount for amount in amounts if amount < 0)
            assert units(settled.received) == sum(amount for amount in amounts if amount > 0)
            assert units(settled.dust) == -sum(amounts)
        is_for_the_engine = not command["type"].startswith("fund.")
        if market.funding is not None and market.fundings == number and is_for_the_engine:
            assert market.funding.owing <= owing - cap
