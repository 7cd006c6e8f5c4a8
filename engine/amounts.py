"""Amounts as commands give them."""

from engine.fixed import AMOUNT_LIMIT
from engine.reject import Refused
from engine.spec import AssetSpec


def parse_amount(asset: AssetSpec, text: str) -> int:
    """An amount in units. Raises Refused where it is finer than a unit, or 2^63 units or more."""
    amount = asset.parse(text)
    if amount is None:
        raise Refused("off_unit", f"amount {text} is finer than a unit of {asset.name}, {asset.decimals} decimals")
    if abs(amount) >= AMOUNT_LIMIT:
        raise Refused("amount_too_large", f"amount {text} is 2^63 units or more")
    return amount
