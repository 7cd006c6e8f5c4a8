"""The command line of `backstop replay`: puts the run together, and says how it went."""

from pathlib import Path
from typing import Any, NamedTuple

import click
import structlog
import uvloop

from consumers.command_log import CommandLog, Line
from consumers.dashboard import Dashboard
from consumers.errors import UsageFailure
from consumers.printable import display_name, printable
from consumers.progress import InputProgress
from consumers.replay.commands import CommandFeed
from consumers.replay.feed import Feed, Machines
from consumers.replay.journal import JournalFeed, open_journal
from consumers.replay.machine import alone
from consumers.replay.outcome import Stop
from consumers.replay.outputs import Outputs
from consumers.replay.report import build_report, encode_report
from consumers.replay.run import Replay
from consumers.replay.summary import print_summary
from consumers.replay.tally import Tally
from consumers.service.journal import is_journal
from consumers.version import version
from engine.venue import Venue
from schemas.config import ConfigError, VenueConfig, load_config

log = structlog.get_logger()


@click.command(short_help="Replay command logs or a journal: events, who paid, and a report.")
@click.argument("logs", metavar="LOG...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The venue, in TOML. A journal holds the config it began with: one given is compared with it.",
)
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
    *, logs: tuple[Path, ...], config: Path | None, out: Path, strict: bool, check_every: int | None, html: bool
) -> None:
    """Replay command logs or the journal of a stream: JSON lines, plain, gzip or Zstandard, one after the other.

    A command log is applied to the whole venue; a line that is no command becomes a dead letter and the run goes on. A
    journal is applied to the one machine whose it is, and has to cause the very events that it caused then.

    Writes events.jsonl, dead-letters.jsonl and report.json to DIR. A run that stops early says so with its exit code
    and with "complete": false in report.json; a killed one leaves no report.json. The same inputs, config and flags
    give the same files, byte for byte.
    """
    lines = CommandLog(logs)
    first = lines.peek()
    if first is not None and is_journal(first.raw):
        if html:
            raise UsageFailure("--html shows a whole venue, and a journal holds one stream of it: leave --html out")
        course = _journal(lines, first, config)
    else:
        course = _commands(lines, config)
    outputs = Outputs(out, logs if config is None else (*logs, config))
    tally = Tally()
    dashboard = Dashboard(course.settings) if html else None
    with InputProgress(lines.bytes_total, "replaying", "commands", with_rate=True) as progress:
        run = Replay(
            course.feed,
            course.machines,
            outputs,
            tally,
            progress,
            strict=strict,
            check_every=check_every,
            observer=dashboard,
        )
        log.info("replay.started", logs=[display_name(path) for path in logs], out=display_name(out))
        stop = uvloop.run(run.run())
    report = build_report(
        source=course.feed.describe(),
        state=_what_they_say(course.machines, stop),
        tally=tally,
        files=lines.files,
        events_sha256=outputs.events_sha256,
        stop=stop,
    )
    page = None if dashboard is None else dashboard.render(report, tally)
    outputs.finish(encode_report(report), page)
    log.info("replay.ended", stopped=None if stop is None else stop.code, seconds=progress.seconds)
    print_summary(report, tally, course.machines.config, outputs, seconds=progress.seconds, html=html)
    if stop is None and not tally.commands and lines.bytes_read and not course.is_journal:
        click.echo("Warning: no line of the log was a command; is it a command log?", err=True)
    if stop is not None:
        click.echo(f"Error: {printable(stop.reason)}", err=True)
        click.get_current_context().exit(stop.exit_code)


class _Course(NamedTuple):
    """What a run goes over: its config, its machines, and what is fed to them."""

    settings: VenueConfig
    machines: Machines
    feed: Feed
    is_journal: bool


def _journal(lines: CommandLog, first: Line, config: Path | None) -> _Course:
    settings, stream = open_journal(first, None if config is None else _load(config))
    return _Course(settings, alone(stream.machine), JournalFeed(lines, stream, version()), is_journal=True)


def _commands(lines: CommandLog, config: Path | None) -> _Course:
    if config is None:
        raise click.UsageError("Missing option '--config': only a journal holds the config it began with")
    settings = _load(config)
    try:
        venue = Venue(settings)
    except ConfigError as error:
        raise _unusable(f"{display_name(config)}: {error}") from None
    return _Course(settings, venue, CommandFeed(lines, venue), is_journal=False)


def _load(path: Path) -> VenueConfig:
    try:
        return load_config(path)
    except ConfigError as error:
        raise _unusable(error) from None


def _unusable(reason: object) -> UsageFailure:
    return UsageFailure(printable(str(reason)))


def _what_they_say(machines: Machines, stop: Stop | None) -> dict[str, Any]:
    """The state machines' part of the report; nothing where an input was left half applied or they cannot say."""
    if stop is not None and stop.leaves_doubt:
        return {}
    try:
        return machines.report()
    except Exception:
        if stop is None:
            raise
        log.info("replay.no_state_report", exc_info=True)
        return {}
