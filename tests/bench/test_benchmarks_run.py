"""The benchmarks still run: small, and without a clock."""

import random

from tests.bench import adl, book, core, snapshot, ticks


def test_every_flow_of_the_book_can_be_drawn_and_run() -> None:
    for flow in book.FLOWS.values():
        book.run(list(flow(2_000, random.Random(1))))


def test_the_core_takes_its_log_and_trades() -> None:
    setup, commands = core.draw_log(500)
    assert core.run(core.prepared_shard(setup), commands).fills > 0


def test_an_idle_mark_publishes_nothing() -> None:
    for populate in (ticks.isolated_shard, ticks.cross_shard):
        assert ticks.run(populate(20), ticks.idle_marks(50)) == 0


def test_deleveraging_publishes_what_it_does() -> None:
    shard = adl.shorts(50)
    assert adl.first(shard) > 0
    assert adl.cascade(shard, 3) > 0


def test_a_snapshot_is_dumped_and_loaded() -> None:
    shard = snapshot.quoted_shard(100)
    assert snapshot.load(snapshot.venue_spec(), snapshot.dump(shard)) == shard.stream
