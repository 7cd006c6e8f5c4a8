"""Event time for print. Everything is UTC; nothing here reads a clock."""

from datetime import UTC, datetime
from typing import Final

SECOND: Final = 1_000_000
"""Event time counts microseconds."""


def calendar(ts: int) -> datetime | None:
    """Event time as a date, to the second; None beyond the end of the calendar, which event time may reach."""
    try:
        return datetime.fromtimestamp(ts // SECOND, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def moment(ts: int | None) -> str:
    """Event time to the second; a dash where there is none."""
    if ts is None:
        return "-"
    date = calendar(ts)
    return f"{ts} µs" if date is None else date.strftime("%Y-%m-%d %H:%M:%S")
