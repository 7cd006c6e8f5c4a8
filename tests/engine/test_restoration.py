"""What is restored from the rows of a state goes on as if it had never stopped; rows that are wrong are refused."""

import itertools
import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from engine.shard import Shard
from schemas.config import parse_config
from schemas.wire import decode_command
from tests.engine.crossed import BTC, ETH, SOL, CrossStage, started
from tests.engine.histories import History
from tests.engine.mixtures import Mixture, mixed_venue
from tests.engine.restored import Twins, restored, same_when_restored
from tests.engine.stage import Stage
from tests.engine.test_conservation import VENUES
from tests.engine.test_stops import market, stop, triggered


def follow(twins: Twins, commands: Iterable[dict[str, Any]], seed: int) -> None:
    """Restore at random moments, and see machines and twins do the same."""
    rng = random.Random(seed)
    for fields in commands:
        twins.step(fields)
        if rng.random() < 0.03:
            twins.compare()
            twins.restore()
    twins.compare()


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(seed=st.integers(0, 2**32))
def test_a_restored_venue_goes_on_as_the_one_that_never_stopped(venue: str, seed: int) -> None:
    twins = Twins(parse_config(VENUES[venue]), seed, arrivals=0.4 if seed % 2 else None)
    follow(twins, itertools.islice(History(seed), 250), seed)


@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(seed=st.integers(0, 2**32))
def test_restored_cross_accounts_come_to_the_same_grief(seed: int) -> None:
    config = parse_config(mixed_venue(seed))
    contract = "inverse" if config.markets["A"].contract == "inverse" else "linear"
    twins = Twins(config, seed, arrivals=0.4 if seed % 2 else None)
    follow(twins, itertools.islice(Mixture(seed, contract), 250), seed)


# --- what chance seldom comes to ------------------------------------------------------------------------------


def test_triggered_stop_orders_keep_their_turn_also_when_they_were_cancelled_and_their_id_is_used_again() -> None:
    stage = market(limits='stops_per_command = 1\nclosed_order_memory = "1s"')
    for i in range(6):
        stop(stage, "buy", "rises_to", "10100", order_id=f"s{i}")
    assert triggered(stage.mark("10100")) == ["s0"]
    stage.cancel("alice", "s3")
    stage.cancel("alice", "s4")
    stop(stage, "sell", "falls_to", "9000", order_id="s4")
    assert triggered([event for _ in range(4) for event in stage.send("clock.tick")]) == ["s5"]
    assert {"triggered", "stop", "open_stops"} <= same_when_restored(stage.config, stage.log)


def test_stop_orders_are_cancelled_in_the_order_in_which_they_were_accepted() -> None:
    stage = market()
    for i, (side, when, trigger, by) in enumerate(
        [
            ("buy", "rises_to", "10300", "last"),
            ("sell", "falls_to", "9500", "mark"),
            ("buy", "rises_to", "10200", "mark"),
            ("sell", "falls_to", "9700", "last"),
        ]
    ):
        stop(stage, side, when, trigger, trigger_by=by, order_id=f"s{i}")
    stage.buy("alice", "1", "9100", order_id="o1")
    stage.buy("alice", "1", "9200", order_id="o0")
    stage.send("order.cancel_all", shard="usdt", account="alice")
    assert {"open_orders", "open_stops", "stop"} <= same_when_restored(stage.config, stage.log)


def test_the_queue_of_liquidations_goes_on_in_its_order() -> None:
    """Cross accounts, one of them with several positions, and isolated ones; one liquidation per command.

    All are sold into the book, so that no decision of settlement is a command.
    """
    stage = CrossStage(opening="1000000", limits="liquidations_per_command = 1")
    for account in ("a", "b", "c", "d"):
        stage.deposit(account, "1000")
        if account in ("c", "d"):
            stage.mode(account, BTC, "isolated")
        stage.lever(account, "50")
        stage.trade(account, BTC, "buy", "1" if account == "b" else "2")
    for name in (ETH, SOL):
        stage.trade("b", name, "buy", "10")
    for name, price in ((BTC, "9900"), (ETH, "1000"), (SOL, "100")):
        stage.order("house", name, "buy", "20", price)
    began = [started(stage.mark_of(BTC, "9050"))]
    while began[-1]:
        began.append(started(stage.send("clock.tick")))
    assert [len(batch) for batch in began] == [1] * (len(began) - 1) + [0]
    assert {account for (account, _), *_ in began[:-1]} == {"a", "b", "c", "d"}
    assert "waiting" in same_when_restored(stage.config, stage.log)


def test_who_left_a_residual_and_is_healthy_again_is_looked_at_at_the_next_mark() -> None:
    stage = CrossStage()
    stage.deposit("alice", "1000")
    stage.trade("alice", BTC, "buy", "0.1")
    stage.mark_of(SOL, "101")
    state = stage.venue.shards["usdt"].state
    pool = state.accounts["alice"].pool
    pool.left_residual = True
    state.make_pool_stale(pool)
    twin = restored(stage.venue.shards["usdt"])
    assert isinstance(twin, Shard)
    stage.mark_of(SOL, "102")
    twin.apply(decode_command(stage.log[-1]))
    assert not pool.left_residual
    assert twin.state_hash() == stage.venue.shards["usdt"].state_hash()


def test_a_cross_account_that_is_due_already_is_liquidated_at_the_next_mark() -> None:
    stage = CrossStage()
    stage.deposit("alice", "1000")
    stage.trade("alice", BTC, "buy", "1")
    stage.take_away("alice", 998_000_001)
    twin = restored(stage.venue.shards["usdt"])
    assert isinstance(twin, Shard)
    assert started(stage.mark_of(SOL, "101")) == started(twin.apply(decode_command(stage.log[-1]))) == [("alice", BTC)]


def test_funding_that_is_owed_by_a_position_and_a_residual_of_one_name_is_paid_by_both() -> None:
    """An account may have the name of a liquidation."""
    stage = Stage(limits="funding_payments_per_command = 1")
    for account in ("usdt:1", "bob", "carol"):
        stage.deposit(account, "100000")
    stage.deposit("alice", "150")
    stage.mark("10000")
    stage.leverage("alice", "100")
    stage.sell("bob", "1", "10000")
    stage.buy("alice", "1", "10000")
    stage.sell("bob", "1", "10000")
    stage.buy("usdt:1", "1", "10000")
    stage.mark("9000")
    stage.funding("0.001")
    for _ in range(5):
        stage.send("clock.tick")
    same_when_restored(stage.config, stage.log)
