"""A load that never pauses: generated markets that crash, sent at a steady rate, each record until a broker has it."""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.wire import decode_command, encode_plain

_TS: Final = re.compile(rb'"ts":\d+')


ACTIVITY: Final = 60
"""Commands per bar beside its four marks. With few bars a whole crash happens within a campaign."""


def generate(config: Path, market: str, scenario: str, seed: int, commands: int, out: Path) -> None:
    """A command log of one market, of about so many commands."""
    bars = max(50, commands // (ACTIVITY + 4))
    subprocess.run(
        [
            *(sys.executable, "-m", "consumers.cli", "generate", "--config", str(config), "--market", market),
            *("--scenario", scenario, "--accounts", "150", "--activity", str(ACTIVITY), "--bars", str(bars)),
            *("--seed", str(seed), "--out", str(out)),
        ],
        check=True,
        capture_output=True,
    )


class Load:
    """Sends the commands of several logs side by side, with the time of sending as their event time.

    `partitions` are those of the markets' shards, by log; `fund_partition` that of the asset, whose fund gets a deposit
    every now and then. Some records are no commands. `sent` counts what a broker has acknowledged, by topic.
    """

    def __init__(self, logs: dict[Path, int], fund: str, fund_partition: int, prefix: str, rate: float) -> None:
        self._logs = logs
        self._fund = fund
        self._fund_partition = fund_partition
        self._prefix = prefix
        self._rate = rate
        self.sent: dict[str, int] = {}
        self.rubbish = 0
        self.is_over = False

    async def run(self, address: str) -> None:
        """Send until told that it is over."""
        producer = AIOKafkaProducer(
            bootstrap_servers=address, enable_idempotence=True, linger_ms=5, request_timeout_ms=60_000
        )
        await producer.start()
        began, sent = time.monotonic(), 0
        try:
            for topic, partition, raw in self._records():
                await self._send(producer, topic, partition, raw)
                sent += 1
                ahead = sent / self._rate - (time.monotonic() - began)
                if ahead > 0.01:
                    await asyncio.sleep(ahead)
                elif ahead < -1:
                    began, sent = time.monotonic(), 0  # a broker was away: no catching up in a burst
                if self.is_over:
                    break
            await producer.flush()
        finally:
            self.is_over = True
            await producer.stop()

    async def _send(self, producer: AIOKafkaProducer, topic: str, partition: int, raw: bytes) -> None:
        while True:
            try:
                delivery = await producer.send(self._prefix + topic, raw, partition=partition)
                break
            except KafkaError:
                await asyncio.sleep(0.2)
        delivery.add_done_callback(lambda done: self._note(topic, done))

    def _note(self, topic: str, delivery: "asyncio.Future[object]") -> None:
        if not delivery.cancelled() and delivery.exception() is None:
            self.sent[topic] = self.sent.get(topic, 0) + 1

    def _records(self) -> Iterator[tuple[str, int, bytes]]:
        readers = [(partition, _lines(path)) for path, partition in self._logs.items()]
        number = 0
        while True:
            for partition, lines in readers:
                raw = next(lines)
                number += 1
                now = time.time_ns() // 1_000
                topic = decode_command(raw).topic
                yield topic, partition, _TS.sub(b'"ts":%d' % now, raw, count=1)
                if number % 500 == 0:
                    yield "fund-admin", self._fund_partition, self._injection(number, now)
                if number % 333 == 0:
                    self.rubbish += 1
                    yield "orders", partition, b"rubbish %d" % number

    def _injection(self, number: int, now: int) -> bytes:
        return encode_plain(
            {
                "type": "fund.deposit",
                "ts": now,
                "fund": self._fund,
                "amount": "10",
                "kind": "injection",
                "transfer_id": f"inject-{number}",
            }
        )


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a log, and then again: repeated deposits are answered, repeated orders are as good as others."""
    while True:
        with path.open("rb") as log:
            for line in log:
                yield line.rstrip(b"\n")
