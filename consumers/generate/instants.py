"""Points in time as people and data files write them, in µs since the epoch, UTC."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

EXPECTED: Final = 'a time like "2021-12-31 23:01:00.000000" (UTC) or epoch seconds, milliseconds or microseconds'


def parse_instant(text: str) -> int:
    """µs since the epoch. Raises ValueError for what is no time or lies before 1970.

    A bare integer is epoch seconds, ms or µs by its magnitude: as seconds, 10^11 is the year 5138; as ms,
    10^11 is 1973 and 10^14 again 5138. So no plausible time is read in the wrong unit.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        count = int(text[:20])
        if count < 10**11:
            return count * 1_000_000
        if count < 10**14:
            return count * 1_000
        if count < 10**17:
            return count
        raise ValueError(f"{text} is no time in s, ms or µs")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    instant = (moment - _EPOCH) // _MICROSECOND
    if instant < 0:
        raise ValueError(f"{text} lies before 1970")
    return instant
