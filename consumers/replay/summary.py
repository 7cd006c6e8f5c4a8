"""What a run came to, for a person at a terminal: tables on stdout."""

import os
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from consumers.exact import ZERO, minus, percentage, plus
from consumers.moments import moment
from consumers.printable import display_name, printable
from consumers.replay import fund_tables
from consumers.replay import outputs as names
from consumers.replay.outputs import Outputs
from consumers.replay.tally import FundFlows, MarketTally, Tally
from schemas.config import VenueConfig

_WIDTH_UNBOUND: Final = 160
"""Lines of a summary that goes to a file or a pipe may be this long."""


def print_summary(
    report: Mapping[str, Any],
    tally: Tally,
    config: VenueConfig,
    outputs: Outputs,
    *,
    seconds: float,
    html: bool,
) -> None:
    """Print the summary. A stdout that takes no more (`| head`, a full disk) is no failure: the files are written."""
    if sys.stdout is None:  # closed by whoever started us: there is nobody to tell
        return
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_UNBOUND, highlight=False)
    sections = [_overview(report, tally, seconds)]
    if "funds" in report or "stream" not in report:  # an engine knows of no fund
        sections.append(_funds(report, tally, config))
    given = fund_tables.donations(report)
    if given:
        sections.append(_donations(given))
    if any(flows.causes for flows in tally.funds.values()):
        sections.append(_movements(tally))
    if any(market.liquidations for market in tally.markets.values()):
        sections.append(_liquidations(tally, config))
    if any(market.adl_triggered for market in tally.markets.values()):
        sections.append(_adl(tally, config))
    sections.append(_files(report, outputs, html=html))
    with console.capture() as capture:
        for table in sections:
            console.print(table)
    try:
        click.echo(capture.get(), nl=False)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it closes stdout


def grouped(value: Decimal | int | str) -> str:
    """A number with thousands set apart, all its places kept."""
    return format(Decimal(value), ",f")


def _pairs(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    return table


def _grid(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    return table


def _codes(counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{code} {count:,}" for code, count in sorted(counts.items(), key=lambda pair: -pair[1]))
    return f" ({shown})" if shown else ""


def _overview(report: Mapping[str, Any], tally: Tally, seconds: float) -> Table:
    counts = report["counts"]
    table = _pairs("Run" if report["complete"] else "Run (incomplete)")
    if "stopped" in report:
        table.add_row("stopped", escape(printable(report["stopped"]["reason"])))
    if "stream" in report:
        journal = report["journal"]
        table.add_row("stream", str(report["stream"]))
        table.add_row("journal", f"inputs 1 to {journal['last']:,} in {journal['records']:,} records")
    rate = counts["commands"] / seconds if seconds else 0.0
    table.add_row("commands", f"{counts['commands']:,} in {seconds:,.1f} s, {rate:,.0f}/s")
    table.add_row("event time", f"{moment(tally.first_ts)} to {moment(tally.last_ts)} UTC")
    table.add_row("events", f"{counts['events']:,}")
    table.add_row("trades", f"{counts['trades']:,}")
    table.add_row("rejected", f"{counts['rejected']:,}{_codes(counts['reject_codes'])}")
    table.add_row("dead letters", f"{counts['dead_letters']:,}{_codes(counts['dead_letter_codes'])}")
    return table


def _funds(report: Mapping[str, Any], tally: Tally, config: VenueConfig) -> Table:
    table = _grid("Funds", "fund", "asset", "opening", "balance", "reserved", "minimum", "lowest")
    stated = report.get("funds", {})
    for name in sorted({*stated, *tally.funds, *config.funds}):
        said = stated.get(name, {})
        flows = tally.funds.get(name, FundFlows())
        table.add_row(
            name,
            config.funds[name].asset if name in config.funds else str(said.get("asset", "")),
            grouped(flows.opening),
            grouped(str(said.get("balance", flows.balance))),
            _stated(said, "reserved"),
            _stated(said, "minimum"),
            grouped(flows.lowest if flows.lowest is not None else ZERO),
        )
    for asset, total in fund_tables.totals(report).items():
        opening = ZERO
        for fund in stated.values():
            opening = plus(opening, Decimal(fund["opening"])) if fund["asset"] == asset else opening
        sums = (grouped(opening), *(grouped(str(total[key])) for key in ("balance", "reserved", "minimum")), "-")
        table.add_row(f"all {total['funds']}", asset, *sums)
    return table


def _donations(given: list[fund_tables.DonationRow]) -> Table:
    table = _grid("Donations", "fund", "asset", "number", "amount", "value in USD", "without a price")
    for row in given:
        sums = (grouped(row.amount), grouped(row.usd_value), grouped(row.unpriced))
        table.add_row(row.name, row.asset, f"{row.count:,}", *sums)
    return table


def _movements(tally: Tally) -> Table:
    table = _grid("What moved the funds", "fund", "cause", "credited", "debited", "net")
    for name, flows in sorted(tally.funds.items()):
        for cause in flows.causes:
            credited, debited = flows.credited.get(cause, ZERO), flows.debited.get(cause, ZERO)
            table.add_row(name, cause, grouped(credited), grouped(debited), grouped(minus(credited, debited)))
    return table


def _stated(said: Mapping[str, Any], name: str) -> str:
    return grouped(str(said[name])) if name in said else "-"


def _asset(config: VenueConfig, market: str) -> str:
    settings = config.markets.get(market)
    return config.shards[settings.shard].asset if settings is not None else ""


def _by_market(
    title: str, tally: Tally, config: VenueConfig, names: list[str], rows: Mapping[str, Callable[[MarketTally], str]]
) -> Table:
    """A column per market, so that no number is ever broken, however narrow the terminal."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in names:
        table.add_column(f"{name}, {_asset(config, name)}", justify="right", no_wrap=True)
    for row, text in rows.items():
        table.add_row(row, *(text(tally.markets[name]) for name in names))
    return table


def _liquidations(tally: Tally, config: VenueConfig) -> Table:
    return _by_market(
        "Liquidations",
        tally,
        config,
        sorted(tally.markets),
        {
            "number": lambda market: f"{market.liquidations:,}",
            "quantity": lambda market: grouped(market.liquidated_qty),
            "filled in the book, of quantity": lambda market: percentage(market.filled_qty, market.liquidated_qty),
            "surplus": lambda market: grouped(market.surplus),
            "liquidation fees": lambda market: grouped(market.fees),
            "residuals": lambda market: f"{market.residuals:,}",
            "takeovers": lambda market: f"{market.takeovers:,}",
            "takeovers unwound": lambda market: f"{market.takeovers_closed:,}",
            "netted, quantity": lambda market: grouped(market.netted_qty),
            "takeover PnL": lambda market: grouped(market.takeover_pnl),
            "worst takeover": _worst,
        },
    )


def _worst(market: MarketTally) -> str:
    if not market.worst_takeover_id:
        return "-"
    return f"{grouped(market.worst_takeover)} ({market.worst_takeover_id})"


def _adl(tally: Tally, config: VenueConfig) -> Table:
    return _by_market(
        "Auto-deleveraging",
        tally,
        config,
        sorted(name for name, market in tally.markets.items() if market.adl_triggered),
        {
            "triggered": lambda market: f"{market.adl_triggered:,}",
            "counterparties closed": lambda market: f"{market.adl_executions:,}",
            "quantity": lambda market: grouped(market.adl_qty),
            "needed": lambda market: grouped(market.adl_needed),
            "taken": lambda market: grouped(market.adl_taken),
            "taken / needed": lambda market: percentage(market.adl_taken, market.adl_needed),
            "socialised": lambda market: grouped(market.socialised),
            "deficit": lambda market: grouped(market.deficit),
        },
    )


def _files(report: Mapping[str, Any], outputs: Outputs, *, html: bool) -> Table:
    table = _pairs("Proof and files")
    for asset, residual in report.get("conservation", {}).items():
        fine = not str(residual).strip("-0.")
        table.add_row("conservation", f"{asset}: {'holds, residual' if fine else 'BROKEN, residual'} {residual}")
    if "journal" in report:
        table.add_row("chain", str(report["journal"]["chain"]))
    table.add_row("state hash", str(report.get("state_hash", "-")))
    table.add_row("events hash", report["events_sha256"])
    for name in (names.EVENTS, names.DEAD_LETTERS, names.REPORT, *((names.PAGE,) if html else ())):
        table.add_row(name, escape(display_name(outputs.path(name))))
    return table
