"""`backstop topics` makes the topics what they should be, says what it does, and can be repeated."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError
from click.testing import CliRunner

from consumers.cli import main
from consumers.kafka.alter_configs import AlterTopicConfigs
from consumers.kafka.settings import TOPICS
from consumers.kafka.topics import CATALOGUE
from consumers.service.stream import WRITTEN
from schemas.documents import MESSAGE_TYPES
from tests.kafka.conftest import SharedBroker

VENUE = Path(__file__).parents[2] / "deploy" / "venue.toml"

T = TypeVar("T")


class Deployment:
    """A venue on the broker of the tests, with topics of its own."""

    def __init__(self, address: str, prefix: str, folder: Path) -> None:
        self.address = address
        self.prefix = prefix
        self.venue = folder / "venue.toml"
        self.venue.write_text(VENUE.read_text())
        self._service = folder / "service.toml"
        self.settings("replication = 1\nmin_insync = 1")

    def settings(self, topics: str) -> None:
        """Another [topics] table."""
        self._service.write_text(f'[kafka]\ntopic_prefix = "{self.prefix}"\n[topics]\n{topics}\n')

    def run(self, *options: str) -> tuple[int, str]:
        """Exit code and what was said."""
        arguments = ["topics", "--config", self.venue, "--service", self._service, "--kafka", self.address, *options]
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result.exit_code, result.output

    def done(self, *options: str) -> dict[str, str]:
        """What the table says of each topic."""
        code, said = self.run(*options)
        assert code == 0, said
        rows = [line.split(maxsplit=3) for line in said.splitlines() if line.strip().startswith(self.prefix)]
        return {name.removeprefix(self.prefix): what.strip() for name, _, _, what in rows}

    def ask(self, question: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
        """Ask Kafka itself."""

        async def run() -> T:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
            await admin.start()
            try:
                return await question(admin)
            finally:
                await admin.close()

        return asyncio.run(run())

    def until(self, condition: Callable[[], bool]) -> None:
        """What the controller has done takes a moment to be seen."""
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.05)

    def partitions(self, topic: str) -> int:
        """How many it has."""
        described = self.ask(lambda admin: admin.describe_topics([self.prefix + topic]))
        assert described[0]["error_code"] in (0, 3)
        return len(described[0]["partitions"])

    def config(self, topic: str) -> dict[str, str]:
        """All settings of a topic."""
        resource = ConfigResource(ConfigResourceType.TOPIC, self.prefix + topic)
        answers: list[Any] = self.ask(lambda admin: admin.describe_configs([resource]))
        entries = answers[0].to_object()["resources"][0]["config_entries"]
        return {entry["config_names"]: entry["config_value"] for entry in entries}


@pytest.fixture
def deployment(broker: SharedBroker, prefix: str, tmp_path: Path) -> Deployment:
    """A venue whose topics are not there yet."""
    return Deployment(broker.address, prefix, tmp_path)


def test_topics_are_created_as_they_should_be(deployment: Deployment) -> None:
    """All of them, one partition per stream; a second run has nothing to do."""
    assert deployment.done() == dict.fromkeys(TOPICS, "create")
    assert {topic: deployment.partitions(topic) for topic in TOPICS} == dict.fromkeys(TOPICS, 2)
    expected = {
        "cleanup.policy": "delete",
        "message.timestamp.type": "LogAppendTime",
        "unclean.leader.election.enable": "false",
        "min.insync.replicas": "1",
        "retention.bytes": "-1",
    }
    for topic, size, retention in (
        ("orders", 65_536, 7 * 86_400_000),
        ("journal", 1_048_576, -1),
        ("dead-letters", 2_097_152, 30 * 86_400_000),
    ):
        wanted = expected | {"max.message.bytes": str(size), "retention.ms": str(retention)}
        assert deployment.config(topic).items() >= wanted.items()
    assert deployment.done() == dict.fromkeys(TOPICS, "as it should be")


def test_a_dry_run_does_nothing(deployment: Deployment) -> None:
    """It says the same as a real one."""
    assert deployment.done("--dry-run") == dict.fromkeys(TOPICS, "create")
    assert [deployment.partitions(topic) for topic in TOPICS] == [0] * len(TOPICS)


def test_missing_partitions_are_added(deployment: Deployment) -> None:
    """A new shard: everything else stays."""
    deployment.done()
    text = deployment.venue.read_text()
    deployment.venue.write_text(
        text.replace("[assets.USDT]", "[assets.USDT]\npartition = 1")
        + '\n[shards.more]\nasset = "USDT"\npartition = 2\n'
    )
    assert deployment.done() == dict.fromkeys(TOPICS, "partitions: 2 → 3")
    assert {topic: deployment.partitions(topic) for topic in TOPICS} == dict.fromkeys(TOPICS, 3)
    assert deployment.done() == dict.fromkeys(TOPICS, "as it should be")


def test_settings_that_differ_are_changed_and_no_others(deployment: Deployment) -> None:
    """What an operator has set beside ours stays; what he has changed of ours is put right."""
    deployment.done()
    name = deployment.prefix + "orders"
    changes = {name: {"flush.messages": "7", "max.message.bytes": "1000"}}
    answer = deployment.ask(lambda admin: admin._send_to_controller(AlterTopicConfigs(changes)))
    assert [code for code, *_ in answer.resources] == [0]
    deployment.until(lambda: deployment.config("orders")["max.message.bytes"] == "1000")
    deployment.settings('replication = 1\nmin_insync = 1\nretention = { journal = "90d" }')
    expected = dict.fromkeys(TOPICS, "as it should be") | {
        "orders": "max.message.bytes: 1000 → 65536",
        "journal": "retention.ms: -1 → 7776000000",
    }
    assert deployment.done("--dry-run") == expected
    assert deployment.done() == expected
    assert deployment.config("orders")["flush.messages"] == "7"
    assert deployment.config("orders")["max.message.bytes"] == "65536"
    assert deployment.config("journal")["retention.ms"] == "7776000000"
    assert deployment.done() == dict.fromkeys(TOPICS, "as it should be")


def test_what_is_there_in_part_is_completed(deployment: Deployment) -> None:
    """A run that was interrupted is gone on with."""
    new = NewTopic(deployment.prefix + "adl", num_partitions=1, replication_factor=1)
    deployment.ask(lambda admin: admin.create_topics([new]))
    deployment.until(lambda: deployment.partitions("adl") == 1)
    done = deployment.done()
    assert done.pop("adl") == "partitions: 1 → 2"  # and its settings, on lines of their own
    assert set(done.values()) == {"create"}
    assert deployment.config("adl")["retention.bytes"] == "-1"


@pytest.mark.parametrize("topics", ["", "replication = 2\nmin_insync = 1"])
def test_more_replicas_than_brokers_are_refused(deployment: Deployment, topics: str) -> None:
    """Before anything is created."""
    deployment.settings(topics)
    code, said = deployment.run()
    assert code == 2
    assert said.startswith("Error: topics.replication: ")
    assert "but the cluster has 1 broker; set it" in said
    assert len(said.splitlines()) == 1
    assert [deployment.partitions(topic) for topic in TOPICS] == [0] * len(TOPICS)


def test_fewer_partitions_are_refused(deployment: Deployment) -> None:
    """Kafka cannot do it; nothing else is done either."""
    deployment.done()
    more = {deployment.prefix + "ledger": NewPartitions(5)}
    deployment.ask(lambda admin: admin.create_partitions(more))
    deployment.until(lambda: deployment.partitions("ledger") == 5)
    deployment.settings('replication = 1\nmin_insync = 1\nretention = { adl = "1d" }')
    code, said = deployment.run()
    assert code == 2
    assert f"topic {deployment.prefix}ledger has 5 partitions and the venue has use for 2; Kafka cannot" in said
    assert deployment.config("adl")["retention.ms"] == "604800000"


def test_another_replication_factor_is_refused(deployment: Deployment) -> None:
    """It is no setting of a topic: partitions have to be moved."""
    deployment.done()
    deployment.settings("replication = 2\nmin_insync = 1")
    code, said = deployment.run()
    assert code == 2
    assert "has replication factor 1, topics.replication is 2; move it with kafka-reassign-partitions" in said


def test_a_venue_that_makes_no_sense_is_refused(deployment: Deployment) -> None:
    """Before Kafka is asked."""
    deployment.venue.write_text(deployment.venue.read_text() + '\n[shards.more]\nasset = "USDT"\npartition = 0\n')
    code, said = deployment.run()
    assert code == 2
    assert "shards.more.partition: expected another than that of shards.usdt" in said


def test_a_record_that_would_not_fit_the_journal_is_kept_out(deployment: Deployment) -> None:
    """The broker refuses what is larger than an input may be; the same bytes fit into a dead letter."""
    deployment.done()

    async def write(topic: str, size: int) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=deployment.address, max_request_size=4 << 20)
        await producer.start()
        try:
            await producer.send_and_wait(deployment.prefix + topic, b"x" * size, partition=0)
        finally:
            await producer.stop()

    asyncio.run(write("orders", 65_000))
    with pytest.raises(MessageSizeTooLargeError):
        asyncio.run(write("orders", 66_000))
    asyncio.run(write("dead-letters", 1024 * 1024))


def test_the_catalogue_has_every_topic_of_the_wire() -> None:
    """Each once; who writes and reads them is what the services do."""
    assert [topic.name for topic in CATALOGUE] == list(TOPICS)
    assert {message.topic for message in MESSAGE_TYPES} <= set(TOPICS)
    for kind, written in WRITTEN.items():
        assert {topic.name for topic in CATALOGUE if kind in topic.writers} == set(written)
