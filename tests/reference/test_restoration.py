"""In random worlds, what is restored at random moments goes on as what never stopped: events, hashes, reports."""

import itertools
import random

import pytest

from tests.engine.restored import Twins
from tests.reference.histories import History
from tests.reference.worlds import make_world

WORLDS = 500
BATCH = 50
COMMANDS = 300


@pytest.mark.parametrize("first_seed", range(10_001, 10_001 + WORLDS, BATCH))
def test_restored_machines_go_on_as_those_that_never_stopped(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + BATCH):
        world, rng = make_world(seed), random.Random(seed)
        twins = Twins(world.config, seed, world.arrivals)
        for fields in itertools.islice(History(world, seed), COMMANDS):
            twins.step(fields)
            if rng.random() < 0.03:
                twins.compare()
                twins.restore()
        twins.compare()
