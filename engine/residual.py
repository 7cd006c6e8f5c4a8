"""What a liquidation order did not sell: first in suspense, then a fund's inventory or ADL's work."""

from typing import Any

from engine.fixed import share_down
from engine.position import Parcel
from engine.rows import Row


def value_of_part(value: int, lots: int, whole: int, exposure: int) -> int:
    """What `lots` of a residual of `whole` lots are carried at: their share of its value, rounded in their favour.

    That is down where a rising value is a gain, else up; the odd unit stays with the other part.
    """
    return exposure * share_down(exposure * value, lots, whole)


class Residual:
    """A quantity that left its trader at bankruptcy value and is nobody's position any more.

    `side` and `exposure` are those of the position it came from. While `is_open`, settlement owes an answer to
    question `round` and the quantity is neither unwound nor closed. Afterwards `fund` holds it and may lose `budget`,
    of which `loss` is used up; a later gain gives back what was lost before, never more. `balance` is what closing it
    at the mark gained or, with a minus, lost against bankruptcy value. A residual that is neither open nor a fund's
    could not be placed at all; it is asked about again at the next mark. `owes_funding` is as of a position. A fund
    offers up to `slice_lots` at a time to the book, and nothing before `next_slice_at`.
    """

    __slots__ = (
        "adl_lots",
        "balance",
        "budget",
        "exposure",
        "fund",
        "is_open",
        "liquidation_id",
        "loss",
        "next_slice_at",
        "number",
        "owes_funding",
        "parcel",
        "pnl",
        "round",
        "side",
        "slice_lots",
        "socialised",
        "taken_over_at",
        "traded_lots",
        "traded_value",
    )

    def __init__(self, number: int, liquidation_id: str, side: int, exposure: int, parcel: Parcel) -> None:
        self.number = number
        self.liquidation_id = liquidation_id
        self.side = side
        self.exposure = exposure
        self.parcel = parcel
        self.owes_funding = False
        self.round = 0
        self.is_open = False
        self.fund: str | None = None
        self.budget = 0
        self.loss = 0
        self.taken_over_at = 0
        self.slice_lots = 0
        self.next_slice_at = 0
        self.traded_lots = 0
        self.traded_value = 0
        self.pnl = 0
        self.adl_lots = 0
        self.balance = 0
        self.socialised = 0

    def expected_loss(self, mark_value: int) -> int:
        """max(0, −uPnL) of what is left, carried at bankruptcy value, in units."""
        return max(0, self.exposure * (self.parcel.value - mark_value))

    @property
    def allowed_loss(self) -> int:
        """What of the budget is left, in units."""
        return self.budget - self.loss

    def is_covered(self, mark_value: int) -> bool:
        """Whether what is left of the budget bears the loss of closing all of it at the mark."""
        return self.expected_loss(mark_value) <= self.allowed_loss

    def take_out(self, lots: int, value: int, *, within_budget: bool) -> int:
        """Remove `lots` that were closed for `value` and return the PnL: exposure × (value − their share of BV).

        The share is that of the parcel; within a budget the odd unit of its rounding stays with what remains
        rather than push the loss beyond the budget.
        """
        carried = self.parcel.part(lots)
        if within_budget and lots < self.parcel.lots:
            bound = value + self.exposure * self.allowed_loss
            carried = min(carried, bound) if self.exposure > 0 else max(carried, bound)
        self.parcel.lots -= lots
        self.parcel.value -= carried
        pnl = self.exposure * (value - carried)
        self.loss = max(0, self.loss - pnl)
        return pnl

    def split(self, lots: int) -> Parcel:
        """Keep `lots` and return the rest, with its value."""
        value = value_of_part(self.parcel.value, lots, self.parcel.lots, self.exposure)
        rest = Parcel(self.parcel.lots - lots, self.parcel.value - value)
        self.parcel = Parcel(lots, value)
        return rest

    def row(self) -> Row:
        """The state as a row of plain values."""
        parcel = self.parcel
        return (
            "residual",
            self.number,
            self.liquidation_id,
            self.side,
            parcel.lots,
            parcel.value,
            parcel.start_lots,
            parcel.start_value,
            self.round,
            self.is_open,
            self.fund,
            self.budget,
            self.loss,
            self.taken_over_at,
            self.slice_lots,
            self.next_slice_at,
            self.traded_lots,
            self.traded_value,
            self.pnl,
            self.adl_lots,
            self.balance,
            self.socialised,
        )


def residual_of_row(direction: int, row: tuple[Any, ...]) -> Residual:
    """The residual that a row tells of, in a market whose contract has this direction."""
    _, number, liquidation_id, side, lots, value, start_lots, start_value, *rest = row
    residual = Residual(number, liquidation_id, side, side * direction, Parcel(lots, value))
    residual.parcel.start_lots, residual.parcel.start_value = start_lots, start_value
    (
        residual.round,
        residual.is_open,
        residual.fund,
        residual.budget,
        residual.loss,
        residual.taken_over_at,
        residual.slice_lots,
        residual.next_slice_at,
        residual.traded_lots,
        residual.traded_value,
        residual.pnl,
        residual.adl_lots,
        residual.balance,
        residual.socialised,
    ) = rest
    return residual
