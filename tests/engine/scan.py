"""Who is due for liquidation, found by looking at everybody, in Fractions of the asset and from the config's own texts.

Nothing of `engine.pool`, `engine.margin` or `engine.contract` is used: sizes, entry values, margins, wallets and marks
are read from the state, all else is worked out here from the contract.
"""

import math
from fractions import Fraction
from typing import NamedTuple

from engine.account import Account
from engine.position import Position
from schemas.config import VenueConfig


class Standing(NamedTuple):
    """Equity and maintenance margin of a margin pool, in units."""

    equity: int
    maintenance: int

    @property
    def is_due(self) -> bool:
        """Equity is not above maintenance margin."""
        return self.equity <= self.maintenance


class Scan:
    """A look at all accounts of a shard, at its marks or at others."""

    def __init__(self, config: VenueConfig, accounts: dict[str, Account]) -> None:
        self.config = config
        self.accounts = accounts

    def standings(self, marks: dict[str, int] | None = None) -> dict[tuple[str, str], Standing]:
        """Every pool with an open position, by account and market, which is empty for the cross positions together."""
        found: dict[tuple[str, str], Standing] = {}
        for name, account in self.accounts.items():
            equity, maintenance, has_cross = account.wallet.balance, 0, False
            for market, position in account.positions.items():
                if not position.parcel.lots:
                    continue
                profit, needed = self.profit_and_maintenance(position, (marks or {}).get(market, position.market.mark))
                if position.is_cross:
                    has_cross = True
                    equity += profit
                    maintenance += needed
                else:
                    found[name, market] = Standing(position.margin.balance + profit, needed)
            if has_cross:
                found[name, ""] = Standing(equity, maintenance)
        return found

    def due(self, marks: dict[str, int] | None = None) -> set[tuple[str, str]]:
        """The pools that must be liquidated at these marks."""
        return {name for name, standing in self.standings(marks).items() if standing.is_due}

    def profit_and_maintenance(self, position: Position, mark: int) -> tuple[int, int]:
        """Unrealised PnL and maintenance margin of a position at a mark in ticks, in units."""
        value = self.value(position.market.spec.name, mark, position.parcel.lots)
        gain = value - position.parcel.value
        gains_with_value = (position.sign > 0) == (self.config.markets[position.market.spec.name].contract == "linear")
        return gain if gains_with_value else -gain, self.maintenance(position.market.spec.name, value)

    def value(self, market: str, mark: int, lots: int) -> int:
        """Mark value in units; what is inexact is rounded down."""
        settings = self.config.markets[market]
        price, qty = mark * Fraction(settings.tick), lots * Fraction(settings.lot) * Fraction(settings.multiplier)
        amount = price * qty if settings.contract == "linear" else qty / price
        return math.floor(amount * self._one(market))

    def maintenance(self, market: str, value: int) -> int:
        """Σ over the tiers of the slice of the value that lies in them × their rate, rounded down to a unit."""
        margin, start = Fraction(0), Fraction(0)
        tiers = self.config.markets[market].tiers
        for tier in tiers:
            end = Fraction(tier.up_to) * self._one(market)
            if tier is tiers[-1]:
                end = max(end, Fraction(value))
            margin += max(Fraction(0), min(Fraction(value), end) - start) * Fraction(tier.maintenance)
            start = end
        return math.floor(margin)

    def losses(self, account: Account) -> int:
        """Σ min(0, uPnL) of the cross positions."""
        return sum(
            min(0, self.profit_and_maintenance(position, position.market.mark)[0])
            for position in account.positions.values()
            if position.is_cross and position.parcel.lots
        )

    def initial_margins(self, account: Account) -> int:
        """Σ ceil(EV ÷ leverage) of the cross positions."""
        return sum(
            math.ceil(position.parcel.value / Fraction(position.leverage_text))
            for position in account.positions.values()
            if position.is_cross and position.parcel.lots
        )

    def _one(self, market: str) -> int:
        one: int = 10 ** self.config.assets[self.config.shards[self.config.markets[market].shard].asset].decimals
        return one
