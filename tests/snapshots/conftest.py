"""Machines with a past, to take snapshots of."""

import itertools
from functools import cache

import pytest

from consumers.snapshots.snapshot import SnapshotHeader
from tests.engine.restored import Machine, Twins
from tests.reference.histories import History
from tests.reference.worlds import make_world

SEED = 20_003


@cache
def twins() -> Twins:
    """A random world after some commands."""
    world = make_world(SEED)
    machines = Twins(world.config, SEED, world.arrivals)
    for fields in itertools.islice(History(world, SEED), 200):
        machines.step(fields)
    return machines


SPEC = twins().spec  # as changes of the config have left it


@pytest.fixture
def shard() -> Machine:
    """An engine."""
    return next(iter(twins().machines.values()))


@pytest.fixture
def settlement() -> Machine:
    """A settlement."""
    return list(twins().machines.values())[-1]


def header(machine: Machine, last: int = 200, epoch: int = 7) -> SnapshotHeader:
    """A header for a machine."""
    return SnapshotHeader(
        stream=machine.stream,
        last=last,
        offset=last + 17,
        chain="c0ffee" + "0" * 58,
        next={"orders/0": 123, "admin/0": 4},
        seen={"orders/0": (122, "f00d")},
        config="ab" * 32,
        code="0.1.0",
        epoch=epoch,
    )
