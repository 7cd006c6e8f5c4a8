"""What is published of fund deltas, ADL and clawbacks, against what `backstop replay` says of the same history."""

from decimal import Decimal

import pytest

from tests.venues.settlement.page import DOCUMENT, page
from tests.venues.settlement.published import (
    AdlExample,
    Check,
    FundExample,
    SocialisedExample,
    checks,
    examples,
    left_out,
)
from tests.venues.settlement.replayed import answers, replayed

CHECKS = checks()
TRIGGERED = [example for example in examples() if isinstance(example, FundExample) and example.liquidation]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_our_answer_is_the_printed_one(check: Check) -> None:
    """To the last digit, unless the source has rounded."""
    ours = answers(check.example)[check.quantity]
    assert check.agrees(ours), f"{check.example.venue} printed {check.printed}, ours is {ours}"


@pytest.mark.parametrize("example", TRIGGERED, ids=lambda example: example.id)
def test_the_liquidation_starts_at_the_printed_price(example: FundExample) -> None:
    """The mark before was one tick away from it; and the trader ends with nothing, as all was margin."""
    started = replayed(example).one("liquidation.started")
    assert Decimal(started["mark_price"]) == Decimal(example.liquidation or "")
    assert Decimal(answers(example)["wallet"]) == 0


@pytest.mark.parametrize(
    "example", [one for one in examples() if isinstance(one, FundExample)], ids=lambda example: example.id
)
def test_a_gain_is_a_surplus_and_a_loss_is_a_takeover(example: FundExample) -> None:
    """A fund gains from what the liquidation order filled, and loses only what it had reserved."""
    run = replayed(example)
    kinds = {event["cause_kind"] for event in (*run.all("fund.credited"), *run.all("fund.debited"))}
    if answers(example)["direction"] == "gain":
        assert "surplus" in kinds
        assert run.all("takeover.approved") == []
    else:
        assert "takeover_pnl" in kinds
        assert run.all("liquidation.settled")[0]["filled_qty"].strip("0.") == ""


@pytest.mark.parametrize(
    "example", [one for one in examples() if isinstance(one, AdlExample)], ids=lambda example: example.id
)
def test_the_whole_residual_is_placed_and_the_fund_keeps_what_it_has(example: AdlExample) -> None:
    """Nothing is left to the last resort, nobody outside the example is touched."""
    run = replayed(example)
    executed = run.all("adl.executed")
    assert {event["account"] for event in executed} <= {stake.account for stake in example.opposing}
    assert run.all("liquidation.uncovered") == []
    assert run.one("adl.completed")["remaining"].strip("0.") == ""
    assert Decimal(run.report["funds"]["f"]["balance"]) == Decimal(example.opening)


def test_each_kind_is_there() -> None:
    """Funds, ADL and socialised losses; both sides, both contracts; more than a handful of sources."""
    numbers = [check for check in CHECKS if check.is_number]
    assert len(numbers) >= 50
    assert len({check.example.venue for check in numbers}) >= 15
    assert {type(check.example) for check in numbers} == {FundExample, AdlExample, SocialisedExample}
    assert {example.side for example in TRIGGERED} == {"long", "short"}
    assert {example.contract for example in TRIGGERED} == {"linear", "inverse"}


def test_an_example_is_told_once() -> None:
    """Ids are unique, and so is what was left out."""
    assert len({example.id for example in examples()}) == len(examples())
    assert len({(entry.venue, entry.printed) for entry in left_out()}) == len(left_out())


def test_the_page_is_that_of_the_examples() -> None:
    """`python -m tests.venues` has been run since an example or an answer changed."""
    assert DOCUMENT.read_text("utf-8") == page()
