"""What a contract is worth at a price: linear (settled in the quote currency) and inverse (in the base coin).

A position is accounted by value. What differs between the contracts is how value follows from price, and which way:

    linear    value = price × lots × lot_value                exact; a long gains as the value rises
    inverse   value = floor(lots × N ÷ (price × D))           a long gains as the value in the coin falls

`direction` is +1 or −1 accordingly, and side × direction is the exposure of a quantity: +1 where a rising value is a
gain. Every formula over values uses the exposure and so holds for both contracts; only what compares prices (the book,
limits, triggers of stop orders) goes by the side. Prices are in ticks, values in units.

The value of an inverse trade is rounded down once and booked to both sides. In forced orders (liquidation, unwinding)
it is rounded in favour of the side that is closed: down for a long, whose closing value is what it has to give; up
for a short. Closing at the mark rounds likewise: ADL in favour of the residual, the last resort in favour of the
counterparty.
"""

from typing import Final, Protocol

from engine.fixed import AMOUNT_LIMIT, Grid, derived_price_text, divide_down, divide_up

NO_TRIGGER: Final = 0
"""The trigger of a position that no mark price above zero would liquidate."""


class Contract(Protocol):
    """How value follows from price."""

    direction: int

    def value(self, price: int, lots: int) -> int:
        """What `lots` are worth at `price`, in units; an inexact value is rounded down."""
        ...

    def worth(self, price: int, lots: int) -> tuple[int, int]:
        """The value of `lots` at `price` as an exact ratio of units."""
        ...

    def forced_value(self, price: int, lots: int, side: int) -> int:
        """The value of a forced trade that closes `lots` of this side, rounded in that side's favour."""
        ...

    def limit_price(self, value: int, lots: int, side: int) -> int | None:
        """The worst price at which closing lots of this side leaves no part worse than its share of `value`.

        Longs are sold at it or above (rounded up), shorts bought back at it or below (rounded down). None if no
        price above zero is good enough.
        """
        ...

    def trigger(self, numerator: int, denominator: int, lots: int, side: int) -> int:
        """The first mark, as it falls for a long and rises for a short, at which `lots` have reached a mark value.

        The mark value is numerator ÷ denominator, and a position has reached it when its equity is no better than
        at it. NO_TRIGGER if no price above zero does it.
        """
        ...

    def price_text(self, numerator: int, lots: int, denominator: int = 1) -> str | None:
        """The price at which `lots` are worth numerator ÷ denominator units, to 8 decimals; None if none above 0."""
        ...


class Linear:
    """Settled in the quote currency. `lot_value` is what one lot is worth at a price of one tick, in units."""

    __slots__ = ("direction", "lot_value", "ticks")

    def __init__(self, lot_value: int, ticks: Grid) -> None:
        self.direction = 1
        self.lot_value = lot_value
        self.ticks = ticks

    def value(self, price: int, lots: int) -> int:
        """As of `Contract`; exact."""
        return price * lots * self.lot_value

    def worth(self, price: int, lots: int) -> tuple[int, int]:
        """As of `Contract`."""
        return price * lots * self.lot_value, 1

    def forced_value(self, price: int, lots: int, side: int) -> int:
        """As of `Contract`; exact."""
        del side
        return price * lots * self.lot_value

    def limit_price(self, value: int, lots: int, side: int) -> int | None:
        """As of `Contract`."""
        if side > 0:
            return max(1, divide_up(value, lots * self.lot_value))
        return divide_down(value, lots * self.lot_value) if value >= lots * self.lot_value else None

    def trigger(self, numerator: int, denominator: int, lots: int, side: int) -> int:
        """As of `Contract`: long, the highest tick worth no more; short, the lowest tick worth no less."""
        if numerator <= 0:
            return NO_TRIGGER if side > 0 else 1
        divide = divide_down if side > 0 else divide_up
        return divide(numerator, denominator * lots * self.lot_value)

    def price_text(self, numerator: int, lots: int, denominator: int = 1) -> str | None:
        """As of `Contract`."""
        if numerator <= 0 or lots == 0:
            return None
        return derived_price_text(
            numerator * self.ticks.step, denominator * lots * self.lot_value * 10**self.ticks.places
        )


class Inverse:
    """Settled in the base coin: a lot is a fixed amount of quote currency, worth N ÷ (price × D) units of the coin."""

    __slots__ = ("_denominator", "_numerator", "direction", "ticks")

    def __init__(self, numerator: int, denominator: int, ticks: Grid) -> None:
        self.direction = -1
        self.ticks = ticks
        self._numerator = numerator
        self._denominator = denominator

    def value(self, price: int, lots: int) -> int:
        """As of `Contract`."""
        return divide_down(lots * self._numerator, price * self._denominator)

    def worth(self, price: int, lots: int) -> tuple[int, int]:
        """As of `Contract`."""
        return lots * self._numerator, price * self._denominator

    def forced_value(self, price: int, lots: int, side: int) -> int:
        """As of `Contract`."""
        divide = divide_down if side > 0 else divide_up
        return divide(lots * self._numerator, price * self._denominator)

    def limit_price(self, value: int, lots: int, side: int) -> int | None:
        """As of `Contract`. A long may give no more than `value`, a short must receive no less.

        With f of the q lots sold at p ≥ q N ÷ (value D), floor(f N ÷ (p D)) ≤ floor(value f ÷ q); bought back at
        p ≤ q N ÷ (value D), ceil(f N ÷ (p D)) ≥ value f ÷ q.
        """
        if side > 0:
            return divide_up(lots * self._numerator, value * self._denominator) if value > 0 else None
        if value <= 0:
            return AMOUNT_LIMIT
        return divide_down(lots * self._numerator, value * self._denominator) or None

    def trigger(self, numerator: int, denominator: int, lots: int, side: int) -> int:
        """As of `Contract`. Mark values are whole units, floor(K ÷ t) with K = lots × N ÷ D.

        Long: due at every whole value ≥ v = ceil(numerator ÷ denominator), and floor(K ÷ t) ≥ v ⇔ t ≤ K ÷ v. Short: due
        at every value ≤ v = floor(numerator ÷ denominator), and floor(K ÷ t) ≤ v ⇔ t > K ÷ (v + 1).
        """
        worth = lots * self._numerator
        if side > 0:
            value = divide_up(numerator, denominator)
            # A long without a value at which it is safe is due at any price.
            return divide_down(worth, value * self._denominator) if value > 0 else AMOUNT_LIMIT
        value = divide_down(numerator, denominator)
        return NO_TRIGGER if value < 0 else divide_down(worth, (value + 1) * self._denominator) + 1

    def price_text(self, numerator: int, lots: int, denominator: int = 1) -> str | None:
        """As of `Contract`."""
        if numerator <= 0 or lots == 0:
            return None
        return derived_price_text(
            lots * self._numerator * denominator * self.ticks.step,
            numerator * self._denominator * 10**self.ticks.places,
        )
