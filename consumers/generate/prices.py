"""Bars from a CSV of prices, plain or gzipped. What cannot be used is named by file, line and expectation."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

from consumers.errors import UsageFailure
from consumers.generate.bars import Bar
from consumers.generate.instants import EXPECTED, parse_instant
from engine.fixed import Grid

_TIME_COLUMNS: Final = ("timestamp", "time", "datetime", "date", "open_time")
_PRICE_COLUMNS: Final = ("open", "high", "low", "close")

_PRICE_DIGITS_MAX: Final = 18
"""Digits before the point. Keeps a text like 1e999999999 from becoming an integer of that size."""


def read_bars(path: Path, ticks: Grid) -> Iterator[Bar]:
    """The bars of the file in order, one at a time. Prices are rounded to the nearest tick, half to even.

    Raises UsageFailure at the first line that is not what it should be.
    """
    try:
        with path.open("rb") as raw:
            plain = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
            yield from _parse(path, ticks, io.TextIOWrapper(plain, encoding="utf-8-sig", newline=""))
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UsageFailure(f"{path}: expected a complete gzip file, as the name ends in .gz; {error}") from None
    except OSError as error:
        raise UsageFailure(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageFailure(f"{path}: expected UTF-8 text; {error.reason}") from None


def _parse(path: Path, ticks: Grid, text: io.TextIOWrapper) -> Iterator[Bar]:
    rows = csv.reader(text)
    previous = -1
    try:
        header = next(rows, None)
        if header is None:
            raise UsageFailure(f"{path}: expected a header line and bars, got an empty file")
        columns = _columns(path, header)
        for row in rows:
            if not row:
                continue
            bar = _bar(f"{path}:{rows.line_num}", row, columns, ticks)
            if bar.ts <= previous:
                raise UsageFailure(
                    f"{path}:{rows.line_num}: expected a time after that of the bar before, got {row[columns[0]]!r}"
                )
            previous = bar.ts
            yield bar
    except csv.Error as error:
        raise UsageFailure(f"{path}:{rows.line_num}: expected comma-separated values; {error}") from None
    if previous < 0:
        raise UsageFailure(f"{path}: expected at least one bar after the header, got none")


def _columns(path: Path, header: Sequence[str]) -> tuple[int, ...]:
    """Where time, open, high, low and close stand."""
    names = [name.strip().lower() for name in header]
    time = next((name for name in _TIME_COLUMNS if name in names), _TIME_COLUMNS[0])
    for name in (time, *_PRICE_COLUMNS):
        if names.count(name) != 1:
            raise UsageFailure(
                f"{path}:1: expected one column {name!r} (of timestamp, open, high, low, close), "
                f"got the header {','.join(header)[:200]!r}"
            )
    return tuple(names.index(name) for name in (time, *_PRICE_COLUMNS))


def _bar(where: str, row: Sequence[str], columns: tuple[int, ...], ticks: Grid) -> Bar:
    if len(row) <= max(columns):
        raise UsageFailure(f"{where}: expected at least {max(columns) + 1} values, got {len(row)}")
    try:
        ts = parse_instant(row[columns[0]])
    except (ValueError, OverflowError):
        raise UsageFailure(f"{where}: timestamp: expected {EXPECTED}, got {row[columns[0]][:64]!r}") from None
    open_, high, low, close = (
        _price(f"{where}: {name}", row[column], ticks) for name, column in zip(_PRICE_COLUMNS, columns[1:], strict=True)
    )
    if high < low:
        raise UsageFailure(f"{where}: expected high >= low, got {row[columns[2]]} and {row[columns[3]]}")
    if not (low <= open_ <= high and low <= close <= high):
        raise UsageFailure(
            f"{where}: expected open and close between low and high, got open {row[columns[1]]}, "
            f"high {row[columns[2]]}, low {row[columns[3]]}, close {row[columns[4]]}"
        )
    return Bar(ts, open_, high, low, close)


def _price(where: str, text: str, ticks: Grid) -> int:
    try:
        price = Decimal(text.strip())
    except InvalidOperation:
        raise UsageFailure(f"{where}: expected a number, got {text[:64]!r}") from None
    if not price.is_finite() or price <= 0 or price.adjusted() >= _PRICE_DIGITS_MAX:
        raise UsageFailure(f"{where}: expected a price above zero, got {text[:64]!r}")
    steps = int((price.scaleb(ticks.places) / ticks.step).to_integral_value())
    if steps == 0:
        raise UsageFailure(f"{where}: expected at least half a tick ({ticks.text(1)} each), got {text[:64]!r}")
    return steps
