"""The short form of `make chaos`."""

import asyncio
from pathlib import Path

from tests.chaos.report import render
from tests.chaos.run import Campaign, Plan
from tests.kafka.broker import Broker


def test_nothing_is_lost_and_nothing_done_twice_when_services_and_broker_are_killed(
    own_broker: Broker, tmp_path: Path
) -> None:
    """Fails when any event, input, claim or decision is missing or there twice, or money is created or lost."""
    plan = Plan(kills=3, broker_kills=1, zombies=1, rate=150, seed=11)
    outcome = asyncio.run(Campaign(plan, own_broker, tmp_path, lambda _: None).run())
    assert not outcome.failures, render(plan, outcome)
    assert sum(outcome.kills.values()) == 3
    assert (outcome.broker_kills, outcome.zombies) == (1, 1)
    assert sum(stream["inputs"] for stream in outcome.verdict["streams"]) > 1_000, render(plan, outcome)
