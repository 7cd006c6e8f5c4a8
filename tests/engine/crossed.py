"""A stage of three markets whose positions are cross by default: BTC at 10,000, ETH at 1,000, SOL at 100.

One lot of BTC is 0.001, of ETH and SOL 0.01. `house` is rich, isolated at a tenth of
leverage, and on the other side of everything. Fees are 0 and maintenance is 0.5 % unless a test says otherwise.
"""

from typing import Any

from engine.account import Account
from schemas.envelope import Event
from schemas.events import LiquidationStarted
from tests.engine.stage import MARKET, Stage, of_type, second_market

BTC, ETH, SOL = MARKET, "ETH-USDT", "SOL-USDT"
MARKS = {BTC: "10000", ETH: "1000", SOL: "100"}


class CrossStage(Stage):
    """`every` are settings of all three markets, `btc`, `eth` and `sol` those of one; the others are those of Stage."""

    def __init__(self, *, every: str = "", btc: str = "", eth: str = "", sol: str = "", **settings: str) -> None:
        every = f'default_mode = "cross"\n{every}'
        super().__init__(
            market=f"{every}\n{btc}" + second_market(ETH, f"{every}\n{eth}") + second_market(SOL, f"{every}\n{sol}"),
            **settings,
        )
        self.deposit("house", "100000000")
        for market, price in MARKS.items():
            self.mark_of(market, price)
            self.mode("house", market, "isolated")
            self.send("account.leverage", market=market, account="house", leverage="0.1")

    def mark_of(self, market: str, price: str) -> list[Event]:
        """A mark price."""
        return self.send("price.mark", market=market, price=price)

    def mode(self, account: str, market: str, mode: str) -> list[Event]:
        """Carry a position by the wallet, or by its own margin."""
        return self.send("account.margin_mode", market=market, account=account, mode=mode)

    def lever(self, account: str, leverage: str, *markets: str) -> None:
        """An account's leverage, in these markets or in all."""
        for market in markets or MARKS:
            self.send("account.leverage", market=market, account=account, leverage=leverage)

    def order(
        self, account: str, market: str, side: str, qty: str, price: str | None = None, **fields: Any
    ) -> list[Event]:
        """A limit order, or a market order without a price."""
        fields.setdefault("order_id", self._next_id("o"))
        if price is not None:
            fields["price"] = price
        kind = "limit" if price is not None else "market"
        return self.send("order.new", market=market, account=account, side=side, kind=kind, qty=qty, **fields)

    def trade(self, account: str, market: str, side: str, qty: str, price: str | None = None) -> list[Event]:
        """A trade with the house, at the first mark price unless another is given; the account takes."""
        price = price or MARKS[market]
        other = "sell" if side == "buy" else "buy"
        self.order("house", market, other, qty, price, order_id="counter")
        events = self.order(account, market, side, qty, price, tif="ioc")
        if any(order_id == "counter" for _, order_id, _ in self.book(other, market)):
            self.send("order.cancel", market=market, account="house", order_id="counter")
        self.now += 61_000_000  # so that the id may be used again
        return events

    def withdraw(self, account: str, amount: str) -> list[Event]:
        """Money out."""
        return self.send(
            "account.withdraw", shard="usdt", account=account, amount=amount, transfer_id=self._next_id("w")
        )

    def wallet(self, account: str) -> str:
        """What an account's wallet holds."""
        text: str = self.account(account)["wallet"]
        return text

    def free(self, account: str) -> str:
        """What an account could withdraw."""
        text: str = self.account(account)["free"]
        return text

    def open_in(self, account: str) -> dict[str, str]:
        """The sizes of an account's open positions, by market."""
        return {market: entry["qty"] for market, entry in self.account(account)["positions"].items()}

    def state_of(self, account: str) -> Account:
        """The account in the engine's state."""
        return self.venue.shards["usdt"].state.accounts[account]

    def take_away(self, account: str, units: int) -> None:
        """Less in a wallet, in units, as if a loss had been socialised: what only fate may do to an account."""
        state = self.venue.shards["usdt"].state
        state.accounts[account].wallet.balance -= units
        state.external.balance += units


def started(events: list[Event]) -> list[tuple[str, str]]:
    """Account and market of every liquidation that began, in order."""
    return [(event.account, event.market) for event in of_type(events, LiquidationStarted)]
