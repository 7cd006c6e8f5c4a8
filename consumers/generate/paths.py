"""Built-in price paths: a scenario's anchors joined by straight lines, with mean-reverting noise around."""

from collections.abc import Iterator
from typing import Final

from consumers.generate.bars import Bar
from consumers.generate.dice import Dice
from consumers.generate.scenarios import Anchor, Scenario

_PPM: Final = 1_000_000

BARS_MIN: Final = 20
"""Below this the anchors of a scenario would fall on one another and its shape would be lost."""

_FULL_LENGTH: Final = 400
"""Shorter runs squeeze the stretches that are laid out in bars, down to one bar between anchors."""

_REVERSION: Final = 256
"""Each bar the deviation from the anchored line loses 1/256: half of it within three hours of minutes."""


def walk(scenario: Scenario, *, start_price: int, bars: int, start_ts: int, bar_us: int, dice: Dice) -> Iterator[Bar]:
    """`bars` bars from `start_price` (ticks), each opening where the one before closed."""
    price = start_price
    deviation = 0  # ppm
    for i, level in enumerate(_levels(scenario.anchors, bars)):
        deviation += dice.noise(scenario.noise) - deviation // _REVERSION
        close = max(1, start_price * level * (_PPM + deviation) // (_PPM * _PPM))
        wick = price * scenario.noise // _PPM
        high = max(price, close) + dice.below(wick + 1)
        low = max(1, min(price, close) - dice.below(wick + 1))
        yield Bar(start_ts + i * bar_us, price, high, low, close)
        price = close


def _levels(anchors: tuple[Anchor, ...], bars: int) -> Iterator[int]:
    """The anchored line at the close of each bar, in ppm of the start price."""
    before, level = 0, _PPM
    for anchor in anchors:
        stretch = anchor.bars if bars >= _FULL_LENGTH else anchor.bars * bars // _FULL_LENGTH
        at = min(bars, max(bars * anchor.share // 1000 + stretch, before + 1))
        for bar in range(before + 1, at + 1):
            yield level + (anchor.level - level) * (bar - before) // (at - before)
        before, level = at, anchor.level
