"""What takers do: small market and IOC orders both ways, at low leverage. The ordinary flow of a market."""

from collections.abc import Sequence
from typing import Final

from consumers.generate.account import BUY, SELL, Message
from consumers.generate.allowance import Allowance
from consumers.generate.dice import Dice
from consumers.generate.population import Taker
from consumers.generate.terms import PPM

_MARKET_PERCENT: Final = 60

_REACH: Final = 3_000
"""How far beyond the mark an IOC limit goes, in ppm: past the inner makers, not past the outer ones."""


class Takers:
    """All takers of the market."""

    __slots__ = ("_allowance", "_dice", "_takers")

    def __init__(self, takers: Sequence[Taker], allowance: Allowance, dice: Dice) -> None:
        self._takers = takers
        self._allowance = allowance
        self._dice = dice

    def trade(self, mark: int) -> list[Message]:
        """What takers send after a mark."""
        self._allowance.earn()
        said: list[Message] = []
        while self._takers and self._allowance.affords(1):
            self._allowance.spend(1)
            said.append(self._order(self._dice.pick(self._takers), mark))
        return said

    def _order(self, taker: Taker, mark: int) -> Message:
        """One order, to the other side when the position has grown to its bound."""
        dice = self._dice
        side = BUY if dice.below(2) else SELL
        lots = dice.between(1, taker.order_lots)
        if abs(taker.lots + side * lots) > taker.lots_max:
            side = SELL if taker.lots > 0 else BUY
        taker.lots += side * lots
        if dice.percent(_MARKET_PERCENT):
            return taker.account.market_order(side, lots)
        return taker.account.limit_order(side, _reach(mark, side), lots, immediate=True)


def _reach(mark: int, side: int) -> int:
    return max(1, mark + side * (mark * _REACH // PPM))
