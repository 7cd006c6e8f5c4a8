"""What is restored from the rows of a state goes on as if it had never stopped; rows that are wrong are refused."""

import itertools
import random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from schemas.config import parse_config
from tests.engine.histories import History
from tests.engine.mixtures import Mixture, mixed_venue
from tests.engine.restored import Twins
from tests.engine.test_conservation import VENUES

HASH = "0" * 64


def follow(twins: Twins, commands: "itertools.islice[dict[str, object]]", seed: int) -> None:
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
