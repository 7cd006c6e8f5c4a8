"""Who there is: shares, leverage and stakes follow the documented distributions."""

from collections import Counter

import pytest

from consumers.generate.account import BUY
from consumers.generate.dice import Dice
from consumers.generate.population import Population, populate
from consumers.generate.scenarios import SCENARIOS
from consumers.generate.terms import Terms
from tests.generate.conftest import terms_of

PRICE = 500_000


def population(terms: Terms, accounts: int = 2_000, scenario: str = "crash") -> Population:
    """The crowd of a scenario."""
    return populate(terms, SCENARIOS[scenario].crowd, accounts=accounts, price=PRICE, dice=Dice(1, "population"))


@pytest.mark.parametrize("accounts", [10, 11, 99, 500, 2_000])
def test_every_account_asked_for_exists_once(terms: Terms, accounts: int) -> None:
    """Makers, takers and leveraged traders add up, and there are at least four makers."""
    made = population(terms, accounts)
    assert len(made.makers) + len(made.takers) + len(made.traders) == accounts
    assert len({account.name for account, _, _ in made.stakes}) == accounts
    assert len(made.makers) == max(4, accounts * 2 // 100)


@pytest.mark.parametrize(("market", "leverage_max"), [("BTC-USDT", 100), ("ETH-USDT", 25)])
def test_leverage_stays_within_the_first_tier(market: str, leverage_max: int) -> None:
    """The distribution is skewed to low leverage and cut at 1/initial."""
    made = population(terms_of(market))
    counts = Counter(trader.leverage for trader in made.traders)
    assert max(leverage for _, _, leverage in made.stakes) == max(counts) == leverage_max
    assert sum(n for leverage, n in counts.items() if leverage <= 20) > len(made.traders) // 2


@pytest.mark.parametrize(("scenario", "percent"), [("calm", 50), ("crash", 78), ("cascade", 85)])
def test_crowds_lean_as_their_scenario_says(terms: Terms, scenario: str, percent: int) -> None:
    """The share of longs among leveraged traders."""
    traders = population(terms, scenario=scenario).traders
    longs = sum(trader.side == BUY for trader in traders)
    assert abs(100 * longs - percent * len(traders)) <= 100


def test_stakes_have_a_heavy_tail(terms: Terms) -> None:
    """The median is small, and the largest tenth brings most of the money."""
    stakes = sorted(trader.stake for trader in population(terms).traders)
    assert 500 * 10**6 < stakes[len(stakes) // 2] < 1_500 * 10**6
    assert 2 * sum(stakes[-len(stakes) // 10 :]) > sum(stakes)


def test_makers_could_carry_what_the_traders_open(terms: Terms) -> None:
    """Together, at their own leverage, more than the whole one-sided interest."""
    made = population(terms)
    pockets = sum(amount * leverage for account, amount, leverage in made.stakes[: len(made.makers)])
    power = sum(trader.stake * trader.leverage for trader in made.traders)
    assert pockets > power


@pytest.mark.parametrize("bound", [1, 2, 7, 100])
def test_dice_cover_their_range_evenly(bound: int) -> None:
    """Every value about as often, none outside."""
    dice = Dice(3, "test")
    counts = Counter(dice.below(bound) for _ in range(200 * bound))
    assert set(counts) == set(range(bound))
    assert max(counts.values()) < 300


def test_dice_of_different_purposes_are_independent() -> None:
    """Another concern's draws do not shift this one's."""
    assert [Dice(1, "a").below(10**9)] != [Dice(1, "b").below(10**9)]
    assert Dice(1, "a").below(10**9) == Dice(1, "a").below(10**9)
