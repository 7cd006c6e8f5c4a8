"""Engine and model agree on a fixed list of random histories, and a model that is wrong is found out."""

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from tests.reference import exact, fills, funding, liquidation, matching, settlement
from tests.reference import shard as shard_model
from tests.reference.__main__ import run_world, shrink
from tests.reference.compare import RESTORE_EVERY, compare
from tests.reference.state import Market, Order, Position, Shard
from tests.reference.worlds import make_world

COMMANDS = 500
BATCH = 8
FIRST_SEEDS = range(1, 41, BATCH)

REACHED = {
    *("order.triggered", "trade.executed", "position.updated mode=isolated", "position.updated mode=cross"),
    *("liquidation.started mode=isolated", "liquidation.settled", "liquidation.residual", "liquidation.closed"),
    *("takeover.filled", "takeover.closed", "takeover.exhausted", "adl.executed", "fee_share.accrued"),
    *("funding.paid", "funding.settled", "config.changed"),
    *("machine restored", "fund.reconciled", "order.cancelled reason=margin", "order.cancelled reason=expired"),
}
"""What a few histories must come to, so that agreement means something."""


@pytest.mark.parametrize("first_seed", FIRST_SEEDS)
def test_engine_and_model_publish_the_same(first_seed: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(first_seed, first_seed + BATCH):
        _, run = run_world((seed, COMMANDS, RESTORE_EVERY))
        assert run.difference is None, f"seed {seed}\n{run.difference}"
        counts.update(run.counts)
    assert counts.keys() >= REACHED


def newest_first(market: Market, sign: int) -> list[Order]:
    """A book that forgets who came first."""
    newest = [order for order in market.orders[::-1] if order.sign == sign]
    newest.sort(key=lambda order: -order.price * sign)
    return newest


def of_equal_health(shard: Shard, positions: list[Position]) -> Fraction:
    """A liquidation queue by name alone."""
    return Fraction(0)


def stay_apart(shard: Shard, market: Market) -> None:
    """Takeovers of both sides that all go into the book."""


MISTAKES: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "orders at one price trade newest first": (matching, "queue", newest_first),
    "fees are rounded down": (fills, "ceil", exact.floor),
    "liquidations run by name": (liquidation, "health", of_equal_health),
    "funding is rounded for the payer": (funding, "ceil", exact.floor),
    "takeovers are not netted": (shard_model, "net", stay_apart),
    "slippage is rounded down": (settlement, "ceil", exact.floor),
}


@pytest.mark.parametrize(("module", "name", "mistake"), MISTAKES.values(), ids=MISTAKES)
def test_a_model_that_is_wrong_is_found_out(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, mistake: Callable[..., Any]
) -> None:
    monkeypatch.setattr(module, name, mistake)
    assert any(run_world((seed, 2_000, 0))[1].difference for seed in range(1, 31))


def test_what_is_found_is_cut_down_to_what_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "queue", newest_first)
    seed, run = next(found for found in map(run_world, ((seed, 700, 0) for seed in range(1, 31))) if found[1].differs())
    history = shrink(seed, run.commands, 0)
    assert len(history) < 30
    assert compare(make_world(seed), history).differs()
