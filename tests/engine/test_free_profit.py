"""A shard with `free_profit`: the unrealised profit of cross positions counts as free balance, as their losses do."""

import pytest

from schemas.events import OrderCancelled
from tests.engine.crossed import BTC, ETH, SOL, CrossStage
from tests.engine.stage import codes, of_type


@pytest.fixture
def stage() -> CrossStage:
    """alice has 2,000, holds back 1,000 for BTC and 200 for ETH, and has gained 8,000 − 100."""
    stage = CrossStage(shard="free_profit = true")
    stage.deposit("alice", "2000")
    stage.trade("alice", BTC, "buy", "1")
    stage.trade("alice", ETH, "buy", "2")
    stage.mark_of(ETH, "5000")
    stage.mark_of(BTC, "9900")
    return stage


def test_unrealised_profit_carries_orders_to_the_unit(stage: CrossStage) -> None:
    assert stage.free("alice") == "8700.000000"
    assert codes(stage.order("alice", SOL, "buy", "870.01", "100")) == ["insufficient_margin"]
    assert codes(stage.order("alice", SOL, "buy", "870", "100")) == []
    assert stage.free("alice") == "0.000000"


def test_unrealised_profit_can_be_withdrawn_and_the_positions_carry_the_wallet(stage: CrossStage) -> None:
    assert codes(stage.withdraw("alice", "8700.000001")) == ["insufficient_balance"]
    assert codes(stage.withdraw("alice", "8700")) == []
    assert (stage.wallet("alice"), stage.free("alice")) == ("-6700.000000", "0.000000")
    assert stage.open_in("alice") == {BTC: "1.000", ETH: "2.00"}


@pytest.mark.parametrize(("eth", "filled"), [("5000", True), ("4999.99", False)])
def test_a_fill_counts_the_profit_of_the_moment(stage: CrossStage, eth: str, filled: bool) -> None:
    """870 SOL hold back 8,700, which is there to the unit; a tick of ETH later two hundredths are missing."""
    stage.order("alice", SOL, "buy", "870", "100")
    stage.mark_of(ETH, eth)
    events = stage.order("house", SOL, "sell", "870", "100")
    assert (SOL in stage.open_in("alice")) == filled
    assert [event.reason for event in of_type(events, OrderCancelled)] == ([] if filled else ["margin"])


def test_profit_of_the_position_itself_carries_its_increase(stage: CrossStage) -> None:
    stage.withdraw("alice", "8200")
    assert codes(stage.order("alice", ETH, "buy", "1.01", "5000")) == ["insufficient_margin"]
    stage.trade("alice", ETH, "buy", "1", "5000")
    assert stage.open_in("alice")[ETH] == "3.00"
    assert stage.free("alice") == "0.000000"
