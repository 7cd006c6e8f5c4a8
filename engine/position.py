"""What an account holds in one market: the position by value, its margin, its open orders.

A position is accounted by value, not by average price: signed lots, the entry value EV (exact, never negative)
and, as it is isolated, a margin purse M. Both sides of a trade book the same value, so the signed entry values of
a market sum to what its clearing purse owes.
"""

from typing import TYPE_CHECKING, Final

from engine.book import Order
from engine.fixed import divide_up, share_down
from engine.purse import Purse
from engine.stops import StopOrder

if TYPE_CHECKING:
    from engine.account import Account
    from engine.market import Market

NO_TRIGGER: Final = 0
"""The trigger of a position that no mark price above zero would liquidate."""


class Parcel:
    """A quantity with a value that leaves in parts.

    After j of the n lots it began with, floor(value × j ÷ n) has left: the parts depend on how much has left in
    all, not on how it was cut, and the last lot takes the rest exactly.
    """

    __slots__ = ("lots", "start_lots", "start_value", "value")

    def __init__(self, lots: int = 0, value: int = 0) -> None:
        self.lots = lots
        self.value = value
        self.start_lots = lots
        self.start_value = value

    def copy(self) -> "Parcel":
        """A parcel to try something on."""
        parcel = Parcel(self.lots, self.value)
        parcel.start_lots, parcel.start_value = self.start_lots, self.start_value
        return parcel

    def grow(self, lots: int, value: int) -> None:
        """Add to the quantity; from here on it leaves in parts of the new whole."""
        self.lots = self.start_lots = self.lots + lots
        self.value = self.start_value = self.value + value

    def part(self, lots: int) -> int:
        """The value that would leave with the next `lots`; 0 < lots ≤ self.lots."""
        left = self.lots - lots
        if left == 0:
            return self.value
        return self.value - self.start_value + share_down(self.start_value, self.start_lots - left, self.start_lots)


class Position:
    """An account's stake in a market: position, margin, leverage and open orders.

    `parcel` holds the absolute lots and EV; `sign` is +1 for long, −1 for short, 0 for flat. `leverage` is in 10^-9,
    `notional_limit` the largest notional, in units, that its tier allows to open. `buy_lots`, `buy_cost` and their
    twins are sums over the open orders that may increase a position, and `reserve` is what of the wallet those
    orders hold back. `reduced_at` is the count of the market's marks at its last partial liquidation. While it
    `owes_funding` it was open when the running round of its market began, and has not changed since.
    """

    __slots__ = (
        "account",
        "buy_cost",
        "buy_lots",
        "indexed_sign",
        "is_known",
        "leverage",
        "leverage_text",
        "margin",
        "market",
        "notional_limit",
        "orders",
        "owes_funding",
        "parcel",
        "realised_in_command",
        "reduce_only_orders",
        "reduced_at",
        "reserve",
        "sell_cost",
        "sell_lots",
        "sign",
        "stale",
        "stops",
        "touched",
        "trigger",
        "waiting",
        "wallet",
    )

    def __init__(self, account: "Account", market: "Market") -> None:
        self.account = account
        self.market = market
        self.wallet = account.wallet
        self.margin = Purse(f"{market.shard_name}/margin/{market.spec.name}/{account.name}")
        self.leverage = market.spec.default_leverage
        self.leverage_text = market.spec.default_leverage_text
        self.notional_limit = market.spec.default_notional_limit
        self.is_known = False
        self.sign = 0
        self.parcel = Parcel()
        self.realised_in_command = 0
        self.orders: dict[str, Order] = {}
        self.stops: dict[str, StopOrder] = {}
        self.owes_funding = False
        self.reduce_only_orders = 0
        self.buy_lots = self.buy_cost = 0
        self.sell_lots = self.sell_cost = 0
        self.reserve = 0
        self.reduced_at = 0
        self.trigger = NO_TRIGGER
        self.indexed_sign = 0
        self.stale = False
        self.touched = False
        self.waiting = False

    @property
    def signed_lots(self) -> int:
        """Lots, negative for a short position."""
        return self.sign * self.parcel.lots

    @property
    def signed_entry_value(self) -> int:
        """EV, negative for a short position: what the market's clearing purse is owed."""
        return self.sign * self.parcel.value

    @property
    def side(self) -> str:
        """The word for the sign."""
        return "long" if self.sign > 0 else "short" if self.sign < 0 else "flat"

    def need(self, buy_lots: int, buy_cost: int, sell_lots: int, sell_cost: int) -> int:
        """What the worse side of these open orders needs from the wallet, in units.

        Orders against the position first close it, which needs nothing; of a side that exceeds the position, the
        exceeding share of its cost is needed, rounded up.
        """
        lots = self.parcel.lots
        if self.sign < 0:
            excess = buy_lots - lots
            buy_cost = divide_up(buy_cost * excess, buy_lots) if excess > 0 else 0
        elif self.sign > 0:
            excess = sell_lots - lots
            sell_cost = divide_up(sell_cost * excess, sell_lots) if excess > 0 else 0
        return buy_cost if buy_cost > sell_cost else sell_cost

    def refresh_reserve(self) -> None:
        """Bring the account's reservation up to date after orders or the position changed."""
        need = self.need(self.buy_lots, self.buy_cost, self.sell_lots, self.sell_cost)
        self.account.reserved += need - self.reserve
        self.reserve = need

    def add_order(self, order: Order) -> None:
        """Count an order that comes to rest."""
        self.orders[order.order_id] = order
        if order.reduce_only:
            self.reduce_only_orders += 1
        elif order.sign > 0:
            self.buy_lots += order.lots
            self.buy_cost += order.cost
        else:
            self.sell_lots += order.lots
            self.sell_cost += order.cost

    def shrink_order(self, order: Order, lots: int) -> None:
        """Take `lots` and their share of the cost off an open order, and forget it when nothing is left."""
        cost = order.cost if lots == order.lots else share_down(order.cost, lots, order.lots)
        order.lots -= lots
        order.cost -= cost
        if order.reduce_only:
            if not order.lots:
                self.reduce_only_orders -= 1
        elif order.sign > 0:
            self.buy_lots -= lots
            self.buy_cost -= cost
        else:
            self.sell_lots -= lots
            self.sell_cost -= cost
        if not order.lots:
            del self.orders[order.order_id]

    def rows(self) -> list[tuple[object, ...]]:
        """The state as rows of plain values, for the state hash; orders are rows of the book."""
        parcel = self.parcel
        return [
            (
                "position",
                self.market.spec.name,
                self.account.name,
                self.signed_lots,
                parcel.value,
                parcel.start_lots,
                parcel.start_value,
                self.margin.balance,
                self.leverage,
                self.reduced_at,
                self.waiting,
            )
        ]
