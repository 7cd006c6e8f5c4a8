"""Margin: maintenance margin, order cost, liquidation and bankruptcy price of isolated linear positions.

Symbols: s = ±1 the side, MV = mark × qty × multiplier the mark value, EV the entry value, M the margin, r and c
maintenance rate and deduction of the tier. All values in units, rates in 10^-9.
"""

from engine.fixed import RATE, SCORE, derived_price_text, divide_down, divide_up
from engine.position import NO_TRIGGER, Position
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
    """uPnL = s × (MV − EV) at the current mark."""
    return position.sign * (mark_value(position) - position.parcel.value)


def equity(position: Position) -> int:
    """M + uPnL at the current mark."""
    return position.margin.balance + unrealised_pnl(position)


def is_liquidatable(position: Position) -> bool:
    """Whether M + uPnL ≤ MM at the current mark."""
    return position.sign != 0 and equity(position) <= maintenance_margin(position.market.spec, mark_value(position))


def health(position: Position) -> int:
    """E ÷ MM as a score of 2^-64, rounded down: the lowest is liquidated first."""
    maintenance = maintenance_margin(position.market.spec, mark_value(position))
    return divide_down(equity(position) * SCORE, max(1, maintenance))


def bankruptcy_value(position: Position) -> int:
    """BV = EV − s × M: closed at this value, nothing is left and nothing is owed."""
    return position.parcel.value - position.sign * position.margin.balance


def trigger_price(position: Position) -> int:
    """The first mark, in ticks, at which the position is liquidated, or NO_TRIGGER.

    Long: the highest t with M + t·k − EV ≤ MM(t·k), k the value of the position per tick. As the left side rises
    faster than MM, the tier in which the answer lies is the first whose upper end is healthy; there
    t = floor((EV − M − c) ÷ (k (1 − r))). Short: the lowest t with M + EV − t·k ≤ MM(t·k), which is
    t = ceil((EV + M + c) ÷ (k (1 + r))) in the first tier whose upper end is not healthy.
    """
    if position.sign == 0:
        return NO_TRIGGER
    spec = position.market.spec
    per_tick = position.parcel.lots * spec.lot_value
    numerator, denominator = _liquidation_value(position)
    if numerator <= 0:
        return NO_TRIGGER
    if position.sign > 0:
        return divide_down(numerator, denominator * per_tick)
    return divide_up(numerator, denominator * per_tick)


def liquidation_price_text(position: Position) -> str | None:
    """The mark at which M + uPnL = MM, to 8 decimals for print; None if no price above zero does it."""
    if position.sign == 0:
        return None
    spec = position.market.spec
    numerator, denominator = _liquidation_value(position)
    if numerator <= 0:
        return None
    return derived_price_text(
        numerator * spec.ticks.step,
        denominator * position.parcel.lots * spec.lot_value * 10**spec.ticks.places,
    )


def _liquidation_value(position: Position) -> tuple[int, int]:
    """The mark value at which equity equals MM, as numerator and denominator."""
    entry, margin, sign = position.parcel.value, position.margin.balance, position.sign
    tiers = position.market.spec.tiers
    for tier in tiers:
        # At the tier's upper end: is M + s(MV − EV) above MM? A long is healthy above its liquidation value, a
        # short below, and each crosses once.
        surplus = (margin + sign * (tier.up_to - entry)) * RATE - (tier.up_to * tier.maintenance - tier.deduction)
        if (surplus > 0) == (sign > 0) or tier is tiers[-1]:
            return (entry - sign * margin) * RATE - sign * tier.deduction, RATE - sign * tier.maintenance
    raise AssertionError("a market has at least one tier")


def initial_margin(value: int, leverage: int) -> int:
    """Notional ÷ leverage, rounded up to a unit."""
    return divide_up(value * RATE, leverage)


def fee(value: int, rate: int) -> int:
    """Notional × fee rate, rounded up to a unit; a rebate (negative) is rounded towards zero."""
    return divide_up(value * rate, RATE)


def order_cost(position: Position, sign: int, price: int, lots: int) -> int:
    """What an order that increases a position needs: initial margin, the dearer fee and the open loss.

    The open loss is what a fill at this price loses at once against the mark, side × (price − mark) × lots.
    """
    market = position.market
    spec = market.spec
    per_tick = lots * spec.lot_value
    value = price * per_tick
    cost = divide_up(value * RATE, position.leverage) + divide_up(value * spec.dearer_fee, RATE)
    loss = (price - market.mark) * per_tick * sign
    return cost + loss if loss > 0 else cost


def worst_notional(position: Position, buy_lots: int, sell_lots: int) -> int:
    """The notional at the mark of the worse side of a position and these open orders."""
    signed = position.sign * position.parcel.lots
    long, short = signed + buy_lots, sell_lots - signed
    return position.market.mark * (long if long > short else short) * position.market.spec.lot_value
