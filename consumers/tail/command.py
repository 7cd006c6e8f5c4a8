"""The command line of `backstop tail`."""

import asyncio
import contextlib
import signal
import sys

import click
import uvloop
from aiokafka import TopicPartition

from consumers.errors import UsageFailure
from consumers.kafka.connection import client_options, reachable
from consumers.kafka.inputs import open_consumer
from consumers.kafka.options import kafka_options
from consumers.kafka.settings import TOPICS, ServiceConfig


@click.command(short_help="Print the records of topics, and those that come.")
@click.argument("topics", metavar="TOPIC...", nargs=-1, required=True, type=click.Choice(TOPICS))
@click.option("--from-beginning", is_flag=True, help="Also what is there already.")
@click.option("--once", is_flag=True, help="End at what is the end now, instead of waiting for more.")
@kafka_options
def tail(*, topics: tuple[str, ...], from_beginning: bool, once: bool, settings: ServiceConfig) -> None:
    """Print what is committed on topics, one record per line, until interrupted."""
    if once and not from_beginning:
        raise UsageFailure("--once without --from-beginning prints nothing: give both")
    with contextlib.suppress(BrokenPipeError):
        uvloop.run(_tail(topics, settings, from_beginning=from_beginning, once=once))


async def _tail(topics: tuple[str, ...], settings: ServiceConfig, *, from_beginning: bool, once: bool) -> None:
    cluster = await reachable(settings, topics)
    places = [
        TopicPartition(settings.kafka.topic_prefix + topic, partition)
        for topic in topics
        for partition in range(cluster.partitions[settings.kafka.topic_prefix + topic])
    ]
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    consumer = open_consumer(client_options(settings), wait_ms=500)
    await consumer.start()
    try:
        consumer.assign(places)
        first, end = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        for place in places:
            consumer.seek(place, (first if from_beginning else end)[place])
        left = set(places)
        while not stopped.is_set() and (left or not once):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    if not once or record.offset < end[TopicPartition(record.topic, record.partition)]:
                        sys.stdout.buffer.write((record.value or b"").rstrip(b"\n") + b"\n")
            sys.stdout.flush()
            for place in [place for place in left if await consumer.position(place) >= end[place]]:
                left.remove(place)
    finally:
        await consumer.stop()
