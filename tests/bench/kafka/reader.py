"""The reader, a process of its own: notes when the answer to each new order arrives, as whoever trades sees it."""

import argparse
import asyncio
import signal
import time
from pathlib import Path

import orjson
import uvloop
from aiokafka import TopicPartition

from consumers.kafka.connection import client_options
from consumers.kafka.inputs import offsets, open_consumer
from consumers.kafka.settings import load_settings

_ANSWERS = frozenset({b"order.accepted", b"order.rejected"})
_ORDER_ID = b'"order_id":"'


async def read(address: str, prefix: str, ready: Path) -> dict[str, int]:
    """When each order's first answer arrived, in ns, until SIGTERM. Sees what is committed, from now on."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    consumer = open_consumer(client_options(load_settings(None, bootstrap=address)))
    await consumer.start()
    partition = TopicPartition(f"{prefix}executions", 0)
    consumer.assign([partition])
    consumer.seek(partition, (await offsets(consumer, partition))[1])
    ready.touch()
    arrived_at: dict[str, int] = {}
    while not stopping.is_set():
        records = (await consumer.getmany(timeout_ms=100)).get(partition, ())
        now = time.monotonic_ns()
        for record in records:
            if record.headers[0][1] in _ANSWERS and record.value is not None:
                begin = record.value.index(_ORDER_ID) + len(_ORDER_ID)
                arrived_at.setdefault(record.value[begin : record.value.index(b'"', begin)].decode(), now)
    await consumer.stop()
    return arrived_at


def main() -> None:
    """Read until SIGTERM, then write what was noted."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.kafka.reader", description=__doc__)
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--ready", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.write_bytes(orjson.dumps(uvloop.run(read(options.kafka, options.prefix, options.ready))))


if __name__ == "__main__":
    main()
