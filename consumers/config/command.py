"""The command line of `backstop config`."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
from aiokafka.errors import KafkaError
from click.core import ParameterSource

from consumers.config.difference import Difference, compare_configs
from consumers.config.rollout import Failure, Target, roll_out
from consumers.config.shown import by_config, document, table, venue_document, venue_table
from consumers.config.venue import Venue, differences, partitions_missing, running_venue
from consumers.errors import UsageFailure
from consumers.kafka.duration import Duration
from consumers.kafka.inputs import InputLost
from consumers.kafka.options import kafka_options
from consumers.kafka.settings import TOPICS, ServiceConfig
from consumers.printable import display_name, printable
from consumers.service.journal import JournalError
from consumers.snapshots.errors import StoreFailure
from consumers.verify.evidence import Unusable
from engine.spec import compile_venue
from schemas.config import ConfigError, VenueConfig, load_config
from schemas.fields import INT64_MAX
from schemas.wire import RECORD_BYTES_MAX, encode_plain

_FOR_A_VENUE: Final = ("service", "kafka", "dry_run", "wait")
"""Options that say something of a running venue only."""


class _Duration(click.ParamType[Duration]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Duration:
        try:
            return value if isinstance(value, Duration) else Duration.parse(value)
        except ValueError as error:
            self.fail(printable(str(error)), param, ctx)


@click.group(short_help="Compare venue configs; bring a running venue, or a log, from one to the other.")
def config() -> None:
    """Compare venue configs, and bring a running venue, or a command log, from one to the other."""


@config.command(short_help="What a running venue, or a file, and another file differ in.")
@click.argument("files", metavar="[OLD] NEW", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@kafka_options
def diff(*, files: tuple[Path, ...], as_json: bool, settings: ServiceConfig) -> None:
    """List the settings in which two venue configs (TOML) differ, and say which of them cannot change.

    With NEW alone it is compared with what the streams of a running venue go by, as their journals in Kafka tell: what
    each began with, and its changes since. Exit code 0 when all say the same, 1 when they do not.
    """
    new = files[-1]
    wanted = _load(new)
    if _is_pair(files):
        found = [compare_configs(_load(files[0]), wanted)]
        click.echo(encode_plain(document(found[0])) if as_json else table(found[0]), nl=as_json)
    else:
        found = _run(_diff_venue(wanted, settings, as_json=as_json))
    _warn_of_order(found, new)
    if any(difference.changes for difference in found):
        click.get_current_context().exit(1)


@config.command(short_help="Bring a running venue to a file; or write the config.set between two files.")
@click.argument("files", metavar="[OLD] NEW", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say which stream would be told what.")
@click.option(
    "--wait", type=_Duration(), default="30s", show_default=True, help="How long settlements, then engines, may take."
)
@click.option(
    "--ts",
    type=click.IntRange(0, INT64_MAX),
    metavar="MICROSECONDS",
    help="With two files: the event time of the command, in µs since the epoch.",
)
@kafka_options
def apply(*, files: tuple[Path, ...], dry_run: bool, wait: Duration, ts: int | None, settings: ServiceConfig) -> None:
    """Make a running venue go by the venue config NEW: one config.set for each stream that does not yet.

    Settlements are told first, and engines once all settlements have answered. A second run finds nothing to do, or
    completes a first that was not answered. With two files nothing is sent: the config.set that makes the second of the
    first is written, as a line for a command log.

    What cannot change is named, with exit code 2, and nothing is sent. Exit code 1 where a stream does not go by it in
    the end.
    """
    new = files[-1]
    wanted = _load(new)
    if not _is_pair(files):
        if ts is not None:
            raise click.UsageError("--ts: expected with two files only; a running venue is told the time of sending")
        failures = _run(_apply_venue(wanted, new, settings, dry_run=dry_run, seconds=wait.seconds))
        for failure in failures:
            click.echo(f"Error: {printable(f'{failure.stream}: {failure.reason}')}", err=True)
        if failures:
            click.get_current_context().exit(1)
        return
    if ts is None:
        raise click.UsageError("with two files, expected --ts MICROSECONDS")
    difference = compare_configs(_load(files[0]), wanted)
    line = change_line(difference, ts)
    _warn_of_order([difference], new)
    if line is None:
        click.echo("Nothing differs.", err=True)
    else:
        click.echo(line)


def change_line(difference: Difference, ts: int) -> bytes | None:
    """The `config.set` of a difference; None where there is none. Raises UsageFailure for what cannot change."""
    if difference.patch is None:
        reasons = "; ".join(f"{setting}: {why}" for setting, why in difference.refused.items())
        raise UsageFailure(printable(reasons))
    if not difference.changes:
        return None
    line = encode_plain({"type": "config.set", "ts": ts, "changes": difference.patch})
    if len(line) > RECORD_BYTES_MAX:
        raise UsageFailure(f"the change is longer than a command may be, {RECORD_BYTES_MAX} bytes; make it in parts")
    return line


async def _diff_venue(wanted: VenueConfig, settings: ServiceConfig, *, as_json: bool) -> list[Difference]:
    async with running_venue(wanted, settings) as venue:
        found = differences(venue, wanted)
        missing = await partitions_missing(wanted, settings, ("journal", "admin"))
    click.echo(encode_plain(venue_document(venue, found)) if as_json else venue_table(venue, found), nl=as_json)
    if missing:
        click.echo(f"Warning: {missing}", err=True)
    return found


async def _apply_venue(
    wanted: VenueConfig, new: Path, settings: ServiceConfig, *, dry_run: bool, seconds: float
) -> list[Failure]:
    async with running_venue(wanted, settings) as venue:
        found = differences(venue, wanted)
        for difference in found:
            change_line(difference, _now())  # nothing is sent where a stream cannot be told
        if missing := await partitions_missing(wanted, settings, TOPICS):
            raise UsageFailure(missing)
        _warn_of_order(found, new)
        targets = [Target(stream, difference) for stream, difference in zip(venue.streams, found, strict=True)]
        if dry_run:
            _say_plan(venue, targets)
            return []
        failures = _not_begun(venue, new) or await roll_out(
            targets, lambda difference: change_line(difference, _now()), seconds, click.echo
        )
        if failures:
            if all(failure.stream.startswith("settlement:") for failure in failures):
                click.echo("No engine was told.", err=True)
            return failures
        if all(target.is_reached for target in targets):
            click.echo("Every stream goes by it already.", err=True)
        for name in venue.not_begun:
            click.echo(f"Note: {name} has not begun: start it with {display_name(new)}", err=True)
        return []


def _not_begun(venue: Venue, new: Path) -> list[Failure]:
    """Settlements that running engines ask, and that could yet begin with the file from before."""
    known = {f"settlement:{asset}" for stream in venue.streams for asset in stream.ahead.assets}
    return [
        Failure(name, f"has not begun, and has to go by it before engines do: start it with {display_name(new)}")
        for name in venue.not_begun
        if name in known
    ]


def _say_plan(venue: Venue, targets: Sequence[Target]) -> None:
    for names, difference in by_config(venue, [target.difference for target in targets]):
        click.echo(f"{', '.join(names)}:")
        click.echo(change_line(difference, _now()))
    for stream, difference in targets:
        if stream.waiting and not difference.changes:
            click.echo(f"{stream.name}: would be waited for; it has not read the change yet")
    if all(target.is_reached for target in targets):
        click.echo("Every stream goes by it already.", err=True)


def _run(work: Any) -> Any:
    try:
        return asyncio.run(work)
    except (Unusable, JournalError, InputLost, StoreFailure) as error:
        raise UsageFailure(printable(str(error))) from None
    except KafkaError as error:
        raise UsageFailure(printable(f"Kafka refused: {error}")) from None


def _now() -> int:
    return time.time_ns() // 1_000


def _is_pair(files: tuple[Path, ...]) -> bool:
    if len(files) > 2:
        raise click.UsageError(f"expected one file or two, got {len(files)}")
    context = click.get_current_context()
    if len(files) == 2:
        for name in _FOR_A_VENUE:
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                raise click.UsageError(f"--{name.replace('_', '-')}: expected with one file only, for a running venue")
    return len(files) == 2


def _load(path: Path) -> VenueConfig:
    try:
        loaded = load_config(path)
    except ConfigError as error:
        raise UsageFailure(printable(str(error))) from None
    try:
        compile_venue(loaded)
    except ConfigError as error:
        raise UsageFailure(f"{display_name(path)}: {printable(str(error))}") from None
    return loaded


def _warn_of_order(found: Sequence[Difference], new: Path) -> None:
    if any(difference.is_reordered for difference in found):
        click.echo(
            f"Note: the tables of {display_name(new)} stand in another order; theirs stays, and new ones come last.",
            err=True,
        )
