"""The chart of accounts: what the name of an account says about it. docs/ledger.md has it in words."""

from typing import Final, Literal, NamedTuple, get_args

from schemas.fields import check_id

Kind = Literal[
    "wallet",
    "margin",
    "clearing",
    "fees",
    "suspense",
    "deficit",
    "funding",
    "external",
    "transit",
    "fund",
    "treasury",
    "pending_gains",
    "pending_losses",
    "fund_treasury",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


class Place(NamedTuple):
    """Where an account stands in the chart. What does not apply is None; `owner` is a trader, a fund or a treasury."""

    kind: Kind
    shard: str | None = None
    market: str | None = None
    owner: str | None = None


def place(name: str) -> Place:
    """The place of an account of this name. Raises ValueError where the chart has none.

    Names are ids set apart by "/", which no id can hold, so the number of parts and one fixed part decide.
    """
    parts = name.split("/")
    for part in parts:
        if not 1 <= len(part) <= 64:
            raise ValueError(f"{name!r}: expected 1 to 64 characters in each part")
        check_id(repr(name), part)
    match parts:
        case ["fund" | "pending_gains" | "pending_losses" as kind, fund]:
            return Place(kind, owner=fund)
        case ["transit", shard]:
            return Place("transit", shard)
        case ["treasury", _]:
            return Place("treasury")
        case ["treasury", _, treasury]:
            return Place("fund_treasury", owner=treasury)
        case [shard, "fees" | "external" as kind]:
            return Place(kind, shard)
        case [shard, "wallet", account]:
            return Place("wallet", shard, owner=account)
        case [shard, "clearing" | "suspense" | "deficit" | "funding" as kind, market]:
            return Place(kind, shard, market)
        case [shard, "margin", market, account]:
            return Place("margin", shard, market, account)
    raise ValueError(f"{name!r} is in no form of the chart of accounts")
