"""Runs all benchmarks, prints a table and, with --write, commits it to docs/benchmarks.md and results.json."""

import datetime
import os
import platform
import random
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.table import Table

from tests.bench import book, core, ticks
from tests.bench.stage import best_seconds

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs" / "benchmarks.md"
ROUNDS = 7


def measure_book() -> list[tuple[str, str, float]]:
    """Messages per second of the book alone, flow by flow."""
    rows = []
    for name, flow in book.FLOWS.items():
        messages = list(flow(200_000, random.Random(1)))  # noqa: S311 -- a reproducible flow
        seconds = best_seconds(lambda messages=messages: book.run(messages), ROUNDS)
        rows.append((f"book: {name}", "messages/s", len(messages) / seconds))
    return rows


def measure_core() -> tuple[list[tuple[str, str, float]], core.CoreRun]:
    """Commands per second from bytes to bytes."""
    setup, flow = core.draw_log(100_000)
    result: list[core.CoreRun] = []
    shards = [core.prepared_shard(setup) for _ in range(ROUNDS)]
    seconds = best_seconds(lambda: result.append(core.run(shards.pop(), flow)), ROUNDS)
    return [("core: bytes in to bytes out", "commands/s", len(flow) / seconds)], result[0]


def measure_ticks() -> list[tuple[str, str, float]]:
    """Microseconds of a mark price that triggers nothing."""
    rows = []
    marks = ticks.idle_marks(20_000)
    for positions in (1_000, 1_000_000):
        shard = ticks.populated_shard(positions)
        assert ticks.run(shard, marks) == 0, "an idle mark publishes nothing"
        seconds = best_seconds(lambda shard=shard: ticks.run(shard, marks), ROUNDS)
        rows.append((f"idle mark, {positions:,} isolated positions", "µs", seconds / len(marks) * 1e6))
    return rows


def machine() -> str:
    """Processor, cores and interpreter."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, CPython {platform.python_version()}"


@click.command(help=__doc__)
@click.option("--write", is_flag=True, help="Update docs/benchmarks.md and tests/bench/results.json.")
def main(*, write: bool) -> None:
    """Entry point."""
    rows = measure_book()
    core_rows, run = measure_core()
    rows += core_rows + measure_ticks()
    table = Table(title="Backstop benchmarks: best of seven runs")
    table.add_column("what")
    table.add_column("result", justify="right")
    table.add_column("unit")
    for name, unit, value in rows:
        table.add_row(name, _figure(value), unit)
    console = Console()
    console.print(table)
    console.print(
        f"core: {run.fills / run.commands:.2f} fills and {run.events / run.commands:.2f} events per command; {machine()}"
    )
    if write:
        _write(rows, run)
        console.print(f"written: {DOCS}, {HERE / 'results.json'}")


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _write(rows: list[tuple[str, str, float]], run: core.CoreRun) -> None:
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    results = {
        "command": "make bench",
        "date": date,
        "machine": machine(),
        "results": [{"what": name, "unit": unit, "value": round(value, 2)} for name, unit, value in rows],
        "core_fills_per_command": round(run.fills / run.commands, 4),
        "core_events_per_command": round(run.events / run.commands, 4),
    }
    (HERE / "results.json").write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2) + b"\n")
    lines = "\n".join(f"| {name} | {_figure(value)} | {unit} |" for name, unit, value in rows)
    DOCS.write_text(
        f"""# Benchmarks

Written by `make bench` (`python -m tests.bench --write`) on {date}.
Machine: {machine()}, shared with other work, so compare rows of one run with each other rather than with other runs.
Every figure is the best of {ROUNDS} runs, in plain CPython, single-threaded.

| what | result | unit |
|---|---:|---|
{lines}

**book** is `engine/book.py` alone: an order object is made and rests, leaves, or is taken. Five flows
(`tests/bench/book.py`), so that no choice of structure looks good by luck.

**core** is everything between bytes and bytes: decoding and validation, margin, matching, positions, the ledger,
and every event encoded ({run.fills / run.commands:.2f} fills and {run.events / run.commands:.2f} events per command;
`tests/bench/core.py`), with `position_detail` on.

**idle mark** is a mark price that liquidates nobody (`tests/bench/ticks.py`): its cost must not depend on how many
positions are open.
""",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
