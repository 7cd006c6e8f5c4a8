"""What donations are worth in USD, and what a fund has been given since genesis.

Settlement sees no mark prices, which are for the engines of the shards. So the price a donation is valued at comes with
the command that books it, or stands in the config, and a replay finds the same value whatever else arrived before.
"""

from typing import Final

from engine.fixed import AMOUNT_LIMIT, decimal_text, divide_down, scaled
from engine.reject import Refused
from engine.spec import USD_PRICE_PLACES, AssetSpec

CENT_PLACES: Final = 2


def parse_index(text: str | None) -> int | None:
    """An index price in 10^-18 USD per 1 of the asset, or None where none is given."""
    return None if text is None else scaled(text, USD_PRICE_PLACES)


def value_in_cents(asset: AssetSpec, amount: int, index: int | None) -> int | None:
    """What an amount is worth at an index price, else at the asset's own; rounded down to a cent of USD.

    None where neither is known. Raises Refused for 2^63 cents or more.
    """
    price = asset.usd if index is None else index
    if price is None:
        return None
    cents = divide_down(amount * price * 10**CENT_PLACES, 10 ** (asset.decimals + USD_PRICE_PLACES))
    if cents >= AMOUNT_LIMIT:
        raise Refused("amount_too_large", f"{asset.text(amount)} {asset.name} would be worth 2^63 cents of USD or more")
    return cents


def usd_text(cents: int) -> str:
    """A value in USD, with two places."""
    return decimal_text(cents, CENT_PLACES)


class Donations:
    """How many a fund was given, what they come to in units, and their value in cents of USD.

    `unpriced` is the part of the amount whose price was not known.
    """

    __slots__ = ("amount", "cents", "count", "unpriced")

    def __init__(self) -> None:
        self.count = 0
        self.amount = 0
        self.cents = 0
        self.unpriced = 0

    def add(self, amount: int, cents: int | None) -> None:
        """Count one donation; without a value, its price is not known."""
        self.count += 1
        self.amount += amount
        if cents is None:
            self.unpriced += amount
        else:
            self.cents += cents
