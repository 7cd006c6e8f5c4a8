"""The price of ADL: what the counterparty gets, and when the fund pays the difference to the mark."""

import pytest

from engine.conservation import check_settlement, check_shard
from schemas.claims import (
    AdlTriggered,
    DecisionRejected,
    DeficitRepaid,
    LiquidationClosed,
    LiquidationResidual,
    LiquidationUncovered,
    LossCovered,
)
from schemas.commands import FundWithdraw
from schemas.envelope import Event
from schemas.events import AdlExecuted, FundRejected
from tests.engine.crossed import BTC, CrossStage
from tests.engine.stage import MARKET, SECOND, Stage, of_type
from tests.engine.test_adl_shares import SHARES, three_shorts
from tests.engine.test_adl_trigger import DRAWDOWN
from tests.engine.test_late_decisions import Late
from tests.engine.test_takeover import bankrupt_long

AT_MARK = 'adl_price = "mark"'


def triggered(market: str = AT_MARK, qty: str = "1", fund: str = DRAWDOWN) -> Stage:
    """alice is long from 10,500, bankrupt at 10,000; the fund has 699 of 1,000 left, so its trigger is active."""
    stage = bankrupt_long(qty, opening="1000", fund=fund, market=market)
    stage.send("fund.withdraw", fund="btc", amount="301", transfer_id="w")
    return stage


def late_at_mark() -> Late:
    """As `triggered`, with alice asked about at 9,950 and the answer on its way."""
    late = Late(opening="1000", fund=DRAWDOWN, market=AT_MARK)
    late.fund_account("bob", "1000000", "10")
    late.fund_account("alice", "500", "21")
    withdraw(late, "301", "w")
    late.mark("10500")
    late.order("bob", "sell", "1", "10500")
    late.order("alice", "buy", "1", "10500")
    late.mark("9950")
    (answer,) = late.decisions
    assert isinstance(answer, AdlTriggered)
    assert answer.loss_budget == "50.000000"
    return late


def withdraw(late: Late, amount: str, transfer_id: str) -> bool:
    """Whether so much could be taken from the fund."""
    command = FundWithdraw(ts=late.now, fund="btc", amount=amount, transfer_id=transfer_id)
    return not of_type(late.settlement.apply(command), FundRejected)


def prices(events: list[Event]) -> list[tuple[str, str, str]]:
    """Who was closed by how much, and at what price."""
    return [(event.account, event.qty, event.price) for event in of_type(events, AdlExecuted)]


def test_the_counterparty_gets_the_mark_and_the_fund_pays_the_difference() -> None:
    stage = triggered()
    events = stage.mark("9950")
    (decision,) = of_type(events, AdlTriggered)
    assert (decision.reason, decision.loss_budget) == ("trigger_active", "50.000000")
    assert prices(events) == [("bob", "1.000", "9950.00000000")]
    assert [event.loss for event in of_type(events, LiquidationUncovered)] == ["50.000000"]
    assert [event.amount for event in of_type(events, LossCovered)] == ["50.000000"]
    (closed,) = of_type(events, LiquidationClosed)
    assert (closed.adl_qty, closed.surplus, closed.socialised, closed.deficit) == (
        "1.000",
        *("0.000000", "0.000000", "0.000000"),
    )
    assert (stage.fund()["balance"], stage.fund()["reserved"]) == ("649.000000", "0.000000")
    assert stage.account("bob")["wallet"] == "1000550.000000"


def test_by_default_the_counterparty_gets_the_bankruptcy_price_and_the_fund_pays_nothing() -> None:
    stage = triggered(market="")
    events = stage.mark("9950")
    (decision,) = of_type(events, AdlTriggered)
    assert not decision.loss_budget
    assert prices(events) == [("bob", "1.000", "10000.00000000")]
    assert stage.fund()["balance"] == "699.000000"


@pytest.mark.parametrize(
    ("mark", "price", "left"),
    [("9301", "9301", "0.000000"), ("9300.9", "10000", "699.000000"), ("9000", "10000", "699.000000")],
)
def test_the_fund_pays_all_of_the_difference_or_nothing(mark: str, price: str, left: str) -> None:
    stage = triggered()
    events = stage.mark(mark)
    assert prices(events) == [("bob", "1.000", f"{price}.00000000")]
    (decision,) = of_type(events, AdlTriggered)
    assert bool(decision.loss_budget) == (price == "9301")
    assert stage.fund()["balance"] == left


def test_a_mark_that_is_worse_for_the_counterparty_needs_no_budget_and_brings_a_surplus() -> None:
    stage = triggered()
    events = stage.mark("10050")
    (decision,) = of_type(events, AdlTriggered)
    assert not decision.loss_budget
    assert prices(events) == [("bob", "1.000", "10050.00000000")]
    assert stage.fund()["balance"] == "749.000000"


@pytest.mark.parametrize("market", [AT_MARK, ""])
def test_a_takeover_that_is_too_old_goes_at_the_mark(market: str) -> None:
    stage = bankrupt_long(opening="1000", market=market)
    stage.mark("9950")
    assert stage.fund()["reserved"] == "50.000000"
    stage.now += 700 * SECOND
    events = stage.mark("9900")
    (decision,) = of_type(events, AdlTriggered)
    assert (decision.reason, decision.round) == ("takeover_expired", 2)
    price, left = ("9900", "900") if market else ("10000", "1000")
    assert prices(events) == [("bob", "1.000", f"{price}.00000000")]
    assert (stage.fund()["balance"], stage.fund()["reserved"]) == (f"{left}.000000", "0.000000")


def test_the_rest_of_a_partial_takeover_goes_at_the_bankruptcy_price_because_the_fund_has_nothing_free() -> None:
    # 1,000 available, expected loss 2,200: the fund takes 5 of 11.
    stage = bankrupt_long("11", opening="1000", fund='takeover = "partial"', market=AT_MARK)
    events = stage.mark("9800")
    (decision,) = of_type(events, AdlTriggered)
    assert not decision.loss_budget
    assert prices(events) == [("bob", "6.000", "10000.00000000")]


def test_a_daily_fund_owes_the_difference_until_the_reconciliation() -> None:
    stage = triggered(fund=DRAWDOWN + '\ntransfer = "daily"')
    stage.mark("9950")
    fund = stage.venue.settlements["USDT"].funds["btc"]
    assert (fund.purse.balance, fund.available, fund.reserved) == (699_000_000, 649_000_000, 0)


def test_two_liquidations_of_one_mark_do_not_share_a_budget() -> None:
    # 699: the loss of the first, 400, is reserved; for the second, 400 too, 299 are left. Funds do not lend.
    stage = Stage(opening="1000", fund=DRAWDOWN, market=AT_MARK)
    for account in ("alice", "anna"):
        stage.deposit(account, "500")
    stage.deposit("bob", "1000000")
    stage.mark("10500")
    for account in ("alice", "anna"):
        stage.open_position(account, "buy", "1", "10500", "21", against="bob")
    stage.send("fund.withdraw", fund="btc", amount="301", transfer_id="w")
    events = stage.mark("9600")
    assert prices(events) == [("bob", "1.000", "9600.00000000"), ("bob", "1.000", "10000.00000000")]
    assert stage.fund()["balance"] == "299.000000"


@pytest.mark.parametrize("ranking", SHARES)
def test_shares_at_the_mark_are_those_at_the_bankruptcy_price(ranking: str) -> None:
    # 2 at 9,500 instead of 10,000: the fund pays 1,000 of its 2,000.
    stage = three_shorts(ranking, AT_MARK, fund="3000", rules=DRAWDOWN)
    stage.send("fund.withdraw", fund="btc", amount="1000", transfer_id="w")
    events = stage.mark("9500")
    executed = of_type(events, AdlExecuted)
    assert [(event.account, event.qty, event.rank) for event in executed] == SHARES[ranking]
    assert {event.price for event in executed} == {"9500.00000000"}
    assert stage.fund()["balance"] == "1000.000000"


def test_what_a_cap_leaves_to_the_last_resort_is_paid_from_the_same_budget() -> None:
    # A tenth of 2, 2 and 1 by shares, the other 1.5 pro rata: all at 9,500.
    stage = three_shorts("capped_pro_rata", f'{AT_MARK}\nadl_cap = "0.1"', fund="2000", rules=DRAWDOWN)
    stage.send("fund.withdraw", fund="btc", amount="1000", transfer_id="w")
    events = stage.mark("9500")
    assert {event.price for event in of_type(events, AdlExecuted)} == {"9500.00000000"}
    assert [event.rank for event in of_type(events, AdlExecuted)] == [1, 2, 3, 0, 0, 0]
    assert [event.amount for event in of_type(events, LossCovered)] == ["1000.000000"]
    assert (stage.fund()["balance"], stage.fund()["reserved"]) == ("0.000000", "0.000000")


def test_a_cross_counterparty_gives_at_the_mark_what_it_could_not_give_at_the_bankruptcy_price() -> None:
    # As in test_cross_adl: E = 125, MM = 49 + 25. At 9,900 only 0.999 leave it above; at the mark of 9,800 E stays.
    stage = CrossStage(opening="1000", fund=DRAWDOWN, every=AT_MARK)
    stage.deposit("victim", "100")
    stage.lever("victim", "100", BTC)
    stage.mode("victim", BTC, "isolated")
    stage.deposit("alice", "2000")
    stage.order("alice", BTC, "sell", "1", "10000")
    stage.order("victim", BTC, "buy", "1", "10000")
    stage.trade("alice", "ETH-USDT", "buy", "5")
    stage.take_away("alice", 2_000_000_000 + 200_000_000 - 125_000_000)
    stage.send("fund.withdraw", fund=stage.fund_name, amount="301", transfer_id="w")
    events = stage.mark_of(BTC, "9800")
    assert prices(events)[0] == ("alice", "1.000", "9800.00000000")
    assert stage.fund()["balance"] == "599.000000"


@pytest.mark.parametrize(
    ("mark", "price", "left"),
    [("9960", "9960", "659"), ("9950", "9950", "649"), ("9940", "10000", "699"), ("10100", "10100", "799")],
)
def test_an_answer_that_comes_late_holds_as_long_as_the_loss_is_within_its_budget(
    mark: str, price: str, left: str
) -> None:
    late = late_at_mark()
    late.mark(mark)
    assert late.settlement.funds["btc"].reserved == 50_000_000
    assert prices(late.deliver()) == [("bob", "1.000", f"{price}.00000000")]
    fund = late.settlement.funds["btc"]
    assert (fund.purse.balance, fund.reserved) == (int(left) * 10**6, 0)
    check_shard(late.shard)
    check_settlement(late.settlement)


def test_nothing_else_takes_the_money_while_the_answer_is_on_its_way() -> None:
    late = late_at_mark()
    assert not withdraw(late, "649.000001", "w1")
    assert withdraw(late, "649", "w2")
    events = late.deliver()
    assert [event.socialised for event in of_type(events, LiquidationClosed)] == ["0.000000"]
    assert late.settlement.funds["btc"].purse.balance == 0


def test_the_loss_is_paid_before_deficits_are_repaid_from_what_is_left_of_its_budget() -> None:
    late = late_at_mark()
    withdraw(late, "649", "w1")
    late.settlement.funds["btc"].deficits[MARKET] = 30_000_000
    late.mark("9960")
    late.deliver(1)
    assert [(type(decision), getattr(decision, "amount", "")) for decision in late.decisions] == [
        (LossCovered, "40.000000"),
        (DeficitRepaid, "10.000000"),
    ]


def test_a_refused_answer_frees_its_budget() -> None:
    late = late_at_mark()
    late.shard.state.markets[MARKET].residuals["usdt:1"].round = 2
    assert late.settlement.funds["btc"].reserved == 50_000_000
    assert of_type(late.deliver(), DecisionRejected)
    assert late.settlement.funds["btc"].reserved == 0


def test_a_budget_for_which_nobody_was_found_ends_with_the_next_question() -> None:
    # bob, the only counterparty, is bankrupt himself and being asked about when the answer for alice arrives.
    late = Late(opening="1000", fund=DRAWDOWN, market=AT_MARK)
    late.fund_account("bob", "525", "20")
    late.fund_account("alice", "500", "21")
    withdraw(late, "301", "w")
    late.mark("10500")
    late.order("bob", "sell", "1", "10500")
    late.order("alice", "buy", "1", "10500")
    late.mark("9950")
    late.mark("11100")
    late.deliver(1)
    fund = late.settlement.funds["btc"]
    assert late.settlement.reservations["usdt:1"].budget == 50_000_000
    events = late.mark("11000")
    (asked,) = of_type(events, LiquidationResidual)
    assert (asked.liquidation_id, asked.round, asked.expected_loss) == ("usdt:1", 2, "0.000000")
    assert "usdt:1" not in late.settlement.reservations
    late.deliver()
    late.mark("11000")
    late.deliver()
    assert not late.shard.state.markets[MARKET].residuals
    assert (fund.reserved, late.settlement.reservations) == (0, {})
    check_settlement(late.settlement)
