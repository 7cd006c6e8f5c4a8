"""Each service can do what it needs with the rights that docs/kafka.md lists, and nothing else."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from click.testing import CliRunner

from consumers.cli import main
from consumers.kafka.connection import KafkaUnreachable, client_options, reachable
from consumers.kafka.output import Output
from consumers.kafka.settings import TOPICS, ServiceConfig, load_settings
from consumers.service.publication import Outgoing
from consumers.service.stream import WRITTEN, Stream, open_stream
from schemas.config import parse_config
from tests.kafka.acls import grant, read_commands
from tests.kafka.broker import Access, Broker
from tests.kafka.test_topics import VENUE
from tests.service.streams import replica, sequencer

PAGE = (Path(__file__).parents[2] / "docs" / "kafka.md").read_text("utf-8")
WORD = "correct-horse-battery"
USERS = ("engine", "settlement", "operator", "topics", "nobody")


Login = Callable[[str], Path]


def _venue(make_broker: Callable[..., Broker], folder: Path) -> Login:
    """The service config of each user on a broker with the rights of the page, and topics made by `topics`."""
    broker = make_broker(access=Access(listeners=("SASL_PLAINTEXT",), users=dict.fromkeys(USERS, WORD), acls=True))
    asyncio.run(grant(broker.address, read_commands(PAGE)))

    def service(user: str) -> Path:
        path = folder / f"{user}.toml"
        path.write_text(
            f'[kafka]\nbootstrap = "{broker.addresses["SASL_PLAINTEXT"]}"\nsecurity = "sasl_plaintext"\n'
            f'sasl = "scram-sha-256"\nusername = "{user}"\npassword = "{WORD}"\n'
            f'[topics]\nreplication = 1\nmin_insync = 1\n[snapshots]\nurl = "{folder}/snapshots"\n'
        )
        return path

    result = CliRunner().invoke(main, ["topics", "--config", str(VENUE), "--service", str(service("topics"))])
    assert result.exit_code == 0, result.output
    return service


@pytest.fixture(scope="module")
def login(make_broker: Callable[..., Broker], tmp_path_factory: pytest.TempPathFactory) -> Login:
    """A venue on whose topics tests write what they like."""
    return _venue(make_broker, tmp_path_factory.mktemp("rights"))


@pytest.fixture
def fresh(make_broker: Callable[..., Broker], tmp_path: Path) -> Login:
    """A venue of this test alone, as its journals have to make sense."""
    return _venue(make_broker, tmp_path)


def _stream(name: str) -> Stream:
    return open_stream(parse_config(VENUE.read_text()), name)


async def _commit(settings: ServiceConfig, name: str, topics: list[str]) -> None:
    output = Output(
        client_options(settings), transactional_id=name, prefix="", transaction_timeout=10, commit_deadline=8
    )
    await output.start()
    try:
        partition = _stream(name).partition
        await output.commit(partition, [Outgoing(topic, partition, b"", b"x", ()) for topic in topics], b"x")
    finally:
        await output.stop()


async def _read(settings: ServiceConfig, topic: str, partition: int) -> None:
    consumer = AIOKafkaConsumer(
        **client_options(settings), isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, partition)])
        await consumer.getmany(timeout_ms=500)
    finally:
        await consumer.stop()


async def _write(settings: ServiceConfig, topic: str) -> None:
    producer = AIOKafkaProducer(**client_options(settings), enable_idempotence=False)
    await producer.start()
    try:
        await producer.send_and_wait(topic, b"x", partition=0)
    finally:
        await producer.stop()


@pytest.mark.parametrize("name", ["engine:usdt", "settlement:USDT"])
def test_a_service_can_do_what_it_does(login: Callable[[str], Path], name: str) -> None:
    """See its topics, read its inputs and its journal, commit a transaction over all that it writes."""
    stream = _stream(name)
    settings = load_settings(login(stream.kind))

    async def run() -> None:
        await reachable(settings, (*{source.topic for source in stream.inputs}, *WRITTEN[stream.kind]))
        await _commit(settings, name, sorted(WRITTEN[stream.kind] - {"journal"}))
        await _read(settings, "journal", stream.partition)
        for source in stream.inputs:
            await _read(settings, source.topic, source.partition)

    asyncio.run(run())


@pytest.mark.parametrize("name", ["engine:usdt", "settlement:USDT"])
def test_a_service_cannot_write_what_others_write(login: Callable[[str], Path], name: str) -> None:
    """Neither the other service's topics nor its own inputs."""
    stream = _stream(name)
    settings = load_settings(login(stream.kind))

    async def run() -> None:
        for topic in sorted(set(TOPICS) - WRITTEN[stream.kind]):
            with pytest.raises(TopicAuthorizationFailedError):
                await asyncio.wait_for(_write(settings, topic), 20)

    asyncio.run(run())


def test_a_service_cannot_take_the_place_of_another(login: Callable[[str], Path]) -> None:
    """The transactional id of another stream is not its own."""
    settings = load_settings(login("engine"))

    async def run() -> None:
        with pytest.raises(KafkaError, match=r"(?i)authoriz"):
            await asyncio.wait_for(_commit(settings, "settlement:USDT", ["ledger"]), 20)

    asyncio.run(run())


def test_a_missing_right_is_said(login: Callable[[str], Path]) -> None:
    """One line, with the topic; for `backstop topics` too."""
    settings = load_settings(login("nobody"))
    with pytest.raises(KafkaUnreachable, match="not allowed to see topic orders; expected an ACL"):
        asyncio.run(reachable(settings, ("orders",)))
    result = CliRunner().invoke(main, ["topics", "--config", str(VENUE), "--service", str(login("nobody"))])
    assert result.exit_code == 2
    assert result.output.startswith("Error: Kafka refused to ")
    assert len(result.output.splitlines()) == 1


def test_an_operator_can_read_and_bring_about_a_config(fresh: Login) -> None:
    """On a venue whose engine and settlement run with the rights of the page."""
    streams = {name: load_settings(fresh(name.partition(":")[0])) for name in ("engine:usdt", "settlement:USDT")}

    async def begin(name: str, settings: ServiceConfig) -> None:
        """Have the journal of a stream begin, as its service would."""
        stream = _stream(name)
        of = replica(stream)
        batch = sequencer(of).genesis(VENUE.read_text())
        output = Output(
            client_options(settings), transactional_id=name, prefix="", transaction_timeout=10, commit_deadline=8
        )
        await output.start()
        try:
            await output.commit(stream.partition, batch.published, batch.journal)
        finally:
            await output.stop()

    for name, settings in streams.items():
        asyncio.run(begin(name, settings))
    options = ["--service", str(fresh("operator"))]
    same = CliRunner().invoke(main, ["config", "diff", str(VENUE), *options])
    assert same.exit_code == 0, same.output
    new = fresh("operator").with_name("new.toml")
    new.write_text(VENUE.read_text().replace("[limits]", "[limits]\nmax_open_orders = 7"))
    sent = CliRunner().invoke(main, ["config", "apply", str(new), "--wait", "1s", *options])
    assert (sent.exit_code, "settlement:USDT: no answer within 1 s" in sent.output) == (1, True), sent.output
    denied = CliRunner().invoke(main, ["config", "diff", str(VENUE), "--service", str(fresh("nobody"))])
    assert (denied.exit_code, denied.output.count("\n")) == (2, 1)
    assert "not allowed to see topic" in denied.output
