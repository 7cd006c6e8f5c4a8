"""The command line of `backstop snapshot`."""

import asyncio
from pathlib import Path

import click
import uvloop

from consumers import diagnostics
from consumers.errors import UsageFailure
from consumers.kafka.connection import client_options, reachable
from consumers.kafka.inputs import InputLost
from consumers.kafka.options import kafka_options
from consumers.kafka.recovery import begin_to_follow
from consumers.kafka.settings import ServiceConfig
from consumers.kafka.start import open_config
from consumers.service.checkpoints import BeyondTheJournal, header_of
from consumers.service.exits import Exit
from consumers.service.journal import JournalError
from consumers.service.stream import Stream
from consumers.snapshots.errors import StoreFailure
from consumers.snapshots.store import SnapshotStore
from consumers.version import version


@click.command(short_help="Keep the state of a stream at its journal's end.")
@click.option("--shard", metavar="NAME", help="The stream of this shard's engine.")
@click.option("--asset", metavar="NAME", help="The stream of this asset's settlement.")
@click.option("--config", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The venue.")
@kafka_options
def snapshot(*, shard: str | None, asset: str | None, config: Path, settings: ServiceConfig) -> None:
    """Load the newest snapshot of a stream, apply the journal behind it, and keep a snapshot of that.

    It only reads from Kafka, so it can run beside a leader. Before new code takes over from old code that published
    other events, stop the leader and run this with the old code. Exit code 1 where the journal does not follow, or
    nothing can be kept.
    """
    diagnostics.serve(verbose=bool(click.get_current_context().find_root().params.get("verbose")))
    if (shard is None) == (asset is None):
        raise UsageFailure("expected one of --shard and --asset")
    _, stream = open_config(config, f"engine:{shard}" if shard is not None else f"settlement:{asset}")
    try:
        click.echo(uvloop.run(_make(stream, settings)))
    except (JournalError, InputLost, BeyondTheJournal, StoreFailure) as error:
        click.echo(f"Error: {error}", err=True)
        click.get_current_context().exit(Exit.FAILED)


async def _make(stream: Stream, settings: ServiceConfig) -> str:
    """Follow the journal to its end and keep what comes of it; what to say about it."""
    prefix = settings.kafka.topic_prefix
    cluster = await reachable(settings, ("journal",))
    cluster.check(f"{prefix}journal", stream.partition)
    store = SnapshotStore(settings.snapshots.url, settings.snapshots.keep)
    follower = await begin_to_follow(stream, settings, client_options(settings), cluster.id, store, version())
    await follower.catch_up()
    await follower.reader.stop()
    replica = follower.replica
    if not replica.has_begun:
        raise UsageFailure(f"{stream.name} has never run: its journal is empty")
    header = header_of(replica, follower.journal, follower.next_offset, follower.epoch)
    name = await asyncio.to_thread(store.write, header, replica.machine)
    return f"{name.file}: {stream.name} at input {replica.applied:,}, {follower.records:,} journal records applied"
