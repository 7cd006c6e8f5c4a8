"""Margin of one position: maintenance margin, initial margin, what an order costs, where liquidation begins.

Symbols: s = ±1 the side, d = ±1 the direction of the contract, e = s × d the exposure, MV the value at the mark, EV the
entry value, M the margin that carries the position, r and c maintenance rate and deduction of the tier. All values in
units, rates in 10^-9. What the positions of a cross account need together is in `engine.pool`.
"""

from typing import NamedTuple

from engine.contract import NO_TRIGGER
from engine.fixed import RATE, divide_down, divide_up
from engine.position import Position
from engine.spec import MarketSpec, TierSpec


def tier_of(spec: MarketSpec, value: int) -> TierSpec:
    """The risk tier of a notional; the last tier has no upper end for maintenance."""
    for tier in spec.tiers:
        if value <= tier.up_to:
            return tier
    return spec.tiers[-1]


def maintenance_margin(spec: MarketSpec, value: int) -> int:
    """MM = MV × r − c, rounded down to a unit.

    As equity is a whole number of units, equity ≤ MM holds for the rounded value exactly when it holds for the
    exact one.
    """
    tier = tier_of(spec, value)
    return divide_down(value * tier.maintenance - tier.deduction, RATE)


def mark_value(position: Position) -> int:
    """MV of a position at the market's current mark."""
    return position.market.spec.value(position.market.mark, position.parcel.lots)


def unrealised_pnl(position: Position) -> int:
    """uPnL = e × (MV − EV) at the current mark."""
    return position.exposure * (mark_value(position) - position.parcel.value)


class Reckoning(NamedTuple):
    """A position at the current mark, in units: MV, uPnL and MM."""

    value: int
    profit: int
    maintenance: int


def reckon(position: Position) -> Reckoning:
    """MV, uPnL and MM of a position at the current mark."""
    value = mark_value(position)
    profit = position.exposure * (value - position.parcel.value)
    return Reckoning(value, profit, maintenance_margin(position.market.spec, value))


def trigger_price(position: Position, margin: int) -> int:
    """The first mark, in ticks, at which a position carried by `margin` is liquidated, or NO_TRIGGER.

    Where value is a gain (e = +1) it is due at every MV ≤ (EV − M − c) ÷ (1 − r): the left side of M + MV − EV ≤ MM
    rises faster than MM, and the tier in which the answer lies is the first whose upper end is healthy. Where it is a
    loss, it is due at every MV ≥ (EV + M + c) ÷ (1 + r), in the first tier whose upper end is not healthy.
    """
    if position.sign == 0:
        return NO_TRIGGER
    numerator, denominator = _liquidation_value(position, margin)
    return position.market.spec.contract.trigger(numerator, denominator, position.parcel.lots, position.sign)


def liquidation_price_text(position: Position, margin: int) -> str | None:
    """The mark at which M + uPnL = MM, to 8 decimals for print; None if no price above zero does it."""
    if position.sign == 0:
        return None
    numerator, denominator = _liquidation_value(position, margin)
    return position.market.spec.price_text(numerator, position.parcel.lots, denominator)


def _liquidation_value(position: Position, margin: int) -> tuple[int, int]:
    """The mark value at which equity equals MM, as numerator and denominator."""
    entry, exposure = position.parcel.value, position.exposure
    tiers = position.market.spec.tiers
    for tier in tiers:
        # At the tier's upper end: is M + e(MV − EV) above MM? Where value is a gain a position is healthy above its
        # liquidation value, else below, and each crosses once.
        surplus = (margin + exposure * (tier.up_to - entry)) * RATE - (tier.up_to * tier.maintenance - tier.deduction)
        if (surplus > 0) == (exposure > 0) or tier is tiers[-1]:
            return (entry - exposure * margin) * RATE - exposure * tier.deduction, RATE - exposure * tier.maintenance
    raise AssertionError("a market has at least one tier")


def initial_margin(value: int, leverage: int) -> int:
    """Notional ÷ leverage, rounded up to a unit."""
    return divide_up(value * RATE, leverage)


def fee(value: int, rate: int) -> int:
    """Notional × fee rate, rounded up to a unit; a rebate (negative) is rounded towards zero."""
    return divide_up(value * rate, RATE)


def order_cost(position: Position, sign: int, price: int, lots: int) -> int:
    """What an order that increases a position needs: initial margin, the dearer fee and the open loss.

    The open loss is what a fill at this price loses at once against the mark, side × d × (order value − value at the
    mark).
    """
    market = position.market
    spec = market.spec
    value = spec.value(price, lots)
    cost = divide_up(value * RATE, position.leverage) + divide_up(value * spec.dearer_fee, RATE)
    if (price - market.mark) * sign > 0:
        cost += (value - spec.value(market.mark, lots)) * sign * spec.direction
    return cost


def worst_notional(position: Position, buy_lots: int, sell_lots: int) -> int:
    """The notional at the mark of the worse side of a position and these open orders; 0 before the first mark."""
    if not position.market.mark:
        return 0
    signed = position.sign * position.parcel.lots
    long, short = signed + buy_lots, sell_lots - signed
    return position.market.spec.value(position.market.mark, long if long > short else short)
