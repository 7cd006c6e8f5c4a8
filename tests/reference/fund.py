"""What the model of settlement knows of a fund."""

from dataclasses import dataclass, field

from schemas.fields import CauseKind
from tests.reference.adl_trigger import Watched
from tests.reference.rules import FundRules


@dataclass
class Reservation:
    """What a takeover may still lose: budget − loss. Of the loss, `pending` is not booked yet."""

    fund: str
    round: int
    budget: int
    loss: int = 0
    pending: int = 0


@dataclass
class Fund:
    """An insurance fund; its balance is in the ledger. The last three lists are of the current period.

    `pending` are the gains and losses, by cause, that a daily fund books at the reconciliation.
    """

    rules: FundRules
    minimum: int
    period_opening: int
    is_below: bool = False
    deficits: dict[str, int] = field(default_factory=dict)
    pending: dict[tuple[str, CauseKind], int] = field(default_factory=dict)
    watched: Watched | None = None
    period_start: int = 0
    period_end: int = 0
    surpluses: list[int] = field(default_factory=list)
    losses: list[int] = field(default_factory=list)
    deleveraged: list[int] = field(default_factory=list)
