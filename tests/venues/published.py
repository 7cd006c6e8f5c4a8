"""The worked examples as data: what a venue took as given, what it printed, and where.

Each file of `examples/` holds one kind. Everything is text, as printed; what a page leaves to its reader (a rate that
includes a fee, a margin in two parts) is put together here once and said so in `mapping`.
"""

from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

FOLDER = Path(__file__).parent / "examples"

NONE = "none"
"""Printed where a venue shows that there is no such price."""


class Tier(Struct, frozen=True, forbid_unknown_fields=True):
    """A step of the venue's risk table."""

    up_to: str
    maintenance: str


class Answers(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the venue printed of one position; `equity` is that of the pool when the mark is `equity_at`.

    `fee` turns our bankruptcy price into one that pays for its own closing. `precision` is what its prices may
    be off by where that is not one unit of their last place.
    """

    liquidation_price: str | None = None
    bankruptcy_price: str | None = None
    maintenance_margin: str | None = None
    equity_at: str | None = None
    equity: str | None = None
    fee: str = "1"
    precision: str | None = None


class Stake(Struct, frozen=True, forbid_unknown_fields=True):
    """A position as the example describes it. Isolated, it has a leverage or a margin, and perhaps margin added."""

    side: Literal["long", "short"]
    qty: str
    entry: str
    market: str = "BTC"
    multiplier: str = "1"
    leverage: str | None = None
    margin: str | None = None
    added: str | None = None
    mark: str | None = None
    maintenance: str | None = None
    tiers: tuple[Tier, ...] = ()
    printed: Answers = Answers()


class Example(Struct, frozen=True, forbid_unknown_fields=True):
    """One account of one page. A cross account has a wallet."""

    id: str
    venue: str
    title: str
    address: Annotated[str, Meta(pattern="^https?://")]
    formula: str
    positions: Annotated[tuple[Stake, ...], Meta(min_length=1)]
    contract: Literal["linear", "inverse"] = "linear"
    mode: Literal["isolated", "cross"] = "isolated"
    wallet: str | None = None
    mapping: str = ""
    read_in: str = ""


class LeftOut(Struct, frozen=True, forbid_unknown_fields=True):
    """An example that was found and does not check, with the reason."""

    venue: str
    address: str
    printed: str
    why: str


class _Examples(Struct, frozen=True, forbid_unknown_fields=True):
    example: tuple[Example, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


class Check(Struct, frozen=True):
    """One printed number of one position."""

    example: Example
    position: int
    quantity: str
    printed: str

    @property
    def stake(self) -> Stake:
        """The position it is about."""
        return self.example.positions[self.position]

    @property
    def name(self) -> str:
        """For test reports."""
        market = f"-{self.stake.market}" if len(self.example.positions) > 1 else ""
        return f"{self.example.id}{market}-{self.quantity}"

    @property
    def precision(self) -> Fraction:
        """What ours may differ by: one unit of the last printed place, as venues round up, down and to nearest."""
        return Fraction(self.stake.printed.precision or _step(places(self.printed)))

    def agrees(self, ours: str | None) -> bool:
        """Whether our answer is the printed one within its precision."""
        if self.printed == NONE or ours is None:
            return (self.printed == NONE) == (ours is None)
        return abs(Fraction(ours) - Fraction(self.printed)) <= self.precision

    def is_ours_rounded(self, ours: str | None) -> bool:
        """Whether the printed number is ours rounded to nearest at its last place."""
        if self.printed == NONE or ours is None:
            return self.agrees(ours)
        return abs(Fraction(ours) - Fraction(self.printed)) <= _step(places(self.printed)) / 2


def places(text: str) -> int:
    """The decimals a number is printed with."""
    return len(text.partition(".")[2])


def _step(decimals: int) -> Fraction:
    return Fraction(1, 10**decimals)


def percent(rate: str) -> str:
    """A rate for print."""
    return f"{(Decimal(rate) * 100).normalize():f} %"


@cache
def examples() -> tuple[Example, ...]:
    """Every example, by file and in the order of the file."""
    return tuple(example for file in _files() for example in file.example)


@cache
def left_out() -> tuple[LeftOut, ...]:
    """What was found and does not check."""
    return tuple(entry for file in _files() for entry in file.left_out)


def checks() -> list[Check]:
    """Every printed number."""
    return [
        Check(example, position, quantity, printed)
        for example in examples()
        for position, stake in enumerate(example.positions)
        for quantity in ("liquidation_price", "bankruptcy_price", "maintenance_margin", "equity")
        if (printed := getattr(stake.printed, quantity)) is not None
    ]


@cache
def _files() -> tuple[_Examples, ...]:
    return tuple(msgspec.toml.decode(path.read_bytes(), type=_Examples) for path in sorted(FOLDER.glob("*.toml")))
