"""`transfer = "daily"`: surpluses and losses wait for the reconciliation, and lost money is not available meanwhile."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.conservation import InvariantBroken, check_settlement
from schemas.claims import AdlTriggered, DeficitRepaid, TakeoverApproved
from schemas.events import (
    FundBelowMinimum,
    FundCredited,
    FundDebited,
    FundPending,
    FundReconciled,
    FundRejected,
    LedgerPosted,
)
from tests.engine.stage import SECOND, Stage, of_type
from tests.engine.test_delayed_settlement import DelayedVenue, run_delayed, venue_toml
from tests.engine.test_last_resort import with_a_deficit
from tests.engine.test_takeover import bankrupt_long

DAY = 86_400 * SECOND
DAILY = 'transfer = "daily"\ntakeover_max_age = "90d"\n'


def next_day(stage: Stage) -> list[Any]:
    """A clock tick a day later: one boundary has passed."""
    stage.now += DAY - SECOND
    return list(stage.send("clock.tick"))


def lines(events: list[Any]) -> list[tuple[str, str, str, str]]:
    """What settlement posted to the ledger."""
    return [
        (line.debit, line.credit, line.amount, line.cause_kind)
        for posted in of_type(events, LedgerPosted)
        if posted.stream == "settlement:USDT"
        for line in posted.lines
    ]


def test_a_surplus_waits_outside_the_fund_until_the_boundary() -> None:
    stage = bankrupt_long(opening="1000", fund=DAILY)
    stage.buy("carl", "1", "10100")
    events = stage.mark("10050")
    (pending,) = of_type(events, FundPending)
    assert (pending.amount, pending.pending_gains, pending.pending_losses) == ("100.000000", "100.000000", "0.000000")
    assert (pending.cause_kind, pending.market, pending.liquidation_id) == ("surplus", "BTC-USDT", "usdt:1")
    assert of_type(events, FundCredited) == []
    assert lines(events) == [("transit/usdt", "pending_gains/btc", "100.000000", "surplus")]
    fund = stage.fund()
    assert (fund["balance"], fund["available"], fund["pending_gains"]) == ("1000.000000", "1000.000000", "100.000000")
    events = next_day(stage)
    (credited,) = of_type(events, FundCredited)
    assert (credited.amount, credited.balance, credited.cause_kind) == ("100.000000", "1100.000000", "surplus")
    (reconciled,) = of_type(events, FundReconciled)
    assert (reconciled.opening_balance, reconciled.closing_balance) == ("1000.000000", "1100.000000")
    assert (reconciled.surplus_count, reconciled.surplus_sum) == (1, "100.000000")
    assert lines(events) == [("pending_gains/btc", "fund/btc", "100.000000", "surplus")]
    assert stage.fund()["pending_gains"] == "0.000000"


def test_a_pending_loss_is_not_available_any_more_and_leaves_at_the_boundary() -> None:
    stage = bankrupt_long(opening="1000", minimum="960", fund=DAILY)
    stage.buy("carl", "1", "9950")
    events = stage.mark("9950")
    (pending,) = of_type(events, FundPending)
    assert (pending.amount, pending.pending_losses) == ("-50.000000", "50.000000")
    assert lines(events) == [("pending_losses/btc", "transit/usdt", "50.000000", "takeover_pnl")]
    fund = stage.fund()
    assert (fund["balance"], fund["reserved"], fund["available"]) == ("1000.000000", "0.000000", "950.000000")
    assert of_type(stage.events, FundBelowMinimum) == []
    (refused,) = of_type(stage.send("fund.withdraw", fund="btc", amount="0.000001", transfer_id="w"), FundRejected)
    assert refused.code == "insufficient_balance"
    events = next_day(stage)
    (debited,) = of_type(events, FundDebited)
    assert (debited.amount, debited.balance, debited.cause_kind) == ("50.000000", "950.000000", "takeover_pnl")
    (reconciled,) = of_type(events, FundReconciled)
    assert (reconciled.closing_balance, reconciled.loss_sum) == ("950.000000", "50.000000")
    assert len(of_type(events, FundBelowMinimum)) == 1
    assert lines(events) == [("fund/btc", "pending_losses/btc", "50.000000", "takeover_pnl")]


def test_a_pending_gain_carries_no_takeover_and_a_pending_loss_prevents_one() -> None:
    stage = Stage(opening="100", fund=DAILY)
    for account in ("maker", "carl"):
        stage.deposit(account, "1000000")
    stage.mark("10500")
    for account in ("a1", "a2", "a3"):
        stage.deposit(account, "500")
        stage.open_position(account, "buy", "1", "10500", "21", against="maker")
    stage.buy("carl", "1", "10030")
    stage.buy("carl", "1", "9940")
    events = stage.mark("9940")  # the first gains 30; the second loses 60; the third would lose 60 of the 40 left
    assert [event.liquidation_id for event in of_type(events, TakeoverApproved)] == ["usdt:2"]
    assert [event.liquidation_id for event in of_type(events, AdlTriggered)] == ["usdt:3"]
    fund = stage.fund()
    assert (fund["balance"], fund["available"]) == ("100.000000", "40.000000")
    assert (fund["pending_gains"], fund["pending_losses"]) == ("30.000000", "60.000000")
    events = next_day(stage)
    assert [(type(event), event.amount) for event in of_type(events, FundCredited, FundDebited)] == [
        (FundCredited, "30.000000"),
        (FundDebited, "60.000000"),
    ]
    assert stage.fund()["available"] == "70.000000"


def test_a_gain_takes_back_the_pending_loss_of_its_takeover_and_only_the_rest_waits() -> None:
    stage = bankrupt_long("2", opening="100", fund=DAILY)
    stage.buy("carl", "1", "9980")
    stage.mark("9950")  # loses 20 of a budget of 100
    stage.buy("carl", "0.5", "10100")
    events = stage.mark("10000")  # gains 50: the budget is 100 again
    assert [(event.amount, event.pending_losses) for event in of_type(events, FundPending)] == [
        ("20.000000", "0.000000"),
        ("30.000000", "0.000000"),
    ]
    fund = stage.fund()
    assert (fund["balance"], fund["reserved"], fund["available"]) == ("100.000000", "100.000000", "0.000000")
    assert fund["pending_gains"] == "30.000000"


def test_a_gain_that_gives_back_a_loss_which_was_booked_already_is_credited_at_once() -> None:
    stage = bankrupt_long("2", opening="100", fund=DAILY)
    stage.buy("carl", "1", "9980")
    stage.mark("9950")
    next_day(stage)
    assert (stage.fund()["balance"], stage.fund()["reserved"]) == ("80.000000", "80.000000")
    stage.buy("carl", "0.5", "10100")
    events = stage.mark("10000")
    (credited,) = of_type(events, FundCredited)
    assert (credited.amount, credited.cause_kind) == ("20.000000", "takeover_pnl")
    (pending,) = of_type(events, FundPending)
    assert pending.amount == "30.000000"
    fund = stage.fund()
    assert (fund["balance"], fund["reserved"], fund["available"]) == ("100.000000", "100.000000", "0.000000")


def test_fees_and_injections_do_not_wait() -> None:
    stage = bankrupt_long(opening="1000", fund=DAILY, market='liquidation_fee = "0.001"')
    stage.buy("carl", "1", "10100")
    events = stage.mark("10050")
    (credited,) = of_type(events, FundCredited)
    assert (credited.cause_kind, credited.amount) == ("fee", "10.100000")
    events = stage.send("fund.deposit", fund="btc", amount="5", kind="injection", transfer_id="f")
    assert len(of_type(events, FundCredited)) == 1


def test_the_first_of_several_boundaries_books_all_and_the_others_nothing() -> None:
    stage = bankrupt_long(opening="1000", fund=DAILY)
    stage.buy("carl", "1", "9950")
    stage.mark("9950")
    stage.now += 3 * DAY
    events = stage.send("clock.tick")
    assert [(p.opening_balance, p.closing_balance) for p in of_type(events, FundReconciled)] == [
        ("1000.000000", "950.000000"),
        ("950.000000", "950.000000"),
        ("950.000000", "950.000000"),
    ]
    assert len(of_type(events, FundDebited)) == 1


def test_a_deficit_is_repaid_when_a_surplus_is_booked() -> None:
    stage = bankrupt_long(opening="0", fund=DAILY)
    settlement = stage.venue.settlements["USDT"]
    settlement.funds["btc"].deficits["BTC-USDT"] = 30_000_000
    stage.venue.shards["usdt"].state.markets["BTC-USDT"].deficit.balance = -30_000_000
    stage.venue.shards["usdt"].state.external.balance += 30_000_000
    stage.buy("carl", "1", "10100")
    assert of_type(stage.mark("10050"), DeficitRepaid) == []
    (repaid,) = of_type(next_day(stage), DeficitRepaid)
    assert repaid.amount == "30.000000"
    assert stage.fund()["balance"] == "70.000000"


def test_what_the_fund_covers_of_a_loss_waits_too() -> None:
    stage = with_a_deficit(fund='transfer = "daily"')
    (pending,) = of_type(stage.events, FundPending)
    fund = stage.fund()
    assert (pending.cause_kind, pending.amount) == ("loss", "-301.000000")
    assert (fund["balance"], fund["available"]) == ("301.000000", "0.000000")


def test_the_scan_finds_a_fund_that_lost_more_than_it_has_and_pending_sums_that_disagree() -> None:
    stage = bankrupt_long(opening="50", fund=DAILY)
    stage.buy("carl", "1", "9950")
    stage.mark("9950")
    settlement = stage.venue.settlements["USDT"]
    fund = settlement.funds["btc"]
    check_settlement(settlement)
    fund.pending_losses["takeover_pnl"] += 1
    with pytest.raises(InvariantBroken, match="units pending"):
        check_settlement(settlement)
    fund.losses_due.balance -= 1
    settlement.treasury.balance += 1
    with pytest.raises(InvariantBroken, match="reserves 0 and lost 50000001 units of 50000000"):
        check_settlement(settlement)


DAILY_VENUES = [
    venue_toml(
        opening="400",
        fund='transfer = "daily"\nrebalance = true\nminimum = "390"\ntakeover_slippage = "0.02"',
    ),
    venue_toml(
        opening="3000",
        fund='transfer = "daily"\ntreasury = "ops"\nminimum = "2500"\ntakeover_slippage = "0.01"',
        market='liquidation_fee = "0.001"\nfund_fee_share = "0.5"\ntaker_fee = "0.0005"',
    ),
]


def run_to_the_boundary(venue: str, seed: int, steps: int) -> DelayedVenue:
    """`run_delayed` checks after every input; then a boundary passes."""
    ran = run_delayed(venue, seed, steps)
    ran.command("settlement", {"type": "clock.tick", "ts": ran.settlement.outbox.event_time + DAY})
    ran.settle()
    ran.check_at_rest()
    return ran


@settings(max_examples=25)
@given(venue=st.sampled_from(DAILY_VENUES), seed=st.integers(0, 10**9))
def test_daily_funds_conserve_and_never_fall_below_zero_whatever_arrives_late(venue: str, seed: int) -> None:
    for fund in run_to_the_boundary(venue, seed, 250).settlement.funds.values():
        assert fund.gains.balance == fund.losses_due.balance == 0
        assert fund.purse.balance >= fund.reserved >= 0


def test_the_histories_have_gains_and_losses_that_wait() -> None:
    ran = [run_to_the_boundary(toml, seed, 300) for toml in DAILY_VENUES for seed in (1, 2, 3)]
    events = [event for venue in ran for event in venue.events["settlement"]]
    assert {event.cause_kind for event in of_type(events, FundPending)} >= {"surplus", "takeover_pnl"}
    credited, debited = ({e.cause_kind for e in of_type(events, kind)} for kind in (FundCredited, FundDebited))
    assert credited >= {"surplus", "takeover_pnl", "rebalance", "injection"}
    assert debited >= {"takeover_pnl", "rebalance"}
