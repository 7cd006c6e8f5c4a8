"""What the settings of the venue add to a story: rates of tiers and fees, and what a quantity is worth at a price.

Each formula is worked out with the engine's own contract and given only if it comes to the number that the event
carries; a market whose settings give another bankruptcy price than was published is forgotten. So under another config
than that of the run the story says less, and nothing wrong.
"""

from decimal import Decimal
from pathlib import Path
from typing import Final

from consumers.errors import UsageFailure
from consumers.explain.step import amount
from consumers.printable import printable
from engine.fixed import RATE_PLACES, divide_down, divide_up
from engine.margin import tier_of
from engine.spec import MarketSpec, compile_venue
from schemas.claims import LiquidationResidual, LiquidationSettled, TakeoverApproved, TakeoverExhausted
from schemas.config import ConfigError, VenueConfig, load_config
from schemas.events import LiquidationStarted, TradeExecuted

_RATE: Final = 10**RATE_PLACES

Question = LiquidationResidual | TakeoverExhausted


class Terms:
    """The markets of a venue. Without a config it knows none, and gives no formula."""

    def __init__(self, path: Path | None = None) -> None:
        """Raises UsageFailure where the config cannot be used."""
        self._markets: dict[str, MarketSpec] = {}
        if path is None:
            return
        try:
            self.learn(load_config(path))
        except ConfigError as error:
            raise UsageFailure(printable(str(error))) from None

    def learn(self, config: VenueConfig) -> None:
        """Take up the markets of a venue. Raises ConfigError where its settings do not make sense together."""
        for shard in compile_venue(config).shards.values():
            self._markets.update(shard.markets)

    def check(self, event: LiquidationStarted) -> None:
        """Forget the market if by its settings the quantity would not be bankrupt at the price that was published."""
        spec = self._markets.get(event.market)
        if spec is None or event.bankruptcy_price is None:
            return
        lots, value = spec.lots.parse(event.qty), spec.asset.parse(event.bankruptcy_value)
        if not lots or value is None or spec.price_text(value, lots) != event.bankruptcy_price:
            del self._markets[event.market]

    def maintenance(self, event: LiquidationStarted) -> str | None:
        """MM = MV × r − c of an isolated position; that of a cross account is a sum over positions nobody published."""
        value = self._value(event.market, event.mark_price, event.qty)
        if value is None or event.mode == "cross":
            return None
        spec = self._markets[event.market]
        tier = tier_of(spec, value)
        number = spec.tiers.index(tier) + 1
        if spec.asset.text(divide_down(value * tier.maintenance - tier.deduction, _RATE)) != event.maintenance_margin:
            return None
        deduction = Decimal(tier.deduction).scaleb(-RATE_PLACES - spec.asset.decimals)
        less = f" − {amount(deduction)}" if tier.deduction else ""
        exact = (value * tier.maintenance - tier.deduction) % _RATE == 0
        return (
            f"maintenance margin {amount(event.maintenance_margin)} = value at the mark {self._text(spec, value)} × "
            f"{_percent(tier.maintenance)}{less} (risk tier {number}){'' if exact else ', rounded down'}"
        )

    def equity(self, event: LiquidationStarted) -> str | None:
        """Equity of an isolated position, or a cross position's share of it: what the mark stands above bankruptcy."""
        value = self._value(event.market, event.mark_price, event.qty)
        if value is None:
            return None
        spec = self._markets[event.market]
        worth, bankruptcy = Decimal(spec.asset.text(value)), Decimal(event.bankruptcy_value)
        gains = _exposure(spec, event.side) > 0
        left = worth - bankruptcy if gains else bankruptcy - worth
        at_mark, at_end = f"value at the mark {amount(worth)}", f"bankruptcy value {_in_brackets(bankruptcy)}"
        difference = f"{at_mark} − {at_end}" if gains else f"{at_end} − {at_mark}"
        if event.mode == "cross":
            return f"its share of the account's equity, {amount(left)} = {difference}"
        if left != Decimal(event.equity):
            return None
        return f"equity {amount(event.equity)} = {difference}"

    def left_of_fills(
        self, started: LiquidationStarted, settled: LiquidationSettled, trades: list[TradeExecuted]
    ) -> str | None:
        """What the fills of a whole isolated position left above their share of BV: the fee and the surplus."""
        spec = self._markets.get(started.market)
        if spec is None or started.mode == "cross" or settled.filled_qty != started.qty:
            return None
        side = 1 if started.side == "long" else -1
        value = 0
        for trade in trades:
            price, lots = spec.ticks.parse(trade.price), spec.lots.parse(trade.qty)
            if not price or not lots:
                return None
            value += spec.contract.forced_value(price, lots, side)
        left = Decimal(spec.asset.text(value)) - Decimal(started.bankruptcy_value)
        if _exposure(spec, started.side) < 0:
            left = -left
        if left != Decimal(settled.fee) + Decimal(settled.surplus):
            return None
        worth, end = self._text(spec, value), amount(started.bankruptcy_value)
        difference = f"{worth} − {end}" if _exposure(spec, started.side) > 0 else f"{end} − {worth}"
        share = f"fee {amount(settled.fee)} + surplus {amount(settled.surplus)}"
        return f"left above bankruptcy: {difference} = {amount(left)} = {share}"

    def expected_loss(self, event: Question) -> str | None:
        """max(0, what the residual is carried at − what it is worth), the other way round where value is a loss."""
        value = self._value(event.market, event.mark_price, event.qty)
        if value is None:
            return None
        spec = self._markets[event.market]
        carried, worth = Decimal(event.bankruptcy_value), Decimal(spec.asset.text(value))
        first, second = (carried, worth) if _exposure(spec, event.side) > 0 else (worth, carried)
        if max(Decimal(0), first - second) != Decimal(event.expected_loss):
            return None
        names = ("bankruptcy value", "value at the mark")
        one, other = names if _exposure(spec, event.side) > 0 else names[::-1]
        return f"expected loss {amount(event.expected_loss)} = max(0, {one} {amount(first)} − {other} {amount(second)})"

    def slippage(self, event: TakeoverApproved, question: Question) -> str | None:
        """What the loss budget may exceed the expected loss by."""
        value = self._value(event.market, question.mark_price, question.qty)
        if value is None:
            return None
        spec = self._markets[event.market]
        extra = divide_up(value * spec.fund.takeover_slippage, _RATE)
        if not extra or Decimal(spec.asset.text(extra)) + Decimal(question.expected_loss) != Decimal(event.loss_budget):
            return None
        return (
            f"slippage allowed {self._text(spec, extra)} = {_percent(spec.fund.takeover_slippage)} × value at the "
            f"mark {self._text(spec, value)}"
        )

    def _value(self, market: str, price: str, qty: str) -> int | None:
        """The value of a quantity at a mark, in units; None where the config does not know the market or its grid."""
        spec = self._markets.get(market)
        if spec is None:
            return None
        ticks, lots = spec.ticks.parse(price), spec.lots.parse(qty)
        return spec.value(ticks, lots) if ticks and lots else None

    @staticmethod
    def _text(spec: MarketSpec, units: int) -> str:
        return amount(spec.asset.text(units))


def _exposure(spec: MarketSpec, side: str) -> int:
    return spec.direction if side == "long" else -spec.direction


def _percent(rate: int) -> str:
    return f"{amount(Decimal(rate).scaleb(2 - RATE_PLACES))} %"


def _in_brackets(value: Decimal) -> str:
    """A number that follows a minus."""
    return f"({amount(value)})" if value < 0 else amount(value)
