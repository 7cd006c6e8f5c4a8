"""Bars from CSV: what is taken, and how what cannot be taken is named."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from consumers.generate.bars import Bar
from consumers.generate.prices import read_bars
from engine.fixed import Grid
from tests.generate.conftest import BARS

Run = Callable[..., Result]

TENTHS = Grid(1, 1)
HEADER = "timestamp,open,high,low,close\n"
GOOD = "60,100,110,90,105\n"


def bars(path: Path, text: str) -> list[Bar]:
    """The bars of this text, on a tick of 0.1."""
    path.write_text(text)
    return list(read_bars(path, TENTHS))


def test_columns_go_by_the_header_and_extra_ones_are_ignored(tmp_path: Path) -> None:
    """Any order, any case, a byte order mark, blank lines."""
    text = "\ufeffvolume,Close,Low,High,Open,Timestamp\n1e9,105,90,110,100,60\n\n1e9,106,91,111,105,120\n"
    assert bars(tmp_path / "bars.csv", text) == [
        Bar(60_000_000, 1000, 1100, 900, 1050),
        Bar(120_000_000, 1050, 1110, 910, 1060),
    ]


@pytest.mark.parametrize(
    "time",
    [
        "2021-12-31 23:01:00.000000",
        "2021-12-31T23:01:00Z",
        "2022-01-01T07:01:00+08:00",
        "1640991660",
        "1640991660000",
        "1640991660000000",
    ],
)
def test_times_may_be_written_in_several_ways(tmp_path: Path, time: str) -> None:
    """ISO in UTC or with an offset; epoch seconds, milliseconds, microseconds."""
    assert bars(tmp_path / "bars.csv", f"{HEADER}{time},1,1,1,1\n")[0].ts == 1_640_991_660_000_000


def test_prices_are_rounded_to_the_nearest_tick(tmp_path: Path) -> None:
    """A data source may have a finer grid than the market."""
    assert bars(tmp_path / "bars.csv", f"{HEADER}60,1.04,1.16,1.01,1.1\n") == [Bar(60_000_000, 10, 12, 10, 11)]


def test_a_bar_passes_through_its_nearer_extreme_first() -> None:
    """Up bars dip first, down bars rise first."""
    assert Bar(0, 100, 120, 90, 110).marks() == (100, 90, 120, 110)
    assert Bar(0, 110, 120, 90, 100).marks() == (110, 120, 90, 100)


def test_gzipped_prices_give_the_same_log(run: Run, tmp_path: Path) -> None:
    """A .gz is read as what it holds."""
    (tmp_path / "bars.csv").write_text(BARS)
    (tmp_path / "bars.csv.gz").write_bytes(gzip.compress(BARS.encode()))
    for name in ("bars.csv", "bars.csv.gz"):
        result = run("--prices", str(tmp_path / name), "--accounts", "30", out=f"{name}.jsonl")
        assert result.exit_code == 0, result.output
    assert (tmp_path / "bars.csv.jsonl").read_bytes() == (tmp_path / "bars.csv.gz.jsonl").read_bytes()


def test_bars_and_start_choose_a_window_of_the_file(run: Run, tmp_path: Path) -> None:
    """--start skips what lies before, --bars ends it."""
    (tmp_path / "bars.csv").write_text(BARS)
    window = ("--start", "2022-01-01T00:10:00", "--bars", "5")
    result = run("--prices", str(tmp_path / "bars.csv"), "--accounts", "30", *window)
    assert ", 5 bars, " in result.stderr
    first = (tmp_path / "log.jsonl").read_text().splitlines()[0]
    assert first == '{"type":"price.mark","ts":1640995800000000,"market":"BTC-USDT","price":"110.0"}'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "bars.csv: expected a header line and bars, got an empty file"),
        (HEADER, "bars.csv: expected at least one bar after the header, got none"),
        ("timestamp,open,high,close\n", "bars.csv:1: expected one column 'low'"),
        ("when,open,high,low,close\n", "bars.csv:1: expected one column 'timestamp'"),
        (f"{HEADER}{GOOD}120,100,110,90,\n", "bars.csv:3: close: expected a number, got ''"),
        (f"{HEADER}60,abc,110,90,105\n", "bars.csv:2: open: expected a number, got 'abc'"),
        (f"{HEADER}60,100,NaN,90,105\n", "bars.csv:2: high: expected a price above zero, got 'NaN'"),
        (f"{HEADER}60,100,110,-90,105\n", "bars.csv:2: low: expected a price above zero, got '-90'"),
        (f"{HEADER}60,100,1e999999999,90,105\n", "bars.csv:2: high: expected a price above zero"),
        (f"{HEADER}60,100,110,0.01,105\n", "bars.csv:2: low: expected at least half a tick (0.1 each), got '0.01'"),
        (f"{HEADER}60,100,90,110,105\n", "bars.csv:2: expected high >= low, got 90 and 110"),
        (f"{HEADER}60,80,110,90,105\n", "bars.csv:2: expected open and close between low and high, got open 80"),
        (f"{HEADER}60,100,110,90\n", "bars.csv:2: expected at least 5 values, got 4"),
        (f"{HEADER}yesterday,100,110,90,105\n", "bars.csv:2: timestamp: expected a time like"),
        (f"{HEADER}{GOOD}60,100,110,90,105\n", "bars.csv:3: expected a time after that of the bar before, got '60'"),
        (f"{HEADER}{GOOD}59,100,110,90,105\n", "bars.csv:3: expected a time after that of the bar before, got '59'"),
        (f'{HEADER}60,"100\n', "bars.csv:2: expected at least 5 values"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(run: Run, tmp_path: Path, text: str, complaint: str) -> None:
    """File, line, what was expected and what was found; exit code 2."""
    (tmp_path / "bars.csv").write_text(text)
    result = run("--prices", str(tmp_path / "bars.csv"))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {tmp_path}/{complaint}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("bars.csv", None, "cannot be read: No such file or directory"),
        ("bars.csv", b"timestamp,open\xff", "expected UTF-8 text"),
        ("bars.csv.gz", b"timestamp,open,high,low,close\n", "expected a complete gzip file"),
        ("bars.csv.gz", gzip.compress(BARS.encode())[:-20], "expected a complete gzip file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    run: Run, tmp_path: Path, name: str, content: bytes | None, complaint: str
) -> None:
    """Missing, not text, not gzip, cut off."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    result = run("--prices", str(tmp_path / name))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {tmp_path / name}: {complaint}")
    assert result.stderr.count("\n") == 1
