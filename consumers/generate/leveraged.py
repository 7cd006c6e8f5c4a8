"""What leveraged traders do: open, add, take profits, stop losses, top up, close, come back.

Each believes to have what it sent orders for, at the mark of that moment. Beliefs are off where the book was
thin; the orders that follow from them are mostly reduce-only, so a wrong belief does no more than cancel
them.
"""

from collections.abc import Sequence
from typing import Final

from consumers.generate.account import Message
from consumers.generate.alarms import NEVER, Alarms
from consumers.generate.allowance import Allowance
from consumers.generate.dice import Dice
from consumers.generate.population import Trader
from consumers.generate.terms import PPM, Terms

_ORDER_REACH: Final = 3_000
"""How far beyond the mark a marketable limit goes, in ppm."""

_COST_ROOM: Final = 4_000
"""Open loss that a trader sizes for, in ppm of notional: what the fill may be off the mark."""

_SLIPPAGE: Final = 1_000
"""What a fill is believed to be off the mark, in ppm of notional: on the careful side, so the money lasts."""

_USABLE: Final = 90
"""Percent of the believed balance that a trader commits at most."""

_OPEN_SIZE: Final = (25, 100)
"""Percent of what the trader can open, uniform between."""

_STOP_SHARE: Final = 60
"""A stop stands at this percent of the way from the price to liquidation."""

_PROFIT_MOVE: Final = (3_000, 40_000)
"""How far from the price a take-profit is laid, in ppm."""

_PROFIT_PASSED: Final = 4_000
"""So far beyond a take-profit (ppm) the market must be for its owner to take it as filled."""

_TURNS: Final = 8
"""Traders whose turn it is after a mark, beside four for each command that is saved up: most do nothing with it."""

_OPENING: Final = (("market", 55), ("ioc", 25), ("gtc", 20))

_HOLDING: Final = (
    ("hold", 52),
    ("close", 16),
    ("take_profit", 13),
    ("add", 8),
    ("top_up", 5),
    ("reprice", 3),
    ("withdraw_profit_order", 3),
)
"""What one who holds a position does when its turn comes, by weight."""


class Leveraged:
    """All leveraged traders of the market."""

    __slots__ = ("_alarms", "_allowance", "_dice", "_terms", "_traders")

    def __init__(self, terms: Terms, traders: Sequence[Trader], allowance: Allowance, dice: Dice) -> None:
        self._terms = terms
        self._traders = traders
        self._allowance = allowance
        self._dice = dice
        self._alarms = Alarms()

    def trade(self, mark: int) -> list[Message]:
        """What leveraged traders send after a mark: those it touched first, then whose turn comes."""
        self._allowance.earn()
        said: list[Message] = []
        for key in self._alarms.ring(mark):
            said += self._touched(key, mark)
        self._allowance.spend(len(said))
        turns = (_TURNS + 4 * self._allowance.commands) if self._traders else 0
        while turns and self._allowance.affords(1):
            turns -= 1
            sent = self._turn(self._dice.below(len(self._traders)), mark)
            self._allowance.spend(len(sent))
            said += sent
        return said

    def _turn(self, key: int, mark: int) -> list[Message]:
        trader = self._traders[key]
        if not trader.lots:
            return self._open(key, mark)
        match self._dice.weighted(_HOLDING):
            case "close":
                return self._close(key, mark)
            case "take_profit":
                return self._take_profit(key, mark)
            case "add":
                return self._increase(key, mark, self._dice.between(20, 60))
            case "top_up":
                return self._top_up(key, mark)
            case "reprice":
                return self._reprice(key, mark)
            case "withdraw_profit_order":
                return self._withdraw_profit_order(key)
            case _:
                return []

    def _touched(self, key: int, mark: int) -> list[Message]:
        """The mark has reached a price that this trader watches."""
        trader = self._traders[key]
        side = trader.side
        if trader.liquidation and side * (mark - trader.liquidation) <= 0:
            self._forget(trader)  # liquidated, as far as it can tell: margin and orders are gone
            return []
        if trader.stop and side * (mark - trader.stop) <= 0:
            return self._close(key, mark)
        self._settle(trader, trader.profit_price)  # the take-profit is filled, as far as it can tell
        return []

    def _open(self, key: int, mark: int) -> list[Message]:
        """Take leftover orders back, move money, and open."""
        trader = self._traders[key]
        said: list[Message] = []
        if trader.resting or trader.profit_order:
            said.append(trader.account.cancel_all())
            trader.resting, trader.profit_order = False, ""
        if trader.account.balance < trader.stake // 4:
            said.append(trader.account.deposit(trader.stake))
        elif trader.account.balance > 3 * trader.stake and self._dice.percent(50):
            said.append(trader.account.withdraw(trader.stake))
        return said + self._increase(key, mark, self._dice.between(*_OPEN_SIZE))

    def _increase(self, key: int, mark: int, percent: int) -> list[Message]:
        """Open or add: `percent` of what the balance carries at this leverage."""
        trader, terms, account = self._traders[key], self._terms, self._traders[key].account
        cost = PPM // trader.leverage + terms.taker_fee + _COST_ROOM
        affordable = max(0, account.balance) * _USABLE // 100 * PPM // cost
        room = terms.notional_max(trader.leverage) - terms.spec.value(mark, trader.lots)
        lots = terms.lots_worth(max(0, min(affordable, room)) * percent // 100, mark)
        if not lots:
            return []
        value = terms.spec.value(mark, lots)
        margin = value // trader.leverage
        account.balance -= margin + value * (terms.taker_fee + _SLIPPAGE) // PPM
        trader.lots += lots
        trader.entry_value += value
        trader.margin += margin
        self._watch(key, mark)
        style = self._dice.weighted(_OPENING)
        if style == "market":
            return [account.market_order(trader.side, lots)]
        trader.resting = trader.resting or style == "gtc"
        price = max(1, mark + trader.side * (mark * _ORDER_REACH // PPM))
        return [account.limit_order(trader.side, price, lots, immediate=style == "ioc")]

    def _close(self, key: int, mark: int) -> list[Message]:
        trader = self._traders[key]
        said: list[Message] = []
        if trader.resting or trader.profit_order:
            said.append(trader.account.cancel_all())
        said.append(trader.account.market_order(-trader.side, trader.lots, reduce_only=True))
        self._settle(trader, mark)
        self._alarms.set(key, -1, NEVER)
        return said

    def _take_profit(self, key: int, mark: int) -> list[Message]:
        trader = self._traders[key]
        if trader.profit_order:
            return []
        price = self._profit_price(trader, mark)
        order = trader.account.limit_order(-trader.side, price, trader.lots, reduce_only=True)
        trader.profit_order, trader.profit_price = str(order["order_id"]), price
        self._watch(key, mark)
        return [order]

    def _reprice(self, key: int, mark: int) -> list[Message]:
        """Move the take-profit."""
        trader = self._traders[key]
        if not trader.profit_order:
            return []
        trader.profit_price = self._profit_price(trader, mark)
        self._watch(key, mark)
        return [trader.account.amend(trader.profit_order, trader.profit_price)]

    def _withdraw_profit_order(self, key: int) -> list[Message]:
        trader = self._traders[key]
        if not trader.profit_order:
            return []
        order_id, trader.profit_order, trader.profit_price = trader.profit_order, "", 0
        self._watch(key, 0)
        return [trader.account.cancel(order_id)]

    def _top_up(self, key: int, mark: int) -> list[Message]:
        """Bring money in and put it into the position: its liquidation moves further away."""
        trader = self._traders[key]
        amount = trader.margin * self._dice.between(20, 60) // 100
        if not amount:
            return []
        said = [trader.account.deposit(amount), trader.account.add_margin(amount)]
        trader.margin += amount
        self._watch(key, mark)
        return said

    def _profit_price(self, trader: Trader, mark: int) -> int:
        move = mark * self._dice.between(*_PROFIT_MOVE) // PPM
        return max(1, mark + trader.side * move)

    def _settle(self, trader: Trader, price: int) -> None:
        """The position is closed at about `price`: what is left of the margin comes back."""
        value = self._terms.spec.value(price, trader.lots)
        cost = value * (self._terms.taker_fee + _SLIPPAGE) // PPM
        profit = trader.side * (value - trader.entry_value) - cost
        trader.account.balance += max(0, trader.margin + profit)
        self._forget(trader)

    def _forget(self, trader: Trader) -> None:
        trader.lots = trader.entry_value = trader.margin = trader.liquidation = trader.stop = 0
        trader.profit_order, trader.profit_price, trader.resting = "", 0, False

    def _watch(self, key: int, mark: int) -> None:
        """Work the liquidation price and the stop out anew, and be told when the mark is there.

        `mark` 0 leaves the stop where it is.
        """
        trader = self._traders[key]
        side = trader.side
        trader.liquidation = self._terms.trigger(
            side=side,
            lots=trader.lots,
            entry_value=trader.entry_value,
            margin=trader.margin,
            price=mark or trader.entry_value // max(1, self._terms.spec.value(1, trader.lots)),
        )
        if trader.stops and mark and trader.liquidation:
            trader.stop = mark + (trader.liquidation - mark) * _STOP_SHARE // 100
        worse = trader.stop or trader.liquidation
        better = trader.profit_price + side * (trader.profit_price * _PROFIT_PASSED // PPM)
        if side > 0:
            self._alarms.set(key, worse or -1, better or NEVER)
        else:
            self._alarms.set(key, better or -1, worse or NEVER)
