"""The command line of `backstop send`."""

import asyncio
import re
import time
from pathlib import Path
from typing import Final

import click
import uvloop
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from consumers.command_log import CommandLog, Line
from consumers.errors import UsageFailure
from consumers.kafka.connection import client_options, reachable
from consumers.kafka.options import kafka_options
from consumers.kafka.settings import ServiceConfig
from consumers.printable import display_name, printable
from consumers.progress import InputProgress
from consumers.send.routes import NoRoute, Routes
from engine.spec import compile_venue
from schemas.config import ConfigError, load_config
from schemas.wire import WireError, decode_command

_TS: Final = re.compile(rb'("ts"\s*:\s*)\d+')
_TOPICS: Final = ("orders", "mark-prices", "accounts", "fund-admin", "admin")
_SECONDS: Final = 60.0


@click.command(short_help="Produce the commands of a log to a venue's topics.")
@click.argument("logs", metavar="LOG...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--config", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The venue, in TOML.")
@click.option("--now", is_flag=True, help="Stamp each command with the time of sending instead of its own ts.")
@click.option("--rate", type=click.FloatRange(min=0.1), metavar="N", help="Commands per second; as fast as it goes.")
@kafka_options
def send(*, logs: tuple[Path, ...], config: Path, now: bool, rate: float | None, settings: ServiceConfig) -> None:
    """Produce the commands of logs (JSON lines, plain, gzip or Zstandard) to the topics and partitions of a venue.

    Event time never goes back, and running services let it pass: give old logs --now, or run the services with
    clock_ticks = false. Stops at the first line that is no command or is about nothing of the venue (exit code 2); what
    was before it is sent.
    """
    commands = CommandLog(logs)
    try:
        venue = load_config(config)
        compile_venue(venue)
    except ConfigError as error:
        raise UsageFailure(printable(str(error))) from None
    with InputProgress(commands.bytes_total, "sending", "commands", with_rate=True) as progress:
        count = uvloop.run(_send(commands, Routes(venue), settings, progress, stamp=now, rate=rate))
    click.echo(f"{count:,} commands sent")


async def _send(
    commands: CommandLog,
    routes: Routes,
    settings: ServiceConfig,
    progress: InputProgress,
    *,
    stamp: bool,
    rate: float | None,
) -> int:
    await reachable(settings, _TOPICS)
    producer = AIOKafkaProducer(
        **client_options(settings), acks="all", enable_idempotence=True, linger_ms=5, compression_type="zstd"
    )
    await producer.start()
    began, count = time.monotonic(), 0
    try:
        while batch := await asyncio.to_thread(commands.poll):
            deliveries = []
            for line in batch:
                topic, partitions, raw = _route(line, routes, stamp=stamp)
                deliveries += [
                    await producer.send(settings.kafka.topic_prefix + topic, raw, partition=partition)
                    for partition in partitions
                ]
                count += 1
                if rate is not None:
                    await asyncio.sleep(max(0.0, count / rate - (time.monotonic() - began)))
            async with asyncio.timeout(_SECONDS):
                await asyncio.gather(*deliveries)
            progress.advance(commands.bytes_read, count)
    except TimeoutError:
        raise UsageFailure(f"no answer from the broker within {_SECONDS:g} s, after about {count:,} commands") from None
    except KafkaError as error:
        raise UsageFailure(f"after about {count:,} commands: {error}") from None
    finally:
        await producer.stop()
    return count


def _route(line: Line, routes: Routes, *, stamp: bool) -> tuple[str, list[int], bytes]:
    raw = _TS.sub(rb"\g<1>%d" % (time.time_ns() // 1_000), line.raw, count=1) if stamp else line.raw
    try:
        command = decode_command(raw)
        return command.topic, routes.partitions(command), raw
    except (WireError, NoRoute) as error:
        raise UsageFailure(printable(f"{display_name(Path(line.source))}:{line.number}: {error}")) from None
