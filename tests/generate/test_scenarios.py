"""Each built-in path does what it says, whatever the seed and the length."""

from itertools import pairwise

import pytest

from consumers.generate.bars import Bar
from consumers.generate.dice import Dice
from consumers.generate.paths import BARS_MIN, walk
from consumers.generate.scenarios import SCENARIOS

START = 500_000
MINUTE = 60_000_000

lengths_and_seeds = pytest.mark.parametrize(
    ("bars", "seed"), [(BARS_MIN, 1), (150, 2), (400, 3), (1_440, 4), (1_440, 5), (10_000, 6)]
)


def path(name: str, bars: int, seed: int) -> list[Bar]:
    """A built-in path from `START`."""
    return list(walk(SCENARIOS[name], start_price=START, bars=bars, start_ts=0, bar_us=MINUTE, dice=Dice(seed, "path")))


@pytest.mark.parametrize("name", SCENARIOS)
@lengths_and_seeds
def test_bars_are_well_formed_and_join(name: str, bars: int, seed: int) -> None:
    """low ≤ open, close ≤ high; each bar opens where the one before closed, one minute later."""
    made = path(name, bars, seed)
    assert len(made) == bars
    assert made[0].open == START
    for bar in made:
        assert 0 < bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
    for before, after in pairwise(made):
        assert (after.open, after.ts) == (before.close, before.ts + MINUTE)


@lengths_and_seeds
def test_calm_stays_near_its_start(bars: int, seed: int) -> None:
    """Within 6 % of where it began."""
    made = path("calm", bars, seed)
    assert 100 * min(bar.low for bar in made) > 94 * START
    assert 100 * max(bar.high for bar in made) < 106 * START


@lengths_and_seeds
def test_trend_rises(bars: int, seed: int) -> None:
    """At least 10 % up at the end, and never 10 % below a price it has been at."""
    made = path("trend", bars, seed)
    assert 100 * made[-1].close > 110 * START
    peak = 0
    for bar in made:
        peak = max(peak, bar.high)
        assert bar.low * 10 > peak * 9


@lengths_and_seeds
def test_crash_falls_and_recovers_in_part(bars: int, seed: int) -> None:
    """At least 20 % below its start, then back up by at least 4 %, but not to where it was."""
    made = path("crash", bars, seed)
    bottom = min(bar.low for bar in made)
    assert 100 * bottom < 80 * START
    assert 100 * made[-1].close > 104 * bottom
    assert 100 * made[-1].close < 92 * START


@lengths_and_seeds
def test_flash_crash_falls_and_comes_back(bars: int, seed: int) -> None:
    """At least 25 % down and, soon after, within 10 % of the start."""
    made = path("flash-crash", bars, seed)
    low = min(range(bars), key=lambda i: made[i].low)
    assert 100 * made[low].low < 75 * START
    assert 100 * made[min(bars - 1, low + 12)].close > 90 * START


@lengths_and_seeds
def test_cascade_goes_down_in_legs(bars: int, seed: int) -> None:
    """Every plateau lies clearly below the one before; the last one more than 15 % below the start."""
    made = path("cascade", bars, seed)
    plateaus = [made[bars * share // 1000 - 1].close for share in (400, 500, 600, 700, 1000)]
    assert plateaus == sorted(plateaus, reverse=True)
    assert 100 * plateaus[-1] < 85 * START
