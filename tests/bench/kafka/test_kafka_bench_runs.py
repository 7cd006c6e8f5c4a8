"""The benchmark over a broker still works: small, and whatever the time it takes."""

from pathlib import Path

import pytest

from tests.bench import document
from tests.bench.kafka.trial import MachineName, Trial
from tests.kafka.conftest import SharedBroker


@pytest.mark.parametrize("machine", ["engine", "pass-through"])
def test_every_order_of_a_load_is_answered(
    machine: MachineName, broker: SharedBroker, prefix: str, tmp_path: Path
) -> None:
    slow, fast = Trial(machine, broker.address, prefix, tmp_path / "load").under_load([50, 400], 1)
    assert (slow.offered, fast.offered) == (50, 400)
    for load in (slow, fast):
        assert 0 < load.p50 <= load.p95 <= load.p99 <= load.longest
        assert load.batch >= 1
        assert min(load.sent, load.applied, load.commit) > 0


def test_a_backlog_is_applied_whole(broker: SharedBroker, prefix: str, tmp_path: Path) -> None:
    run = Trial("engine", broker.address, prefix, tmp_path / "backlog").over_backlog(5_000)
    assert run.batch <= 5_000
    assert min(run.applied, run.commit, run.cpu) > 0


def test_the_page_says_what_the_results_say() -> None:
    """It is written from them, never by hand."""
    assert document.DOCS.read_text(encoding="utf-8") == document.render()
