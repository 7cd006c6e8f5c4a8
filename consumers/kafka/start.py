"""What `backstop engine` and `backstop settlement` have in common: their options, and how a service is put together."""

import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click
import structlog
import uvloop

from consumers import diagnostics
from consumers.errors import UsageFailure
from consumers.kafka.options import kafka_options
from consumers.kafka.service import Launch, Service
from consumers.kafka.settings import ServiceConfig
from consumers.observability.http import HttpServer
from consumers.observability.watch import Watch
from consumers.printable import display_name, printable
from consumers.service.stream import Stream, open_stream
from consumers.snapshots.errors import StoreFailure
from consumers.snapshots.store import SnapshotStore
from consumers.version import version
from schemas.config import ConfigError, parse_config

log = structlog.get_logger()


def service_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a service, in the order in which --help shows them."""
    for option in (
        click.option(
            "--quarantine",
            multiple=True,
            metavar="TOPIC:PARTITION:OFFSET",
            help="Make this record a dead letter without looking at it, as the state machine cannot digest it.",
        ),
        click.option(
            "--instance",
            envvar="BACKSTOP_INSTANCE",
            default=socket.gethostname,
            show_default="the host's name",
            show_envvar=True,
            metavar="NAME",
            help="What this instance is called in the journal. Two on one host need two names.",
        ),
        click.option("--takeover", is_flag=True, help="Replace an instance that is alive."),
        click.option("--standby", is_flag=True, help="Follow the journal, and lead when the leader falls silent."),
        kafka_options,
        click.option("--config", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The venue."),
    ):
        command = option(command)
    return command


def run_service(
    name: str,
    *,
    config: Path,
    settings: ServiceConfig,
    standby: bool,
    takeover: bool,
    instance: str,
    quarantine: tuple[str, ...],
) -> int:
    """Run the service of a stream until it ends; its exit code. Raises UsageFailure."""
    diagnostics.serve(verbose=bool(click.get_current_context().find_root().params.get("verbose")))
    if standby and takeover:
        raise UsageFailure("--standby waits for a leader to fall silent, --takeover does not: expected one of them")
    text, stream = open_config(config, name)
    launch = Launch(
        instance=instance,
        code=version(),
        config_text=text,
        standby=standby,
        takeover=takeover,
        quarantined=frozenset(_place(stream, given) for given in quarantine),
    )

    try:
        store = SnapshotStore(settings.snapshots.url, settings.snapshots.keep)
    except StoreFailure as failure:
        raise UsageFailure(f"snapshots.url: {failure}") from None

    async def serve() -> int:
        watch = Watch(stream, instance=instance, code=launch.code)
        async with AsyncExitStack() as stack:
            if settings.service.http is not None:
                server = await stack.enter_async_context(HttpServer(settings.service.http, watch))
                log.info("http", stream=name, address=server.address)
            return await Service(stream, settings, store, launch, watch).run()

    return uvloop.run(serve())


def open_config(path: Path, name: str) -> tuple[str, Stream]:
    """The text of a venue config and a stream of it. Raises UsageFailure."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageFailure(f"{display_name(path)}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageFailure(f"{display_name(path)}: expected UTF-8 text") from None
    try:
        return text, open_stream(parse_config(text), name)
    except ConfigError as error:
        raise UsageFailure(printable(f"{display_name(path)}: {error}")) from None


def _place(stream: Stream, given: str) -> str:
    """Where a quarantined record stands, as an arrival names it."""
    topic, _, rest = given.partition(":")
    partition, _, offset = rest.partition(":")
    outside = [source for source in stream.inputs if source.source == "outside"]
    if not (partition.isdecimal() and offset.isdecimal()):
        raise UsageFailure(f"--quarantine {given}: expected TOPIC:PARTITION:OFFSET")
    if (topic, int(partition)) not in [(source.topic, source.partition) for source in outside]:
        known = ", ".join(f"{source.topic}:{source.partition}" for source in outside)
        raise UsageFailure(
            f"--quarantine {given}: {stream.name} has no such input from outside; expected one of {known}. A claim or "
            "decision cannot be left out: what follows would not be accepted without it"
        )
    return f"{topic}/{int(partition)}/{int(offset)}"
