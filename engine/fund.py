"""An insurance fund: its balance, what is reserved of it, and its books."""

from collections.abc import Iterator
from typing import Any, Final

from engine.adl_trigger import AdlTrigger
from engine.donations import Donations
from engine.purse import Purse
from engine.rows import Row, RowReader
from engine.spec import FundSpec
from schemas.envelope import Event
from schemas.events import FundReconciled
from schemas.fields import CauseKind

PENDING_GAINS: Final[tuple[CauseKind, ...]] = ("surplus", "takeover_pnl")
PENDING_LOSSES: Final[tuple[CauseKind, ...]] = ("takeover_pnl", "loss")
"""What waits for the reconciliation of a `daily` fund, in the order in which it is booked then."""

PERIOD_FIELDS: Final = tuple(
    field for field in FundReconciled.__struct_fields__ if field not in (*Event.__struct_fields__, "fund")
)
"""What a past reconciliation period is known by."""


class Tally:
    """Count and sum, in units."""

    __slots__ = ("count", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0

    def add(self, amount: int) -> None:
        """Count one amount."""
        self.count += 1
        self.total += amount

    def __iter__(self) -> Iterator[int]:
        """Count, then sum."""
        return iter((self.count, self.total))

    def clear(self) -> None:
        """Start anew."""
        self.count = self.total = 0


class Reservation:
    """The part of a fund that one takeover, or one ADL at the mark, may lose.

    `loss` mirrors what the engine has used up of the budget; ADL uses nothing up, its loss is asked for. `pending` is
    what of this loss waits for the reconciliation.
    """

    __slots__ = ("budget", "fund", "loss", "pending", "round")

    def __init__(self, fund: "Fund", round_: int, budget: int) -> None:
        self.fund = fund
        self.round = round_
        self.budget = budget
        self.loss = 0
        self.pending = 0


class Fund:
    """A fund in units of its asset.

    `reserved` is the sum over reservations of budget − loss. `credited` and `debited` are totals by cause since
    genesis; `surpluses`, `losses` and `deleveraged` are those of the current reconciliation period. `deficits`
    are what the fund's markets still miss, in the order in which they arose. `gains` and `losses_due` hold what waits
    for the reconciliation of a `daily` fund, the losses as a negative balance; `pending_gains` and `pending_losses` say
    of what causes. `donations` and `history`, the last `limits.fund_history` reconciliation periods, are for
    the report; like the totals by cause they influence no later event, so they are no rows of the state hash.
    """

    __slots__ = (
        "adl_trigger",
        "credited",
        "debited",
        "deficits",
        "deleveraged",
        "donations",
        "gains",
        "history",
        "is_below_minimum",
        "losses",
        "losses_due",
        "minimum",
        "pending_gains",
        "pending_losses",
        "period_end",
        "period_opening",
        "period_start",
        "purse",
        "reserved",
        "spec",
        "surpluses",
    )

    def __init__(self, spec: FundSpec) -> None:
        self.spec = spec
        self.purse = Purse(f"fund/{spec.name}")
        self.adl_trigger = None if spec.adl_trigger is None else AdlTrigger(spec.adl_trigger)
        self.gains = Purse(f"pending_gains/{spec.name}")
        self.losses_due = Purse(f"pending_losses/{spec.name}")
        self.pending_gains: dict[CauseKind, int] = dict.fromkeys(PENDING_GAINS, 0)
        self.pending_losses: dict[CauseKind, int] = dict.fromkeys(PENDING_LOSSES, 0)
        self.minimum = spec.minimum
        self.reserved = 0
        self.is_below_minimum = False
        self.deficits: dict[str, int] = {}
        self.credited: dict[str, int] = {}
        self.debited: dict[str, int] = {}
        self.donations = Donations()
        self.history: list[FundReconciled] = []
        self.period_start = 0
        self.period_end = 0
        self.period_opening = spec.opening
        self.surpluses = Tally()
        self.losses = Tally()
        self.deleveraged = Tally()

    @property
    def available(self) -> int:
        """What a takeover may still put at risk: not what is reserved or lost already. Pending gains do not count."""
        return self.purse.balance - self.reserved + self.losses_due.balance

    @property
    def worth(self) -> int:
        """What the fund has lost nothing of yet: the balance less pending losses, which its ADL trigger watches."""
        return self.purse.balance + self.losses_due.balance

    @property
    def withdrawable(self) -> int:
        """What may leave the fund: what stands above reservations, minimum and the deficits of its markets."""
        return max(0, self.available - self.minimum - sum(self.deficits.values()))

    @property
    def needed(self) -> int:
        """What would lift a balance below the minimum to it, after the deficits of its markets are repaid."""
        if self.purse.balance >= self.minimum:
            return 0
        return self.minimum - self.purse.balance + sum(self.deficits.values())

    def rows(self) -> list[Row]:
        """What influences later events, as rows of plain values."""
        name = self.spec.name
        return [
            (
                "fund",
                name,
                self.purse.balance,
                self.minimum,
                self.reserved,
                self.is_below_minimum,
                self.period_start,
                self.period_end,
                self.period_opening,
                *self.surpluses,
                *self.losses,
                *self.deleveraged,
            ),
            *(self.adl_trigger.rows() if self.adl_trigger is not None else ()),
            *(("pending_gain", cause, amount) for cause, amount in self.pending_gains.items() if amount),
            *(("pending_loss", cause, amount) for cause, amount in self.pending_losses.items() if amount),
            *(("deficit", market, amount) for market, amount in self.deficits.items()),
        ]

    def restore(self, row: tuple[Any, ...], rows: RowReader) -> None:
        """Be what a row and the next of `rows` tell of."""
        (
            _,
            _,
            self.purse.balance,
            self.minimum,
            self.reserved,
            self.is_below_minimum,
            self.period_start,
            self.period_end,
            self.period_opening,
            self.surpluses.count,
            self.surpluses.total,
            self.losses.count,
            self.losses.total,
            self.deleveraged.count,
            self.deleveraged.total,
        ) = row
        if self.adl_trigger is not None:
            self.adl_trigger.restore(rows)
        for _, cause, amount in rows.each("pending_gain"):
            self.pending_gains[cause] = amount
            self.gains.balance += amount
        for _, cause, amount in rows.each("pending_loss"):
            self.pending_losses[cause] = amount
            self.losses_due.balance -= amount
        self.deficits = {market: amount for _, market, amount in rows.each("deficit")}

    def report_rows(self) -> list[Row]:
        """What only a report needs, as rows of plain values."""
        given = self.donations
        return [
            ("donations", given.count, given.amount, given.cents, given.unpriced),
            *(("credited", cause, amount) for cause, amount in self.credited.items()),
            *(("debited", cause, amount) for cause, amount in self.debited.items()),
            *(("period", *(getattr(period, field) for field in PERIOD_FIELDS)) for period in self.history),
        ]

    def restore_report(self, rows: RowReader) -> None:
        """Be what `report_rows` tell of. Past periods come back without the headers they were published with."""
        given = self.donations
        _, given.count, given.amount, given.cents, given.unpriced = rows.take("donations")
        self.credited = {cause: amount for _, cause, amount in rows.each("credited")}
        self.debited = {cause: amount for _, cause, amount in rows.each("debited")}
        for _, *values in rows.each("period"):
            fields: dict[str, Any] = dict(zip(PERIOD_FIELDS, values, strict=True))
            self.history.append(FundReconciled(fund=self.spec.name, **fields))
