"""What one account can say to the venue, as plain commands.

A command leaves here with `ts` 0; the session stamps it when it goes out.
"""

from typing import Final

from consumers.generate.terms import Terms

Message = dict[str, object]

BUY: Final = 1
SELL: Final = -1

_SIDES: Final = {BUY: "buy", SELL: "sell"}


class Account:
    """A name, its counters, and the free balance that its owner believes to have (in units)."""

    __slots__ = ("_orders", "_terms", "_transfers", "balance", "name")

    def __init__(self, name: str, terms: Terms) -> None:
        self.name = name
        self.balance = 0
        self._terms = terms
        self._orders = 0
        self._transfers = 0

    def deposit(self, amount: int) -> Message:
        """Bring money in."""
        self.balance += amount
        return self._transfer("account.deposit", amount)

    def withdraw(self, amount: int) -> Message:
        """Take free money out."""
        self.balance -= amount
        return self._transfer("account.withdraw", amount)

    def set_leverage(self, leverage: int) -> Message:
        """Choose the leverage for orders from now on."""
        return {
            "type": "account.leverage",
            "ts": 0,
            "market": self._terms.market,
            "account": self.name,
            "leverage": str(leverage),
        }

    def add_margin(self, amount: int) -> Message:
        """Move free balance into the isolated margin of the position."""
        self.balance -= amount
        return {
            "type": "account.margin",
            "ts": 0,
            "market": self._terms.market,
            "account": self.name,
            "amount": self._terms.spec.asset.text(amount),
        }

    def market_order(self, side: int, lots: int, *, reduce_only: bool = False) -> Message:
        """Take what is there, at any price."""
        order = self._order(side, "market", lots)
        if reduce_only:
            order["reduce_only"] = True
        return order

    def limit_order(
        self, side: int, price: int, lots: int, *, immediate: bool = False, reduce_only: bool = False
    ) -> Message:
        """Buy or sell at `price` ticks or better; `immediate` cancels what does not fill at once."""
        order = self._order(side, "limit", lots)
        order["price"] = self._terms.spec.ticks.text(price)
        if immediate:
            order["tif"] = "ioc"
        if reduce_only:
            order["reduce_only"] = True
        return order

    def cancel(self, order_id: str) -> Message:
        """Take one order back."""
        return {
            "type": "order.cancel",
            "ts": 0,
            "market": self._terms.market,
            "account": self.name,
            "order_id": order_id,
        }

    def amend(self, order_id: str, price: int, lots: int | None = None) -> Message:
        """Move an order to another price and, if given, another remaining quantity."""
        amended: Message = {
            "type": "order.amend",
            "ts": 0,
            "market": self._terms.market,
            "account": self.name,
            "order_id": order_id,
            "price": self._terms.spec.ticks.text(price),
        }
        if lots is not None:
            amended["qty"] = self._terms.spec.lots.text(lots)
        return amended

    def cancel_all(self) -> Message:
        """Take all orders in the market back."""
        return {
            "type": "order.cancel_all",
            "ts": 0,
            "account": self.name,
            "shard": self._terms.shard,
            "market": self._terms.market,
        }

    def _transfer(self, kind: str, amount: int) -> Message:
        self._transfers += 1
        return {
            "type": kind,
            "ts": 0,
            "shard": self._terms.shard,
            "account": self.name,
            "amount": self._terms.spec.asset.text(amount),
            "transfer_id": f"{self.name}.t{self._transfers}",
        }

    def _order(self, side: int, kind: str, lots: int) -> Message:
        self._orders += 1
        return {
            "type": "order.new",
            "ts": 0,
            "market": self._terms.market,
            "account": self.name,
            "order_id": f"o{self._orders}",
            "side": _SIDES[side],
            "kind": kind,
            "qty": self._terms.spec.lots.text(lots),
        }
