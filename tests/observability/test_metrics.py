"""Metrics show what is committed, and nothing before."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from consumers.observability import audit
from consumers.service.replica import Replica
from schemas.claims import FeeShareAccrued
from schemas.wire import encode
from tests.observability.running import Running
from tests.service.streams import TS, buy, command, deposit, engine, mark, settlement


def _run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def test_records_inputs_rejects_dead_letters_and_events_are_counted() -> None:
    async def test() -> None:
        async with Running(engine()) as running:
            await running.work("mark-prices", mark(), b"{nonsense", mark())
            await running.work("accounts", deposit("a"))
            await running.work("orders", buy("a", "o1"), buy("nobody", "o2", price="9999.95"))
            seen = running.seen()
            assert seen["backstop_records_read_total{topic=mark-prices}"] == 3
            assert seen["backstop_records_read_total{topic=orders}"] == 2
            assert seen["backstop_records_read_total{topic=decisions}"] == 0, "shown before the first record"
            assert seen["backstop_inputs_applied_total"] == 5
            assert seen["backstop_dead_letters_total{code=malformed}"] == 1
            assert seen["backstop_rejects_total{code=unknown_account}"] == 1
            assert seen["backstop_events_total{topic=executions}"] == 2
            assert seen["backstop_batches_total"] == 3
            assert seen["backstop_batch_inputs_sum"] == 5
            assert seen["backstop_batch_inputs_bucket{le=1.0}"] == 1
            assert seen["backstop_commit_seconds_count"] == 4
            assert seen["backstop_apply_seconds_count"] == 3
            assert seen["backstop_journal_number"] == 5
            assert seen["backstop_last_seq"] == running.replica.machine.state.outbox.seq
            assert seen["backstop_event_time_seconds"] == TS / 1e6
            assert seen["backstop_accounts"] == 1

    _run(test())


def test_nothing_of_a_batch_is_shown_before_its_commit_returned() -> None:
    """Memory is two batches further than what is committed, and the metrics are with the log."""

    async def test() -> None:
        async with Running(engine()) as running:
            running.arrive("accounts", deposit("a"))
            await running.until(lambda: running.commits.begun == 1)
            running.arrive("accounts", deposit("b", transfer_id="t2"), b"no command")
            await running.until(lambda: running.replica.applied == 2)
            seen = running.seen()
            assert (seen["backstop_journal_number"], seen["backstop_accounts"]) == (0, 0)
            assert seen["backstop_inputs_applied_total"] == 0
            assert await running.watch.input_lag() == {
                "decisions/0": 0,
                "admin/0": 0,
                "mark-prices/0": 0,
                "accounts/0": 3,
                "orders/0": 0,
            }, "what the loop works on is not done"
            running.commits.let_through()
            await running.until(lambda: running.watch.number == 1)
            seen = running.seen()
            assert (seen["backstop_journal_number"], seen["backstop_accounts"]) == (1, 1)
            assert "backstop_dead_letters_total{code=malformed}" not in seen
            assert (await running.watch.input_lag())["accounts/0"] == 2
            running.commits.let_through()
            await running.until(lambda: running.watch.number == 2)
            assert running.seen()["backstop_dead_letters_total{code=malformed}"] == 1
            assert (await running.watch.input_lag())["accounts/0"] == 0

    _run(test())


def test_repeated_claims_are_counted_as_ignored() -> None:
    async def test() -> None:
        claim = FeeShareAccrued(market="BTC-USDT", fund="btc", amount="1.000000", claim=1)
        claim.stream, claim.seq, claim.ts, claim.cause = "engine:usdt", 1, TS, 1
        async with Running(settlement()) as running:
            await running.work("liquidations", encode(claim), encode(claim))
            seen = running.seen()
            assert seen["backstop_inputs_ignored_total"] == 1
            assert seen["backstop_inputs_applied_total"] == 1
            assert seen["backstop_records_read_total{topic=liquidations}"] == 2

    _run(test())


def test_funds_are_shown_in_the_asset_and_not_in_its_units() -> None:
    async def test() -> None:
        async with Running(settlement()) as running:
            fund = command("fund.deposit", fund="btc", amount="5.25", kind="injection", transfer_id="t")
            await running.work("fund-admin", fund, command("fund.minimum", fund="btc", amount="2000"))
            seen = running.seen()
            assert seen["backstop_fund_balance{asset=USDT,fund=btc}"] == 1005.25
            assert seen["backstop_fund_minimum{asset=USDT,fund=btc}"] == 2000
            assert seen["backstop_fund_reserved{asset=USDT,fund=btc}"] == 0
            assert seen["backstop_fund_pending{asset=USDT,fund=btc}"] == 0

    _run(test())


def test_a_heartbeat_is_none_of_the_batches() -> None:
    async def test() -> None:
        async with Running(engine(), heartbeat=0.01) as running:
            running.commits.let_through(3)
            await running.until(lambda: running.seen()["backstop_heartbeats_total"] == 1 + 3)
            seen = running.seen()
            assert seen["backstop_batches_total"] == 0, "and neither is the genesis of an engine"
            assert seen["backstop_commit_seconds_count"] == 4
            assert seen["backstop_last_commit_time_seconds"] > time.time() - 60

    _run(test())


def test_the_books_are_added_up_when_nothing_happens_and_shown_when_committed() -> None:
    async def test() -> None:
        async with Running(engine(), heartbeat=0.01, audit_seconds=0.0) as running:
            running.watch.audit.latest = None
            await running.until(lambda: running.commits.begun == 1)
            assert "backstop_conservation_residual{asset=USDT}" not in running.seen()
            running.commits.let_through()
            await running.until(lambda: running.watch.audit.latest is not None)
            seen = running.seen()
            assert seen["backstop_conservation_residual{asset=USDT}"] == 0
            assert seen["backstop_conservation_failures_total"] == 0

    _run(test())


def test_books_that_do_not_add_up_are_shown_and_said(capsys: Any) -> None:
    async def test() -> None:
        async with Running(engine(), heartbeat=0.01, audit_seconds=0.0) as running:
            await running.work("accounts", deposit("a"))
            _lose(running.replica, 3)
            running.commits.let_through(1_000)
            await running.until(lambda: running.watch.audit.failures > 0)
            assert running.seen()["backstop_conservation_residual{asset=USDT}"] == -0.000003
            assert running.seen()["backstop_conservation_failures_total"] > 0

    _run(test())
    assert "not_conserved" in "".join(capsys.readouterr())


def test_a_leader_that_is_too_large_does_not_stall_to_add_up(monkeypatch: Any) -> None:
    monkeypatch.setattr("consumers.observability.watch.LEADER_SIZE_MAX", 1)

    async def test() -> None:
        async with Running(engine(), heartbeat=0.01, audit_seconds=0.0) as running:
            await running.work("accounts", deposit("a"), deposit("b", transfer_id="t2"))
            running.watch.audit.latest = None
            running.commits.let_through(10)
            await running.until(lambda: running.seen()["backstop_heartbeats_total"] >= 3)
            assert running.watch.audit.latest is None

    assert audit.LEADER_SIZE_MAX > 1
    _run(test())


def _lose(of: Replica, units: int) -> None:
    next(iter(of.machine.state.accounts.values())).wallet.balance -= units


def test_two_instances_in_one_process_do_not_share_metrics() -> None:
    async def test() -> None:
        async with Running(engine()) as one, Running(engine()) as other:
            await one.work("accounts", deposit("a"))
            assert one.seen()["backstop_inputs_applied_total"] == 1
            assert other.seen()["backstop_inputs_applied_total"] == 0

    _run(test())
