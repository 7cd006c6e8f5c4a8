"""What an account holds in one market: the position by value, its margin, its open orders.

A position is accounted by value, not by average price: signed lots, the entry value EV (exact, never negative)
and, if it is isolated, a margin purse M; a cross position is carried by the wallet. Both sides of a trade book the same
value, so the signed entry values of a market sum to what its clearing purse owes.
"""

from typing import TYPE_CHECKING, Any, Final

from engine.book import Order
from engine.contract import NO_TRIGGER
from engine.fixed import RATE, RATE_PLACES, divide_up, share_down, trimmed_text
from engine.purse import Purse
from engine.rows import Row
from engine.stops import StopOrder
from schemas.fields import MarginMode

if TYPE_CHECKING:
    from engine.account import Account
    from engine.market import Market


NEVER: Final = -1
"""The count of marks at which a position was reduced that never was."""


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
    """An account's stake in a market: position, margin, mode, leverage and open orders.

    `parcel` holds the absolute lots and EV; `sign` is +1 for long, −1 for short, 0 for flat. `leverage` is in 10^-9,
    `notional_limit` the largest notional, in units, that its tier allows to open. `buy_lots`, `buy_cost` and their
    twins are sums over the open orders that may increase a position, and `reserve` is what of the wallet those
    orders, and the initial margin if it is cross, hold back. `reduced_at` is the count of marks at its last partial
    liquidation, of the market's own if it is isolated, of all the shard's if it is cross. While it `owes_funding` it
    was open when the running round of its market began, and has not changed since.
    """

    __slots__ = (
        "account",
        "buy_cost",
        "buy_lots",
        "indexed_sign",
        "is_cross",
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
        self.is_cross = market.spec.default_cross
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
        self.reduced_at = NEVER
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
    def exposure(self) -> int:
        """+1 where a rising mark value is a gain (long linear, short inverse), −1 where it is a loss, 0 if flat."""
        return self.sign * self.market.spec.direction

    @property
    def signed_entry_value(self) -> int:
        """EV, negative where a rising value is a loss: what the market's clearing purse is owed."""
        return self.exposure * self.parcel.value

    @property
    def initial_margin(self) -> int:
        """EV ÷ leverage, rounded up to a unit: what a cross position holds back of the wallet."""
        return divide_up(self.parcel.value * RATE, self.leverage)

    @property
    def collateral(self) -> Purse:
        """The purse that carries it: its margin or, cross, the wallet."""
        return self.wallet if self.is_cross else self.margin

    @property
    def side(self) -> str:
        """The word for the sign."""
        return "long" if self.sign > 0 else "short" if self.sign < 0 else "flat"

    @property
    def mode(self) -> MarginMode:
        """The word for how it is margined."""
        return "cross" if self.is_cross else "isolated"

    def join_pool(self) -> None:
        """Be one of the account's open cross positions while it is one; the first begins a new pool."""
        pool, name = self.account.pool, self.market.spec.name
        positions = pool.positions
        if self.is_cross and self.sign:
            if not positions:
                pool.left_residual = False
            positions[name] = self
        else:
            positions.pop(name, None)

    def need(self, buy_lots: int, buy_cost: int, sell_lots: int, sell_cost: int) -> int:
        """What the worse side of the position and these open orders needs from the wallet, in units.

        Orders against the position first close it, which needs nothing; of a side that exceeds the position, the
        exceeding share of its cost is needed, rounded up. A position needs its initial margin there if it is cross,
        and has it already if it is isolated.
        """
        lots = self.parcel.lots
        if self.sign < 0:
            excess = buy_lots - lots
            buy_cost = divide_up(buy_cost * excess, buy_lots) if excess > 0 else 0
            if self.is_cross:
                sell_cost += self.initial_margin
        elif self.sign > 0:
            excess = sell_lots - lots
            sell_cost = divide_up(sell_cost * excess, sell_lots) if excess > 0 else 0
            if self.is_cross:
                buy_cost += self.initial_margin
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

    def row(self) -> Row:
        """The state as a row of plain values; orders are rows of the book."""
        parcel = self.parcel
        return (
            "position",
            self.account.name,
            self.sign * parcel.lots,
            parcel.value,
            parcel.start_lots,
            parcel.start_value,
            self.margin.balance,
            self.is_cross,
            self.leverage,
            self.reduced_at,
            self.waiting,
        )

    def restore(self, row: tuple[Any, ...]) -> None:
        """Be the position that a row tells of; without its orders, and in no pool or index yet."""
        parcel = self.parcel
        (
            _,
            _,
            signed_lots,
            parcel.value,
            parcel.start_lots,
            parcel.start_value,
            self.margin.balance,
            self.is_cross,
            leverage,
            self.reduced_at,
            self.waiting,
        ) = row
        if signed_lots:
            self.sign = 1 if signed_lots > 0 else -1
            parcel.lots = abs(signed_lots)
        if leverage != self.leverage:
            self.leverage = leverage
            self.leverage_text = trimmed_text(leverage, RATE_PLACES)
            self.notional_limit = self.market.spec.notional_limit(leverage)
