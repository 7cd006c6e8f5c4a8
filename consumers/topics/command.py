"""The command line of `backstop topics`."""

import asyncio
import sys
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

from consumers.errors import UsageFailure
from consumers.kafka.options import kafka_options
from consumers.kafka.settings import ServiceConfig
from consumers.kafka.topics import CATALOGUE, partition_count, topic_settings
from consumers.topics.cluster import arrange
from consumers.topics.plan import Step, Wanted
from engine.spec import compile_venue
from schemas.config import ConfigError, load_config


@click.command(short_help="Create the topics of a venue in Kafka, or bring them up to date.")
@click.option(
    "--config", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The venue config, as TOML."
)
@kafka_options
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def topics(*, config: Path, settings: ServiceConfig, dry_run: bool) -> None:
    """Create every topic of a venue that is missing, add missing partitions, change settings that differ.

    Can be repeated: where all is as it should be, nothing is done. Settings of a topic that we say nothing of stay.
    Replication, retention and the prefix of the names come from the service config. What Kafka cannot do (fewer
    partitions, another replication factor) is refused before anything is done, with exit code 2.
    """
    try:
        venue = load_config(config)
        compile_venue(venue)
    except ConfigError as error:
        raise UsageFailure(str(error)) from None
    count = partition_count(venue)
    wanted = [
        Wanted(
            settings.kafka.topic_prefix + topic.name,
            count,
            settings.topics.replication,
            topic_settings(topic, settings),
        )
        for topic in CATALOGUE
    ]
    steps = asyncio.run(arrange(settings, wanted, dry_run=dry_run))
    _print(steps, dry_run=dry_run)


def _print(steps: list[Step], *, dry_run: bool) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("topic")
    table.add_column("partitions", justify="right")
    table.add_column("replicas", justify="right")
    table.add_column("would be done" if dry_run else "done")
    for step in steps:
        topic = step.wanted
        table.add_row(topic.name, str(topic.partitions), str(topic.replication), str(step))
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    with console.capture() as capture:
        console.print(table)
    click.echo(capture.get(), nl=False)
