"""Stories in which somebody else pays: a fund that is used up, winners, a deficit, and who repays it.

Random histories get here too rarely; the venue is that of `tests/engine/test_last_resort.py`.
"""

from decimal import Decimal

from consumers.explain.account import AccountStory
from consumers.explain.liquidation import LiquidationStory
from consumers.explain.terms import Terms
from consumers.explain.text import liquidation_text
from tests.engine.stage import Stage
from tests.engine.test_adl import inventory_against_a_thin_short
from tests.engine.test_adl_price import triggered
from tests.engine.test_last_resort import with_a_deficit
from tests.explain.conftest import recorded, tell


def story_of(stage: Stage, liquidation_id: str) -> LiquidationStory:
    terms = Terms()
    terms.learn(stage.config)
    story = LiquidationStory(liquidation_id, terms)
    tell(recorded(stage.events), story)
    story.finish("the log")
    return story


def test_a_loss_is_told_down_to_each_winner_who_paid_for_it() -> None:
    stage = inventory_against_a_thin_short()
    stage.mark("9400")
    story = story_of(stage, "usdt:1")
    assert story.outcome == "last_resort"
    assert (story.bill.fund, story.bill.winners, story.bill.deficit) == ("-301.000000", "-105.200000", "0.000000")
    assert story.socialised == {"bob": "92.871331", "erin": "12.328669"}
    assert Decimal(story.bill.total) == 0
    assert story.postings.missing == 0
    formulas = [formula for step in story.steps for formula in step.formulas]
    assert "to be socialised: 406.2 − 301 = 105.2" in formulas
    assert "rate 0.116089" in formulas


def test_what_nobody_could_pay_stands_in_the_sum_as_a_deficit() -> None:
    story = story_of(with_a_deficit(), "usdt:1")
    bill = story.bill
    assert (bill.fund, bill.winners, bill.deficit) == ("-301.000000", "-22.328669", "-82.871331")
    assert Decimal(bill.total) == 0
    assert {line.cause_kind for line in story.postings.lines} >= {"loss", "socialised_loss", "deficit"}
    text = liquidation_text(story)
    assert "Nobody could pay 82.871331: it stands as the market's deficit, 82.871331 in all." in text
    assert "winners, socialised −22.328669 2 payers" in " ".join(text.split())
    assert "nobody paid it yet" in text


def test_a_winner_is_told_what_the_loss_of_another_cost_and_the_wallet_agrees() -> None:
    stage = with_a_deficit()
    story = AccountStory("erin", Terms())
    tell(recorded(stage.events), story)
    story.finish("the log")
    told = [step.what for step in story.steps if step.event == "loss.socialised"]
    assert told == ["erin paid 12.328669 of the loss."]
    balance = story.document()["balances"]["usdt"]
    assert balance["by_kind"]["socialised_loss"] == "-12.328669"
    assert balance["agrees"]


def test_a_deficit_that_a_surplus_repays_is_told_and_is_no_part_of_the_sum() -> None:
    stage = with_a_deficit()
    stage.deposit("zoe", "470")
    stage.deposit("yan", "100000")
    stage.leverage("zoe", "20")
    stage.sell("yan", "1", "9400")
    stage.buy("zoe", "1", "9400")
    stage.buy("yan", "1", "9000")
    stage.mark("8970")  # bankrupt at 8,930, sold at 9,000
    story = story_of(stage, "usdt:2")
    assert [step.event for step in story.steps][-3:] == ["fund.credited", "fund.debited", "deficit.repaid"]
    assert story.steps[-1].what == "The fund btc repaid 70 of the deficit of BTC-USDT."
    assert story.bill.fund == "70.000000"
    assert Decimal(story.bill.total) == 0


def test_adl_at_the_mark_is_told_with_what_the_fund_reserved_and_paid() -> None:
    stage = triggered()
    stage.mark("9950")
    story = story_of(stage, "usdt:1")
    assert story.outcome == "adl"
    assert (story.bill.fund, story.bill.total) == ("-50.000000", "0.000000")
    formulas = [formula for step in story.steps for formula in step.formulas]
    assert "the fund's ADL trigger is active; 50 are reserved to close it at the mark" in formulas
