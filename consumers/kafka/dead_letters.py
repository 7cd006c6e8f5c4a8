"""The topic `dead-letters` from outside: reading it, and sending a record back to where it came from."""

from collections.abc import AsyncIterator
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from consumers.dead_letters.letter import Letter, Place
from consumers.errors import UsageFailure
from consumers.kafka.connection import client_options, reachable
from consumers.kafka.inputs import assign, open_consumer, to_arrival
from consumers.kafka.sending import send_record
from consumers.kafka.settings import ServiceConfig
from consumers.service.dead_letter import TOPIC

RESUBMITTED_FROM: Final = "resubmitted_from"
"""The header of a record that was sent again: where it stood before."""

_POLL_MS: Final = 200


class LostTrack(RuntimeError):
    """Records that would tell whether a letter was sent before are gone."""


class DeadLetters:
    """The dead letters of a venue, all partitions, in the order of partitions. An async context manager."""

    def __init__(self, settings: ServiceConfig) -> None:
        self._settings = settings
        self._prefix = settings.kafka.topic_prefix
        self._options = client_options(settings)
        self._consumer: AIOKafkaConsumer = None

    async def __aenter__(self) -> "DeadLetters":
        self._partitions = (await reachable(self._settings, (TOPIC,))).partitions[self._prefix + TOPIC]
        self._consumer = open_consumer(self._options)
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def letters(self, since_ms: int | None = None) -> AsyncIterator[Letter | str]:
        """What is there now, from a moment on; a line of text for a record that is no dead letter."""
        for number in range(self._partitions):
            async for record in self._records(TopicPartition(self._prefix + TOPIC, number), since_ms=since_ms):
                try:
                    yield Letter.parse(to_arrival(TOPIC, record))
                except ValueError as error:
                    yield str(error)

    async def find(self, place: Place) -> Letter:
        """The last letter about a record. Raises UsageFailure where there is none."""
        found: Letter | None = None
        async for letter in self.letters():
            if isinstance(letter, Letter) and letter.place == place:
                found = letter
        if found is None:
            raise UsageFailure(f"there is no dead letter of {place}; 'backstop dead-letters list' shows what there is")
        return found

    async def resubmissions(self, letter: Letter) -> list[int]:
        """The offsets behind a letter's record at which it was sent again. Raises LostTrack, UsageFailure."""
        place = letter.place
        await self._check_partition(place)
        partition = TopicPartition(self._prefix + place.topic, place.partition)
        first, _ = await assign(self._consumer, partition)
        if first > place.offset + 1:
            raise LostTrack(f"{place.topic}/{place.partition} begins at offset {first}")
        sought = (RESUBMITTED_FROM, str(place).encode())
        return [
            record.offset
            async for record in self._records(partition, position=place.offset + 1)
            if sought in record.headers
        ]

    async def resubmit(self, letter: Letter, value: bytes) -> int:
        """Send a record to where the letter's came from; the offset that it got. Raises UsageFailure."""
        place = letter.place
        await self._check_partition(place)
        headers = [(RESUBMITTED_FROM, str(place).encode())]
        if letter.trace is not None:
            headers.append(("traceparent", letter.trace))
        name = self._prefix + place.topic
        return await send_record(self._options, name, place.partition, value, key=letter.key, headers=headers)

    async def _check_partition(self, place: Place) -> None:
        partitions = (await reachable(self._settings, (place.topic,))).partitions[self._prefix + place.topic]
        if place.partition >= partitions:
            raise UsageFailure(f"{place}: the topic has {partitions} partitions")

    async def _records(
        self, partition: TopicPartition, *, since_ms: int | None = None, position: int = 0
    ) -> AsyncIterator[ConsumerRecord]:
        consumer = self._consumer
        first, end = await assign(consumer, partition)
        if since_ms is not None:
            found = (await consumer.offsets_for_times({partition: since_ms}))[partition]
            position = end if found is None else found.offset
        consumer.seek(partition, max(first, position))
        while await consumer.position(partition) < end:
            for record in (await consumer.getmany(timeout_ms=_POLL_MS)).get(partition, ()):
                yield record
