"""What a run booked and what the ledger holds now, for a person at a terminal: tables on stdout."""

import os
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from consumers.ledger.balances import Balance
from consumers.ledger.booking import Booked
from consumers.ledger.chart import KINDS
from consumers.ledger.report_check import Comparison
from consumers.printable import printable
from engine.fixed import decimal_text

_WIDTH_UNBOUND: Final = 160
"""Lines of a summary that goes to a file or a pipe may be this long."""

_DIFFERENCES_SHOWN: Final = 100


def print_summary(
    *,
    database: str,
    events: int,
    booked: Booked,
    seconds: float,
    balances: Sequence[Balance],
    gaps: Mapping[str, str],
    comparison: Comparison | None,
) -> None:
    """Print the summary. A stdout that takes no more (`| head`, a full disk) is no failure: the books are written."""
    if sys.stdout is None:  # closed by whoever started us: there is nobody to tell
        return
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_UNBOUND, highlight=False)
    run = Table(title="Ledger", title_justify="left", box=box.SIMPLE, show_header=False, pad_edge=False)
    run.add_column(style="bold")
    run.add_column(overflow="fold")
    run.add_row("database", escape(database))
    run.add_row("events read", f"{events:,} in {seconds:,.1f} s")
    run.add_row("postings", f"{booked.postings_new:,} new, {booked.postings_known:,} known")
    run.add_row("lines", f"{booked.lines_new:,} new, {booked.lines_known:,} known")
    run.add_row("gaps", ", ".join(f"before {printable(first)}" for first in gaps.values()) or "none")
    if comparison is not None:
        run.add_row("report", _verdict(comparison))
    with console.capture() as capture:
        console.print(run)
        console.print(_balances(balances))
        if comparison is not None and comparison.differences:
            console.print(_differences(comparison))
    try:
        click.echo(capture.get(), nl=False)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it closes stdout


def _verdict(comparison: Comparison) -> str:
    if comparison.differences:
        return f"DIFFERS in {len(comparison.differences):,} of {comparison.compared:,} balances"
    return f"agrees to the unit in all {comparison.compared:,} balances"


def _balances(balances: Sequence[Balance]) -> Table:
    """Per asset the accounts of each kind together; all of them sum to zero."""
    units: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    decimals = {balance.asset: balance.decimals for balance in balances}
    for balance in balances:
        units[balance.asset][balance.kind].append(balance.units)
    table = Table(title="Balances", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("asset")
    table.add_column("accounts")
    table.add_column("number", justify="right")
    table.add_column("sum", justify="right")
    for asset, kinds in sorted(units.items()):
        for kind in KINDS:
            if kind in kinds:
                table.add_row(asset, kind, f"{len(kinds[kind]):,}", _grouped(sum(kinds[kind]), decimals[asset]))
        everything = [held for kind in kinds.values() for held in kind]
        table.add_row(asset, "all", f"{len(everything):,}", _grouped(sum(everything), decimals[asset]), style="bold")
    return table


def _grouped(units: int, decimals: int) -> str:
    whole, point, fraction = decimal_text(abs(units), decimals).partition(".")
    return f"{'-' if units < 0 else ''}{int(whole):,}{point}{fraction}"


def _differences(comparison: Comparison) -> Table:
    table = Table(title="Differences", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("account", overflow="fold")
    table.add_column("ledger", justify="right")
    table.add_column("report", justify="right")
    for difference in comparison.differences[:_DIFFERENCES_SHOWN]:
        table.add_row(escape(printable(difference.account)), difference.ledger, difference.report)
    more = len(comparison.differences) - _DIFFERENCES_SHOWN
    if more > 0:
        table.add_row(f"and {more:,} more", "", "")
    return table
