"""The load generator, a process of its own: sends a part of the flow at a rate, and notes when it sent each order."""

import argparse
import asyncio
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import orjson
import uvloop
from aiokafka import AIOKafkaProducer

from tests.bench.kafka.flow import Sendable, draw

_TURN_SECONDS: Final = 0.001


async def send(address: str, prefix: str, records: Iterable[Sendable], rate: float | None) -> dict[str, int]:
    """Send to partition 0 at a rate per second (None: without pause); when each new order was sent, in ns.

    It never waits for an answer but sends what is due, so a service that is slow gets no less.
    """
    producer = AIOKafkaProducer(bootstrap_servers=address, enable_idempotence=True, max_batch_size=256 * 1024)
    await producer.start()
    sent_at: dict[str, int] = {}
    began = time.monotonic()
    try:
        for number, record in enumerate(records):
            while rate is not None and (time.monotonic() - began) * rate < number:
                await asyncio.sleep(_TURN_SECONDS)
            if record.order is not None:
                sent_at[record.order] = time.monotonic_ns()
            await producer.send(prefix + record.topic, record.at(time.time_ns() // 1_000), partition=0)
        await producer.flush()
    finally:
        await producer.stop()
    return sent_at


def main() -> None:
    """Send, then write what was noted."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.kafka.load", description=__doc__)
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--part", choices=("setup", "commands"), required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    flow = draw(options.last if options.part == "commands" else 1)
    records = (flow.setup if options.part == "setup" else flow.commands)[options.first : options.last]
    began = time.monotonic_ns()
    sent_at = uvloop.run(send(options.kafka, options.prefix, records, options.rate))
    done = {"began": began, "ended": time.monotonic_ns(), "sent": len(records), "orders": sent_at}
    options.out.write_bytes(orjson.dumps(done))


if __name__ == "__main__":
    main()
