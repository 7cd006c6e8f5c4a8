"""A price path: bars of open, high, low and close."""

from typing import NamedTuple


class Bar(NamedTuple):
    """One bar. `ts` is when it opens, in µs; prices are in ticks."""

    ts: int
    open: int
    high: int
    low: int
    close: int

    def marks(self) -> tuple[int, int, int, int]:
        """The four prices that a bar passes through, in the plausible order.

        A bar that closes higher is taken to have dipped first, one that closes lower to have risen first:
        that is the shorter way, and the likelier one.
        """
        if self.close >= self.open:
            return self.open, self.low, self.high, self.close
        return self.open, self.high, self.low, self.close
