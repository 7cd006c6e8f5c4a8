"""A venue on a real broker: its topics, its services as processes, records in and records out."""

import asyncio
import contextlib
import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from consumers.kafka.inputs import offsets, open_consumer
from schemas.config import parse_config
from schemas.partitions import stream_partitions
from schemas.wire import encode_plain
from tests.kafka.instance import Instance
from tests.service.streams import CONFIG

ENGINE: Final = "engine:usdt"
SETTLEMENT: Final = "settlement:USDT"
_PARTITIONS: Final = stream_partitions(parse_config(CONFIG))
SHARD: Final = _PARTITIONS[ENGINE]
ASSET: Final = _PARTITIONS[SETTLEMENT]

PATIENCE: Final = 60.0


class Deployment:
    """One venue under a prefix of its own. Leave it as a context: its services are killed then."""

    def __init__(
        self, address: str, prefix: str, folder: Path, config: str = CONFIG, service: str = "", snapshots: str = ""
    ) -> None:
        self.address = address
        self.prefix = prefix
        self.folder = folder
        self.config = folder / "venue.toml"
        self.config.write_text(config)
        self.service = folder / "service.toml"
        self.service.write_text(
            f'[kafka]\nbootstrap = "{address}"\ntopic_prefix = "{prefix}"\n'
            "[topics]\nreplication = 1\nmin_insync = 1\n"
            f'[snapshots]\nurl = "file://{folder}/snapshots"\n{snapshots}{service}'
        )
        self._instances: list[Instance] = []
        self._numbers = itertools.count()

    def __enter__(self) -> "Deployment":
        made = self.backstop("topics", "--config", str(self.config))
        assert made.returncode == 0, made.stderr
        return self

    def __exit__(self, *_: object) -> None:
        for instance in self._instances:
            with contextlib.suppress(ProcessLookupError):
                instance.signal(signal.SIGKILL)
            if instance.is_started:
                instance.wait(10)

    def backstop(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of the house against this venue's Kafka, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "consumers.cli", *arguments, "--service", str(self.service)],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def replay(self, journal: Path) -> list[dict[str, Any]]:
        """The events of an exported journal, replayed."""
        out = self.folder / "replayed"
        ran = subprocess.run(
            [sys.executable, "-m", "consumers.cli", "replay", str(journal), "--out", str(out)],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert ran.returncode == 0, ran.stderr
        return [orjson.loads(line) for line in (out / "events.jsonl").read_bytes().splitlines()]

    def start(self, stream: str, *flags: str, program: Sequence[str] = ("-m", "consumers.cli")) -> Instance:
        """Start an instance, and wait until it leads, follows or has ended."""
        instance = Instance(
            stream,
            f"{stream}-{next(self._numbers)}",
            config=self.config,
            service=self.service,
            folder=self.folder,
            flags=flags,
            program=program,
        )
        self._instances.append(instance)
        instance.start()
        self.until(lambda: not instance.runs or instance.leads or ("--standby" in flags and instance.follows))
        return instance

    def until(self, condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
        """Wait until something is so. Fails with what the services said when it takes too long."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                said = "\n".join(f"{each.name}: {each.log.read_text()[-2000:]}" for each in self._instances)
                raise AssertionError(f"not within {seconds} s\n{said}")
            time.sleep(0.05)

    def send(self, topic: str, *values: bytes, partition: int = SHARD, trace: bytes | None = None) -> None:
        """Produce records, each acknowledged."""

        async def produce() -> None:
            producer = AIOKafkaProducer(bootstrap_servers=self.address, max_request_size=16 * 1024 * 1024)
            await producer.start()
            headers = [] if trace is None else [("traceparent", trace)]
            try:
                for value in values:
                    await producer.send_and_wait(self.prefix + topic, value, partition=partition, headers=headers)
            finally:
                await producer.stop()

        asyncio.run(produce())

    def read(self, topic: str, partition: int = SHARD) -> list[ConsumerRecord]:
        """All committed records of a partition."""

        async def consume() -> list[ConsumerRecord]:
            consumer = open_consumer({"bootstrap_servers": self.address})
            await consumer.start()
            place = TopicPartition(self.prefix + topic, partition)
            records: list[ConsumerRecord] = []
            try:
                consumer.assign([place])
                first, end = await offsets(consumer, place)
                consumer.seek(place, first)
                while await consumer.position(place) < end:
                    records += (await consumer.getmany(timeout_ms=200)).get(place, [])
            finally:
                await consumer.stop()
            return records

        return asyncio.run(consume())

    def forget(self, topic: str, before: int, partition: int = SHARD) -> None:
        """Delete what a partition has before an offset, as retention does."""

        async def delete() -> None:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
            await admin.start()
            try:
                await admin.delete_records(
                    {TopicPartition(self.prefix + topic, partition): RecordsToDelete(before_offset=before)}
                )
            finally:
                await admin.close()

        asyncio.run(delete())

    def events(self, topic: str, partition: int = SHARD) -> list[dict[str, Any]]:
        """All committed records of a partition, decoded."""
        return [orjson.loads(record.value) for record in self.read(topic, partition)]

    def types(self, topic: str, partition: int = SHARD) -> list[str]:
        """The types of all events of a partition."""
        return [event["type"] for event in self.events(topic, partition)]


def now() -> int:
    """Wall-clock time in µs, as producers stamp their commands."""
    return time.time_ns() // 1_000


def command(type_: str, **fields: Any) -> bytes:
    """A command of this moment."""
    return encode_plain({"type": type_, "ts": now(), **fields})


def deposit(account: str, amount: str, transfer_id: str) -> bytes:
    """A deposit into the shard."""
    return command("account.deposit", shard="usdt", account=account, amount=amount, transfer_id=transfer_id)


def mark(price: str) -> bytes:
    """A mark of the market."""
    return command("price.mark", market="BTC-USDT", price=price)


def order(account: str, order_id: str, side: str, qty: str, price: str) -> bytes:
    """A limit order."""
    return command(
        "order.new",
        market="BTC-USDT",
        account=account,
        order_id=order_id,
        side=side,
        kind="limit",
        qty=qty,
        price=price,
    )


def said(instance: Instance) -> Iterator[str]:
    """What an instance logged, line by line."""
    yield from instance.log.read_text().splitlines()
