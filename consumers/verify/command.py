"""The command line of `backstop verify`."""

from pathlib import Path

import click
import msgspec
import orjson
import uvloop

from consumers.errors import UsageFailure
from consumers.kafka.committed import PATIENCE_SECONDS, CommittedTopics, KafkaEvidence
from consumers.kafka.connection import client_options, reachable
from consumers.kafka.options import kafka_options
from consumers.kafka.settings import ServiceConfig
from consumers.printable import printable
from consumers.service.journal import JournalError
from consumers.verify.evidence import Unusable
from consumers.verify.files import JournalFiles
from consumers.verify.run import verify as prove
from consumers.verify.summary import print_verdict
from consumers.verify.verdict import Verdict
from consumers.version import version
from schemas.config import ConfigError, VenueConfig, load_config


@click.command(short_help="Prove that events, inputs and money follow from the journals.")
@click.argument("journals", metavar="[JOURNAL...]", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The venue the journals must have begun with; they hold their own.",
)
@click.option("--json", "as_json", is_flag=True, help="Say what was found as one JSON document.")
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=PATIENCE_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the end of transactions that are under way.",
)
@kafka_options
def verify(
    *, journals: tuple[Path, ...], config: Path | None, as_json: bool, patience: float, settings: ServiceConfig
) -> None:
    """Replay the journals of all streams and compare with what stands in the topics.

    The events of each stream must be those that its journal causes, byte for byte, in order, with none missing and none
    more. Every record of the input topics must have been journalled, buried as a dead letter or be of no concern, once.
    Claims and decisions must have arrived as they were sent, and the money of all machines must add up.

    With JOURNAL files (of `backstop export`) Kafka is left alone: the journals are compared with themselves and with
    each other.

    Exit code 0: all of it holds. 1: it does not; the first differences are told. 2: it cannot be told.
    """
    venue = None if config is None else _load(config)
    try:
        if journals:
            verdict = uvloop.run(prove(JournalFiles(journals), headers="type", code=version(), config=venue))
        else:
            verdict = uvloop.run(_verify_topics(settings, venue, patience))
    except (Unusable, JournalError) as error:
        raise UsageFailure(printable(str(error))) from None
    if as_json:
        document = {"holds": verdict.holds, **msgspec.to_builtins(verdict)}
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    else:
        print_verdict(verdict)
    if not verdict.holds:
        click.get_current_context().exit(1)


async def _verify_topics(settings: ServiceConfig, venue: VenueConfig | None, patience: float) -> Verdict:
    await reachable(settings, ("journal",))
    async with CommittedTopics(client_options(settings), settings.kafka.topic_prefix, patience=patience) as topics:
        return await prove(KafkaEvidence(topics), headers=settings.service.headers, code=version(), config=venue)


def _load(path: Path) -> VenueConfig:
    try:
        return load_config(path)
    except ConfigError as error:
        raise UsageFailure(printable(str(error))) from None
