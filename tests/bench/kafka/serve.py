"""The service under test, a process of its own: what `backstop engine` runs, with its metrics and a few notes more."""

import argparse
import time
from pathlib import Path
from typing import Final

import orjson
import uvloop

from consumers import diagnostics
from consumers.kafka.service import Launch, Service
from consumers.kafka.settings import load_settings
from consumers.kafka.start import open_config
from consumers.observability.watch import Watch
from consumers.service.sequencing import Batch
from consumers.service.stream import Stream
from consumers.snapshots.store import SnapshotStore
from consumers.version import version
from engine.spec import compile_venue
from tests.bench.kafka.pass_through import PassThrough

SHARD: Final = "usdt"
INSTANCE: Final = "bench"


class Meter(Watch):
    """Also notes of each batch when its commit returned (ns), how many inputs it had, and what its commit took (s)."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream, instance=INSTANCE, code=version())
        self.batches: list[tuple[int, int, float]] = []

    def committed(self, batch: Batch, seconds: float) -> None:
        """Note it."""
        super().committed(batch, seconds)
        if batch.inputs:
            self.batches.append((time.monotonic_ns(), batch.inputs, seconds))


def main() -> None:
    """Serve until SIGTERM, then write what was noted."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.kafka.serve", description=__doc__)
    parser.add_argument("--machine", choices=("engine", "pass-through"), required=True)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--service", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    diagnostics.serve(verbose=False)
    text, stream = open_config(options.config, f"engine:{SHARD}")
    if options.machine == "pass-through":
        stream = Stream(PassThrough(compile_venue(stream.config).shards[SHARD]))
    launch = Launch(INSTANCE, version(), text, standby=False, takeover=True, quarantined=frozenset())
    meter = Meter(stream)
    settings = load_settings(options.service)
    store = SnapshotStore(settings.snapshots.url)
    uvloop.run(Service(stream, settings, store, launch, meter).run())
    options.out.write_bytes(orjson.dumps(meter.batches))


if __name__ == "__main__":
    main()
