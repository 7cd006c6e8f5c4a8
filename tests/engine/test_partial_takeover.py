"""`takeover = "partial"`: the fund takes the lots whose expected loss it can carry, and ADL takes the rest."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.position import Parcel
from engine.residual import Residual, value_of_part
from engine.sequence import BrokenStream
from schemas.claims import (
    AdlTriggered,
    LiquidationClosed,
    LiquidationResidual,
    TakeoverApproved,
    TakeoverClosed,
    TakeoverExhausted,
    TakeoverFilled,
)
from schemas.events import AdlExecuted
from tests.engine.stage import of_type
from tests.engine.test_delayed_settlement import FLAT, run_delayed, venue_toml
from tests.engine.test_late_decisions import Late
from tests.engine.test_settlement import approved
from tests.engine.test_takeover import bankrupt_long

PARTIAL = 'takeover = "partial"'


def test_the_fund_takes_what_it_can_carry_and_adl_the_rest_under_an_id_of_its_own() -> None:
    stage = bankrupt_long("11", opening="1000", fund=PARTIAL)
    events = stage.mark("9800")  # expected loss 11 × 200 = 2,200: five lots of 1 can be carried
    (taken,) = of_type(events, TakeoverApproved)
    assert (taken.liquidation_id, taken.round, taken.qty, taken.loss_budget) == ("usdt:1", 1, "5.000", "1000.000000")
    asked, rest = of_type(events, LiquidationResidual)
    assert (asked.liquidation_id, asked.qty) == ("usdt:1", "11.000")
    assert (rest.liquidation_id, rest.part_of, rest.round, rest.qty) == ("usdt:2", "usdt:1", 1, "6.000")
    assert (rest.bankruptcy_value, rest.expected_loss) == ("60000.000000", "1200.000000")
    (triggered,) = of_type(events, AdlTriggered)
    assert (triggered.liquidation_id, triggered.round, triggered.qty) == ("usdt:2", 1, "6.000")
    assert sum(Fraction(event.qty) for event in of_type(events, AdlExecuted)) == 6
    (closed,) = of_type(events, LiquidationClosed)
    assert closed.liquidation_id == "usdt:2"
    assert (stage.fund()["balance"], stage.fund()["reserved"]) == ("1000.000000", "1000.000000")


def test_what_the_fund_took_is_unwound_within_its_budget() -> None:
    stage = bankrupt_long("11", opening="1000", fund=PARTIAL)
    stage.mark("9800")
    stage.buy("carl", "20", "9800")
    events = stage.mark("9800")
    (filled,) = of_type(events, TakeoverFilled)
    assert (filled.liquidation_id, filled.qty, filled.pnl) == ("usdt:1", "5.000", "-1000.000000")
    (closed,) = of_type(events, TakeoverClosed)
    assert closed.qty == "5.000"
    assert (stage.fund()["balance"], stage.fund()["reserved"]) == ("0.000000", "0.000000")


@pytest.mark.parametrize(
    ("opening", "taken"), [("2200", "11.000"), ("2199.999999", "10.999"), ("0.2", "0.001"), ("0.199999", None)]
)
def test_the_lots_whose_loss_is_available_are_taken_to_the_last_one(opening: str, taken: str | None) -> None:
    stage = bankrupt_long("11", opening=opening, fund=PARTIAL)
    events = stage.mark("9800")
    assert [event.qty for event in of_type(events, TakeoverApproved)] == ([taken] if taken else [])
    assert len(of_type(events, AdlTriggered)) == (taken != "11.000")


def test_a_fund_that_takes_whole_residuals_only_leaves_all_to_adl() -> None:
    stage = bankrupt_long("11", opening="1000")
    events = stage.mark("9800")
    assert of_type(events, TakeoverApproved) == []
    (triggered,) = of_type(events, AdlTriggered)
    assert (triggered.liquidation_id, triggered.qty) == ("usdt:1", "11.000")


def test_slippage_comes_on_top_of_the_part_as_far_as_the_fund_goes() -> None:
    stage = bankrupt_long("11", opening="1100", fund=PARTIAL + '\ntakeover_slippage = "0.001"')
    (taken,) = of_type(stage.mark("9800"), TakeoverApproved)
    assert (taken.qty, taken.loss_budget) == ("5.500", "1100.000000")


def test_an_exhausted_takeover_keeps_what_can_still_be_carried() -> None:
    stage = bankrupt_long("11", opening="1100", fund=PARTIAL)
    stage.mark("9900")  # all of it: 1,100
    events = stage.mark("9800")
    (exhausted,) = of_type(events, TakeoverExhausted)
    assert (exhausted.liquidation_id, exhausted.round) == ("usdt:1", 2)
    (taken,) = of_type(events, TakeoverApproved)
    assert (taken.liquidation_id, taken.round, taken.qty) == ("usdt:1", 2, "5.500")
    (triggered,) = of_type(events, AdlTriggered)
    assert (triggered.liquidation_id, triggered.round, triggered.qty) == ("usdt:2", 1, "5.500")


def test_what_is_too_old_goes_to_adl_whole() -> None:
    stage = bankrupt_long("11", opening="1000", fund=PARTIAL + '\ntakeover_max_age = "10m"')
    stage.mark("9800")
    stage.now += 600_000_000
    events = stage.send("clock.tick")
    (triggered,) = of_type(events, AdlTriggered)
    assert (triggered.liquidation_id, triggered.qty, triggered.reason) == ("usdt:1", "5.000", "takeover_expired")


@pytest.mark.parametrize("qty", ["1.001", "0.000"])
def test_more_than_was_asked_about_or_nothing_is_no_answer(qty: str) -> None:
    late = Late(opening="1000", fund=PARTIAL)
    for account, amount in (("alice", "500"), ("bob", "100000")):
        late.fund_account(account, amount, "21")
    late.mark("10500")
    late.order("bob", "sell", "1", "10500")
    late.order("alice", "buy", "1", "10500")
    late.mark("9950")
    decision = approved(1, 1)
    decision.qty = qty
    with pytest.raises(BrokenStream, match="does not answer"):
        late.shard.apply(decision)


def test_a_part_is_an_answer_also_where_the_fund_takes_whole_residuals_only_by_now() -> None:
    """A change of `takeover` may reach settlement after it has decided, and the engine before it hears of that."""
    late = Late(opening="1000")
    for account, amount in (("alice", "500"), ("bob", "100000")):
        late.fund_account(account, amount, "21")
    late.mark("10500")
    late.order("bob", "sell", "1", "10500")
    late.order("alice", "buy", "1", "10500")
    late.mark("9950")
    decision = approved(1, 1)
    decision.qty = "0.500"
    (asked,) = of_type(late.shard.apply(decision), LiquidationResidual)
    assert (asked.part_of, asked.qty) == (decision.liquidation_id, "0.500")


@given(
    value=st.integers(-(10**9), 10**12),
    lots=st.integers(2, 10**6),
    share=st.fractions(0, 1),
    exposure=st.sampled_from([1, -1]),
)
def test_a_split_keeps_value_and_lots_and_favours_the_part_that_the_fund_takes(
    value: int, lots: int, share: Fraction, exposure: int
) -> None:
    part = max(1, min(lots - 1, int(lots * share)))
    residual = Residual(1, "usdt:1", exposure, exposure, Parcel(lots, value))
    rest = residual.split(part)
    assert (residual.parcel.lots + rest.lots, residual.parcel.value + rest.value) == (lots, value)
    assert residual.parcel.value == value_of_part(value, part, lots, exposure)
    exact = Fraction(value * part, lots)
    assert 0 <= exposure * (exact - residual.parcel.value) < 1


VENUES = [
    venue_toml(opening="60", fund=PARTIAL + '\ntakeover_max_age = "60s"', tiers=FLAT),
    venue_toml(opening="400", fund=PARTIAL + '\ntransfer = "daily"\ntakeover_slippage = "0.01"', tiers=FLAT),
    venue_toml(
        opening="90",
        fund=PARTIAL,
        limits="liquidations_per_command = 1\nmax_open_residuals = 2",
        decimals=4,
        tiers=FLAT,
    ),
]


@settings(max_examples=25)
@given(venue=st.sampled_from(VENUES), seed=st.integers(0, 10**9))
def test_parts_conserve_and_each_ends_once_whatever_arrives_late(venue: str, seed: int) -> None:
    run_delayed(venue, seed, 250)


def test_the_histories_split_residuals() -> None:
    ran = [run_delayed(toml, seed, 400) for toml in VENUES for seed in (3, 6)]
    events = [event for venue in ran for stream in venue.events.values() for event in stream]
    parts = [event for event in of_type(events, LiquidationResidual) if isinstance(event.part_of, str)]
    assert len(parts) >= 10
