"""`takeover_slice` and `takeover_interval`: a fund offers its inventory in slices, with time between them."""

from collections import Counter
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.spec import compile_venue
from schemas.claims import AdlTriggered, TakeoverApproved, TakeoverClosed, TakeoverExhausted, TakeoverFilled
from schemas.config import parse_config
from schemas.envelope import Event
from schemas.events import TradeExecuted
from tests.engine.stage import SECOND, Stage, of_type, venue_toml
from tests.engine.test_delayed_settlement import FLAT, run_delayed
from tests.engine.test_delayed_settlement import venue_toml as delayed_toml
from tests.engine.test_inverse_properties import HISTORY_TIERS, INVERSE, run_history
from tests.engine.test_takeover import bankrupt_long

SLICED = 'takeover_slice = "0.3"\ntakeover_interval = "10s"'


def sliced(*bids: tuple[str, str], qty: str = "10", opening: str = "1000", fund: str = SLICED) -> Stage:
    """What `bankrupt_long` sets up, with bids below the bankruptcy price of 10,000, which its liquidation leaves."""
    stage = bankrupt_long(qty, opening=opening, fund=fund)
    for size, price in bids:
        stage.buy("carl", size, price)
    return stage


def sold(events: list[Event]) -> list[tuple[str, str]]:
    """What the fund sold, by the claims."""
    return [(event.qty, event.price.rstrip("0").rstrip(".")) for event in of_type(events, TakeoverFilled)]


def later(stage: Stage, seconds: int, price: str) -> list[Event]:
    """A mark that many seconds after the last command."""
    stage.now += (seconds - 1) * SECOND
    return stage.mark(price)


def test_a_takeover_is_offered_slice_by_slice_at_marks_an_interval_apart() -> None:
    stage = sliced(("20", "9990"))
    events = stage.mark("9990")
    (approved,) = of_type(events, TakeoverApproved)
    assert (approved.qty, approved.loss_budget) == ("10.000", "100.000000")
    assert sold(events) == [("3.000", "9990")]  # 10 × 0.3, at once
    for _ in range(9):
        assert sold(stage.mark("9990")) == []
    assert sold(stage.mark("9990")) == [("3.000", "9990")]  # 10 s after the first
    assert sold(later(stage, 9, "9990")) == []
    assert sold(stage.mark("9990")) == [("3.000", "9990")]
    events = later(stage, 11, "9990")
    assert sold(events) == [("1.000", "9990")]  # what is left
    (closed,) = of_type(events, TakeoverClosed)
    assert (closed.qty, closed.pnl) == ("10.000", "-100.000000")
    assert (stage.fund()["balance"], stage.fund()["reserved"]) == ("900.000000", "0.000000")


@pytest.mark.parametrize(
    ("share", "slice_"),
    [("0.0015", "0.002"), ("0.001", "0.001"), ("0.000000001", "0.001"), ("0.999000001", "1.000"), ("1", "1.000")],
)
def test_a_slice_is_rounded_up_to_lots_and_is_at_least_one(share: str, slice_: str) -> None:
    stage = sliced(("20", "9990"), qty="1", fund=f'takeover_slice = "{share}"')
    assert sold(stage.mark("9990")) == [(slice_, "9990")]


def test_without_an_interval_every_mark_offers_a_slice_and_without_a_slice_an_interval_offers_all() -> None:
    stage = sliced(("20", "9990"), fund='takeover_slice = "0.3"')
    fills = [sold(stage.mark("9990")) for _ in range(4)]
    assert fills == [[(qty, "9990")] for qty in ("3.000", "3.000", "3.000", "1.000")]
    stage = sliced(("2", "9990"), fund='takeover_interval = "10s"')
    assert sold(stage.mark("9990")) == [("2.000", "9990")]
    stage.buy("carl", "20", "9990")
    assert sold(later(stage, 8, "9990")) == []
    assert sold(stage.mark("9990")) == [("8.000", "9990")]


def test_what_a_slice_does_not_sell_waits_also_where_it_finds_nobody() -> None:
    stage = sliced(("1", "9990"))
    assert sold(stage.mark("9990")) == [("1.000", "9990")]
    stage.buy("carl", "20", "9990")
    assert sold(stage.mark("9990")) == []
    assert sold(later(stage, 8, "9990")) == [("3.000", "9990")]
    stage = sliced()
    assert sold(stage.mark("9990")) == []
    stage.buy("carl", "20", "9990")
    assert sold(later(stage, 8, "9990")) == []
    assert sold(stage.mark("9990")) == [("3.000", "9990")]


def test_the_limit_keeps_the_budget_for_all_lots_and_not_only_for_the_slice() -> None:
    # Budget 10 × (10,000 − 9,990) + 0.001 × 99,900 = 199.9: on average 9,980.01 each, whatever the slice.
    stage = sliced(("10", "9980"), fund=SLICED + '\ntakeover_slippage = "0.001"')
    assert sold(stage.mark("9990")) == []
    stage.buy("carl", "1", "9980.1")
    stage.buy("carl", "1", "9999")
    # 1 at 9,999 and 1 at 9,980.1 lose 20.9 of 199.9: the other 8 may lose 22.375 each, 9,977.7 and better.
    assert sold(later(stage, 8, "9990")) == [("2.000", "9989.55")]
    assert sold(later(stage, 10, "9990")) == [("3.000", "9980")]
    assert sold(later(stage, 10, "9990")) == [("3.000", "9980")]
    (closed,) = of_type(later(stage, 10, "9990"), TakeoverClosed)
    assert closed.pnl == "-180.900000"


def test_a_new_budget_changes_neither_slice_nor_interval() -> None:
    stage = sliced(("20", "9980"), ("3", "9990"))
    assert sold(stage.mark("9990")) == [("3.000", "9990")]  # loses 30 of 100
    events = stage.mark("9980")  # 7 × 20 = 140 > 70, although no slice is due
    (exhausted,) = of_type(events, TakeoverExhausted)
    assert (exhausted.qty, exhausted.expected_loss, exhausted.reason) == ("7.000", "140.000000", "budget")
    (approved,) = of_type(events, TakeoverApproved)
    assert (approved.round, approved.loss_budget) == (2, "140.000000")
    assert sold(events) == []
    assert sold(later(stage, 8, "9980")) == []
    assert sold(stage.mark("9980")) == [("3.000", "9980")]  # 0.3 × 10, not × 7


def test_an_approval_that_comes_an_interval_after_the_last_slice_offers_the_next_at_once() -> None:
    stage = sliced(("20", "9980"), ("3", "9990"))
    stage.mark("9990")
    events = later(stage, 10, "9980")
    (approved,) = of_type(events, TakeoverApproved)
    assert (approved.round, sold(events)) == (2, [("3.000", "9980")])
    assert sold(stage.mark("9980")) == []


def test_age_asks_settlement_anew_however_long_the_interval() -> None:
    stage = sliced(("20", "9990"), fund='takeover_slice = "0.1"\ntakeover_interval = "1h"\ntakeover_max_age = "10m"')
    assert sold(stage.mark("9990")) == [("1.000", "9990")]
    stage.now += 598 * SECOND
    assert of_type(stage.send("clock.tick"), TakeoverExhausted) == []
    events = stage.send("clock.tick")
    (exhausted,) = of_type(events, TakeoverExhausted)
    assert (exhausted.qty, exhausted.reason) == ("9.000", "max_age")
    assert [event.reason for event in of_type(events, AdlTriggered)] == ["takeover_expired"]


def test_of_a_part_that_was_taken_over_the_slice_is_a_share_of_that_part() -> None:
    stage = sliced(("20", "9800"), qty="11", fund='takeover = "partial"\ntakeover_slice = "0.5"')
    events = stage.mark("9800")  # 5 of 11 are taken over
    assert [event.qty for event in of_type(events, TakeoverApproved)] == ["5.000"]
    assert sold(events) == [("2.500", "9800")]


def test_a_short_is_bought_back_in_slices() -> None:
    stage = Stage(opening="1000", fund=SLICED)
    stage.deposit("alice", "500")
    for account in ("bob", "carl"):
        stage.deposit(account, "100000")
    stage.mark("9500")
    stage.open_position("alice", "sell", "1", "9500", "19", against="bob")
    stage.sell("carl", "1", "10050")
    assert sold(stage.mark("10050")) == [("0.300", "10050")]
    assert sold(later(stage, 9, "10050")) == []
    assert sold(stage.mark("10050")) == [("0.300", "10050")]


def test_takeovers_keep_time_each_for_itself() -> None:
    stage = Stage(opening="1000", fund='takeover_slice = "0.5"\ntakeover_interval = "10s"')
    stage.deposit("maker", "1000000")
    for account, deposit, price, leverage in (("a1", "500", "10500", "21"), ("a2", "600", "10500", "17.5")):
        stage.mark(price)
        stage.deposit(account, deposit)
        stage.open_position(account, "buy", "1", price, leverage, against="maker")
    stage.buy("maker", "9", "9890")
    assert of_type(stage.mark("9990"), TakeoverApproved)[0].liquidation_id == "usdt:1"  # a2 goes at 9,900
    events = later(stage, 5, "9890")
    filled = [(event.liquidation_id, event.qty) for event in of_type(events, TakeoverFilled)]
    assert filled == [("usdt:2", "0.500")]
    filled = [(event.liquidation_id, event.qty) for event in of_type(later(stage, 5, "9890"), TakeoverFilled)]
    assert filled == [("usdt:1", "0.500")]
    filled = [(event.liquidation_id, event.qty) for event in of_type(later(stage, 5, "9890"), TakeoverFilled)]
    assert filled == [("usdt:2", "0.500")]


def test_slice_and_its_time_are_in_the_state_hash() -> None:
    stage = sliced()
    stage.mark("9990")
    shard = stage.venue.shards["usdt"]
    (residual,) = shard.state.markets[stage.market].residuals.values()
    assert (residual.slice_lots, residual.next_slice_at) == (3_000, stage.now + 10 * SECOND)
    before = shard.state_hash()
    residual.next_slice_at += 1
    assert shard.state_hash() != before
    residual.next_slice_at -= 1
    residual.slice_lots += 1
    assert shard.state_hash() != before


Step = tuple[int, int, int, int]
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(st.integers(1, 15), st.integers(-60, 30), st.integers(-60, 30), st.integers(1, 4_000)),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(
    share=st.sampled_from(["1", "0.5", "0.3", "0.1", "0.0001"]),
    interval=st.sampled_from([0, 1, 10, 60]),
    slippage=st.sampled_from(["0", "0.001", "0.02"]),
    is_long=st.booleans(),
    steps=STEPS,
)
def test_whatever_the_slices_and_prices_each_budget_holds_and_slices_keep_size_and_time(
    share: str, interval: int, slippage: str, *, is_long: bool, steps: list[Step]
) -> None:
    fund = f'takeover_slice = "{share}"\ntakeover_slippage = "{slippage}"\ntakeover_max_age = "9d"'
    if interval:
        fund += f'\ntakeover_interval = "{interval}s"'
    side, sign = ("buy", 1) if is_long else ("sell", -1)
    stage = Stage(opening="1000", fund=fund)
    for account, amount in (("alice", "5000"), ("bob", "1000000"), ("carl", "1000000")):
        stage.deposit(account, amount)
    first = 10_000 + 500 * sign
    stage.mark(str(first))
    stage.open_position("alice", side, "10", str(first), str(Fraction(first, 500)), against="bob")
    seconds = [0]
    sizes: list[Decimal] = []
    for wait, of_mark, of_order, lots in steps:
        events = stage.buy("carl", f"{lots / 1000:.3f}", str(9_990 + of_order)) if is_long else []
        events += [] if is_long else stage.sell("carl", f"{lots / 1000:.3f}", str(10_010 - of_order))
        events += later(stage, wait, str(9_990 + of_mark) if is_long else str(10_010 - of_mark))
        unwound = [Decimal(trade.qty) for trade in of_type(events, TradeExecuted) if trade.taker.account == "fund:btc"]
        if unwound:
            sizes.append(sum(unwound, Decimal(0)))
            seconds.append(stage.now // SECOND)
    approvals = {event.round: event for event in of_type(stage.events, TakeoverApproved)}
    lost: dict[int, Decimal] = dict.fromkeys(approvals, Decimal(0))
    for filled in of_type(stage.events, TakeoverFilled):
        lost[filled.round] -= Decimal(filled.pnl)
        assert lost[filled.round] <= Decimal(approvals[filled.round].loss_budget)
    if approvals:
        slice_ = Decimal(ceil(Fraction(approvals[1].qty) * 1000 * Fraction(share))) / 1000
        assert all(size <= slice_ for size in sizes)
    assert all(later_ - earlier >= interval for earlier, later_ in pairwise(seconds))


VENUES = [
    delayed_toml(opening="400", fund=SLICED + '\ntakeover_slippage = "0.02"', tiers=FLAT),
    delayed_toml(opening="90", fund='takeover = "partial"\ntakeover_slice = "0.01"\ntransfer = "daily"', tiers=FLAT),
    delayed_toml(opening="400", fund='takeover_slice = "0.5"\ntakeover_interval = "5m"', decimals=4, tiers=FLAT),
]


@settings(max_examples=15)
@given(venue=st.sampled_from(VENUES), seed=st.integers(0, 10**9))
def test_slices_conserve_and_each_takeover_ends_once_whatever_arrives_late(venue: str, seed: int) -> None:
    run_delayed(venue, seed, 250)


COARSE = venue_toml(
    tiers=HISTORY_TIERS,
    opening="5000",
    market=INVERSE,
    fund='takeover_slice = "0.01"\ntakeover_max_age = "1d"',
).replace("decimals = 6", "decimals = 2")
"""Inverse values, rounded down to a hundredth for each slice of its own."""


@settings(max_examples=15)
@given(seed=st.integers(0, 10**9))
def test_many_small_slices_of_an_inverse_contract_stay_within_the_budget(seed: int) -> None:
    run_history(COARSE, seed, 250)  # the engine asserts the budget at every fill


def test_the_inverse_histories_have_takeovers_of_many_slices() -> None:
    events = [event for seed in (1, 2, 3) for event in run_history(COARSE, seed, 600)]
    fills = Counter((event.liquidation_id, event.round) for event in of_type(events, TakeoverFilled))
    assert max(fills.values()) >= 5


def test_the_default_is_all_at_every_mark() -> None:
    default = compile_venue(parse_config(venue_toml())).funds["btc"]
    assert (default.takeover_slice, default.takeover_interval) == (10**9, 0)
