"""`backstop generate`: the options, and the one line that says what was written."""

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from consumers.errors import UsageFailure
from consumers.generate.bars import Bar
from consumers.generate.dice import Dice
from consumers.generate.instants import EXPECTED, parse_instant
from consumers.generate.paths import BARS_MIN, walk
from consumers.generate.population import ACCOUNTS_MIN, populate
from consumers.generate.prices import read_bars
from consumers.generate.scenarios import PRICE_FILE_CROWD, SCENARIOS
from consumers.generate.session import Session
from consumers.generate.terms import Terms
from consumers.generate.writer import LogWriter
from engine.spec import compile_venue
from schemas.config import ConfigError, load_config
from schemas.fields import check_positive

_DEFAULT_START: Final = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z, in µs
_DEFAULT_PRICE: Final = "50000"
_DEFAULT_SCENARIO: Final = "calm"
_DEFAULT_BARS: Final = 1_440

_BAR_US: Final = 60_000_000
"""Built-in paths are made of one-minute bars."""

_BARS_PER_UPDATE: Final = 50
"""How often the progress bar hears of it."""


def _instant(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """A point in time as an option, in µs since the epoch."""
    if value is None:
        return None
    try:
        return parse_instant(value)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"expected {EXPECTED}, got {value[:64]!r}", context, parameter) from None


@click.command(short_help="Write a command log: a population trading around a price path.")
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The venue config (TOML).",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="LOG",
    help="The log to write: JSON lines, compressed if the name ends in .gz or .zst.",
)
@click.option("--market", help="A linear market of the config; its first one if left out.")
@click.option(
    "--scenario",
    type=click.Choice(tuple(SCENARIOS)),
    help=f"A built-in price path; {_DEFAULT_SCENARIO} if left out.",
)
@click.option(
    "--prices",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Bars from a CSV (plain or .gz) with the columns timestamp, open, high, low and close instead.",
)
@click.option(
    "--accounts",
    type=click.IntRange(min=ACCOUNTS_MIN, max=1_000_000),
    default=2_000,
    show_default=True,
    help="How many accounts trade.",
)
@click.option(
    "--activity",
    type=click.IntRange(min=1, max=100_000),
    default=10,
    show_default=True,
    help="Commands per bar beside its four marks, on average.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Chance: the same seed (and options) gives the same bytes.",
)
@click.option(
    "--bars",
    type=click.IntRange(min=1),
    help=f"How many bars; {_DEFAULT_BARS} one-minute bars for a scenario, all bars of the file, if left out.",
)
@click.option(
    "--start",
    callback=_instant,
    metavar="TIME",
    help="When a scenario begins (2026-01-01T00:00:00Z if left out), or the earliest bar taken of the file.",
)
@click.option("--start-price", metavar="PRICE", help=f"Where a scenario begins; {_DEFAULT_PRICE} if left out.")
def generate(
    config_path: Path,
    out: Path,
    market: str | None,
    scenario: str | None,
    prices: Path | None,
    accounts: int,
    activity: int,
    seed: int,
    bars: int | None,
    start: int | None,
    start_price: str | None,
) -> None:
    """Write a command log for `backstop replay`: accounts that trade around a price path.

    \b
    Scenarios:
      calm         no direction, small moves: the control
      trend        a steady rise of 20 %: shorts are worn down one by one
      crash        a fall of 25 % in half an hour through thin books, then a partial recovery
      flash-crash  30 % down within four minutes and back within ten
      cascade      four legs down, each to the next cluster of leveraged longs
    """
    if out.resolve() in {config_path.resolve(), None if prices is None else prices.resolve()}:
        raise UsageFailure(f"--out: expected a file of its own, got the input {out}")
    terms = _terms(config_path, market)
    if prices is None:
        story = SCENARIOS[scenario or _DEFAULT_SCENARIO]
        crowd = story.crowd
        total: int | None = bars or _DEFAULT_BARS
        if (bars or _DEFAULT_BARS) < BARS_MIN:
            raise UsageFailure(f"--bars: expected at least {BARS_MIN} for a scenario, got {bars}")
        path = walk(
            story,
            start_price=_start_price(terms, start_price or _DEFAULT_PRICE),
            bars=bars or _DEFAULT_BARS,
            start_ts=_DEFAULT_START if start is None else start,
            bar_us=_BAR_US,
            dice=Dice(seed, "path"),
        )
    else:
        if scenario is not None:
            raise UsageFailure("--scenario, --prices: expected one of them, got both")
        if start_price is not None:
            raise UsageFailure("--start-price: expected with a scenario only; with --prices the file says it")
        crowd, total = PRICE_FILE_CROWD, bars
        path = islice(_from(start, prices, read_bars(prices, terms.spec.ticks)), bars)
    first = next(path)
    population = populate(terms, crowd, accounts=accounts, price=first.open, dice=Dice(seed, "population"))
    session = Session(terms, population, orders_per_bar=activity, dice=Dice(seed, "behaviour"))
    with LogWriter(out) as writer, _progress() as progress:
        task = progress.add_task("generate", total=total)
        shown = 0
        for batch in session.play(chain((first,), path)):
            writer.write(batch)
            if session.bars >= shown + _BARS_PER_UPDATE:
                shown = session.bars
                progress.update(task, completed=shown)
    click.echo(
        f"{out}: {writer.commands} commands, {session.bars} bars, seed {seed}, sha256 {writer.sha256}",
        err=True,
    )


def _terms(config_path: Path, market: str | None) -> Terms:
    try:
        venue = compile_venue(load_config(config_path))
    except ConfigError as error:
        text = str(error)
        raise UsageFailure(text if text.startswith(f"{config_path}:") else f"{config_path}: {text}") from None
    specs = {name: venue.shards[shard].markets[name] for name, shard in venue.shard_of_market.items()}
    linear = [name for name, spec in specs.items() if spec.direction > 0]
    if not linear:
        raise UsageFailure(f"{config_path}: expected a linear market; the population cannot trade inverse ones")
    name = linear[0] if market is None else market
    if name not in linear:
        what = "an inverse market" if name in specs else repr(name)
        raise UsageFailure(f"--market: expected one of {', '.join(linear)}; got {what}")
    return Terms(venue.shard_of_market[name], specs[name])


def _start_price(terms: Terms, text: str) -> int:
    try:
        check_positive("--start-price", text)
    except ValueError as error:
        raise UsageFailure(str(error)) from None
    price = terms.spec.ticks.parse(text)
    if price is None:
        raise UsageFailure(f"--start-price: expected a multiple of the tick {terms.spec.ticks.text(1)}, got {text}")
    return price


def _from(start: int | None, prices: Path, bars: Iterator[Bar]) -> Iterator[Bar]:
    """The bars from `start` on."""
    if start is None:
        yield from bars
        return
    first = next((bar for bar in bars if bar.ts >= start), None)
    if first is None:
        raise UsageFailure(f"--start: expected a time that {prices} reaches; its bars end before")
    yield first
    yield from bars


def _progress() -> Progress:
    """A bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("bars"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
