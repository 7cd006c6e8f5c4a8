"""A real service on a real broker says what it does: metrics, alive, ready, through a takeover."""

import asyncio
import signal
from pathlib import Path
from typing import Any

from tests.kafka.conftest import SharedBroker
from tests.kafka.venue import OnBroker, Serving
from tests.observability.running import samples
from tests.service.streams import buy, deposit, mark

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _metrics(serving: Serving) -> dict[str, float]:
    return samples(serving.get("/metrics")[1])


def _ready(status: int, body: Any) -> bool:
    return status == 200


def test_a_service_is_ready_counts_what_it_commits_and_its_standby_takes_its_place(
    broker: SharedBroker, prefix: str, tmp_path: Path
) -> None:
    venue = OnBroker(broker.address, prefix, tmp_path)
    asyncio.run(venue.create_topics())
    with venue.service("engine:usdt", "--instance", "one") as one:
        one.until("/readyz?role=leader", _ready)
        asyncio.run(venue.send("mark-prices", mark(ts=1)))
        asyncio.run(venue.send("accounts", deposit("a", ts=1), headers=[("traceparent", TRACE)]))
        asyncio.run(venue.send("orders", b"{nonsense"))
        asyncio.run(venue.send("orders", buy("nobody", "o").replace(b'"ts":1750000000000000', b'"ts":1')))
        one.until("/metrics", lambda _, body: samples(body).get("backstop_records_read_total{topic=orders}") == 2)
        one.until("/readyz?role=leader&lag=0", _ready)
        seen = _metrics(one)
        assert seen["backstop_dead_letters_total{code=malformed}"] == 1
        assert seen["backstop_rejects_total{code=unknown_account}"] == 1
        assert seen["backstop_accounts"] == 1
        assert seen["backstop_input_lag_records{partition=0,topic=orders}"] == 0
        assert seen["backstop_commit_seconds_count"] >= 3
        assert seen["backstop_leader"] == 1
        assert seen["backstop_conservation_residual{asset=USDT}"] == 0
        positions = asyncio.run(venue.read("positions"))
        assert {dict(record.headers)["traceparent"] for record in positions} == {TRACE}
        with venue.service("engine:usdt", "--standby", "--instance", "two") as two:
            two.until("/readyz?role=standby", _ready)
            seen = _metrics(two)
            assert (seen["backstop_leader"], seen["backstop_journal_lag_records"]) == (0, 0)
            assert seen["backstop_journal_silence_seconds"] < 1.5
            assert seen["backstop_accounts"] == 1
            assert seen["backstop_epoch"] == _metrics(one)["backstop_epoch"]
            epoch = seen["backstop_epoch"]
            one.process.send_signal(signal.SIGKILL)
            body = two.until("/readyz?role=leader", _ready)
            assert body["number"] >= 3
            seen = _metrics(two)
            assert seen["backstop_epoch"] == epoch + 1
            assert seen["backstop_accounts"] == 1
            two.process.send_signal(signal.SIGTERM)
            assert two.process.wait(20) == 0


def test_a_service_without_its_broker_is_alive_and_not_ready(tmp_path: Path) -> None:
    venue = OnBroker("127.0.0.1:1", "nobody.", tmp_path)
    with venue.service("engine:usdt") as serving:
        serving.until("/livez", lambda status, _: status == 200)
        status, body = serving.get("/readyz")
        assert (status, body["role"]) == (503, "starting")
        assert samples(serving.get("/metrics")[1])["backstop_role{role=starting}"] == 1
        assert not any("silence" in name for name in _metrics(serving))
