"""Puts what a venue over a log in memory left behind into topics of a real broker: same offsets, same transactions."""

from collections.abc import Iterable, Mapping

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from consumers.kafka import aiokafka_settings
from consumers.kafka.settings import TOPICS
from consumers.service.dead_letter import Arrival
from tests.service.venue_log import Place, VenueLog, Write

PARTITIONS = 3


async def create_topics(address: str, prefix: str) -> None:
    """All topics of a venue. Producers say when a record was written, so that a recording keeps its times.

    These are long ago, so nothing may be deleted for its age.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        configs = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
        topics = [NewTopic(prefix + name, PARTITIONS, 1, topic_configs=configs) for name in TOPICS]
        answer = await admin.create_topics(topics)
        assert all(code == 0 for _, code, *_ in answer.topic_errors), answer
    finally:
        await admin.close()


async def write(
    address: str, prefix: str, log: VenueLog, changed: Mapping[Place, Iterable[Arrival]] | None = None
) -> None:
    """Write a history. With `changed` topics, what they do not have is left out, and what they have is written."""
    kept = {
        (record.topic, record.partition, record.offset): record
        for records in (changed or log.topics).values()
        for record in records
    }
    aiokafka_settings.apply()
    async with (
        AIOKafkaProducer(bootstrap_servers=address) as outside,
        AIOKafkaProducer(bootstrap_servers=address, transactional_id=prefix + "writer") as service,
    ):
        for one in _joined(log.writes):
            present = [kept.get((each.topic, each.partition, each.offset)) for each in one.records]
            records = [record for record in present if record is not None]
            if one.is_transaction:
                async with service.transaction():
                    await _send(service, prefix, records)
            else:
                await _send(outside, prefix, records)


async def commit(address: str, prefix: str, records: Iterable[Arrival], *, abort: bool = False) -> None:
    """Write records in a transaction of their own, and commit or abort it."""
    async with AIOKafkaProducer(bootstrap_servers=address, transactional_id=prefix + "other") as producer:
        await producer.begin_transaction()
        await _send(producer, prefix, records)
        await (producer.abort_transaction() if abort else producer.commit_transaction())


def _joined(writes: Iterable[Write]) -> Iterable[Write]:
    """Records that come one by one in a row are sent together."""
    single: list[Arrival] = []
    for one in writes:
        if one.is_transaction:
            yield Write(False, single)
            single = []
            yield one
        else:
            single += one.records
    yield Write(False, single)


async def _send(producer: AIOKafkaProducer, prefix: str, records: Iterable[Arrival]) -> None:
    deliveries = [
        await producer.send(
            prefix + record.topic,
            record.value,
            key=record.key,
            partition=record.partition,
            timestamp_ms=record.timestamp,
            headers=list(record.headers),
        )
        for record in records
    ]
    for delivery in deliveries:
        await delivery
