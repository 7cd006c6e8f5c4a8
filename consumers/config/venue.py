"""The streams of a running venue beside the config file that it is to go by."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from consumers.config.difference import Difference, compare_configs
from consumers.errors import UsageFailure
from consumers.kafka.committed import CommittedTopics
from consumers.kafka.connection import client_options, reachable
from consumers.kafka.running import RunningStream
from consumers.kafka.settings import ServiceConfig
from consumers.kafka.topics import partition_count
from consumers.printable import printable
from consumers.service.stream import stream_names
from consumers.snapshots.store import SnapshotStore
from schemas.config import VenueConfig


class Venue(NamedTuple):
    """What runs, settlements first, and which streams of the file have not begun yet."""

    streams: list[RunningStream]
    not_begun: list[str]


@asynccontextmanager
async def running_venue(wanted: VenueConfig, settings: ServiceConfig) -> AsyncIterator[Venue]:
    """All streams that have a journal, read to the end.

    Raises UsageFailure, Unusable, JournalError, InputLost, and StoreFailure where snapshots cannot be asked for at all.
    """
    store = SnapshotStore(settings.snapshots.url)
    cluster = (await reachable(settings, ("journal", "admin", "executions"))).id
    options, prefix = client_options(settings), settings.kafka.topic_prefix
    async with AsyncExitStack() as open_streams:
        streams: list[RunningStream] = []
        for name, partition in sorted((await _journals(settings)).items(), key=_settlements_first):
            stream = RunningStream(options, cluster, prefix, name, partition)
            open_streams.push_async_callback(stream.stop)
            streams.append(stream)
        begun = {stream.name for stream in streams}
        venue = Venue(streams, [name for name in stream_names(wanted) if name not in begun])
        if not begun:
            raise UsageFailure(
                f"there is no journal on {prefix}journal: nothing has begun, and each stream begins with the file that "
                "it is started with"
            )
        await _read(streams, store)
        yield venue


async def partitions_missing(wanted: VenueConfig, settings: ServiceConfig, topics: tuple[str, ...]) -> str:
    """Which topic has too few partitions for a config, and what to do about it; empty where none has."""
    count = partition_count(wanted)
    for topic, there in (await reachable(settings, topics)).partitions.items():
        if there < count:
            return (
                f"topic {topic} has {there} partitions, and this config needs {count}; 'backstop topics' with it "
                "first adds them"
            )
    return ""


def differences(venue: Venue, wanted: VenueConfig) -> list[Difference]:
    """What each stream's config, once it has read what waits for it, and the file differ in."""
    return [compare_configs(stream.ahead, wanted) for stream in venue.streams]


def _settlements_first(named: tuple[str, int]) -> tuple[bool, int]:
    name, partition = named
    return not name.startswith("settlement:"), partition


async def _journals(settings: ServiceConfig) -> dict[str, int]:
    found: dict[str, int] = {}
    async with CommittedTopics(client_options(settings), settings.kafka.topic_prefix) as topics:
        for number, header in (await topics.journals()).items():
            if header.stream in found:
                raise UsageFailure(f"{header.stream} has journals in partitions {found[header.stream]} and {number}")
            found[header.stream] = number
    return found


async def _read(streams: list[RunningStream], store: SnapshotStore) -> None:
    """Read all journals to their ends, with a bar where somebody is looking."""
    bar = Progress(
        TextColumn("reading journals"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("records"),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        disable=sys.stderr is None or not sys.stderr.isatty(),
        transient=True,
    )

    def warn(reason: str) -> None:
        click.echo(f"Warning: {printable(reason)}", err=True)

    ranges = await asyncio.gather(*(stream.start(store, warn) for stream in streams))
    task = bar.add_task("", total=sum(end - begin for begin, end in ranges))
    read = [0] * len(streams)

    def progress(index: int, offset: int) -> None:
        read[index] = offset + 1 - ranges[index][0]
        bar.update(task, completed=sum(read))

    with bar:
        await asyncio.gather(
            *(stream.refresh(lambda offset, i=index: progress(i, offset)) for index, stream in enumerate(streams))  # type: ignore[misc]
        )
