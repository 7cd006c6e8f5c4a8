"""Measures a service over a broker of its own, engine and pass-through in turns; --write commits the results."""

import datetime as dt
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import orjson
from rich.console import Console

from tests.bench import document
from tests.bench.kafka.trial import Backlog, Load, MachineName, Trial
from tests.bench.stage import machine
from tests.kafka.broker import JVM, Broker

MACHINES: Final[tuple[MachineName, ...]] = ("engine", "pass-through")
ROUNDS: Final = 3


def over_backlog(address: str, folder: Path, commands: int, rounds: int) -> list[Backlog]:
    """The best run of each machine; the machines take turns."""
    runs: dict[MachineName, list[Backlog]] = {name: [] for name in MACHINES}
    for number in range(rounds):
        for name in MACHINES:
            prefix = f"backlog-{number}-{name}."
            runs[name].append(Trial(name, address, prefix, folder / prefix).over_backlog(commands))
    return [max(done, key=lambda run: run.applied) for done in runs.values()]


def under_load(address: str, folder: Path, rates: list[int], seconds: float) -> Iterator[Load]:
    """Every load for each machine."""
    for name in MACHINES:
        yield from Trial(name, address, f"load-{name}.", folder / f"load-{name}").under_load(rates, seconds)


@click.command(help=__doc__)
@click.option("--rates", default="100,1000,2000,5000,10000,20000", show_default=True, help="Commands per second.")
@click.option("--seconds", default=10.0, show_default=True, help="For how long at each rate.")
@click.option("--backlog", default=100_000, show_default=True, help="Commands of the throughput run.")
@click.option("--rounds", default=ROUNDS, show_default=True, help="Throughput runs of each machine; the best counts.")
@click.option("--write", is_flag=True, help="Update docs/benchmarks.md and tests/bench/kafka/results.json.")
def main(*, rates: str, seconds: float, backlog: int, rounds: int, write: bool) -> None:
    """Entry point."""
    console = Console(highlight=False, width=200)
    before = os.getloadavg()[0]
    broker = Broker()
    broker.start()
    try:
        with tempfile.TemporaryDirectory(prefix="backstop-bench-") as folder:
            backlogs = over_backlog(broker.address, Path(folder), backlog, rounds)
            for run in backlogs:
                console.print(_line(run))
            loads = []
            for load in under_load(broker.address, Path(folder), [int(rate) for rate in rates.split(",")], seconds):
                console.print(_line(load))
                loads.append(load)
    finally:
        broker.stop()
    if write:
        results = {
            "command": "make bench-kafka",
            "date": dt.datetime.now(dt.UTC).date().isoformat(),
            "machine": machine(),
            "cores": os.cpu_count(),
            "broker": f"one broker, {' '.join(JVM)}, data in a temporary folder",
            "load_before": round(before, 2),
            "load_after": round(os.getloadavg()[0], 2),
            "rounds": rounds,
            "seconds": seconds,
            "backlog": [_rounded(run) for run in backlogs],
            "loads": [_rounded(load) for load in loads],
        }
        document.KAFKA_RESULTS.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2) + b"\n")
        document.write()
        console.print(f"written: {document.DOCS}, {document.KAFKA_RESULTS}")


def _rounded(run: Load | Backlog) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in run._asdict().items()}


def _line(run: Load | Backlog) -> str:
    return ", ".join(f"{name} {value}" for name, value in _rounded(run).items())


if __name__ == "__main__":
    main()
