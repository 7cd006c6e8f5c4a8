"""Series over event time in bounded memory: lines that keep their extremes, and sums per interval."""

from decimal import Decimal
from typing import Final

from consumers.exact import ZERO, plus
from consumers.moments import SECOND

BUCKETS_MAX: Final = 1_600
"""Each bucket of a line is drawn with at most three points: its lowest, its highest and its last."""

BARS_MAX: Final = 160

_MINUTE: Final = 60 * SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_WIDTHS: Final = (
    *(n * SECOND for n in (1, 5, 15)),
    *(n * _MINUTE for n in (1, 5, 15, 30)),
    *(n * _HOUR for n in (1, 2, 4, 8)),
    *(n * _DAY for n in (1, 7, 28)),
)

Point = tuple[int, Decimal]


class Line:
    """A line of any length: when it has too many buckets, neighbours are merged. No peak is ever lost."""

    def __init__(self) -> None:
        self.seen = 0
        self._buckets: list[tuple[Point, Point, Point]] = []
        self._per_bucket = 1
        self._in_last = 0

    def add(self, ts: int, value: Decimal) -> None:
        """Append a point; `ts` never goes back."""
        self.seen += 1
        point = (ts, value)
        buckets = self._buckets
        if buckets and self._in_last < self._per_bucket:
            low, high, _ = buckets[-1]
            buckets[-1] = (point if value < low[1] else low, point if value > high[1] else high, point)
            self._in_last += 1
            return
        if len(buckets) == BUCKETS_MAX:
            buckets[:] = [_merged(buckets[i], buckets[i + 1]) for i in range(0, BUCKETS_MAX, 2)]
            self._per_bucket *= 2
        buckets.append((point, point, point))
        self._in_last = 1

    def hold(self, ts: int) -> None:
        """Let a line that has begun go on at its last value to where the run ends."""
        if self._buckets and self._buckets[-1][2][0] < ts:
            self.add(ts, self._buckets[-1][2][1])

    @property
    def last(self) -> Decimal | None:
        return self._buckets[-1][2][1] if self._buckets else None

    @property
    def is_thinned(self) -> bool:
        return self._per_bucket > 1

    def points(self) -> list[Point]:
        """What is left, in the order of time."""
        points: list[Point] = []
        for low, high, last in self._buckets:
            first, second = (low, high) if low[0] <= high[0] else (high, low)
            points.append(first)
            if second != first:
                points.append(second)
            if last not in (first, second):
                points.append(last)
        return points


def _merged(one: tuple[Point, Point, Point], other: tuple[Point, Point, Point]) -> tuple[Point, Point, Point]:
    low = one[0] if one[0][1] <= other[0][1] else other[0]
    high = one[1] if one[1][1] >= other[1][1] else other[1]
    return low, high, other[2]


class Bars:
    """Named sums per interval of event time. The interval widens with the run, each width dividing the next."""

    def __init__(self) -> None:
        self.width = _WIDTHS[0]
        self._sums: dict[int, dict[str, Decimal]] = {}

    def add(self, ts: int, name: str, value: Decimal) -> None:
        """Add to a sum of the interval that `ts` falls in; `ts` never goes back."""
        while self._sums and ts // self.width - next(iter(self._sums)) >= BARS_MAX:
            self._widen()
        sums = self._sums.setdefault(ts // self.width, {})
        sums[name] = plus(sums.get(name, ZERO), value)

    def fit(self, first_ts: int, last_ts: int) -> None:
        """Widen until a run of this length has no more intervals than can be told apart."""
        while (last_ts - first_ts) // self.width >= BARS_MAX:
            self._widen()

    def _widen(self) -> None:
        wider = next((width for width in _WIDTHS if width > self.width), self.width * 2)
        gathered: dict[int, dict[str, Decimal]] = {}
        for index, sums in self._sums.items():
            into = gathered.setdefault(index * self.width // wider, {})
            for name, value in sums.items():
                into[name] = plus(into.get(name, ZERO), value)
        self.width, self._sums = wider, gathered

    def points(self, name: str) -> list[Point]:
        """The middle of each interval in which something was added to the sum, and the sum."""
        return [
            (index * self.width + self.width // 2, sums[name]) for index, sums in self._sums.items() if name in sums
        ]
