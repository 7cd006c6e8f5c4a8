"""docs/benchmarks.md, from the results of both kinds: each is measured and kept apart, the page is written whole."""

from pathlib import Path
from typing import Any, Final

import orjson

HERE: Final = Path(__file__).parent
DOCS: Final = HERE.parents[1] / "docs" / "benchmarks.md"
RESULTS: Final = HERE / "results.json"
KAFKA_RESULTS: Final = HERE / "kafka" / "results.json"


def write() -> None:
    """Write the page."""
    DOCS.write_text(render(), encoding="utf-8")


def render() -> str:
    """The page as it follows from the results."""
    return _core(orjson.loads(RESULTS.read_bytes())) + _kafka(orjson.loads(KAFKA_RESULTS.read_bytes()))


def figure(value: float) -> str:
    """A result as people read it."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _core(results: dict[str, Any]) -> str:
    lines = "\n".join(f"| {each['what']} | {figure(each['value'])} | {each['unit']} |" for each in results["results"])
    fills, events = results["core_fills_per_command"], results["core_events_per_command"]
    return f"""# Benchmarks

Written by `make bench` (`python -m tests.bench --write`) on {results["date"]}.
Machine: {results["machine"]}, shared with other work, so compare rows of one run with each
other rather than with other runs.
Every figure is the best of {results["rounds"]} runs that take turns (throughput, then marks, ADL, snapshots); plain
CPython, one thread.

| what | result | unit |
|---|---:|---|
{lines}

**book** is `engine/book.py` alone: an order object is made and rests, leaves, or is taken. Five flows
(`tests/bench/book.py`), so that no choice of structure looks good by luck.

**core** is everything between bytes and bytes: decoding and validation, margin, matching, positions, the ledger,
and every event encoded ({fills:.2f} fills and {events:.2f} events per command;
`tests/bench/core.py`), with the default config (`position_detail` off).

**idle mark** is a mark price that liquidates nobody (`tests/bench/ticks.py`): its cost must not depend on how many
positions are open.

**ADL** is one deleveraging with its events (`tests/bench/adl.py`). The first one under a mark ranks everybody on the
other side; those that follow rank anew only whom the ones before have changed.

**snapshot** is a state written as the bytes of a snapshot file, and a machine made from them
(`tests/bench/snapshot.py`); both reckon the state hash, and loading builds every index anew. No disk or network is part
of it.
"""


def _kafka(results: dict[str, Any]) -> str:
    backlog = "\n".join(
        f"| {each['machine']} | {each['applied']:,.0f} | {each['batch']:,.0f} | {each['commit']:.1f} | "
        f"{each['cpu']:.1f} |"
        for each in results["backlog"]
    )
    loads = "\n".join(
        f"| {each['machine']} | {each['offered']:,.0f} | {each['sent']:,.0f} | {each['applied']:,.0f} | "
        f"{each['p50']:,.1f} | {each['p95']:,.1f} | {each['p99']:,.1f} | {each['longest']:,.1f} | "
        f"{each['batch']:,.1f} | {each['commit']:,.1f} | {each['cpu']:,.0f} |"
        for each in results["loads"]
    )
    best = {each["machine"]: each for each in results["backlog"]}
    engine, bare = best["engine"], best["pass-through"]
    return f"""
## Over a Kafka broker

Written by `make bench-kafka` (`python -m tests.bench.kafka --write`) on {results["date"]}: {results["machine"]};
{results["broker"]}. Load average of the machine {results["load_before"]:.1f} before, {results["load_after"]:.1f} after.
Broker, service, load generator and reader are four processes that compete for {results["cores"]} cores, so these are
figures of the whole installation on this machine, not of a service beside brokers of their own.

The flow is that of **core** above: 53 % new orders, 45 % cancels, 2 % marks, about 1.5 events per command. The service
is what `backstop engine` runs, metrics included. The **pass-through** is the same service around a machine that
decides nothing and answers with as many events of the same types and sizes: same fetching, decoding, merge, encoding,
journal and transactions.

**Throughput**: {engine["commands"]:,} commands that lay there when the service started, best of {results["rounds"]}
runs that take turns. The engine does {engine["applied"] / bare["applied"]:.2f} of what the pass-through does, for
{engine["cpu"] / bare["cpu"]:.2f} times the processor time (µs of the service per command).

| machine | commands/s | commands per batch | commit, ms | µs per command |
|---|---:|---:|---:|---:|
{backlog}

**Latency**, in ms, of new orders from the call that sends one to the arrival of its `order.accepted` or
`order.rejected` at a read_committed consumer; {results["seconds"]:g} s at each offered load, one after the other on
the same book. *sent* is what the generator managed and *applied* what the service did, per second until all of it was
committed: where that is less than offered, the backlog grows and the latency is that of the queue. *commit* is the
time from a batch's first record to the broker's answer that all is committed; the next batch is computed meanwhile, on
the same core.

| machine | offered/s | sent/s | applied/s | p50 | p95 | p99 | max | per batch | commit, ms | µs per command |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
{loads}
"""
