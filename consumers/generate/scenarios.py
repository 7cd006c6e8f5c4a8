"""The built-in stories: how the price goes, and what kind of crowd it happens to."""

from dataclasses import dataclass
from typing import Final, NamedTuple

MIXED_LEVERAGE: Final = ((3, 12), (5, 20), (10, 28), (20, 16), (25, 9), (50, 9), (100, 6))
"""(leverage, weight): most people stay at 10 or below, and a loud few take all they can get."""

CLUSTERED_LEVERAGE: Final = ((5, 12), (10, 33), (20, 30), (50, 18), (100, 7))
"""Few distinct values, so that positions opened at one price are liquidated at a few prices."""


class Anchor(NamedTuple):
    """A point of the path: after `share` (of 1,000) of the run plus `bars`, the price stands at `level`.

    `level` is in ppm of the start price. A fall is laid out in bars rather than in a share of the run: what
    breaks a venue is the speed of a fall, which must not depend on how long the log is.
    """

    share: int
    bars: int
    level: int


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who trades: the share of longs among leveraged traders, in percent, and the leverage they choose."""

    long_percent: int
    leverages: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A built-in path and its crowd. `noise` is the scale of a bar's random move, in ppm."""

    summary: str
    anchors: tuple[Anchor, ...]
    noise: int
    crowd: Crowd


PRICE_FILE_CROWD: Final = Crowd(long_percent=55, leverages=MIXED_LEVERAGE)
"""With prices from a file the crowd is slightly long, as perpetual markets mostly are."""

SCENARIOS: Final = {
    "calm": Scenario(
        "no direction, small moves: the control",
        (Anchor(1000, 0, 1_000_000),),
        350,
        Crowd(50, MIXED_LEVERAGE),
    ),
    "trend": Scenario(
        "a steady rise of 20 %: shorts are worn down one by one",
        (Anchor(1000, 0, 1_200_000),),
        450,
        Crowd(50, MIXED_LEVERAGE),
    ),
    "crash": Scenario(
        "a fall of 25 % in half an hour through thin books, then a partial recovery",
        (
            Anchor(450, 0, 1_010_000),
            Anchor(450, 8, 965_000),
            Anchor(450, 11, 895_000),
            Anchor(450, 16, 922_000),
            Anchor(450, 20, 905_000),
            Anchor(450, 23, 820_000),
            Anchor(450, 28, 848_000),
            Anchor(450, 32, 825_000),
            Anchor(450, 35, 745_000),
            Anchor(450, 45, 780_000),
            Anchor(450, 90, 800_000),
            Anchor(700, 0, 840_000),
            Anchor(1000, 0, 830_000),
        ),
        400,
        Crowd(78, MIXED_LEVERAGE),
    ),
    "flash-crash": Scenario(
        "30 % down within four minutes and back within ten",
        (
            Anchor(500, 0, 1_005_000),
            Anchor(500, 1, 960_000),
            Anchor(500, 3, 760_000),
            Anchor(500, 4, 695_000),
            Anchor(500, 7, 850_000),
            Anchor(500, 12, 975_000),
            Anchor(1000, 0, 985_000),
        ),
        350,
        Crowd(65, MIXED_LEVERAGE),
    ),
    "cascade": Scenario(
        "four legs down, each to where the next cluster of leveraged longs is liquidated",
        (
            Anchor(400, 0, 1_000_000),
            Anchor(400, 4, 975_000),
            Anchor(500, 0, 972_000),
            Anchor(500, 4, 935_000),
            Anchor(600, 0, 935_000),
            Anchor(600, 5, 865_000),
            Anchor(700, 0, 870_000),
            Anchor(700, 5, 765_000),
            Anchor(1000, 0, 775_000),
        ),
        300,
        Crowd(85, CLUSTERED_LEVERAGE),
    ),
}
