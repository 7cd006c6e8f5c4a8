"""How every follower begins: the newest good snapshot, then the journal behind it."""

import asyncio
from collections.abc import Mapping
from typing import Any

from consumers.kafka.follower import Follower
from consumers.kafka.inputs import InputLost
from consumers.kafka.journal_reader import JournalReader
from consumers.kafka.settings import ServiceConfig
from consumers.service.checkpoints import newest_checkpoint
from consumers.service.journal import JournalError
from consumers.service.publication import Publisher
from consumers.service.replica import Replica
from consumers.service.stream import Stream, open_stream
from consumers.snapshots.store import SnapshotStore
from schemas.config import ConfigError, config_hash, parse_config


async def begin_to_follow(
    given: Stream, settings: ServiceConfig, options: Mapping[str, Any], cluster: str, store: SnapshotStore, code: str
) -> Follower:
    """A follower of the stream `given`, which is at its genesis; connected, and with nothing of the journal applied.

    Without a snapshot it begins with the config in the journal, as the file may be of after a change. Raises
    BeyondTheJournal, JournalError, and InputLost where the journal's beginning is gone and no snapshot makes up for it.
    """
    reader = JournalReader(options, settings.kafka.topic_prefix, given.partition)
    journal = f"{cluster}/{reader.name}"
    first, end = await reader.connect()

    def publisher_of(stream: Stream) -> Publisher:
        return Publisher(stream.name, stream.partition_of, settings.service.headers)

    found = await asyncio.to_thread(newest_checkpoint, store, given.name, journal, first, end, publisher_of, code)
    if found is not None:
        reader.seek(found.offset)
        return Follower(found.replica, reader, journal, found.offset)
    if first:
        raise InputLost(
            f"{reader.name}: begins at offset {first}, as what came before is deleted, and no usable snapshot goes on "
            f"there or later in {settings.snapshots.url}: this stream cannot be recovered from what there is"
        )
    reader.seek(0)
    stream = await _at_genesis(reader, given)
    reader.seek(0)
    return Follower(Replica(stream, publisher_of(stream), code), reader, journal, 0)


async def _at_genesis(reader: JournalReader, given: Stream) -> Stream:
    """The stream as its journal says that it began, or as given where that is the same. Raises JournalError."""
    async for read in reader.to_end():
        text = read.record.header.genesis
        if text is None:
            raise JournalError(f"{read.where}: the genesis is missing")
        try:
            config = parse_config(text)
            return given if config_hash(config) == given.config_hash else open_stream(config, given.name)
        except ConfigError as error:
            raise JournalError(
                f"{read.where}: this code cannot use the config that the journal began with: {error}"
            ) from None
    return given
