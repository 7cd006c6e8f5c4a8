"""The command line of `backstop replay`: puts the run together, and says how it went."""

from pathlib import Path
from typing import Any

import click
import structlog
import uvloop

from consumers.command_log import CommandLog
from consumers.dashboard import Dashboard
from consumers.errors import UsageFailure
from consumers.printable import display_name, printable
from consumers.progress import InputProgress
from consumers.replay.outcome import Stop
from consumers.replay.outputs import Outputs
from consumers.replay.report import build_report, encode_report
from consumers.replay.run import Replay
from consumers.replay.summary import print_summary
from consumers.replay.tally import Tally
from engine.venue import Venue
from schemas.config import ConfigError, VenueConfig, load_config

log = structlog.get_logger()


@click.command(short_help="Replay command logs: events, who paid, and a report.")
@click.argument("logs", metavar="LOG...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--config", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The venue, in TOML.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Where the outputs go.")
@click.option("--strict", is_flag=True, help="Stop at the first line that is no command (exit code 2).")
@click.option(
    "--check-every",
    type=click.IntRange(min=1),
    metavar="N",
    help="Add up all money and sizes after each N commands; a broken invariant ends the run (exit code 1). Books and "
    "indexes are compared with a full scan each 1,000 commands at most.",
)
@click.option("--html", is_flag=True, help="Also write report.html, a page that needs no network.")
def replay(
    *, logs: tuple[Path, ...], config: Path, out: Path, strict: bool, check_every: int | None, html: bool
) -> None:
    """Replay command logs: JSON lines, plain, gzip or Zstandard, one after the other.

    Writes events.jsonl, dead-letters.jsonl and report.json to DIR. A line that is no command becomes a dead letter
    and the run goes on. A run that stops early says so with its exit code and with "complete": false in report.json;
    a killed one leaves no report.json. The same inputs, config and flags give the same files, byte for byte.
    """
    commands = CommandLog(logs)
    settings, venue = _open_venue(config)
    outputs = Outputs(out, (*logs, config))
    tally = Tally()
    dashboard = Dashboard(settings) if html else None
    with InputProgress(commands.bytes_total, "replaying", "commands", with_rate=True) as progress:
        run = Replay(
            commands, venue, outputs, tally, progress, strict=strict, check_every=check_every, observer=dashboard
        )
        log.info("replay.started", logs=[display_name(path) for path in logs], out=display_name(out))
        stop = uvloop.run(run.run())
    report = build_report(
        venue=_what_it_says(venue, stop),
        tally=tally,
        files=commands.files,
        events_sha256=outputs.events_sha256,
        stop=stop,
    )
    page = None if dashboard is None else dashboard.render(report, tally)
    outputs.finish(encode_report(report), page)
    log.info("replay.ended", stopped=None if stop is None else stop.code, seconds=progress.seconds)
    print_summary(report, tally, venue.config, outputs, seconds=progress.seconds, html=html)
    if stop is None and not tally.commands and commands.bytes_read:
        click.echo("Warning: no line of the log was a command; is it a command log?", err=True)
    if stop is not None:
        click.echo(f"Error: {printable(stop.reason)}", err=True)
        click.get_current_context().exit(stop.exit_code)


def _open_venue(path: Path) -> tuple[VenueConfig, Venue]:
    try:
        settings = load_config(path)
    except ConfigError as error:
        raise _unusable(error) from None
    try:
        return settings, Venue(settings)
    except ConfigError as error:
        raise _unusable(f"{display_name(path)}: {error}") from None


def _unusable(reason: object) -> UsageFailure:
    return UsageFailure(printable(str(reason)))


def _what_it_says(venue: Venue, stop: Stop | None) -> dict[str, Any]:
    """The state machines' part of the report; nothing where a command was left half applied or they cannot say."""
    if stop is not None and stop.leaves_doubt:
        return {}
    try:
        return venue.report()
    except Exception:
        if stop is None:
            raise
        log.info("replay.no_state_report", exc_info=True)
        return {}
