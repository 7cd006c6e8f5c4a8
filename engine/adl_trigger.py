"""When ADL starts although the fund could pay: what the fund was worth over a rolling window of event time.

    worth = balance − pending losses
    drawdown: begins when (peak − worth) ÷ peak > start, ends when it is < stop      (inclusive: ≥ and ≤)
    average:  begins when worth < average − cut, ends when it is not                 (inclusive: ≤)

Peak and time-weighted average are those of the window, kept in `BUCKETS` parts of it: the oldest part counts whole
until all of it has left the window, so a value is forgotten up to window ÷ BUCKETS late.
"""

from typing import Final

from engine.fixed import RATE
from engine.rows import Row, RowReader
from engine.spec import TriggerSpec

BUCKETS: Final = 480
"""Parts of a window: a minute of 8 hours."""


class _Bucket:
    """One part of the window: the highest worth in it, Σ worth × µs, and how many µs that covers."""

    __slots__ = ("covered", "highest", "number", "weighted")

    def __init__(self, number: int, highest: int) -> None:
        self.number = number
        self.highest = highest
        self.weighted = 0
        self.covered = 0


class AdlTrigger:
    """The trigger of one fund: whether it is active, and the window that decides it."""

    __slots__ = ("_buckets", "_since", "_width", "_worth", "is_active", "spec")

    def __init__(self, spec: TriggerSpec, *, since: int = 0, worth: int = 0) -> None:
        """Watch from `since` on, when the fund is worth so much."""
        self.spec = spec
        self.is_active = False
        self._width = -(-spec.window // BUCKETS)
        self._buckets: list[_Bucket] = []
        self._since = since
        self._worth = worth

    def watches_as(self, spec: TriggerSpec) -> bool:
        """Whether what it has seen is what a trigger by this spec would have, over the same window."""
        return (spec.kind, spec.window) == (self.spec.kind, self.spec.window)

    def observe(self, now: int, worth: int) -> bool:
        """Note what the fund is worth from now on. Whether that, or the time that passed, changes `is_active`."""
        self._advance(now)
        self._worth = worth
        last = self._bucket(now // self._width)
        last.highest = max(last.highest, worth)
        was_active = self.is_active
        self.is_active = self._is_down() if self.spec.kind == "drawdown" else self._is_below_average()
        return self.is_active != was_active

    @property
    def level(self) -> int:
        """The peak or, rounded down, the average that the fund is compared with, in units."""
        if self.spec.kind == "drawdown":
            return max((bucket.highest for bucket in self._buckets), default=self._worth)
        covered = sum(bucket.covered for bucket in self._buckets)
        return sum(bucket.weighted for bucket in self._buckets) // covered if covered else self._worth

    def restore(self, rows: RowReader) -> None:
        """Go on where `rows` were taken."""
        _, self.is_active, self._since, self._worth = rows.take("adl_trigger")
        for _, number, highest, weighted, covered in rows.each("bucket"):
            bucket = _Bucket(number, highest)
            bucket.weighted, bucket.covered = weighted, covered
            self._buckets.append(bucket)

    def rows(self) -> list[Row]:
        """The state as rows of plain values."""
        return [
            ("adl_trigger", self.is_active, self._since, self._worth),
            *(("bucket", b.number, b.highest, b.weighted, b.covered) for b in self._buckets),
        ]

    def _is_down(self) -> bool:
        peak = self.level
        if not peak:
            return False  # it never had anything that it could have lost
        drop = (peak - self._worth) * RATE
        bound = (self.spec.stop if self.is_active else self.spec.start) * peak
        # Inclusive or not, the comparison is that of the change: who is active stays so until the stop is reached.
        if drop == bound:
            return self.spec.inclusive != self.is_active
        return drop > bound

    def _is_below_average(self) -> bool:
        covered = sum(bucket.covered for bucket in self._buckets)
        missing = sum(bucket.weighted for bucket in self._buckets) - (self._worth + self.spec.cut) * covered
        return bool(covered) and (missing > 0 or (missing == 0 and self.spec.inclusive))

    def _advance(self, now: int) -> None:
        """Forget what has left the window, and count what the fund was worth since the last time."""
        oldest = (now - self.spec.window) // self._width
        if self._buckets and self._buckets[0].number < oldest:
            self._buckets = [bucket for bucket in self._buckets if bucket.number >= oldest]
        start = max(self._since, oldest * self._width)
        while start < now:
            bucket = self._bucket(start // self._width)
            end = min(now, (bucket.number + 1) * self._width)
            bucket.highest = max(bucket.highest, self._worth)
            bucket.weighted += self._worth * (end - start)
            bucket.covered += end - start
            start = end
        self._since = now

    def _bucket(self, number: int) -> _Bucket:
        """The part of this number: the last one, or a new one behind it."""
        if not self._buckets or self._buckets[-1].number != number:
            self._buckets.append(_Bucket(number, self._worth))
        return self._buckets[-1]
