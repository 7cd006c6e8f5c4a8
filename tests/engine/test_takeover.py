"""Takeover by a fund: the budget, unwinding, exhaustion, and what settlement answers."""

import pytest

from schemas.claims import (
    AdlTriggered,
    LiquidationResidual,
    TakeoverApproved,
    TakeoverClosed,
    TakeoverExhausted,
    TakeoverFilled,
)
from schemas.events import FundDebited, TradeExecuted
from tests.engine.stage import SECOND, Stage, of_type


def bankrupt_long(qty: str = "1", **settings: str) -> Stage:
    """alice is long at 10,500 with bankruptcy price 10,000 and nothing else; bob is short; nobody bids."""
    stage = Stage(**settings)
    lots = int(qty)
    stage.deposit("alice", str(500 * lots))
    for account in ("bob", "carl", "dave"):
        stage.deposit(account, "1000000")
    stage.mark("10500")
    stage.open_position("alice", "buy", qty, "10500", "21", against="bob")
    return stage


def test_a_fund_takes_over_when_the_expected_loss_is_available_and_reserves_it() -> None:
    stage = bankrupt_long(opening="1000")
    events = stage.mark("9950")
    (approved,) = of_type(events, TakeoverApproved)
    assert (approved.qty, approved.loss_budget, approved.round) == ("1.000", "50.000000", 1)
    assert (stage.fund()["reserved"], stage.fund()["available"]) == ("50.000000", "950.000000")


def test_an_expected_loss_of_zero_is_taken_over_by_an_empty_fund() -> None:
    stage = bankrupt_long()
    (approved,) = of_type(stage.mark("10050"), TakeoverApproved)
    assert approved.loss_budget == "0.000000"


@pytest.mark.parametrize(("opening", "taken_over"), [("50", True), ("49.999999", False)])
def test_the_whole_balance_may_be_risked_and_not_a_unit_more(opening: str, *, taken_over: bool) -> None:
    stage = bankrupt_long(opening=opening)
    events = stage.mark("9950")
    assert bool(of_type(events, TakeoverApproved)) == taken_over
    assert bool(of_type(events, AdlTriggered)) != taken_over


def test_slippage_enlarges_the_budget_by_a_share_of_mark_value_up_to_what_is_available() -> None:
    stage = bankrupt_long(opening="1000", fund='takeover_slippage = "0.01"')
    (approved,) = of_type(stage.mark("9950"), TakeoverApproved)
    assert approved.loss_budget == "149.500000"  # 50 + 1 % of 9,950
    stage = bankrupt_long(opening="100", fund='takeover_slippage = "0.01"')
    (approved,) = of_type(stage.mark("9950"), TakeoverApproved)
    assert approved.loss_budget == "100.000000"


def test_inventory_is_unwound_at_once_within_the_budget_and_the_fund_pays_the_loss() -> None:
    stage = bankrupt_long(opening="1000")
    stage.buy("carl", "1", "9950")
    events = stage.mark("9950")
    (filled,) = of_type(events, TakeoverFilled)
    assert (filled.qty, filled.price, filled.pnl) == ("1.000", "9950.00000000", "-50.000000")
    (trade,) = of_type(events, TradeExecuted)
    assert trade.taker.account == "fund:btc"
    (closed,) = of_type(events, TakeoverClosed)
    assert (closed.qty, closed.price, closed.pnl) == ("1.000", "9950.00000000", "-50.000000")
    assert (stage.fund()["balance"], stage.fund()["reserved"]) == ("950.000000", "0.000000")


def test_unwinding_never_prints_beyond_the_budget() -> None:
    stage = bankrupt_long(opening="1000")
    stage.buy("carl", "1", "9949.9")
    events = stage.mark("9950")
    assert of_type(events, TradeExecuted) == []


def test_the_limit_of_an_inventory_whose_price_is_off_the_grid_is_rounded_in_favour_of_the_fund() -> None:
    # Margin 500.03: carried at 9,999.97, budget 0 at the mark 10,000. A bid of 9,999.9 would lose 0.07.
    stage = bankrupt_long(opening="1000")
    stage.deposit("alice", "0.03")
    stage.margin("alice", "0.03")
    stage.buy("carl", "1", "9999.9")
    events = stage.mark("10000")
    assert of_type(events, TakeoverApproved)[0].loss_budget == "0.000000"
    assert of_type(events, TradeExecuted) == []
    stage.buy("dave", "1", "10000")
    (filled,) = of_type(stage.mark("10000"), TakeoverFilled)
    assert filled.pnl == "0.030000"


def test_the_budget_holds_for_all_lots_left_whatever_part_fills() -> None:
    # 2 lots of 1: budget 100, limit 9,950. 1 sold at 9,990 loses 10; the other may lose 90 then: limit 9,910.
    stage = bankrupt_long("2", opening="1000")
    stage.buy("carl", "1", "9990")
    events = stage.mark("9950")
    (filled,) = of_type(events, TakeoverFilled)
    assert filled.pnl == "-10.000000"
    assert stage.fund()["reserved"] == "90.000000"
    stage.buy("carl", "1", "9910")
    events = stage.mark("9955")
    (filled,) = of_type(events, TakeoverFilled)
    assert (filled.price, filled.pnl) == ("9910.00000000", "-90.000000")
    assert (stage.fund()["balance"], stage.fund()["reserved"]) == ("900.000000", "0.000000")


def test_a_gain_gives_back_what_was_lost_before_and_no_more() -> None:
    stage = bankrupt_long("2", opening="1000")
    stage.buy("carl", "1", "9980")
    stage.mark("9950")  # loses 20 of a budget of 100
    assert stage.fund()["reserved"] == "80.000000"
    stage.buy("carl", "0.5", "10100")
    stage.mark("10000")  # gains 50
    assert (stage.fund()["balance"], stage.fund()["reserved"]) == ("1030.000000", "100.000000")


def test_unwinding_stays_within_the_band_around_the_mark() -> None:
    stage = bankrupt_long(opening="100000", fund='takeover_slippage = "1"\ntakeover_band = "0.01"')
    stage.buy("carl", "1", "9850.4")  # 0.99 × 9,950 = 9,850.5
    assert of_type(stage.mark("9950"), TradeExecuted) == []
    stage.buy("carl", "1", "9850.5")
    (trade,) = of_type(stage.mark("9950"), TradeExecuted)
    assert trade.price == "9850.5"


def test_a_mark_beyond_the_budget_asks_settlement_anew_and_the_answer_replaces_the_budget() -> None:
    stage = bankrupt_long(opening="1000")
    stage.mark("10050")  # budget 0
    events = stage.mark("9980")
    (exhausted,) = of_type(events, TakeoverExhausted)
    assert (exhausted.round, exhausted.expected_loss, exhausted.reason) == (2, "20.000000", "budget")
    (approved,) = of_type(events, TakeoverApproved)
    assert (approved.round, approved.loss_budget) == (2, "20.000000")
    assert stage.fund()["reserved"] == "20.000000"


def test_an_exhausted_takeover_that_the_fund_cannot_carry_any_more_goes_to_adl() -> None:
    stage = bankrupt_long(opening="1000")
    stage.mark("9950")
    events = stage.mark("8900")  # expected loss 1,100
    (triggered,) = of_type(events, AdlTriggered)
    assert (triggered.reason, triggered.expected_loss, triggered.round) == ("fund_insufficient", "1100.000000", 2)
    assert (stage.fund()["balance"], stage.fund()["reserved"]) == ("1000.000000", "0.000000")


def test_what_is_not_unwound_within_its_age_goes_to_adl_also_on_a_clock_tick() -> None:
    stage = bankrupt_long(opening="1000", fund='takeover_max_age = "10m"')
    stage.mark("9950")
    stage.now += 598 * SECOND
    assert of_type(stage.send("clock.tick"), TakeoverExhausted) == []
    events = stage.send("clock.tick")
    (exhausted,) = of_type(events, TakeoverExhausted)
    assert exhausted.reason == "max_age"
    (triggered,) = of_type(events, AdlTriggered)
    assert triggered.reason == "takeover_expired"


def test_reservations_of_several_takeovers_add_up_and_the_last_that_does_not_fit_is_deleveraged() -> None:
    stage = Stage(opening="100")
    stage.deposit("maker", "1000000")
    stage.mark("10500")
    for account in ("a1", "a2", "a3"):
        stage.deposit(account, "500")
        stage.open_position(account, "buy", "1", "10500", "21", against="maker")
    events = stage.mark("9960")  # 40 each: two fit into 100
    assert [event.liquidation_id for event in of_type(events, TakeoverApproved)] == ["usdt:1", "usdt:2"]
    assert [event.liquidation_id for event in of_type(events, AdlTriggered)] == ["usdt:3"]
    assert stage.fund()["reserved"] == "80.000000"


def test_a_short_taken_over_is_bought_back() -> None:
    stage = Stage(opening="1000")
    stage.deposit("alice", "500")
    for account in ("bob", "carl"):
        stage.deposit(account, "100000")
    stage.mark("9500")
    stage.open_position("alice", "sell", "1", "9500", "19", against="bob")
    stage.sell("carl", "1", "10050")
    events = stage.mark("10050")
    (residual,) = of_type(events, LiquidationResidual)
    assert (residual.side, residual.expected_loss) == ("short", "50.000000")
    (debited,) = of_type(events, FundDebited)
    assert (debited.amount, debited.balance) == ("50.000000", "950.000000")
