"""Sums over what the wire says: decimal strings added and multiplied without ever rounding.

The core counts in integers; the shell sees only decimal strings of many assets and markets, each with its own
places, so it sums them as decimals in a context in which rounding is an error. Shares and averages, which must
round, are for print only.
"""

from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from typing import Final

ZERO: Final = Decimal(0)

_EXACT: Final = Context(prec=400, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
_PRINT: Final = Context(prec=30)

plus: Final = _EXACT.add
minus: Final = _EXACT.subtract
times: Final = _EXACT.multiply


def quotient(numerator: Decimal, denominator: Decimal, places: int) -> Decimal:
    """numerator ÷ denominator rounded down to so many places, as the core rounds a value; both are above zero."""
    return _EXACT.divide_int(_EXACT.scaleb(numerator, places), denominator).scaleb(-places, _EXACT)


def text(value: Decimal) -> str:
    """A decimal as the wire writes it: all its places, no exponent."""
    return format(value, "f")


def percentage(part: Decimal | int, whole: Decimal | int) -> str:
    """part ÷ whole for print, to a tenth of a percent; a dash where there is no whole."""
    if not whole:
        return "-"
    quotient = _PRINT.divide(_PRINT.multiply(Decimal(part), Decimal(100)), Decimal(whole))
    return f"{quotient:.1f} %"
