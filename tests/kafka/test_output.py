"""Transactions on a real broker: where aiokafka would go wrong, the service does not."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.producer import sender, transaction_manager

from consumers.kafka import aiokafka_settings
from consumers.kafka.connection import client_options
from consumers.kafka.inputs import offsets, open_consumer
from consumers.kafka.output import CommitInDoubt, Output
from consumers.kafka.settings import load_settings
from consumers.service.publication import Outgoing
from tests.kafka.conftest import SharedBroker

TOPICS = ("executions", "positions", "ledger", "journal")


def _make_topics(address: str, prefix: str, **executions: str) -> None:
    """One partition each; `executions` are settings of the topic of that name."""

    async def main() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=address)
        await admin.start()
        configs: dict[str, dict[str, str]] = {"executions": executions}
        answer = await admin.create_topics(
            [NewTopic(prefix + name, 1, 1, topic_configs=configs.get(name, {})) for name in TOPICS]
        )
        await admin.close()
        assert all(code == 0 for _, code, *_ in answer.topic_errors), answer

    asyncio.run(main())


def _run(address: str, prefix: str, test: Callable[[Output, Any], Awaitable[None]]) -> None:
    """A test with an output that was started, and its producer."""

    async def main() -> None:
        output = Output(
            client_options(load_settings(None, bootstrap=address)),
            transactional_id=prefix,
            prefix=prefix,
            transaction_timeout=10.0,
            commit_deadline=8.0,
        )
        await output.start()
        try:
            await test(output, output._producer)
        finally:
            with contextlib.suppress(TimeoutError):
                await output.stop()

    asyncio.run(main())


def _event(number: int, topic: str = "executions", size: int = 10) -> Outgoing:
    return Outgoing(topic, 0, b"k", b"%d" % number + b"." * size, (("ce_type", b"order.accepted"),))


async def _committed(address: str, topic: str) -> list[bytes | None]:
    """All that read_committed sees. Producers have to be through: an open transaction hides what comes after it."""
    consumer = open_consumer(client_options(load_settings(None, bootstrap=address)))
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        first, end = await offsets(consumer, partition)
        consumer.seek(partition, first)
        values: list[bytes | None] = []
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                values += [record.value for record in records]
        return values
    finally:
        await consumer.stop()


def test_a_producer_goes_on_after_2_147_483_648_records_of_a_partition(broker: SharedBroker, prefix: str) -> None:
    """A broker takes any number first, and from then on counts modulo 2^31."""

    async def test(output: Output, producer: Any) -> None:
        for topic in ("executions", "journal"):
            producer._txn_manager._sequence_numbers[TopicPartition(prefix + topic, 0)] = 2**31 - 5
        for first in range(0, 16, 4):
            await output.commit(0, [_event(first + n) for n in range(4)], b"journal %d" % first)
        numbers = producer._txn_manager._sequence_numbers
        assert numbers[TopicPartition(prefix + "executions", 0)] == 16 - 5, "it did wrap"

    _make_topics(broker.address, prefix)
    _run(broker.address, prefix, test)
    seen = asyncio.run(_committed(broker.address, prefix + "executions"))
    assert seen == [_event(number).value for number in range(16)]
    assert len(asyncio.run(_committed(broker.address, prefix + "journal"))) == 4


def test_a_record_that_the_broker_refuses_leaves_nothing_of_its_transaction(broker: SharedBroker, prefix: str) -> None:
    """aiokafka would commit the rest. What is in doubt ends with the process; whoever comes next aborts it."""

    async def test(output: Output, producer: Any) -> None:
        await output.commit(0, [_event(1)], b"the first")
        incompressible = Outgoing("executions", 0, b"k", bytes(range(256)) * 4, ())
        with pytest.raises(CommitInDoubt, match="MessageSizeTooLarge"):
            await output.commit(0, [_event(2, "positions"), incompressible], b"the second")

    _make_topics(broker.address, prefix, **{"max.message.bytes": "300"})
    _run(broker.address, prefix, test)

    async def successor(output: Output, producer: Any) -> None:
        await output.commit(0, [_event(3, "positions")], b"the third")

    _run(broker.address, prefix, successor)
    assert asyncio.run(_committed(broker.address, prefix + "executions")) == [_event(1).value]
    assert asyncio.run(_committed(broker.address, prefix + "positions")) == [_event(3).value]
    assert asyncio.run(_committed(broker.address, prefix + "journal")) == [b"the first", b"the third"]


def test_all_partitions_of_a_batch_join_the_transaction_in_one_request(broker: SharedBroker, prefix: str) -> None:
    """Each request more would be a round trip more in every commit."""

    async def test(output: Output, producer: Any) -> None:
        events = [_event(1), _event(2, "positions"), _event(3, "ledger")]
        await output.commit(0, events, b"to know the topics")
        asked: list[set[TopicPartition]] = []
        add = producer._sender._do_add_partitions_to_txn

        async def count(partitions: set[TopicPartition]) -> None:
            asked.append(set(partitions))
            await add(partitions)

        producer._sender._do_add_partitions_to_txn = count
        await output.commit(0, events, b"journal")
        wanted = {TopicPartition(prefix + topic, 0) for topic in TOPICS}
        # Once more for each time that the broker was still writing the markers of the transaction before.
        assert asked
        assert asked == [wanted] * len(asked)

    _make_topics(broker.address, prefix)
    _run(broker.address, prefix, test)


@pytest.fixture
def settings_of_aiokafka() -> Iterator[None]:
    """As they are when a test is over."""
    backoff, increment = sender.BACKOFF_OVERRIDE, transaction_manager.TransactionManager.increment_sequence_number
    yield
    sender.BACKOFF_OVERRIDE = backoff
    transaction_manager.TransactionManager.increment_sequence_number = increment


@pytest.mark.usefixtures("settings_of_aiokafka")
def test_the_backoff_between_two_transactions_is_ours() -> None:
    sender.BACKOFF_OVERRIDE = 0.02
    aiokafka_settings.apply()
    assert sender.BACKOFF_OVERRIDE == aiokafka_settings.COMMIT_BACKOFF_SECONDS < 0.02
    assert "BACKOFF_OVERRIDE" in sender.AddPartitionsToTxnHandler.handle_response.__code__.co_names, "and is looked at"


@pytest.mark.usefixtures("settings_of_aiokafka")
@pytest.mark.parametrize(
    ("holder", "name"),
    [(sender, "BACKOFF_OVERRIDE"), (transaction_manager.TransactionManager, "increment_sequence_number")],
)
def test_an_aiokafka_without_what_has_to_be_set_is_refused(holder: Any, name: str) -> None:
    """A setting that no one looks at any more would be as good as none."""
    delattr(holder, name)
    with pytest.raises(RuntimeError, match=f"has no .*{name}; expected 0.14"):
        aiokafka_settings.apply()
