"""All of it in time: bars to marks, marks to what people send, everything stamped.

A bar has four marks at its quarters. Between two marks, traders react to the one before and, last, makers to
the one that comes.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from consumers.generate.account import Message
from consumers.generate.allowance import Allowance
from consumers.generate.bars import Bar
from consumers.generate.dice import Dice
from consumers.generate.leveraged import Leveraged
from consumers.generate.makers import Makers
from consumers.generate.population import Population
from consumers.generate.takers import Takers
from consumers.generate.terms import PPM, Terms

MARKS_PER_BAR: Final = 4

_MAKER_PERCENT: Final = 50
_TAKER_PERCENT: Final = 20
_LEVERAGED_PERCENT: Final = 30
"""How the orders per bar are shared out."""

_SAVINGS_MAX: Final = 40
"""Commands that a group may save up or owe."""

_NORMAL_SPEED: Final = 10_000
"""ppm: what a market moves in `_SPEED_MEMORY` marks on an ordinary busy day. Above it, makers feel stress.

The month of one-minute BTC bars that this was set by moves 575 ppm per mark on average.
"""

_STRESS_MAX: Final = 500
"""Percent. Fear has an upper end: the makers who stay, stay, and the others begin to come back when the run is over."""

_SPEED_MEMORY: Final = 16
"""Marks over which the speed is remembered: a calm minute does not bring the makers back."""

_ORDINARY_BAR_US: Final = 60_000_000


class Speed:
    """How fast the price moves: absolute moves in ppm, summed with decay."""

    __slots__ = ("_mark", "_ppm")

    def __init__(self) -> None:
        self._mark = 0
        self._ppm = 0

    def stress(self, mark: int) -> int:
        """Percent above the normal speed, 0 in quiet times, once the price is at `mark`."""
        if self._mark:
            self._ppm += abs(mark - self._mark) * PPM // self._mark - self._ppm // _SPEED_MEMORY
            self._ppm = min(self._ppm, _NORMAL_SPEED * (100 + _STRESS_MAX) // 100)
        self._mark = mark
        return max(0, self._ppm - _NORMAL_SPEED) * 100 // _NORMAL_SPEED


class Session:
    """One market, one population, one path, from the first mark on."""

    __slots__ = ("_leveraged", "_makers", "_now", "_population", "_takers", "_terms", "bars")

    def __init__(self, terms: Terms, population: Population, *, orders_per_bar: int, dice: Dice) -> None:
        self.bars = 0
        self._now = 0
        self._terms = terms
        self._population = population
        self._makers = Makers(terms, population.makers, _share(orders_per_bar, _MAKER_PERCENT), dice)
        self._takers = Takers(population.takers, _share(orders_per_bar, _TAKER_PERCENT), dice)
        self._leveraged = Leveraged(terms, population.traders, _share(orders_per_bar, _LEVERAGED_PERCENT), dice)

    def play(self, bars: Iterable[Bar]) -> Iterator[list[Message]]:
        """The commands in order, in small batches. `self.bars` counts the bars that are done."""
        speed = Speed()
        for bar, length, followed in _timed(bars):
            quarter = length // MARKS_PER_BAR
            for i, mark in enumerate(bar.marks()):
                at = bar.ts + i * quarter
                stress = speed.stress(mark)
                if self.bars or i:
                    yield self._stamped(self._makers.anticipate(mark, stress), at - quarter // 4, at)
                    yield self._stamped([self._mark(mark)], at, at)
                else:
                    yield self._stamped([self._mark(mark)], at, at)
                    yield from self._arrivals(at)
                    yield self._stamped(self._makers.open(mark), at, at + quarter // 4)
                said = self._takers.trade(mark) + self._leveraged.trade(mark)
                yield self._stamped(said, at + quarter // 4, at + quarter // 2)
            self.bars += 1
            if not followed:
                # Before a pause and at the end: the last bar's time has passed, even if nobody says anything.
                end = bar.ts + length
                yield self._stamped([{"type": "clock.tick", "ts": 0}], end, end)

    def _arrivals(self, at: int) -> Iterator[list[Message]]:
        """Everybody's money and leverage, before the first order."""
        for account, amount, leverage in self._population.stakes:
            yield self._stamped([account.deposit(amount), account.set_leverage(leverage)], at, at)

    def _mark(self, mark: int) -> Message:
        return {
            "type": "price.mark",
            "ts": 0,
            "market": self._terms.market,
            "price": self._terms.spec.ticks.text(mark),
        }

    def _stamped(self, said: list[Message], start: int, end: int) -> list[Message]:
        """Spread evenly over [start, end), never before what has been said already."""
        start = max(start, self._now)
        step = max(0, end - start) // (len(said) + 1)
        for message in said:
            message["ts"] = start
            self._now = start
            start += step
        return said


def _share(orders_per_bar: int, percent: int) -> Allowance:
    return Allowance(
        commands_per_mark_thousandths=orders_per_bar * percent * 10 // MARKS_PER_BAR,
        commands_bound=_SAVINGS_MAX,
    )


def _timed(bars: Iterable[Bar]) -> Iterator[tuple[Bar, int, bool]]:
    """Each bar with its length in µs and whether the next one follows at once.

    A bar lasts until the next one, but no longer than the one before: a gap in the data is a pause, not a
    long bar.
    """
    length = 0
    bar: Bar | None = None
    for following in bars:
        if bar is not None:
            gap = following.ts - bar.ts
            length = min(gap, length) if length else gap
            yield bar, length, gap == length
        bar = following
    if bar is not None:
        yield bar, length or _ORDINARY_BAR_US, False
