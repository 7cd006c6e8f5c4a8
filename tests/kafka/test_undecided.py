"""Nobody leads while a transaction on the journal is open: it may be committed, and not be seen yet."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from consumers.kafka.connection import client_options
from consumers.kafka.journal_reader import JournalReader, Undecided
from consumers.kafka.settings import load_settings
from tests.kafka.conftest import SharedBroker
from tests.kafka.deployment import ENGINE, SHARD, Deployment, deposit
from tests.kafka.recording import create_topics

SHORT = """
[service]
commit_deadline = "1s"
transaction_timeout = "1500ms"
"""


async def _begin(address: str, prefix: str) -> AIOKafkaProducer:
    """A transaction of somebody else with a record on the journal: to a reader, the same as one that hangs."""
    producer = AIOKafkaProducer(bootstrap_servers=address, transactional_id=prefix + "somebody else")
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait(prefix + "journal", b"whatever", partition=SHARD)
    return producer


@contextlib.asynccontextmanager
async def _reader(address: str, prefix: str) -> AsyncIterator[JournalReader]:
    await create_topics(address, prefix)
    reader = JournalReader(client_options(load_settings(None, bootstrap=address)), prefix, SHARD)
    await reader.start()
    try:
        yield reader
    finally:
        await reader.stop()


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_journal_is_waited_for_until_its_transactions_have_ended(
    broker: SharedBroker, prefix: str, is_committed: bool
) -> None:
    """Committed or aborted: both are decisions."""

    async def run() -> None:
        async with _reader(broker.address, prefix) as reader:
            await reader.until_decided(0)
            producer = await _begin(broker.address, prefix)
            waiting = asyncio.create_task(reader.until_decided(60))
            done, _ = await asyncio.wait([waiting], timeout=1)
            assert not done
            await (producer.commit_transaction() if is_committed else producer.abort_transaction())
            await waiting
            assert await reader.end() == 2, "the record and its marker"
            await producer.stop()

    asyncio.run(run())


def test_a_transaction_that_does_not_end_is_said_with_its_offsets(broker: SharedBroker, prefix: str) -> None:
    async def run() -> None:
        async with _reader(broker.address, prefix) as reader:
            producer = await _begin(broker.address, prefix)
            with pytest.raises(Undecided, match=r"journal/0: offsets 0 to 0 belong to a transaction .* after 0\.5 s"):
                await reader.until_decided(0.5)
            await producer.abort_transaction()
            await producer.stop()

    asyncio.run(run())


def test_a_service_does_not_lead_while_its_journal_is_undecided(
    broker: SharedBroker, prefix: str, tmp_path: Path
) -> None:
    """It ends with 74 and says which offsets; nothing is written, and it leads once they are decided."""
    with Deployment(broker.address, prefix, tmp_path) as venue, asyncio.Runner() as loop:
        first = venue.start(ENGINE)
        venue.send("accounts", deposit("a", "1", "t1"))
        venue.until(lambda: venue.types("positions"))
        first.signal(signal.SIGTERM)
        assert first.wait(20) == 0
        producer = loop.run(_begin(broker.address, prefix))
        written = venue.read("journal")
        usual = venue.service.read_text()
        venue.service.write_text(usual + SHORT)
        second = venue.start(ENGINE)
        assert second.wait(30) == 74
        (said,) = second.complaints()
        end = written[-1].offset + 2
        assert '"in_doubt"' in said
        assert f"journal/0: offsets {end} to {end} belong to a transaction that has not ended after 3 s" in said
        assert venue.read("journal") == written
        loop.run(producer.abort_transaction())
        loop.run(producer.stop())
        venue.service.write_text(usual)
        assert venue.start(ENGINE).leads
