"""Sends one record of an operator to an input of a stream, and waits until the broker has it."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from consumers.errors import UsageFailure

SEND_SECONDS: Final = 30.0
STOP_SECONDS: Final = 5.0

_RECORD_BYTES_MAX: Final = 4 * 1024 * 1024


async def send_record(
    options: Mapping[str, Any],
    topic: str,
    partition: int,
    value: bytes,
    *,
    key: bytes | None = None,
    headers: Sequence[tuple[str, bytes]] = (),
) -> int:
    """Send a record to a partition of a topic (with prefix) that is there; the offset that it got.

    Raises UsageFailure where the broker does not answer or refuses it.
    """
    producer = AIOKafkaProducer(**options, acks="all", enable_idempotence=True, max_request_size=_RECORD_BYTES_MAX)
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await producer.start()
            sent = await producer.send_and_wait(topic, value, key=key, partition=partition, headers=list(headers))
    except TimeoutError:
        raise UsageFailure(
            f"no answer within {SEND_SECONDS:g} s: the record may or may not have been written; run this again, "
            "it looks before it sends"
        ) from None
    except KafkaError as error:
        raise UsageFailure(f"{topic}/{partition}: the broker refused the record: {error}") from None
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await producer.stop()
    offset: int = sent.offset
    return offset
