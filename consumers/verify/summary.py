"""What a proof came to, for a person at a terminal."""

import sys

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from consumers.printable import printable
from consumers.verify.verdict import Verdict

_WIDTH_UNBOUND = 160


def print_verdict(verdict: Verdict) -> None:
    """Tables on stdout, then a line that says how it is."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_UNBOUND, highlight=False)
    with console.capture() as capture:
        for table in (_streams(verdict), _crossings(verdict), _money(verdict)):
            if table.row_count:
                console.print(table)
        for name in verdict.absent:
            console.print(f"{escape(name)} has no journal")
        for finding in verdict.findings:
            console.print(escape(printable(finding.text)), soft_wrap=True)
        console.print(_conclusion(verdict))
    click.echo(capture.get(), nl=False)


def _conclusion(verdict: Verdict) -> str:
    if not verdict.holds:
        return f"DIFFERS: {len(verdict.findings)} findings"
    if verdict.topics:
        return "HOLDS: what stands in the topics follows from the journals, and every input is accounted for"
    return "HOLDS: the journals follow from themselves and from each other; no topics were looked at"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    return table


def _streams(verdict: Verdict) -> Table:
    table = _table(
        "Streams", "stream", "records", "inputs", "events", "dead letters", "passed over", "unverifiable", "chain"
    )
    for stream in verdict.streams:
        counts = (
            stream.records,
            stream.inputs,
            stream.events,
            stream.dead_letters,
            stream.passed_over,
            stream.unverifiable,
        )
        table.add_row(stream.stream, *(f"{count:,}" for count in counts), stream.chain[:16])
    return table


def _crossings(verdict: Verdict) -> Table:
    table = _table("Claims and decisions", "from", "to", "sent", "arrived", "under way")
    for each in verdict.crossings:
        table.add_row(
            each.sender, each.receiver, *(f"{n:,}" for n in (each.sent, each.arrived, each.sent - each.arrived))
        )
    return table


def _money(verdict: Verdict) -> Table:
    table = _table("Conservation", "asset", "under way", "residual")
    for each in verdict.conservation:
        table.add_row(each.asset, each.in_flight, each.residual)
    return table
