"""Exact numbers: decimal text to scaled integers and back, and every division that rounds.

Values are integers of units (10^-decimals of the asset), prices of ticks, quantities of lots, rates of 10^-9.
A division that rounds goes through a function of this module whose name says in which direction.
"""

from collections.abc import Sequence
from typing import Final

RATE_PLACES: Final = 9
RATE: Final = 10**RATE_PLACES
"""The integer that stands for a rate of 1."""

AMOUNT_LIMIT: Final = 1 << 63
"""Amounts, in units, stay below this."""

SCORE: Final = 1 << 64
"""The integer that stands for a ranking score of 1."""

DERIVED_PLACES: Final = 8
RATIO_PLACES: Final = 18

_CACHE_ENTRIES_MAX: Final = 1 << 16


def scaled(text: str, places: int) -> int | None:
    """The integer text × 10^places, or None when the text has more significant places than that.

    `text` is a decimal string that the wire has validated: digits, at most one point, an optional minus.
    """
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    if len(fraction) > places:
        return None
    return int(whole + fraction.ljust(places, "0"))


def decimal_text(value: int, places: int) -> str:
    """value × 10^-places as a decimal string with exactly that many places."""
    if places == 0:
        return str(value)
    digits = str(value)
    if value < 0:
        return "-" + decimal_text(-value, places)
    if len(digits) <= places:
        digits = digits.rjust(places + 1, "0")
    return digits[:-places] + "." + digits[-places:]


def trimmed_text(value: int, places: int) -> str:
    """As `decimal_text`, without trailing zeros: for settings that have no grid, like leverage."""
    text = decimal_text(value, places)
    return text.rstrip("0").rstrip(".") if "." in text else text


def divide_up(numerator: int, denominator: int) -> int:
    """The quotient rounded towards +∞; the denominator is positive. Charges round this way."""
    return -(-numerator // denominator)


def divide_down(numerator: int, denominator: int) -> int:
    """The quotient rounded towards −∞; the denominator is positive. What is paid out rounds this way."""
    return numerator // denominator


def share_down(value: int, part: int, whole: int) -> int:
    """floor(value × part ÷ whole): what leaves with a part. The odd units stay with what remains."""
    return value * part // whole


def ratio_text(numerator: int, denominator: int) -> str:
    """An exact ratio for print: towards zero, 18 places. The denominator is positive."""
    magnitude = abs(numerator) * 10**RATIO_PLACES // denominator
    return decimal_text(-magnitude if numerator < 0 else magnitude, RATIO_PLACES)


def derived_price_text(numerator: int, denominator: int) -> str:
    """A derived price for print: half away from zero at 8 places; both arguments are positive."""
    return decimal_text((2 * numerator * 10**DERIVED_PLACES + denominator) // (2 * denominator), DERIVED_PLACES)


def shares_in_order(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` in proportion to `weights`, exactly: shares rounded down, the odd units one each to the first.

    What has no weight gets nothing, and where nothing has any, nothing is split.
    """
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    shares = [share_down(total, weight, whole) for weight in weights]
    odd = total - sum(shares)
    for i, weight in enumerate(weights):
        if odd and weight:
            shares[i] += 1
            odd -= 1
    return shares


def largest_remainders(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` in proportion to `weights`, exactly.

    Each share is rounded down, then the units left go one each to the largest remainders, the earlier first.
    With 0 ≤ total ≤ Σ weights no share exceeds its weight.
    """
    whole = sum(weights)
    shares = [total * weight // whole for weight in weights]
    missing = total - sum(shares)
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in by_remainder[:missing]:
        shares[i] += 1
    return shares


class Grid:
    """The lattice that prices (ticks) or quantities (lots) of a market lie on.

    `step` is the size of one tick or lot in 10^-places. Texts of recent values are kept, as order flow repeats
    them; the memory is bounded and never changes an answer.
    """

    __slots__ = ("_parsed", "_texts", "places", "step")

    def __init__(self, step: int, places: int) -> None:
        self.step = step
        self.places = places
        self._parsed: dict[str, int | None] = {}
        self._texts: dict[int, str] = {}

    def parse(self, text: str) -> int | None:
        """How many steps the text is, or None when it lies off the grid."""
        known = self._parsed.get(text)
        if known is not None:
            return known
        value = scaled(text, self.places)
        steps = None if value is None or value % self.step else value // self.step
        if len(self._parsed) >= _CACHE_ENTRIES_MAX:
            self._parsed.clear()
        self._parsed[text] = steps
        return steps

    def text(self, steps: int) -> str:
        """A number of steps in canonical form, with the places of the grid."""
        text = self._texts.get(steps)
        if text is None:
            text = decimal_text(steps * self.step, self.places)
            if len(self._texts) >= _CACHE_ENTRIES_MAX:
                self._texts.clear()
            self._texts[steps] = text
        return text
