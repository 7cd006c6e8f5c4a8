"""Rows from which nothing can be restored: each is refused with a reason, whatever is wrong with it."""

import itertools
from functools import cache

import pytest

from engine.restoration import restore_settlement, restore_shard
from engine.rows import BrokenDump, Row
from engine.shard import Shard
from engine.spec import VenueSpec, compile_venue
from schemas.config import parse_config
from tests.engine.restored import Machine, Twins, rows_of
from tests.engine.stage import MARKET, Stage, second_market, venue_toml
from tests.engine.test_stops import market, stop
from tests.reference.histories import History
from tests.reference.worlds import make_world

KINDS = {
    *(
        "outbox",
        "topic",
        "config",
        "shard",
        "account",
        "market",
        "position",
        "open_orders",
        "open_stops",
        "order",
        "stop",
    ),
    *("light", "realised", "residual", "funding", "owes_funding", "waiting", "triggered", "timer"),
    *("transfers", "transfer", "closed_orders", "closed_order"),
    *("settlement", "treasury", "counterpart", "fund", "adl_trigger", "bucket", "pending_gain", "pending_loss"),
    *("deficit", "reservation"),
}
REPORT_KINDS = {"donations", "credited", "debited", "period"}
"""What the state hash does not cover; of a file the checksum does."""

SEEDS = (20_001, 20_002, 20_003, 20_004, 20_007, 20_022, 20_038, 20_043)
"""Worlds that come to rows of all kinds but one."""

Dump = tuple[VenueSpec, Machine, list[Row], str]


@cache
def dumps() -> dict[str, Dump]:
    """By kind of row: a machine whose state has it, mostly of a random world, its rows and its hash."""
    found: dict[str, Dump] = {}
    stage = market(limits="stops_per_command = 1")
    for _ in range(3):
        stop(stage, "buy", "rises_to", "10100")
    stage.mark("10100")
    shard = stage.venue.shards["usdt"]
    found["triggered"] = compile_venue(stage.config), shard, rows_of(shard), shard.state_hash()
    for seed in SEEDS:
        world = make_world(seed)
        twins = Twins(world.config, seed, world.arrivals)
        for i, fields in enumerate(itertools.islice(History(world, seed), 300)):
            twins.step(fields)
            for machine in twins.machines.values():
                if i % 20 == 19:
                    dump = twins.spec, machine, rows_of(machine), machine.state_hash()
                    for row in dump[2]:
                        found.setdefault(str(row[0]), dump)
    return found


def restore(dump: Dump, rows: list[Row]) -> Machine:
    """What a dump would be with other rows."""
    _, machine, _, state_hash = dump
    if isinstance(machine, Shard):
        return restore_shard(machine.state.spec, rows, state_hash)
    return restore_settlement(machine._funds.spec, machine.asset, rows, state_hash)


def another(value: object) -> object:
    """A value of the same type that is not the same."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return f"{value}x" if isinstance(value, str) else "x"


def test_there_are_rows_of_every_kind() -> None:
    assert dumps().keys() >= KINDS | REPORT_KINDS


def places(kind: str) -> tuple[Dump, list[int]]:
    """A dump with rows of this kind, and where the first and the last of them stand."""
    dump = dumps()[kind]
    found = [i for i, row in enumerate(dump[2]) if row[0] == kind]
    return dump, sorted({found[0], found[-1]})


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_row_with_another_value_in_any_field_is_refused(kind: str) -> None:
    dump, found = places(kind)
    rows = dump[2]
    for place in found:
        for field, value in enumerate(rows[place]):
            changed = (*rows[place][:field], another(value), *rows[place][field + 1 :])
            with pytest.raises(BrokenDump):
                restore(dump, [*rows[:place], changed, *rows[place + 1 :]])


@pytest.mark.parametrize("kind", sorted(KINDS | REPORT_KINDS))
def test_a_row_too_short_or_too_long_is_refused(kind: str) -> None:
    dump, found = places(kind)
    rows = dump[2]
    for place in found:
        for changed in (rows[place][:-1], (*rows[place], 0), (kind,), ()):
            with pytest.raises(BrokenDump):
                restore(dump, [*rows[:place], changed, *rows[place + 1 :]])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_row_that_is_missing_or_there_twice_is_refused(kind: str) -> None:
    dump, found = places(kind)
    rows = dump[2]
    for place in found:
        for instead in ([], [rows[place]] * 2):
            with pytest.raises(BrokenDump):
                restore(dump, [*rows[:place], *instead, *rows[place + 1 :]])


def test_rows_of_another_machine_are_refused() -> None:
    dump = dumps()["account"]
    alien = compile_venue(parse_config(venue_toml())).shards["usdt"]
    with pytest.raises(BrokenDump, match=rf"expected rows of engine:usdt, found those of {dump[1].stream}"):
        restore_shard(alien, dump[2], dump[3])
    with pytest.raises(BrokenDump, match=r"expected rows of engine:\w+, found those of settlement:\w+"):
        restore(dump, dumps()["fund"][2])


def test_rows_are_those_of_one_config_and_restored_under_no_other() -> None:
    stage = Stage()
    stage.mark("10000")
    shard = stage.venue.shards["usdt"]
    rows, state_hash = rows_of(shard), shard.state_hash()
    for toml in (venue_toml() + second_market(), venue_toml().replace(MARKET, "XBT-USDT")):
        other = compile_venue(parse_config(toml)).shards["usdt"]
        with pytest.raises(BrokenDump, match=r"expected rows under config \w{64}, found those under \w{64}"):
            restore_shard(other, rows, state_hash)


def test_the_refusal_says_which_row_is_wrong_and_what_was_expected() -> None:
    shard = Stage().venue.shards["usdt"]
    spec = shard.state.spec
    with pytest.raises(BrokenDump, match="engine:usdt: rows cannot be restored, at row 0: expected outbox, found no"):
        restore_shard(spec, [("nonsense", 1)], shard.state_hash())
    with pytest.raises(BrokenDump, match="at row 0: expected outbox, found the end"):
        restore_shard(spec, [], shard.state_hash())
    with pytest.raises(BrokenDump, match=r"the restored state has the hash [0-9a-f]{64}, not 00"):
        restore_shard(spec, rows_of(shard), "00")


@pytest.mark.parametrize(
    ("kind", "field", "value", "reason"),
    [
        ("account", 5, True, "1 margin pools wait for their liquidation, 0 are listed"),
        ("shard", 4, 1, "0 residuals wait for settlement, 1 are counted"),
    ],
)
def test_what_rows_say_twice_must_agree_whatever_the_hash(kind: str, field: int, value: object, reason: str) -> None:
    stage = Stage()
    stage.deposit("alice", "1")
    shard = stage.venue.shards["usdt"]
    rows = [(*row[:field], value, *row[field + 1 :]) if row[0] == kind else row for row in rows_of(shard)]
    with pytest.raises(BrokenDump, match=reason):
        restore_shard(shard.state.spec, rows, "")
