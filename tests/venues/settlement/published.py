"""Published examples of what follows a liquidation, as data: what was given, what was printed, and where.

Each file of `examples/` holds one kind. Everything is text, as printed. What was printed is named by the quantity that
`tests.venues.settlement.replayed` reads from a replay; of an account it is `quantity.account`.
"""

from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from tests.venues.published import LeftOut, places

FOLDER = Path(__file__).parent / "examples"

Side = Literal["long", "short"]


class Published(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where an example is from, and what it says comes out. `rounded`: printed to its last place, not in full."""

    id: str
    venue: str
    title: str
    address: Annotated[str, Meta(pattern="^https?://")]
    rule: str
    printed: Annotated[dict[str, str], Meta(min_length=1)]
    rounded: bool = False
    mapping: str = ""
    read_in: str = ""
    opening: str = "0"

    def __hash__(self) -> int:
        return hash(self.id)


class FundExample(Published, frozen=True, kw_only=True):
    """A position is liquidated and closed at `fill`: what the fund gains or pays.

    With a `liquidation` price the mark goes there first, and the maintenance rate is the one that liquidates there;
    without one it goes straight to the fill. An entry, leverage or margin that was not printed follows from the
    `bankruptcy` price.
    """

    side: Side
    fill: str
    qty: str = "1"
    contract: Literal["linear", "inverse"] = "linear"
    entry: str | None = None
    leverage: str | None = None
    margin: str | None = None
    bankruptcy: str | None = None
    liquidation: str | None = None


class Stake(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A position of an ADL example; a cross account has a wallet, an isolated position a leverage."""

    account: str
    qty: str
    entry: str
    leverage: str | None = None
    wallet: str | None = None


class AdlExample(Published, frozen=True, kw_only=True):
    """A position is liquidated that no fund can take over: who is closed, at what price, with what profit."""

    side: Side
    liquidated: Stake
    opposing: Annotated[tuple[Stake, ...], Meta(min_length=1)]
    marks: Annotated[tuple[str, ...], Meta(min_length=1)]
    maintenance: str = "0.005"
    multiplier: str = "1"
    mode: Literal["isolated", "cross"] = "isolated"


class Winner(Struct, frozen=True, forbid_unknown_fields=True):
    """An account and what it has realised in the market since the last settlement."""

    account: str
    profit: str


class SocialisedExample(Published, frozen=True, kw_only=True):
    """A loss that a fund pays in part: what the winners pay of the rest. The fund's part is `opening`."""

    loss: str
    winners: Annotated[tuple[Winner, ...], Meta(min_length=1)]
    decimals: int = 6


Example = FundExample | AdlExample | SocialisedExample


class _Examples(Struct, frozen=True, forbid_unknown_fields=True):
    fund: tuple[FundExample, ...] = ()
    adl: tuple[AdlExample, ...] = ()
    socialised: tuple[SocialisedExample, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


class Check(Struct, frozen=True):
    """One printed answer of one example."""

    example: Example
    quantity: str
    printed: str

    @property
    def name(self) -> str:
        """For test reports."""
        return f"{self.example.id}-{self.quantity}"

    @property
    def is_number(self) -> bool:
        """Whether it is an amount, a price, a quantity or a rate, not only a direction."""
        return self.quantity != "direction"

    def agrees(self, ours: str) -> bool:
        """Whether our answer is the printed one: exactly or, where that was rounded, to one unit of its last place."""
        if not self.is_number:
            return ours == self.printed
        off = abs(Fraction(ours) - Fraction(self.printed))
        return off <= Fraction(int(self.example.rounded), 10 ** places(self.printed))


@cache
def examples() -> tuple[Example, ...]:
    """Every example, by kind and in the order of its file."""
    files = _files()
    kinds: tuple[tuple[Example, ...], ...] = (
        tuple(example for file in files for example in file.fund),
        tuple(example for file in files for example in file.adl),
        tuple(example for file in files for example in file.socialised),
    )
    return tuple(example for kind in kinds for example in kind)


@cache
def left_out() -> tuple[LeftOut, ...]:
    """What was found and does not check."""
    return tuple(entry for file in _files() for entry in file.left_out)


def checks() -> list[Check]:
    """Every printed answer."""
    return [
        Check(example, quantity, printed) for example in examples() for quantity, printed in example.printed.items()
    ]


@cache
def _files() -> tuple[_Examples, ...]:
    return tuple(msgspec.toml.decode(path.read_bytes(), type=_Examples) for path in sorted(FOLDER.glob("*.toml")))
