"""`backstop send` and `backstop tail`: a log in, events out, without a line of code."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from consumers.send.routes import NoRoute, Routes
from schemas.config import parse_config
from schemas.partitions import stream_partitions
from schemas.wire import decode_command
from tests.kafka.conftest import SharedBroker
from tests.kafka.deployment import ASSET, CONFIG, ENGINE, SHARD, Deployment, command, deposit, mark, order


@pytest.fixture
def venue(broker: SharedBroker, prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """Topics and nothing else."""
    with Deployment(broker.address, prefix, tmp_path) as deployment:
        yield deployment


def test_a_log_is_sent_to_the_partitions_of_its_streams_in_its_order_and_tail_shows_what_comes_of_it(
    venue: Deployment,
) -> None:
    gift = command("fund.deposit", fund="btc", amount="5", kind="injection", transfer_id="f1")
    lines = [mark("10000"), deposit("a", "100", "t1"), order("a", "o1", "buy", "0.001", "10000"), gift]
    log = venue.folder / "log.jsonl.gz"
    log.write_bytes(gzip.compress(b"\n".join(lines) + b"\n"))
    sent = venue.backstop("send", str(log), "--config", str(venue.config))
    assert (sent.returncode, sent.stdout) == (0, "4 commands sent\n"), sent.stderr
    assert [record.value for record in venue.read("fund-admin", ASSET)] == [gift]
    assert [record.value for record in venue.read("orders", SHARD)] == lines[2:3]
    venue.start(ENGINE)
    venue.until(lambda: "order.accepted" in venue.types("executions", SHARD))
    shown = venue.backstop("tail", "executions", "positions", "--from-beginning", "--once")
    assert shown.returncode == 0, shown.stderr
    events = [orjson.loads(line) for line in shown.stdout.splitlines()]
    assert {"order.accepted", "account.updated"} <= {event["type"] for event in events}


def test_old_commands_can_be_stamped_with_the_time_of_sending(venue: Deployment) -> None:
    old = re.sub(rb'"ts":\d+', b'"ts":1000', mark("10000"))
    log = venue.folder / "log.jsonl"
    log.write_bytes(old + b"\n")
    assert venue.backstop("send", str(log), "--config", str(venue.config), "--now").returncode == 0
    value = venue.read("mark-prices", SHARD)[0].value
    assert decode_command(value).ts > 1_700_000_000_000_000
    assert re.sub(rb'"ts":\d+', b'"ts":1000', value) == old


def test_what_is_no_command_or_about_nothing_of_the_venue_stops_the_sending_by_line(venue: Deployment) -> None:
    log = venue.folder / "log.jsonl"
    log.write_bytes(mark("1") + b"\n" + mark("2").replace(b"BTC-USDT", b"XYZ") + b"\n")
    refused = venue.backstop("send", str(log), "--config", str(venue.config))
    assert refused.returncode == 2
    assert refused.stderr == f"Error: {log}:2: market: the config has no XYZ; it has BTC-USDT\n"
    log.write_bytes(b"{\n")
    refused = venue.backstop("send", str(log), "--config", str(venue.config))
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"Error: {log}:1: record: expected one JSON object")


def test_a_clock_tick_goes_to_every_stream_and_a_config_change_is_left_to_its_own_command() -> None:
    config = parse_config(CONFIG)
    routes = Routes(config)
    assert routes.partitions(decode_command(command("clock.tick"))) == sorted(stream_partitions(config).values())
    with pytest.raises(NoRoute, match="backstop config apply"):
        routes.partitions(decode_command(command("config.set", changes={})))
