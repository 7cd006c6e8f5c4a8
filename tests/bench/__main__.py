"""Runs all benchmarks, prints a table and, with --write, commits it to docs/benchmarks.md and results.json."""

import datetime as dt
import gc
import random
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import click
import orjson
from rich.console import Console
from rich.table import Table

from tests.bench import adl, book, core, document, snapshot, ticks
from tests.bench.stage import machine, seconds

ROUNDS = 15


class Benchmark(NamedTuple):
    """One thing to time: `run` does `count` of it."""

    name: str
    unit: str
    count: int
    run: Callable[[], object]


def throughput() -> list[Benchmark]:
    """The book and the core, prepared."""
    prepared = []
    for name, flow in book.FLOWS.items():
        messages = list(flow(100_000, random.Random(1)))
        prepared.append(Benchmark(f"book: {name}", "messages/s", len(messages), partial(book.run, messages)))
    setup, commands = core.draw_log(50_000)
    shards = [core.prepared_shard(setup) for _ in range(ROUNDS)]
    prepared.append(
        Benchmark("core: bytes in to bytes out", "commands/s", len(commands), lambda: core.run(shards.pop(), commands))
    )
    return prepared


def idle_marks() -> list[Benchmark]:
    """Marks that liquidate nobody, prepared. Apart from the others, whose caches a million positions would share."""
    prepared = []
    marks = ticks.idle_marks(10_000)
    for mode, populate in (("isolated", ticks.isolated_shard), ("cross", ticks.cross_shard)):
        for positions in (1_000, 1_000_000):
            shard = populate(positions)
            assert ticks.run(shard, marks) == 0, "an idle mark publishes nothing"
            name = f"idle mark, {positions:,} {mode} positions"
            prepared.append(Benchmark(name, "µs", len(marks), partial(ticks.run, shard, marks)))
    return prepared


def deleveraging() -> list[Benchmark]:
    """ADL under one mark, prepared."""
    prepared = []
    for positions in (1_000, 100_000):
        shard = adl.shorts(positions)
        whom = f"{positions:,} opposing positions"
        prepared.append(Benchmark(f"ADL, the first of a mark, {whom}", "µs", 1, partial(adl.first, shard)))
        prepared.append(Benchmark(f"ADL, the next ones, {whom}", "µs", adl.CASCADE, partial(adl.cascade, shard)))
    return prepared


def snapshots() -> list[Benchmark]:
    """Dump and load of a state, prepared."""
    prepared = []
    spec = snapshot.venue_spec()
    for positions in (100_000, 1_000_000):
        shard = snapshot.quoted_shard(positions)
        file = snapshot.dump(shard)
        of = f"{positions:,} positions, {positions // 5:,} orders, {len(file) / 1e6:.1f} MB"
        prepared.append(Benchmark(f"snapshot, dump of {of}", "s", 1, partial(snapshot.dump, shard)))
        prepared.append(Benchmark(f"snapshot, load of {of}", "s", 1, partial(snapshot.load, spec, file)))
    return prepared


def measure() -> list[tuple[str, str, float]]:
    """What, unit and result of each benchmark: the best of its rounds.

    The rounds of the benchmarks of a group take turns, so that each meets the quiet and the busy moments of a shared
    machine.
    """
    return [result for group in (throughput, idle_marks, deleveraging, snapshots) for result in _measure(group())]


def _measure(prepared: list[Benchmark]) -> list[tuple[str, str, float]]:
    gc.collect()
    gc.freeze()
    best = [float("inf")] * len(prepared)
    for _ in range(ROUNDS):
        for i, benchmark in enumerate(prepared):
            best[i] = min(best[i], seconds(benchmark.run))
    return [(each.name, each.unit, _in_unit(each, seconds_)) for each, seconds_ in zip(prepared, best, strict=True)]


def _in_unit(benchmark: Benchmark, took: float) -> float:
    """How long each took, or how many there were in a second."""
    scale = {"µs": 1e6, "s": 1.0}.get(benchmark.unit)
    return benchmark.count / took if scale is None else took / benchmark.count * scale


@click.command(help=__doc__)
@click.option("--write", is_flag=True, help="Update docs/benchmarks.md and tests/bench/results.json.")
def main(*, write: bool) -> None:
    """Entry point."""
    rows = measure()
    setup, commands = core.draw_log(50_000)
    run = core.run(core.prepared_shard(setup), commands)
    table = Table(title=f"Backstop benchmarks: best of {ROUNDS} runs")
    table.add_column("what")
    table.add_column("result", justify="right")
    table.add_column("unit")
    for name, unit, value in rows:
        table.add_row(name, document.figure(value), unit)
    console = Console()
    console.print(table)
    per_command = f"{run.fills / run.commands:.2f} fills and {run.events / run.commands:.2f} events per command"
    console.print(f"core: {per_command}; {machine()}")
    if write:
        _write(rows, run)
        console.print(f"written: {document.DOCS}, {document.RESULTS}")


def _write(rows: list[tuple[str, str, float]], run: core.CoreRun) -> None:
    results = {
        "command": "make bench",
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": machine(),
        "rounds": ROUNDS,
        "results": [{"what": name, "unit": unit, "value": round(value, 2)} for name, unit, value in rows],
        "core_fills_per_command": round(run.fills / run.commands, 4),
        "core_events_per_command": round(run.events / run.commands, 4),
    }
    document.RESULTS.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2) + b"\n")
    document.write()


if __name__ == "__main__":
    main()
