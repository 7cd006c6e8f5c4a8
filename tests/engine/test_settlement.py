"""Funds: minimum, injections, withdrawals, transfers, reconciliation; and the numbering of claims and decisions."""

import itertools

import pytest

from engine.sequence import BrokenStream
from engine.settlement import Settlement
from engine.spec import compile_venue
from schemas.claims import (
    AdlTriggered,
    Claim,
    Decision,
    DecisionRejected,
    LiquidationResidual,
    LiquidationSettled,
    TakeoverApproved,
)
from schemas.config import parse_config
from schemas.events import (
    FundBelowMinimum,
    FundCredited,
    FundDebited,
    FundReconciled,
    FundRejected,
    FundUpdated,
    LedgerPosted,
)
from tests.engine.stage import SECOND, Stage, of_type, venue_toml
from tests.engine.test_takeover import bankrupt_long


def inject(stage: Stage, amount: str, transfer_id: str) -> list[object]:
    """An injection into the fund."""
    return of_type(
        stage.send("fund.deposit", fund="btc", amount=amount, kind="injection", transfer_id=transfer_id), FundCredited
    )


def test_a_fund_below_its_minimum_at_genesis_says_so_once() -> None:
    stage = Stage(opening="900", minimum="1000")
    (below,) = of_type(stage.events, FundBelowMinimum)
    assert (below.balance, below.minimum) == ("900.000000", "1000.000000")
    assert of_type(stage.send("clock.tick"), FundBelowMinimum) == []


def test_worked_example_6_injection_and_withdrawal_above_the_minimum() -> None:
    stage = Stage(opening="900", minimum="1000")
    (credited,) = inject(stage, "150", "f1")
    assert credited.balance == "1050.000000"
    (refused,) = of_type(stage.send("fund.withdraw", fund="btc", amount="100", transfer_id="f2"), FundRejected)
    assert (refused.code, refused.transfer_id) == ("insufficient_balance", "f2")
    (debited,) = of_type(stage.send("fund.withdraw", fund="btc", amount="50", transfer_id="f3"), FundDebited)
    assert (debited.balance, debited.cause_kind) == ("1000.000000", "withdrawal")


def test_each_crossing_below_the_minimum_is_told_once() -> None:
    stage = Stage(opening="1000")
    raised = of_type(stage.send("fund.minimum", fund="btc", amount="1000.000001"), FundBelowMinimum, FundUpdated)
    assert [type(event) for event in raised] == [FundUpdated, FundBelowMinimum]
    inject(stage, "5", "f1")
    assert len(of_type(stage.events, FundBelowMinimum)) == 1
    stage.send("fund.minimum", fund="btc", amount="2000")
    assert len(of_type(stage.events, FundBelowMinimum)) == 2


def test_what_is_reserved_cannot_be_withdrawn() -> None:
    stage = bankrupt_long(opening="1000")
    stage.mark("9950")
    (refused,) = of_type(stage.send("fund.withdraw", fund="btc", amount="950.000001", transfer_id="f1"), FundRejected)
    assert refused.code == "insufficient_balance"
    assert of_type(stage.send("fund.withdraw", fund="btc", amount="950", transfer_id="f2"), FundDebited)
    assert (stage.fund()["balance"], stage.fund()["reserved"]) == ("50.000000", "50.000000")


def test_a_known_transfer_is_answered_and_not_applied_again() -> None:
    stage = Stage()
    inject(stage, "100", "f1")
    assert inject(stage, "100", "f1") == []
    (answer,) = of_type(stage.events, FundUpdated)
    assert (answer.transfer_id, answer.balance) == ("f1", "100.000000")
    (refused,) = of_type(
        stage.send("fund.deposit", fund="btc", amount="101", kind="injection", transfer_id="f1"), FundRejected
    )
    assert refused.code == "transfer_mismatch"
    (refused,) = of_type(
        stage.send("fund.deposit", fund="btc", amount="100", kind="donation", transfer_id="f1"), FundRejected
    )
    assert refused.code == "transfer_mismatch"


def test_commands_for_an_unknown_fund_or_a_finer_amount_are_rejected() -> None:
    stage = Stage(opening="10")
    for fields, code in (
        ({"fund": "eth", "amount": "1"}, "unknown_fund"),
        ({"fund": "btc", "amount": "0.0000001"}, "off_unit"),
        ({"fund": "btc", "amount": "9223372036854.775808"}, "amount_too_large"),
    ):
        (refused,) = of_type(stage.send("fund.withdraw", transfer_id="f", **fields), FundRejected)
        assert refused.code == code


TWO_FUNDS = venue_toml(opening="100").replace(
    "[shards.usdt]", '[funds.eth]\nasset = "USDT"\nopening = "5"\nminimum = "10"\n[shards.usdt]'
)


def test_a_transfer_moves_money_between_funds_of_an_asset() -> None:
    settlement = two_funds()
    stage = Stage()
    stage.venue.settlements["USDT"] = settlement
    stage.venue.__dict__["_settlement_of_fund"].update({"btc": settlement, "eth": settlement})
    events = stage.venue.apply(_command("fund.transfer", fund="btc", to="eth", amount="40", transfer_id="x"))
    (debited,) = of_type(events, FundDebited)
    (credited,) = of_type(events, FundCredited)
    assert (debited.fund, debited.balance) == ("btc", "60.000000")
    assert (credited.fund, credited.balance) == ("eth", "45.000000")
    (posted,) = of_type(events, LedgerPosted)
    assert [(line.debit, line.credit, line.amount) for line in posted.lines] == [("fund/btc", "fund/eth", "40.000000")]


def two_funds() -> Settlement:
    """A settlement with the funds btc (100) and eth (5)."""
    spec = compile_venue(parse_config(TWO_FUNDS))
    settlement = Settlement(spec, spec.assets["USDT"])
    settlement.genesis()
    return settlement


def _command(type_: str, **fields: str) -> object:
    import orjson

    from schemas.wire import decode_command

    return decode_command(orjson.dumps({"type": type_, "ts": 1, **fields}))


def test_periods_end_at_1600_in_utc_plus_8_and_tell_counts_and_sums() -> None:
    stage = bankrupt_long("2", opening="1000")
    stage.buy("carl", "1", "9990")
    stage.mark("9950")  # the fund sells 1 at a loss of 10
    stage.now = -(-stage.now // (86_400 * SECOND)) * 86_400 * SECOND + 8 * 3600 * SECOND - SECOND
    events = stage.send("clock.tick")
    (reconciled,) = of_type(events, FundReconciled)
    assert reconciled.period_end % (86_400 * SECOND) == 8 * 3600 * SECOND
    assert reconciled.period_start == 1_700_000_001 * SECOND
    assert (reconciled.opening_balance, reconciled.closing_balance) == ("1000.000000", "990.000000")
    assert (reconciled.loss_count, reconciled.loss_sum) == (1, "10.000000")
    assert (reconciled.surplus_count, reconciled.adl_count) == (0, 0)


def test_several_boundaries_at_once_close_a_period_each_and_far_jumps_are_bounded() -> None:
    stage = Stage(opening="7", limits="reconciliations_per_command = 4")
    stage.send("clock.tick")
    stage.now += 3 * 86_400 * SECOND
    periods = of_type(stage.send("clock.tick"), FundReconciled)
    assert len(periods) == 3
    assert all(left.period_end == right.period_start for left, right in itertools.pairwise(periods))
    stage.now += 10_000 * 86_400 * SECOND
    later = of_type(stage.send("clock.tick"), FundReconciled)
    assert len(later) == 4
    assert later[0].period_start == periods[-1].period_end
    assert stage.now - 86_400 * SECOND < later[-1].period_end <= stage.now
    stage.now += 86_400 * SECOND
    assert len(of_type(stage.send("clock.tick"), FundReconciled)) == 1


def test_claims_and_decisions_are_numbered_without_gaps() -> None:
    stage = bankrupt_long(opening="1000")
    stage.mark("10050")
    for mark in ("9980", "9990", "9900", "8000"):
        stage.mark(mark)
    claims = [event.claim for event in stage.events if isinstance(event, Claim)]
    decisions = [event.decision for event in stage.events if isinstance(event, Decision)]
    assert claims == list(range(1, len(claims) + 1))
    assert decisions == list(range(1, len(decisions) + 1))


def settled(claim: int) -> LiquidationSettled:
    """A claim of shard usdt with a surplus of 1."""
    return LiquidationSettled(
        stream="engine:usdt",
        claim=claim,
        liquidation_id="usdt:1",
        market="BTC-USDT",
        filled_qty="1.000",
        average_price=None,
        fee="0.000000",
        surplus="1.000000",
        to="fund",
    )


def test_settlement_applies_the_next_claim_ignores_a_repetition_and_stops_on_a_gap() -> None:
    settlement = two_funds()
    assert of_type(settlement.apply(settled(1)), FundCredited)
    assert settlement.apply(settled(1)) == []
    assert settlement.shards["usdt"].claims.ignored == 1
    with pytest.raises(BrokenStream, match="claim of shard usdt: 3 arrived after 1"):
        settlement.apply(settled(3))


def approved(number: int, round_: int) -> TakeoverApproved:
    """A decision about the first liquidation."""
    return TakeoverApproved(
        shard="usdt",
        decision=number,
        ts=1,
        liquidation_id="usdt:1",
        round=round_,
        market="BTC-USDT",
        fund="btc",
        qty="1.000",
        loss_budget="0.000000",
    )


def test_a_decision_for_another_round_is_rejected_by_a_claim_which_releases_its_reservation() -> None:
    stage = bankrupt_long(opening="1000")
    stage.mark("9950")
    shard = stage.venue.shards["usdt"]
    (rejected,) = of_type(shard.apply(approved(2, 7)), DecisionRejected)
    assert (rejected.round, rejected.code) == (7, "wrong_round")
    settlement = stage.venue.settlements["USDT"]
    rejected.round = 1  # as if it had been the answer to the reservation that is held
    settlement.apply(rejected)
    assert settlement.funds["btc"].reserved == 0


def test_an_engine_ignores_a_repeated_decision_and_stops_on_a_gap() -> None:
    stage = bankrupt_long(opening="1000")
    stage.mark("9950")
    shard = stage.venue.shards["usdt"]
    assert shard.apply(approved(1, 1)) == []
    with pytest.raises(BrokenStream, match="decision for shard usdt: 4 arrived after 1"):
        shard.apply(approved(4, 1))


def test_a_residual_that_waits_and_is_asked_about_again_counts_as_one_adl() -> None:
    settlement = two_funds()
    for round_ in (1, 2, 3):
        question = LiquidationResidual(
            stream="engine:usdt",
            claim=round_,
            liquidation_id="usdt:1",
            round=round_,
            market="BTC-USDT",
            side="long",
            qty="1.000",
            bankruptcy_price=None,
            bankruptcy_value="10000.000000",
            mark_price="9000.0",
            expected_loss="1000.000000",
        )
        assert of_type(settlement.apply(question), AdlTriggered)
    tally = settlement.funds["btc"].deleveraged
    assert (tally.count, tally.total) == (1, 1_000_000_000)
