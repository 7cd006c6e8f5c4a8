"""What operators fear: settlement away in a cascade, records of 5 MB, a broker that is away, a wrong password."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError

from tests.kafka.broker import Access, Broker
from tests.kafka.conftest import SharedBroker
from tests.kafka.deployment import (
    CONFIG,
    ENGINE,
    SETTLEMENT,
    SHARD,
    Deployment,
    deposit,
    mark,
    order,
)


@pytest.fixture
def venue(broker: SharedBroker, prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """Topics and nothing else; an engine that stops taking risk once two questions are open."""
    config = CONFIG + "[limits]\nmax_open_residuals = 2\n"
    with Deployment(broker.address, prefix, tmp_path, config) as deployment:
        yield deployment


def test_while_settlement_is_away_risk_is_refused_and_nothing_else_and_all_is_settled_when_it_is_back(
    venue: Deployment,
) -> None:
    venue.start(ENGINE)
    longs = [f"long{n}" for n in range(3)]
    venue.send("mark-prices", mark("10000"))
    venue.send("accounts", deposit("maker", "1000000", "m"), *(deposit(long, "1001", f"d-{long}") for long in longs))
    venue.until(lambda: len(venue.types("positions", SHARD)) >= 4)
    venue.send("orders", order("maker", "s", "sell", "3", "10000"))
    venue.until(lambda: "order.accepted" in venue.types("executions", SHARD))
    venue.send("orders", *(order(long, "b", "buy", "1", "10000") for long in longs))
    venue.until(lambda: venue.types("executions", SHARD).count("trade.executed") == 3)
    venue.send("mark-prices", mark("8000"))
    venue.until(lambda: venue.types("liquidations", SHARD).count("liquidation.residual") == 3)

    venue.send(
        "orders",
        order("maker", "more", "sell", "1", "8000"),
        order("maker", "less", "buy", "1", "7000").replace(b'"kind"', b'"reduce_only":true,"kind"'),
    )
    venue.send("mark-prices", *(mark(str(8000 + n)) for n in range(5)))
    venue.until(lambda: any(event.get("order_id") == "less" for event in venue.events("executions", SHARD)))
    answers = {
        event["order_id"]: event.get("code", event["type"])
        for event in venue.events("executions", SHARD)
        if event.get("order_id") in ("more", "less")
    }
    assert answers == {"more": "settlement_behind", "less": "order.accepted"}
    assert venue.types("liquidations", SHARD).count("liquidation.closed") == 0, "nobody decides in its place"

    venue.start(SETTLEMENT)
    # The fund can carry the first; two go to ADL.
    venue.until(lambda: venue.types("liquidations", SHARD).count("liquidation.closed") == 2)
    assert sorted(venue.types("decisions", SHARD)) == ["adl.triggered", "adl.triggered", "takeover.approved"]
    venue.send("orders", order("maker", "again", "sell", "1", "8000"))
    venue.until(lambda: any(event.get("order_id") == "again" for event in venue.events("executions", SHARD)))
    assert venue.events("executions", SHARD)[-1]["type"] == "order.accepted"
    assert venue.backstop("verify").returncode == 0


def test_a_record_of_5_mb_is_refused_by_the_topics_as_they_are_made(venue: Deployment) -> None:
    with pytest.raises(MessageSizeTooLargeError):
        venue.send("orders", b"x" * 5_000_000)


def test_a_record_of_5_mb_on_a_topic_that_lets_it_in_is_a_dead_letter_and_nothing_stops(venue: Deployment) -> None:
    async def let_it_in() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=venue.address)
        await admin.start()
        settings = {"max.message.bytes": "10000000", "message.timestamp.type": "LogAppendTime"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, f"{venue.prefix}accounts", settings)])
        await admin.close()

    asyncio.run(let_it_in())
    venue.start(ENGINE)
    big = b'{"type":"account.deposit","x":"' + b"y" * 5_000_000 + b'"}'
    venue.send("accounts", big, deposit("a", "1", "t1"))
    venue.until(lambda: venue.types("positions", SHARD))
    letter = venue.read("dead-letters", SHARD)[0]
    headers = dict(letter.headers)
    assert (headers["code"], headers["bytes"]) == (b"too_large", str(len(big)).encode())
    assert letter.value == big[: len(letter.value)]


def test_a_topic_with_time_stamps_of_producers_is_refused(venue: Deployment) -> None:
    async def forge() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=venue.address)
        await admin.start()
        settings = {"message.timestamp.type": "CreateTime"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, f"{venue.prefix}accounts", settings)])
        await admin.close()

    asyncio.run(forge())
    engine = venue.start(ENGINE)
    venue.send("accounts", deposit("a", "1", "t1"))
    assert engine.wait(30) == 1
    assert "expected message.timestamp.type LogAppendTime" in engine.log.read_text()


def test_a_broker_that_is_not_there_is_one_line_and_exit_code_2(venue: Deployment) -> None:
    venue.service.write_text('[kafka]\nbootstrap = "127.0.0.1:1"\n')
    engine = venue.start(ENGINE)
    assert engine.wait(60) == 2
    last = engine.log.read_text().splitlines()[-1]
    assert last == "Error: no Kafka at 127.0.0.1:1: nothing listens there; expected a Kafka broker"
    listed = venue.backstop("topics", "--config", str(venue.config))
    assert (listed.returncode, listed.stderr.strip()) == (2, last)


def test_a_wrong_password_is_one_line_without_it_and_exit_code_2(
    make_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    broker = make_broker(access=Access(listeners=["SASL_PLAINTEXT"], users={"engine": "right"}))
    deployment = Deployment(broker.address, "p.", tmp_path)
    secured = broker.addresses["SASL_PLAINTEXT"]
    with deployment:
        deployment.service.write_text(
            f'[kafka]\nbootstrap = "{secured}"\ntopic_prefix = "p."\nsecurity = "sasl_plaintext"\n'
            'sasl = "scram-sha-256"\nusername = "engine"\npassword = "wrong-horse"\n'
        )
        engine = deployment.start(ENGINE)
        assert engine.wait(30) == 2
        said = engine.log.read_text()
        assert said.splitlines()[-1] == (
            f"Error: no Kafka at {secured}: the broker refused user engine (scram-sha-256); expected another name or "
            "password"
        )
        assert "wrong-horse" not in said
    broker.stop()
