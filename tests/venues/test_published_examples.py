"""What venues publish of liquidation and bankruptcy prices, against what our report says of the same account."""

import pytest

from tests.venues.account import answers, starts_at
from tests.venues.page import DOCUMENT, page
from tests.venues.published import NONE, Check, checks, examples, left_out

CHECKS = checks()
TRIGGERS = [check for check in CHECKS if check.quantity == "liquidation_price" and check.printed != NONE]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_our_answer_is_the_printed_one(check: Check) -> None:
    """Within the precision of print, after a history of deposits, orders, margins and marks."""
    ours = answers(check.example)[check.position][check.quantity]
    assert check.agrees(ours), f"{check.example.venue} printed {check.printed}, ours is {ours}"


@pytest.mark.parametrize("check", TRIGGERS, ids=lambda check: check.name)
def test_the_price_in_the_report_is_where_we_liquidate(check: Check) -> None:
    """One tick before it nothing starts; at it, the liquidation does."""
    before, at = starts_at(check.example, check.position)
    assert (before[1], at[1]) == (False, True), (before, at)


def test_each_kind_of_position_is_there() -> None:
    """Both contracts, both modes, both sides, one tier and many; and more than a handful of venues."""
    kinds = {
        (check.example.contract, check.example.mode, check.stake.side, bool(check.stake.tiers))
        for check in CHECKS
        if check.quantity.endswith("_price")
    }
    assert {kind[:2] for kind in kinds} == {
        (contract, mode) for contract in ("linear", "inverse") for mode in ("isolated", "cross")
    }
    assert {kind[2] for kind in kinds} == {"long", "short"}
    assert {kind[3] for kind in kinds} == {True, False}
    assert sum(check.quantity.endswith("_price") for check in CHECKS) >= 25
    assert len({check.example.venue for check in CHECKS}) >= 15


def test_an_example_is_told_once() -> None:
    """Ids are unique, and an account does not hold a market twice."""
    assert len({example.id for example in examples()}) == len(examples())
    assert all(len({stake.market for stake in example.positions}) == len(example.positions) for example in examples())
    assert len({entry.printed for entry in left_out()}) == len(left_out())


def test_the_page_is_that_of_the_examples() -> None:
    """`python -m tests.venues` has been run since an example or an answer changed."""
    assert DOCUMENT.read_text("utf-8") == page()
