"""The command line of `backstop config`."""

from pathlib import Path
from typing import Any

import click
from msgspec import UNSET, UnsetType

from consumers.config.difference import Difference, compare_configs
from consumers.errors import UsageFailure
from consumers.printable import display_name, printable
from engine.spec import compile_venue
from schemas.config import ConfigError, VenueConfig, load_config
from schemas.fields import INT64_MAX
from schemas.wire import RECORD_BYTES_MAX, encode_plain

_DEFAULT = "(default)"


@click.group(short_help="Compare venue configs; write the change from one to the other.")
def config() -> None:
    """Compare venue configs, and write the config.set that makes one of the other."""


@config.command(short_help="What two venue configs differ in.")
@click.argument("old", metavar="OLD", type=click.Path(path_type=Path))
@click.argument("new", metavar="NEW", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def diff(*, old: Path, new: Path, as_json: bool) -> None:
    """List the settings in which two venue configs (TOML) differ, and say which of them cannot change.

    Exit code 0 when they say the same, 1 when they do not.
    """
    difference = compare_configs(_load(old), _load(new))
    click.echo(encode_plain(_document(difference)) if as_json else _table(difference), nl=as_json)
    _warn_of_order(difference, new)
    if difference.changes:
        click.get_current_context().exit(1)


@config.command(short_help="The config.set that makes one venue config of another.")
@click.argument("old", metavar="OLD", type=click.Path(path_type=Path))
@click.argument("new", metavar="NEW", type=click.Path(path_type=Path))
@click.option(
    "--ts",
    type=click.IntRange(0, INT64_MAX),
    required=True,
    metavar="MICROSECONDS",
    help="The event time of the command, in µs since the epoch.",
)
def apply(*, old: Path, new: Path, ts: int) -> None:
    """Write the config.set that makes the second venue config of the first, as a line for a command log.

    Nothing is written where they say the same. What cannot change is named, with exit code 2.
    """
    difference = compare_configs(_load(old), _load(new))
    line = change_line(difference, ts)
    _warn_of_order(difference, new)
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


def _warn_of_order(difference: Difference, new: Path) -> None:
    if difference.is_reordered:
        click.echo(
            f"Note: the tables of {display_name(new)} stand in another order; theirs stays, and new ones come last.",
            err=True,
        )


def _document(difference: Difference) -> dict[str, Any]:
    changes = []
    for change in difference.changes:
        values = {"old": change.old, "new": change.new}
        changes.append({"setting": change.setting} | {k: v for k, v in values.items() if v is not UNSET})
    return {
        "before": difference.before,
        "after": difference.after,
        "changes": changes,
        "refused": [{"setting": setting, "reason": why} for setting, why in difference.refused.items()],
        "patch": difference.patch,
    }


def _table(difference: Difference) -> str:
    """Aligned columns, as wide as they need to be: lists of tiers are long, and cutting them would hide a change."""
    if not difference.changes:
        return ""
    rows = [("setting", "old", "new")]
    rows.extend((change.setting, _shown(change.old), _shown(change.new)) for change in difference.changes)
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"{setting:<{widths[0]}}  {old:<{widths[1]}}  {new}".rstrip() for setting, old, new in rows]
    lines.extend(f"{setting}: {why}" for setting, why in difference.refused.items())
    return "".join(f"{printable(line)}\n" for line in lines)


def _shown(value: str | UnsetType) -> str:
    return _DEFAULT if value is UNSET else value
