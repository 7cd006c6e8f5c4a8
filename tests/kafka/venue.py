"""A small venue on a broker: its topics, its config files, and services as the command line starts them."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from consumers.kafka.settings import TOPICS
from tests.service.streams import CONFIG


class OnBroker:
    """A venue whose topics begin with a prefix of its own."""

    def __init__(self, address: str, prefix: str, folder: Path) -> None:
        self.address, self.prefix, self.folder = address, prefix, folder
        self.config = folder / "venue.toml"
        self.config.write_text(CONFIG)
        self.processes: list[subprocess.Popen[bytes]] = []

    async def create_topics(self, partitions: int = 2) -> None:
        """All topics of the venue."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
        await admin.start()
        try:
            more = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(2 * 1024 * 1024)}
            wanted = [NewTopic(self.prefix + topic, partitions, 1, topic_configs=more) for topic in TOPICS]
            answer = await admin.create_topics(wanted)
            assert all(code == 0 for _, code, *_ in answer.topic_errors), answer
        finally:
            await admin.close()

    def options(self, **service: str) -> list[str]:
        """What a command needs to find the broker: a service config of this venue."""
        path = self.folder / f"service-{len(list(self.folder.iterdir()))}.toml"
        lines = ["[kafka]", f'bootstrap = "{self.address}"', f'topic_prefix = "{self.prefix}"', "[service]"]
        path.write_text("\n".join([*lines, *(f'{name} = "{value}"' for name, value in service.items()), ""]))
        return ["--service", str(path)]

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
        """A command to its end."""
        command = [*_BACKSTOP, *arguments]
        return subprocess.run(command, check=False, capture_output=True, timeout=60, env=_environment())

    @contextlib.contextmanager
    def service(self, stream: str, *flags: str) -> Iterator["Serving"]:
        """A running service with its HTTP side; killed in the end if it still runs."""
        kind, _, of = stream.partition(":")
        log = self.folder / f"{kind}-{len(list(self.folder.iterdir()))}.log"
        command = [*_BACKSTOP, kind, "--shard" if kind == "engine" else "--asset", of, "--config", str(self.config)]
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*command, *self.options(http="127.0.0.1:0"), *flags], stdout=out, stderr=out, env=_environment()
            )
        try:
            yield Serving(process, log)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(10)

    async def send(
        self,
        topic: str,
        value: bytes,
        partition: int = 0,
        headers: list[tuple[str, bytes]] | None = None,
        key: bytes | None = None,
    ) -> int:
        """One record; its offset."""
        producer = AIOKafkaProducer(bootstrap_servers=self.address, max_request_size=2 * 1024 * 1024)
        await producer.start()
        try:
            name = self.prefix + topic
            sent = await producer.send_and_wait(name, value, partition=partition, headers=headers, key=key)
            offset: int = sent.offset
            return offset
        finally:
            await producer.stop()

    async def read(self, topic: str, partition: int = 0) -> list[ConsumerRecord]:
        """What is committed on a partition now."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.address, isolation_level="read_committed", auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            place = TopicPartition(self.prefix + topic, partition)
            consumer.assign([place])
            end = (await consumer.end_offsets([place]))[place]
            records: list[ConsumerRecord] = []
            while await consumer.position(place) < end:
                for found in (await consumer.getmany(timeout_ms=100)).values():
                    records += found
            return records
        finally:
            await consumer.stop()


class Serving:
    """A service that runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process, self.log = process, log

    @property
    def address(self) -> str:
        """Where it says that it listens; nothing while it does not."""
        for line in self.log.read_text().splitlines():
            if line.startswith("{") and (said := json.loads(line))["event"] == "http":
                return str(said["address"])
        return ""

    def get(self, path: str) -> tuple[int, Any]:
        """Status and body; 0 while nobody listens."""
        if not self.address:
            return 0, None
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=5) as answer:
                return answer.status, _body(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _body(error.read())
        except OSError:
            return 0, None

    def until(self, path: str, condition: Callable[[int, Any], bool], seconds: float = 45) -> Any:
        """Ask until it is so; the body then."""
        end = time.monotonic() + seconds
        while True:
            status, body = self.get(path)
            if condition(status, body):
                return body
            if time.monotonic() > end or self.process.poll() is not None:
                raise AssertionError(f"{path} still says {status} {body}; log:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.05)


_BACKSTOP = (sys.executable, "-m", "consumers.cli")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("BACKSTOP_")}


def _body(raw: bytes) -> Any:
    return json.loads(raw) if raw.startswith(b"{") else raw.decode()
