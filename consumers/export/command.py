"""The command line of `backstop export`."""

from pathlib import Path

import click
import msgspec
import orjson
import uvloop

from consumers.errors import UsageFailure
from consumers.export.journal_topic import Exported, Range, export_journal
from consumers.kafka.committed import CommittedTopics
from consumers.kafka.connection import client_options, reachable
from consumers.kafka.options import kafka_options
from consumers.kafka.settings import ServiceConfig
from consumers.printable import display_name, printable
from consumers.service.journal import JournalError
from consumers.verify.evidence import Unusable

_NUMBER = click.IntRange(min=1)


@click.command(short_help="Copy a stream's journal from Kafka to a file that replays.")
@click.option("--stream", metavar="NAME", help="As the journal names it: engine:SHARD or settlement:ASSET.")
@click.option("--shard", metavar="NAME", help="The engine of this shard.")
@click.option("--asset", metavar="NAME", help="The settlement of this asset.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to write it; a name that ends in .zst or .gz is compressed.",
)
@click.option("--from-number", type=_NUMBER, metavar="N", help="Begin with the record that has input N.")
@click.option("--to-number", type=_NUMBER, metavar="N", help="End with the record that has input N.")
@click.option("--from-offset", type=click.IntRange(min=0), metavar="N", help="Begin reading at this offset.")
@click.option("--partial", is_flag=True, help="Export what is left of a journal whose beginning is deleted.")
@click.option("--overwrite", is_flag=True, help="Replace FILE if it is there.")
@click.option("--json", "as_json", is_flag=True, help="Say what was exported as one JSON document.")
@kafka_options
def export(
    *,
    stream: str | None,
    shard: str | None,
    asset: str | None,
    out: Path,
    from_number: int | None,
    to_number: int | None,
    from_offset: int | None,
    partial: bool,
    overwrite: bool,
    as_json: bool,
    settings: ServiceConfig,
) -> None:
    """Copy the journal of one stream, as far as it is committed now, to FILE.

    `backstop replay FILE` applies it to that stream's machine alone, with the config it holds. FILE has its name only
    once it is whole. Records are not cut: a range begins and ends with whole ones. Several files in their order are one
    journal, so each export can begin where the last one ended.
    """
    name = _stream(stream, shard, asset)
    if from_number is not None and to_number is not None and from_number > to_number:
        raise click.UsageError("--from-number: expected at most --to-number")
    if out.exists() and not overwrite:
        raise UsageFailure(f"{display_name(out)}: is there already; choose another name, or --overwrite")
    wanted = Range(from_number, to_number, from_offset)
    try:
        exported = uvloop.run(_export(settings, name, wanted, out, partial=partial))
    except (Unusable, JournalError) as error:
        raise UsageFailure(printable(str(error))) from None
    if as_json:
        click.echo(orjson.dumps(msgspec.to_builtins(exported), option=orjson.OPT_INDENT_2))
    else:
        _say(exported, out)


def _stream(stream: str | None, shard: str | None, asset: str | None) -> str:
    named = [
        name
        for name in (stream, f"engine:{shard}" if shard else None, f"settlement:{asset}" if asset else None)
        if name is not None
    ]
    if len(named) != 1:
        raise click.UsageError("expected one of --stream, --shard and --asset")
    return named[0]


async def _export(settings: ServiceConfig, stream: str, wanted: Range, out: Path, *, partial: bool) -> Exported:
    await reachable(settings, ("journal",))
    async with CommittedTopics(client_options(settings), settings.kafka.topic_prefix) as topics:
        return await export_journal(topics, stream, wanted, out, partial=partial)


def _say(exported: Exported, out: Path) -> None:
    begins = "from its genesis" if exported.from_genesis else "from the middle"
    click.echo(
        f"{exported.stream}: inputs {exported.first} to {exported.last} ({exported.inputs:,}), {begins}, "
        f"in {exported.records:,} records"
    )
    click.echo(f"chain   {exported.chain}")
    click.echo(f"sha256  {exported.sha256}  {display_name(out)} ({exported.bytes:,} bytes)")
    click.echo(f"next    --from-number {exported.last + 1} --from-offset {exported.next_offset}")
