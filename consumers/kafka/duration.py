"""A duration as a service config writes it."""

import re
from functools import total_ordering
from typing import Final

_TEXT: Final = re.compile(r"([1-9][0-9]{0,8})(ms|s|m|h|d)")
_MILLISECONDS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@total_ordering
class Duration:
    """A whole number of milliseconds of wall-clock time."""

    # Not a dataclass: msgspec would want a table where the file has a string.
    __slots__ = ("ms",)

    def __init__(self, ms: int) -> None:
        self.ms = ms

    @classmethod
    def parse(cls, text: str) -> "Duration":
        """From "500ms", "8s", "10m", "1h" or "7d". Raises ValueError for anything else."""
        found = _TEXT.fullmatch(text)
        if not found:
            raise ValueError(f'expected a duration like "500ms", "8s", "10m", "1h" or "7d", got {text[:64]!r}')
        return cls(int(found[1]) * _MILLISECONDS[found[2]])

    @property
    def seconds(self) -> float:
        """What timers take."""
        return self.ms / 1_000

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and other.ms == self.ms

    def __lt__(self, other: "Duration") -> bool:
        return self.ms < other.ms

    def __hash__(self) -> int:
        return hash(self.ms)

    def __repr__(self) -> str:
        return f"Duration({self})"

    def __str__(self) -> str:
        for unit in ("d", "h", "m", "s"):
            whole, rest = divmod(self.ms, _MILLISECONDS[unit])
            if whole and not rest:
                return f"{whole}{unit}"
        return f"{self.ms}ms"
