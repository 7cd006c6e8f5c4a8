"""A small venue to act on: short calls that build commands, apply them through the wire, and check everything."""

from typing import Any

import orjson

from engine.venue import Venue
from schemas.config import VenueConfig, parse_config
from schemas.envelope import Event
from schemas.events import AccountRejected, ConfigRejected, FundRejected, OrderRejected, PriceRejected
from schemas.wire import decode_command, decode_event, encode

MARKET = "BTC-USDT"
SECOND = 1_000_000

TIERS = '[{ up_to = "1000000", initial = "0.01", maintenance = "0.005" }]'


def venue_toml(
    *,
    opening: str = "0",
    minimum: str = "0",
    tiers: str = TIERS,
    fund: str = "",
    market: str = "",
    limits: str = "",
    shard: str = "",
) -> str:
    """A venue with one market and no fees; settings may be added to its tables."""
    return f"""
        [assets.USDT]
        decimals = 6
        [limits]
        {limits}
        [funds.btc]
        asset = "USDT"
        opening = "{opening}"
        minimum = "{minimum}"
        {fund}
        [shards.usdt]
        asset = "USDT"
        position_detail = true
        {shard}
        [markets.{MARKET}]
        shard = "usdt"
        fund = "btc"
        tick = "0.1"
        lot = "0.001"
        tiers = {tiers}
        {market}
    """


def second_market(name: str = "ETH-USDT", settings: str = "") -> str:
    """Another market of the shard, to be put behind the settings of the first one."""
    return f"""
        [markets.{name}]
        shard = "usdt"
        fund = "btc"
        tick = "0.01"
        lot = "0.01"
        tiers = {TIERS}
        {settings}
    """


class Stage:
    """Runs commands against a venue. Every event goes through its bytes, and every invariant is checked."""

    market, shard, fund_name = MARKET, "usdt", "btc"
    toml = staticmethod(venue_toml)

    def __init__(self, **settings: str) -> None:
        self.config: VenueConfig = parse_config(self.toml(**settings))
        self.venue = Venue(self.config)
        self.now = 1_700_000_000 * SECOND
        self.log: list[bytes] = []
        self.events: list[Event] = self._published(self.venue.genesis())
        self._ids = 0

    def send(self, type_: str, **fields: Any) -> list[Event]:
        """Apply one command a second after the last, or at `ts`, and return what was published."""
        self.now += SECOND
        record = orjson.dumps({"type": type_, "ts": self.now, **fields})
        self.log.append(record)
        events = self._published(self.venue.apply(decode_command(record)))
        self.venue.check()
        self.venue.check_consistency()
        assert {residual.strip("0.") for residual in self.venue.residuals().values()} == {""}
        self.events.extend(events)
        return events

    def deposit(self, account: str, amount: str, transfer_id: str | None = None) -> list[Event]:
        """Money for an account."""
        return self.send(
            "account.deposit",
            shard=self.shard,
            account=account,
            amount=amount,
            transfer_id=transfer_id or self._next_id("t"),
        )

    def mark(self, price: str) -> list[Event]:
        """A mark price."""
        return self.send("price.mark", market=self.market, price=price)

    def funding(self, rate: str, market: str = MARKET) -> list[Event]:
        """A funding."""
        return self.send("price.funding", market=market, rate=rate)

    def leverage(self, account: str, leverage: str) -> list[Event]:
        """An account's leverage."""
        return self.send("account.leverage", market=self.market, account=account, leverage=leverage)

    def margin(self, account: str, amount: str) -> list[Event]:
        """Margin added to a position, or with a minus taken from it."""
        return self.send("account.margin", market=self.market, account=account, amount=amount)

    def buy(self, account: str, qty: str, price: str | None = None, **fields: Any) -> list[Event]:
        """A limit order, or a market order without a price."""
        return self._order(account, "buy", qty, price, **fields)

    def sell(self, account: str, qty: str, price: str | None = None, **fields: Any) -> list[Event]:
        """A limit order, or a market order without a price."""
        return self._order(account, "sell", qty, price, **fields)

    def cancel(self, account: str, order_id: str) -> list[Event]:
        """One order out."""
        return self.send("order.cancel", market=self.market, account=account, order_id=order_id)

    def amend(self, account: str, order_id: str, **fields: Any) -> list[Event]:
        """Another price or quantity."""
        return self.send("order.amend", market=self.market, account=account, order_id=order_id, **fields)

    def account(self, name: str) -> dict[str, Any]:
        """The report's entry of an account."""
        entry: dict[str, Any] = self.venue.report()["accounts"][self.shard][name]
        return entry

    def position(self, name: str) -> dict[str, Any]:
        """The report's entry of an account's position."""
        entry: dict[str, Any] = self.account(name)["positions"][self.market]
        return entry

    def book(self, side: str, market: str | None = None) -> list[tuple[str, str, str]]:
        """What rests on a side, in the order in which it trades: price, order id, remaining quantity."""
        found = self.venue.shards[self.shard].state.markets[market or self.market]
        levels = found.book.bids if side == "buy" else found.book.asks
        ticks, lots = found.spec.ticks, found.spec.lots
        return [(ticks.text(o.price), o.order_id, lots.text(o.lots)) for level in levels for o in level]

    def rows(self) -> list[tuple[object, ...]]:
        """What the engine's state says but for clock and event numbers: a refused command leaves it as it was."""
        return [row for row in self.venue.shards[self.shard].rows() if row[0] not in ("outbox", "topic")]

    def fund(self) -> dict[str, Any]:
        """The report's entry of the fund."""
        entry: dict[str, Any] = self.venue.report()["funds"][self.fund_name]
        return entry

    def open_position(self, account: str, side: str, qty: str, price: str, leverage: str, against: str) -> None:
        """A trade at `price`, `against` resting."""
        self.leverage(account, leverage)
        other = "sell" if side == "buy" else "buy"
        self._order(against, other, qty, price)
        self._order(account, side, qty, price)

    def _order(self, account: str, side: str, qty: str, price: str | None, **fields: Any) -> list[Event]:
        if price is not None:
            fields["price"] = price
        fields.setdefault("order_id", self._next_id("o"))
        kind = "limit" if price is not None else "market"
        return self.send("order.new", market=self.market, account=account, side=side, kind=kind, qty=qty, **fields)

    def _next_id(self, letter: str) -> str:
        self._ids += 1
        return f"{letter}{self._ids}"

    @staticmethod
    def _published(events: list[Event]) -> list[Event]:
        published = [decode_event(encode(event)) for event in events]
        assert [encode(event) for event in published] == [encode(event) for event in events]
        return published


def of_type(events: list[Event], *types: type[Event]) -> list[Any]:
    """The events of these types, in order."""
    return [event for event in events if isinstance(event, types)]


def codes(events: list[Event]) -> list[str]:
    """Why commands were refused, in order."""
    refusals = of_type(events, OrderRejected, AccountRejected, FundRejected, PriceRejected, ConfigRejected)
    return [event.code for event in refusals]
