"""The HTTP side, asked by a real client: what is alive, what is ready, and what is neither."""

import asyncio
import socket
import time
from collections.abc import Coroutine
from typing import Any

import aiohttp
import orjson
import pytest

from consumers.errors import UsageFailure
from consumers.observability.http import HttpServer
from consumers.observability.watch import Watch
from consumers.service.replica import Replica
from tests.observability.running import Running, samples
from tests.service.streams import deposit, engine, replica

Answer = tuple[int, dict[str, Any]]


class Journal:
    """A follower's journal of which the test says how it is."""

    def __init__(self, of: Replica) -> None:
        self.replica = of
        self.silence = 0.2
        self.since_fetch = 0.01
        self.epoch = 3
        self.behind: int | None = 0

    async def lag(self) -> int | None:
        return self.behind


async def _get(server: HttpServer, path: str) -> Answer:
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{server.port}{path}") as answer:
        body = await answer.read()
        return answer.status, orjson.loads(body) if answer.content_type == "application/json" else {"text": body}


def _run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def _standby() -> tuple[Watch, Journal]:
    stream = engine()
    watch, journal = Watch(stream, instance="i", code="test"), Journal(replica(stream))
    watch.following(journal)
    watch.became("standby")
    return watch, journal


def test_a_leader_that_commits_and_is_not_behind_is_alive_and_ready() -> None:
    async def test() -> None:
        async with Running(engine()) as running, HttpServer("127.0.0.1:0", running.watch) as server:
            await running.work("accounts", deposit("a"))
            status, body = await _get(server, "/readyz")
            assert status == 200
            assert (body["ok"], body["stream"], body["role"], body["number"]) == (True, "engine:usdt", "leader", 1)
            assert body["lag"]["accounts/0"] == 0
            assert body["reasons"] == []
            assert (await _get(server, "/livez"))[0] == 200
            assert (await _get(server, "/readyz?role=standby"))[0] == 503

    _run(test())


def test_a_leader_that_is_behind_is_not_ready_and_says_where_and_by_how_much() -> None:
    async def test() -> None:
        async with Running(engine()) as running, HttpServer("127.0.0.1:0", running.watch) as server:
            running.inputs["orders"].stable = 12
            assert (await _get(server, "/readyz"))[0] == 200
            status, body = await _get(server, "/readyz?lag=11")
            assert (status, body["lag"]["orders/0"]) == (503, 12)
            assert body["reasons"] == ["orders/0: 12 records behind; expected at most 11"]
            running.inputs["orders"].stable = None
            status, body = await _get(server, "/readyz")
            assert (status, body["lag"]["orders/0"]) == (503, None)
            assert body["reasons"] == ["orders/0: how much is left to read is not known yet"]

    _run(test())


def test_a_leader_whose_commits_do_not_return_is_alive_but_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that is away must not have the process restarted: it ends by itself at the commit deadline."""
    monkeypatch.setattr("consumers.observability.health.SILENCE_SECONDS", 0.1)

    async def test() -> None:
        async with Running(engine(), heartbeat=0.01) as running, HttpServer("127.0.0.1:0", running.watch) as server:
            await running.until(lambda: running.watch.since_commit > 0.1)
            status, body = await _get(server, "/readyz")
            assert status == 503
            assert body["reasons"][0].startswith("nothing was committed for 0.")
            assert (await _get(server, "/livez"))[0] == 200

    _run(test())


def test_a_loop_that_no_longer_turns_is_not_alive() -> None:
    async def test() -> None:
        async with Running(engine()) as running, HttpServer("127.0.0.1:0", running.watch) as server:
            running._task.cancel()
            await asyncio.sleep(0.01)
            running.watch._turned_at = time.monotonic() - 31
            status, body = await _get(server, "/livez")
            assert (status, body["ok"]) == (503, False)
            assert body["reasons"][0].startswith("the loop has not turned for 31.")
            assert (await _get(server, "/livez?stuck=40"))[0] == 200

    _run(test())


def test_an_instance_that_waits_for_its_broker_is_alive_and_not_ready() -> None:
    async def test() -> None:
        watch = Watch(engine(), instance="i", code="test")
        async with HttpServer("127.0.0.1:0", watch) as server:
            watch._turned_at = time.monotonic() - 3_600
            assert (await _get(server, "/livez"))[0] == 200
            status, body = await _get(server, "/readyz")
            assert (status, body["reasons"]) == (503, ["starting: at input 0"])
            assert (await _get(server, "/metrics"))[0] == 200

    _run(test())


def test_a_standby_is_ready_when_it_has_caught_up_and_hears_from_the_broker() -> None:
    async def test() -> None:
        watch, journal = _standby()
        async with HttpServer("127.0.0.1:0", watch) as server:
            status, body = await _get(server, "/readyz")
            assert (status, body["role"], body["lag"]) == (200, "standby", {"journal": 0})
            status, body = await _get(server, "/readyz?role=leader")
            assert (status, body["reasons"]) == (503, ["expected role leader, it is standby"])
            journal.behind = 20_000
            assert (await _get(server, "/readyz"))[1]["reasons"] == [
                "journal: 20000 records behind; expected at most 10000"
            ]
            journal.behind, journal.since_fetch = 0, 4.0
            assert (await _get(server, "/readyz"))[1]["reasons"] == ["no fetch of the journal was answered for 4.0 s"]
            seen = samples((await _get(server, "/metrics"))[1]["text"].decode())
            assert seen["backstop_journal_silence_seconds"] == 0.2
            assert seen["backstop_journal_lag_records"] == 0
            assert seen["backstop_epoch"] == 3
            assert (seen["backstop_leader"], seen["backstop_role{role=standby}"]) == (0, 1)
            watch.snapshot_taken(17, 1_750_000_000.5)
            seen = samples((await _get(server, "/metrics"))[1]["text"].decode())
            assert seen["backstop_snapshot_number"] == 17
            assert seen["backstop_snapshot_time_seconds"] == 1_750_000_000.5

    _run(test())


def test_lags_are_asked_for_at_each_scrape() -> None:
    async def test() -> None:
        async with Running(engine()) as running, HttpServer("127.0.0.1:0", running.watch) as server:
            name = "backstop_input_lag_records{partition=0,topic=orders}"
            for lag in (4, 9):
                running.inputs["orders"].stable = lag
                seen = samples((await _get(server, "/metrics"))[1]["text"].decode())
                assert seen[name] == lag
            assert seen["backstop_leader"] == 1
            assert seen["backstop_epoch"] == 7
            assert seen["process_resident_memory_bytes"] > 0
            assert any(key.startswith("backstop_build_info{") and "stream=engine:usdt" in key for key in seen)

    _run(test())


def test_a_question_that_makes_no_sense_is_refused() -> None:
    async def test() -> None:
        watch, _ = _standby()
        async with HttpServer("127.0.0.1:0", watch) as server:
            assert (await _get(server, "/readyz?lag=-1"))[0] == 400
            assert (await _get(server, "/readyz?role=boss"))[0] == 400
            assert (await _get(server, "/livez?stuck=x"))[0] == 400
            assert (await _get(server, "/"))[0] == 404

    _run(test())


def test_an_address_that_is_taken_is_one_clear_line() -> None:
    async def test() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            watch, _ = _standby()
            with pytest.raises(UsageFailure, match=f"http: cannot listen on {address}"):
                async with HttpServer(address, watch):
                    pass

    _run(test())
