"""The transactional producer of one stream: a batch's events, dead letters and journal record, all or nothing."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidProducerEpoch, ProducerFenced

from consumers.kafka import aiokafka_settings
from consumers.service.publication import Headers, Outgoing

BATCH_BYTES_MAX: Final = 1_000_000
"""Of one record batch before compression, with all that is around it less than what topics allow (1 MiB)."""


class Fenced(RuntimeError):
    """A newer instance of the stream has taken over. Nothing of this one's open transaction will ever be seen."""


class CommitInDoubt(RuntimeError):
    """A transaction that may or may not have been committed: only the journal knows, which a restart reads."""


class Output:
    """Writes batches, one transaction each. Not more than one at a time."""

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        transactional_id: str,
        prefix: str,
        transaction_timeout: float,
        commit_deadline: float,
    ) -> None:
        aiokafka_settings.apply()
        self._prefix = prefix
        self._deadline = commit_deadline
        self._producer = AIOKafkaProducer(
            **options,
            transactional_id=transactional_id,
            transaction_timeout_ms=int(transaction_timeout * 1_000),
            acks="all",
            compression_type="zstd",
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=8 * BATCH_BYTES_MAX,
            request_timeout_ms=int(commit_deadline * 1_000),
        )

    @property
    def epoch(self) -> int:
        """The number of this instance among those of its transactional id."""
        epoch: int = self._producer._txn_manager.producer_epoch
        return epoch

    async def start(self) -> None:
        """Connect. From here on every earlier instance is fenced, and its open transaction is ended."""
        await self._producer.start()

    async def commit(self, journal_partition: int, batch: list[Outgoing], journal: bytes) -> None:
        """Write it all and commit. Raises Fenced or CommitInDoubt; after either, memory is worth nothing."""
        try:
            async with asyncio.timeout(self._deadline):
                await self._write([*batch, Outgoing("journal", journal_partition, b"", journal, ())])
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise Fenced(str(error)) from error
        except TimeoutError as error:
            raise CommitInDoubt(f"no answer within {self._deadline:g} s") from error
        except Exception as error:
            # Whatever aiokafka's state machine makes of a failed delivery, AssertionError included.
            raise CommitInDoubt(f"{type(error).__name__}: {error}") from error

    async def _write(self, records: list[Outgoing]) -> None:
        producer = self._producer
        await producer.begin_transaction()
        by_partition: dict[tuple[str, int], list[Outgoing]] = {}
        for record in records:
            by_partition.setdefault((record.topic, record.partition), []).append(record)
        # All partitions are queued before anything is awaited for, so that they join the transaction in one request.
        deliveries = await asyncio.gather(*(self._send(*place, group) for place, group in by_partition.items()))
        # A commit would succeed without what was refused.
        await asyncio.gather(*(delivery for group in deliveries for delivery in group))
        await producer.commit_transaction()

    async def _send(self, topic: str, partition: int, records: list[Outgoing]) -> list["asyncio.Future[Any]"]:
        producer, name = self._producer, self._prefix + topic
        deliveries = []
        batch = producer.create_batch()
        for record in records:
            headers: Headers = list(record.headers)
            if batch.append(key=record.key or None, value=record.value, timestamp=None, headers=headers) is None:
                deliveries.append(await producer.send_batch(batch, name, partition=partition))
                batch = producer.create_batch()
                if batch.append(key=record.key or None, value=record.value, timestamp=None, headers=headers) is None:
                    raise ValueError(f"a record of {len(record.value)} bytes for {name} is too long for a batch")
        deliveries.append(await producer.send_batch(batch, name, partition=partition))
        return deliveries

    async def stop(self) -> None:
        """Disconnect, which a broker that is away must not hold up."""
        async with asyncio.timeout(self._deadline):
            await self._producer.stop()
