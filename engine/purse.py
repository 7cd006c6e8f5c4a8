"""Money: purses that hold it, and the one ledger that moves it.

Every balance of the venue is a purse, and money changes purses only through `Ledger.move`, which records a
double-entry line. So the purses of one state machine always sum to zero, and the lines alone rebuild every
balance. Where money enters from outside, the counterpart is an `external` purse; between engine and
settlement it is `transit/<shard>`, which both of them post to.
"""

from engine.spec import AssetSpec
from schemas.events import LedgerLine


class Purse:
    """A balance in units of the asset, under the name that the ledger posts it by."""

    __slots__ = ("balance", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.balance = 0

    def copy(self) -> "Purse":
        """A purse to try something on."""
        purse = Purse(self.name)
        purse.balance = self.balance
        return purse


class Ledger:
    """Moves money between purses of one asset and keeps the lines of the current command."""

    __slots__ = ("_asset", "lines")

    def __init__(self, asset: AssetSpec) -> None:
        self._asset = asset
        self.lines: list[tuple[Purse, Purse, int, str]] = []

    def move(self, debit: Purse, credit: Purse, amount: int, cause_kind: str) -> None:
        """Move `amount` units from `debit` to `credit`; a negative amount moves back, nothing moves nothing."""
        if amount < 0:
            debit, credit, amount = credit, debit, -amount
        elif amount == 0:
            return
        debit.balance -= amount
        credit.balance += amount
        self.lines.append((debit, credit, amount, cause_kind))

    def take_lines(self) -> list[LedgerLine]:
        """The lines since the last call, in the order in which the money moved."""
        text = self._asset.text
        lines = [LedgerLine(debit.name, credit.name, text(amount), kind) for debit, credit, amount, kind in self.lines]
        self.lines.clear()
        return lines
