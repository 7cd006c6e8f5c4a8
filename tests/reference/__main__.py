"""`python -m tests.reference`: engine and model on random histories, each in a random world.

At intervals the engine is replaced by what its snapshots restore to, which must make no difference.

Prints how often every kind of event came up, so that what was compared is visible. Exit 0 when they agree on
everything, 1 at the first difference, with the world, the shortest history that shows it, and what each published.
"""

import argparse
import itertools
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click
import orjson

from tests.reference.compare import RESTORE_EVERY, Run, compare
from tests.reference.histories import History
from tests.reference.worlds import make_world

COMMANDS_PER_WORLD = 2_000
SHRINK_SECONDS = 120


def run_world(task: tuple[int, int, int]) -> tuple[int, Run]:
    """Compare on the first commands of a seed's history."""
    seed, commands, restore_every = task
    world = make_world(seed)
    return seed, compare(world, itertools.islice(History(world, seed), commands), restore_every)


def run_worlds(commands: int, seed: int, jobs: int, restore_every: int) -> Iterator[tuple[int, Run]]:
    """So many commands in all, from this seed on."""
    tasks = [
        (seed + i, min(COMMANDS_PER_WORLD, commands - start), restore_every)
        for i, start in enumerate(range(0, commands, COMMANDS_PER_WORLD))
    ]
    if jobs == 1:
        yield from map(run_world, tasks)
        return
    with multiprocessing.Pool(jobs) as pool:
        yield from pool.imap_unordered(run_world, tasks)


def shrink(seed: int, commands: int, restore_every: int) -> list[dict[str, Any]]:
    """The history without what the difference does not need: runs of commands are left out while it stays."""
    world = make_world(seed)
    history = list(itertools.islice(History(world, seed), commands))
    until = time.monotonic() + SHRINK_SECONDS
    length = len(history) // 2
    while length and time.monotonic() < until:
        for start in range(len(history) - length, -1, -length):
            shorter = history[:start] + history[start + length :]
            found = compare(world, shorter, restore_every).difference
            if found is not None:
                history = shorter[: found.number]
        length //= 2
    return history


def report(seed: int, run: Run, restore_every: int) -> None:
    """Print how to see the difference again."""
    history = shrink(seed, run.commands, restore_every)
    world = make_world(seed)
    click.echo(f"\nengine and model differ: seed {seed}, command {run.commands} of its history")
    click.echo(f"the world: {orjson.dumps(world.settings).decode()}")
    click.echo(f"the shortest history found, {len(history)} commands:")
    for command in history:
        click.echo(f"  {orjson.dumps(command).decode()}")
    click.echo(compare(world, history, restore_every).difference)


def main() -> int:
    """Run, show progress, sum up."""
    parser = argparse.ArgumentParser(prog="python -m tests.reference", description=__doc__)
    parser.add_argument("--commands", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1, help="the first world; the others follow")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    parser.add_argument(
        "--restore-every",
        type=int,
        default=RESTORE_EVERY,
        metavar="N",
        help="after each N commands the engine goes on as what its snapshots restore to; 0: never",
    )
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    done = worlds = 0
    began = shown = time.monotonic()
    for seed, run in run_worlds(options.commands, options.seed, options.jobs, options.restore_every):
        done += run.commands
        worlds += 1
        counts.update(run.counts)
        if run.difference is not None:
            report(seed, run, options.restore_every)
            return 1
        if time.monotonic() - shown > 5:
            shown = time.monotonic()
            click.echo(f"  {done:,} of {options.commands:,} commands agree, {shown - began:.0f} s")
    for name, count in sorted(counts.items()):
        click.echo(f"{count:10,}  {name}")
    seconds = time.monotonic() - began
    click.echo(f"engine and model agree on {done:,} commands in {worlds} worlds, byte by byte ({seconds:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
