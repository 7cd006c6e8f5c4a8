"""An example as a venue and a command history: what our report says of its positions."""

from decimal import ROUND_DOWN, ROUND_UP, Decimal
from fractions import Fraction
from functools import cache
from typing import Any

import orjson

from engine.venue import Venue
from schemas.config import VenueConfig, parse_config
from schemas.envelope import Event
from schemas.events import AccountRejected, LiquidationStarted, OrderRejected, PriceRejected
from schemas.wire import decode_command
from tests.venues.published import Example, Stake, places

SECOND = 1_000_000
TRADER, MAKER = "trader", "maker"
ABOVE_MAINTENANCE = Decimal("1.01")
"""Initial to maintenance margin rate: it decides what may be opened, and none of the printed numbers."""

LEAST_DECIMALS = 8
"""Of the asset; more where the numbers of an example have more."""


@cache
def answers(example: Example) -> list[dict[str, str | None]]:
    """What we say of each position, by quantity, to 8 decimals or to the unit of the asset.

    The equity is that of a second account with the same history, as its mark may liquidate the position.
    """
    account = _opened(example)
    found = []
    for stake in example.positions:
        entry = account.position(stake)
        bankruptcy = entry["bankruptcy_price"]
        if bankruptcy is not None:
            bankruptcy = _text(Fraction(bankruptcy) * Fraction(stake.printed.fee))
        found.append(
            {
                "liquidation_price": entry["liquidation_price"],
                "bankruptcy_price": bankruptcy,
                "maintenance_margin": entry["maintenance_margin"],
                "equity": _opened(example).equity_at(stake),
            }
        )
    return found


def starts_at(example: Example, position: int) -> list[tuple[str, bool]]:
    """The mark one tick before the reported liquidation price and the one at it, and whether we liquidate there."""
    stake = example.positions[position]
    account = _opened(example)
    price = Decimal(account.position(stake)["liquidation_price"])
    tick = Decimal(_step(_price_places(stake)))
    long = stake.side == "long"
    due = price.quantize(tick, ROUND_DOWN if long else ROUND_UP)
    marks = (due + tick if long else due - tick, due)
    return [(f"{mark:f}", account.liquidates(stake, f"{mark:f}") is not None) for mark in marks]


class _Account:
    """The trader of an example, who meets a maker, one command a second."""

    def __init__(self, example: Example) -> None:
        self.example = example
        self.venue = Venue(_config(example))
        self.venue.genesis()
        self._now = 1_700_000_000 * SECOND
        self._sent = 0

    def send(self, type_: str, **fields: Any) -> list[Event]:
        """Apply one command, which must not be refused."""
        self._now += SECOND
        record = orjson.dumps({"type": type_, "ts": self._now, **fields})
        events = self.venue.apply(decode_command(record))
        refused = [event for event in events if isinstance(event, OrderRejected | AccountRejected | PriceRejected)]
        assert refused == [], self.example.id
        self.venue.check()
        self.venue.check_consistency()
        return events

    def deposit(self, account: str, amount: Decimal) -> None:
        """Money for an account."""
        self._sent += 1
        self.send("account.deposit", shard="s", account=account, amount=f"{amount:f}", transfer_id=f"t{self._sent}")

    def open(self, stake: Stake) -> None:
        """The mark at the entry price, a trade there, and the margin of the example."""
        value = _value(self.example, stake)
        self.mark(stake, stake.entry)
        self.deposit(MAKER, _whole(3 * value))
        if self.example.mode == "isolated":
            self.deposit(TRADER, _whole(3 * value))
        self.send("account.leverage", market=stake.market, account=TRADER, leverage=_leverage(self.example, stake))
        self._order(MAKER, "sell" if stake.side == "long" else "buy", stake)
        self._order(TRADER, "buy" if stake.side == "long" else "sell", stake)
        if stake.margin is not None:
            self._add(stake, Decimal(stake.margin) - Decimal(self.position(stake)["margin"]))
        if stake.added is not None:
            self._add(stake, Decimal(stake.added))

    def mark(self, stake: Stake, price: str) -> list[Event]:
        """A mark of the position's market."""
        return self.send("price.mark", market=stake.market, price=price)

    def liquidates(self, stake: Stake, price: str) -> LiquidationStarted | None:
        """What the mark starts of the trader, if it does."""
        events = self.mark(stake, price)
        started = (event for event in events if isinstance(event, LiquidationStarted) and event.account == TRADER)
        return next(started, None)

    def position(self, stake: Stake) -> dict[str, Any]:
        """The report's entry."""
        entry: dict[str, Any] = self._report()["positions"][stake.market]
        return entry

    def equity_at(self, stake: Stake) -> str | None:
        """The equity of the position's pool at a mark: reported, or given when the mark liquidates it."""
        if stake.printed.equity_at is None:
            return None
        started = self.liquidates(stake, stake.printed.equity_at)
        if started is not None:
            return started.equity
        report = self._report()
        if self.example.mode == "isolated":
            entry = report["positions"][stake.market]
            return f"{Decimal(entry['margin']) + Decimal(entry['unrealised_pnl']):f}"
        profits = (Decimal(entry["unrealised_pnl"]) for entry in report["positions"].values())
        return f"{Decimal(report['wallet']) + sum(profits):f}"

    def _report(self) -> dict[str, Any]:
        account: dict[str, Any] = self.venue.report()["accounts"]["s"][TRADER]
        return account

    def _order(self, account: str, side: str, stake: Stake) -> None:
        fields = {"market": stake.market, "account": account, "order_id": f"o{self._sent}"}
        self.send("order.new", **fields, side=side, kind="limit", price=stake.entry, qty=stake.qty)

    def _add(self, stake: Stake, amount: Decimal) -> None:
        if amount:
            self.send("account.margin", market=stake.market, account=TRADER, amount=f"{amount:f}")


def _opened(example: Example) -> _Account:
    account = _Account(example)
    if example.wallet is not None:
        account.deposit(TRADER, Decimal(example.wallet))
    for stake in example.positions:
        account.open(stake)
    for stake in example.positions:
        if stake.mark is not None:
            account.mark(stake, stake.mark)
    return account


def _config(example: Example) -> VenueConfig:
    decimals = max(LEAST_DECIMALS, *map(_value_places, example.positions))
    markets = "".join(
        f"""
        [markets.{stake.market}]
        shard = "s"
        fund = "f"
        contract = "{example.contract}"
        default_mode = "{example.mode}"
        tick = "{_step(_price_places(stake))}"
        lot = "{_step(places(stake.qty))}"
        multiplier = "{stake.multiplier}"
        default_leverage = "1"
        tiers = [{", ".join(_tiers(stake, decimals))}]
        """
        for stake in example.positions
    )
    return parse_config(
        f"""
        [assets.A]
        decimals = {decimals}
        [funds.f]
        asset = "A"
        [shards.s]
        asset = "A"
        {markets}
        """
    )


def _tiers(stake: Stake, decimals: int) -> list[str]:
    table = [(tier.up_to, tier.maintenance) for tier in stake.tiers]
    table = table or [("9" * (18 - decimals), stake.maintenance or "")]
    return [f'{{ up_to = "{up_to}", initial = "{_initial(rate)}", maintenance = "{rate}" }}' for up_to, rate in table]


def _initial(maintenance: str) -> Decimal:
    return (Decimal(maintenance) * ABOVE_MAINTENANCE).quantize(Decimal("1e-9"), ROUND_UP)


def _leverage(example: Example, stake: Stake) -> str:
    """The leverage of the example; of a margin what is just above it; of a cross position the most there is."""
    if stake.leverage is not None:
        return stake.leverage
    step = Decimal("0.001")
    value = _value(example, stake)
    if stake.margin is not None:
        return f"{(value / Decimal(stake.margin)).quantize(step, ROUND_UP):f}"
    rates = [tier.maintenance for tier in stake.tiers if Decimal(tier.up_to) >= value]
    return f"{(1 / _initial(rates[0] if rates else stake.maintenance or '')).quantize(step, ROUND_DOWN):f}"


def _value(example: Example, stake: Stake) -> Decimal:
    qty = Decimal(stake.qty) * Decimal(stake.multiplier)
    return qty * Decimal(stake.entry) if example.contract == "linear" else qty / Decimal(stake.entry)


def _price_places(stake: Stake) -> int:
    return max(places(price) for price in (stake.entry, stake.mark, stake.printed.equity_at) if price is not None)


def _value_places(stake: Stake) -> int:
    """The decimals that hold a tick of a lot, and the margin, exactly."""
    of_a_tick = _price_places(stake) + places(stake.qty) + places(stake.multiplier)
    return max(of_a_tick, places(stake.margin or ""), places(stake.added or ""))


def _step(decimals: int) -> str:
    return f"{Decimal(1).scaleb(-decimals):f}"


def _whole(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal(1), ROUND_UP)


def _text(price: Fraction) -> str:
    return f"{Decimal(price.numerator) / Decimal(price.denominator):.8f}"
