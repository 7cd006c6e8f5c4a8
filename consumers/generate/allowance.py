"""How many commands a group may send: earned per mark, spent per command."""

from typing import Final

_THOUSANDTHS: Final = 1_000


class Allowance:
    """Keeps a group's share of the log near its average over time.

    What must go out at once (a quote that is about to be run over, a stop) may go into debt; the debt is
    bounded, as a crowd that fled must be able to come back. Savings are bounded too, or a quiet night would
    end in a burst.
    """

    __slots__ = ("_bound", "_earning", "_saved")

    def __init__(self, *, commands_per_mark_thousandths: int, commands_bound: int) -> None:
        self._earning = commands_per_mark_thousandths
        self._bound = max(commands_bound * _THOUSANDTHS, 2 * commands_per_mark_thousandths)
        self._saved = 0

    def earn(self) -> None:
        """One mark has passed."""
        self._saved = min(self._saved + self._earning, self._bound)

    def spend(self, commands: int) -> None:
        """Commands went out."""
        self._saved = max(self._saved - commands * _THOUSANDTHS, -self._bound)

    @property
    def commands(self) -> int:
        """How many commands are saved up."""
        return max(0, self._saved // _THOUSANDTHS)

    def affords(self, commands: int) -> bool:
        """Whether so many commands are saved up."""
        return self._saved >= commands * _THOUSANDTHS
