"""Seeded chance in integers."""

from collections.abc import Sequence
from random import Random
from typing import Final, TypeVar

T = TypeVar("T")

_BITS: Final = 53
_WORD: Final = 1 << _BITS


class Dice:
    """One stream of chance, of its own for each purpose, so that one concern's draws do not shift another's.

    All draws come from `Random.random`, whose sequence is the one that Python guarantees across versions (not
    so `randrange` or `shuffle`). What it returns is a whole multiple of 2^-53, so the product below is an
    exact integer: no rounding and no libm takes part.
    """

    __slots__ = ("_random",)

    def __init__(self, seed: int, purpose: str) -> None:
        self._random = Random(f"backstop/{seed}/{purpose}").random  # noqa: S311 - a simulation, not a secret

    def below(self, bound: int) -> int:
        """A uniform integer in [0, bound)."""
        return int(self._random() * _WORD) * bound >> _BITS

    def between(self, low: int, high: int) -> int:
        """A uniform integer in [low, high]."""
        return low + self.below(high - low + 1)

    def percent(self, chance: int) -> bool:
        """True in `chance` of 100 cases."""
        return self.below(100) < chance

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices, each as likely."""
        return choices[self.below(len(choices))]

    def weighted(self, table: Sequence[tuple[T, int]]) -> T:
        """One of the values of a (value, weight) table."""
        left = self.below(sum(weight for _, weight in table))
        for value, weight in table:
            left -= weight
            if left < 0:
                return value
        raise AssertionError("a weighted table has a weight above zero")

    def noise(self, scale: int) -> int:
        """A bell-shaped integer around zero: the sum of four uniform ones in [-scale, scale].

        Its standard deviation is about 1.15 × scale.
        """
        return sum(self.between(-scale, scale) for _ in range(4))

    def heavy_tailed(self, base: int, octaves: int) -> int:
        """A size with a heavy tail: each octave above [base, 2 × base) is half as likely as the one below.

        A power law with tail index 1, cut off at base × 2^octaves: every octave holds about the same share of
        the total, as account and order sizes do in practice.
        """
        size = base
        for _ in range(octaves - 1):
            if self.below(2):
                break
            size *= 2
        return size + self.below(size)
