"""What makers do: keep a ladder around the price, move it as the price moves, leave when it runs.

The book leads the mark: a mark price is an index or a smoothed mid, so makers have moved before it is
published. They hear of a mark one step ahead of everybody else, which is what leaves liquidation orders
without bids in a crash.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from consumers.generate.account import BUY, SELL, Message
from consumers.generate.alarms import Alarms
from consumers.generate.allowance import Allowance
from consumers.generate.dice import Dice
from consumers.generate.population import Maker
from consumers.generate.terms import PPM, Terms

AMENDING_DISTANCE: Final = 4_000
"""From this distance (ppm) on, a quote is moved by amending: ordinary trading has hardly reached it yet."""

_REACTION: Final = 70
"""Percent of its distance that the price may move before a maker reacts: at 100 its quotes are run over."""

_AMENDING_PERCENT: Final = 70
"""In the other cases the ladder is laid anew: an order that was filled after all cannot be amended back."""

_LOOKED_AT: Final = 8
"""Waiting makers looked at per mark, beside one for each command that is saved up."""


class Makers:
    """All makers of the market and who of them waits to quote again."""

    __slots__ = ("_alarms", "_allowance", "_dice", "_makers", "_refreshed", "_terms", "_waiting")

    def __init__(self, terms: Terms, makers: Sequence[Maker], allowance: Allowance, dice: Dice) -> None:
        self._terms = terms
        self._makers = makers
        self._allowance = allowance
        self._dice = dice
        self._alarms = Alarms()
        self._waiting: deque[int] = deque()
        self._refreshed = 0

    def open(self, mark: int) -> list[Message]:
        """The first ladders, once there is a mark."""
        said: list[Message] = []
        for key in range(len(self._makers)):
            said += self._quote(key, mark, 0)
        return said

    def anticipate(self, mark: int, stress: int) -> list[Message]:
        """React to the mark that is about to be published.

        First everybody whose quotes the price has come close to takes them back, then new ones are laid: so
        makers do not trade with one another's stale quotes.
        """
        self._allowance.earn()
        said: list[Message] = []
        moved: list[Message] = []
        for key in self._alarms.ring(mark):
            maker = self._makers[key]
            intact = abs(mark - maker.reference) * PPM < maker.distance * maker.reference
            if (
                maker.distance >= AMENDING_DISTANCE
                and intact
                and stress < maker.nerve
                and self._dice.percent(_AMENDING_PERCENT)
                and self._allowance.affords(len(maker.orders))
            ):
                moved += self._requote(key, mark, stress)
            else:
                said.append(maker.account.cancel_all())
                self._allowance.spend(1)
                maker.quoting = False
                self._waiting.append(key)
        said += moved
        for _ in range(min(len(self._waiting), _LOOKED_AT + self._allowance.commands)):
            key = self._waiting[0]
            maker = self._makers[key]
            if stress >= maker.nerve:
                self._waiting.rotate(-1)
                continue
            if not self._allowance.affords(2 * maker.levels):
                break
            self._waiting.popleft()
            laid = self._quote(key, mark, stress)
            self._allowance.spend(len(laid))
            said += laid
        if not self._waiting:
            said += self._refresh(mark, stress)
        return said

    def _refresh(self, mark: int, stress: int) -> list[Message]:
        """With nothing else to do, replace the quotes that stood longest: some have been filled."""
        said: list[Message] = []
        for _ in self._makers:
            key = self._refreshed % len(self._makers)
            maker = self._makers[key]
            if not maker.quoting or not self._allowance.affords(2 * (1 + 2 * maker.levels)):
                break
            self._refreshed += 1
            laid = [maker.account.cancel_all(), *self._quote(key, mark, stress)]
            self._allowance.spend(len(laid))
            said += laid
        return said

    def _quote(self, key: int, mark: int, stress: int) -> list[Message]:
        """A new ladder."""
        maker = self._makers[key]
        laid = [maker.account.limit_order(side, price, lots) for side, price, lots in self._ladder(maker, mark, stress)]
        maker.quoting = True
        maker.orders = tuple(str(order["order_id"]) for order in laid)
        self._watch(key, mark)
        return laid

    def _requote(self, key: int, mark: int, stress: int) -> list[Message]:
        """The same orders at new prices and sizes.

        The side that the price moves away from goes last, so that no order passes another of the same maker.
        """
        maker = self._makers[key]
        rungs = self._ladder(maker, mark, stress)
        moved = [
            maker.account.amend(order_id, price, lots)
            for order_id, (_, price, lots) in zip(maker.orders, rungs, strict=True)
        ]
        self._allowance.spend(len(moved))
        falling = mark < maker.reference
        self._watch(key, mark)
        buys, sells = moved[0::2], moved[1::2]
        return buys + sells if falling else sells + buys

    def _ladder(self, maker: Maker, mark: int, stress: int) -> list[tuple[int, int, int]]:
        """(side, price, lots) from the innermost level on, buys and sells in turn.

        Stress thins the ladder by its square and widens it by half of it: at twice the normal speed of the market
        (stress 100) quotes hold a quarter and stand half as far out again.
        """
        dice = self._dice
        widening = 100 + stress // 2
        distance = maker.distance * dice.between(90, 110) * widening // 10_000
        lots = maker.level_lots * 10_000 // (100 + stress) ** 2
        rungs: list[tuple[int, int, int]] = []
        for _ in range(maker.levels):
            away = max(1, mark * distance // PPM)
            size = max(1, lots * dice.between(70, 130) // 100)
            rungs.append((BUY, max(1, mark - away), size))
            rungs.append((SELL, mark + away, size))
            distance += maker.distance // 2 * widening // 100
        return rungs

    def _watch(self, key: int, mark: int) -> None:
        maker = self._makers[key]
        maker.reference = mark
        room = max(1, mark * maker.distance * _REACTION // (100 * PPM))
        self._alarms.set(key, mark - room, mark + room)
