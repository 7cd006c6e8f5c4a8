"""`backstop config diff` and `apply` on a running venue: what each service goes by, and bringing all to a file."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from consumers.cli import main
from consumers.kafka.running import RunningStream
from schemas.config import config_hash, parse_config
from schemas.partitions import stream_partitions
from tests.kafka.conftest import SharedBroker
from tests.kafka.deployment import (
    ASSET,
    CONFIG,
    ENGINE,
    SETTLEMENT,
    SHARD,
    Deployment,
    command,
    deposit,
    mark,
    now,
    order,
)
from tests.kafka.instance import Instance

HALTED = CONFIG.replace('lot = "0.001"', 'lot = "0.001"\nstatus = "halted"')
TIERS = "tiers = [{ up_to"
ETH = """
[markets.ETH-USDT]
shard = "{shard}"
fund = "btc"
tick = "0.1"
lot = "0.001"
taker_fee = "0.01"
fund_fee_share = "0.5"
tiers = [{{ up_to = "100000000", initial = "0.01", maintenance = "0.005" }}]
"""
MORE = '[shards.more]\nasset = "USDT"\n'

# A service whose code takes no change at all.
OBSTINATE = """
from engine import config_change, fund_config, shard_config
from engine.reject import Refused
def refuse(config, config_hash, command):
    raise Refused("unsupported_change", "not with this code")
fund_config.accept = shard_config.accept = refuse
from consumers.cli import main
main()
"""


@pytest.fixture
def venue(broker: SharedBroker, prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """Topics and nothing else."""
    with Deployment(broker.address, prefix, tmp_path) as deployment:
        yield deployment


def begin(venue: Deployment, *streams: str) -> list[Instance]:
    """Start services, and wait until each has a journal."""
    instances = [venue.start(stream) for stream in streams]
    partitions = stream_partitions(parse_config(CONFIG))
    venue.until(lambda: all(venue.read("journal", partitions[stream]) for stream in streams))
    return instances


def wanted(venue: Deployment, text: str) -> str:
    """A config file beside that of the venue."""
    path = venue.folder / "wanted.toml"
    path.write_text(text)
    return str(path)


def applied(venue: Deployment, text: str, *options: str) -> str:
    """Apply a config, which succeeds; what was said of it."""
    ran = venue.backstop("config", "apply", wanted(venue, text), *options)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def eth(type_: str, **fields: str) -> bytes:
    """A command about the second market."""
    return command(type_, market="ETH-USDT", **fields)


def trade_eth(venue: Deployment, shard: str, partition: int) -> None:
    """Two accounts of a shard trade in the second market."""
    money = [
        command("account.deposit", shard=shard, account=name, amount="100000", transfer_id=f"{shard}-{name}")
        for name in ("buyer", "seller")
    ]
    venue.send("accounts", *money, partition=partition)
    venue.send("mark-prices", eth("price.mark", price="100"), partition=partition)
    venue.until(lambda: len(venue.types("positions", partition)) >= 2)
    terms = {"kind": "limit", "qty": "1", "price": "100"}
    venue.send("orders", eth("order.new", account="seller", order_id="s", side="sell", **terms), partition=partition)
    venue.send("orders", eth("order.new", account="buyer", order_id="b", side="buy", **terms), partition=partition)
    venue.until(lambda: "trade.executed" in venue.types("executions", partition))


def fees(venue: Deployment) -> list[str]:
    """What the fund was credited with as its share of fees."""
    return [
        event["amount"]
        for event in venue.events("settlements", ASSET)
        if event["type"] == "fund.credited" and event["cause_kind"] == "fee_share"
    ]


def test_a_market_is_halted_and_reopened_and_a_second_run_finds_nothing_to_do(venue: Deployment) -> None:
    begin(venue, ENGINE, SETTLEMENT)
    venue.send("accounts", deposit("a", "1000", "t1"))
    venue.send("mark-prices", mark("100"))
    found = venue.backstop("config", "diff", wanted(venue, HALTED))
    assert found.returncode == 1, found.stderr
    assert "markets.BTC-USDT.status  (default)  halted" in found.stdout
    told = applied(venue, HALTED)
    assert [line.partition(":")[0] for line in told.splitlines()] == ["settlement", "engine"]
    assert venue.backstop("config", "diff", wanted(venue, HALTED)).returncode == 0
    again = venue.backstop("config", "apply", wanted(venue, HALTED))
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "Every stream goes by it already.\n")
    venue.send("orders", order("a", "o1", "buy", "1", "100"))
    venue.until(lambda: "order.rejected" in venue.types("executions"))
    assert venue.events("executions")[-1]["code"] == "market_halted"
    applied(venue, CONFIG)
    venue.send("orders", order("a", "o2", "buy", "1", "100"))
    venue.until(lambda: "order.accepted" in venue.types("executions"))
    assert venue.types("executions", ASSET) == ["config.changed", "config.changed"]
    assert len(venue.read("admin")) == len(venue.read("admin", ASSET)) == 2


def test_a_market_is_added_while_others_trade_and_its_fees_reach_the_fund(venue: Deployment) -> None:
    begin(venue, ENGINE, SETTLEMENT)
    applied(venue, CONFIG + ETH.format(shard="usdt"))
    trade_eth(venue, "usdt", SHARD)
    venue.until(lambda: fees(venue))
    assert fees(venue) == ["0.500000"]


def test_tiers_and_the_minimum_of_a_fund_are_changed_for_engine_and_settlement_alike(venue: Deployment) -> None:
    begin(venue, ENGINE, SETTLEMENT)
    text = CONFIG.replace('initial = "0.01"', 'initial = "0.1"').replace("opening", 'minimum = "2000"\nopening')
    plan = applied(venue, text, "--dry-run").splitlines()
    assert plan[0] == f"{SETTLEMENT}, {ENGINE}:"
    assert set(orjson.loads(plan[1])["changes"]) == {"funds", "markets"}
    assert venue.read("admin") == []
    applied(venue, text)
    venue.until(lambda: "fund.below_minimum" in venue.types("settlements", ASSET))
    (mine,), (theirs,) = venue.events("executions"), venue.events("executions", ASSET)
    after = config_hash(parse_config(text))
    assert mine["after"] == theirs["after"] == after
    assert mine["before"] == theirs["before"] == config_hash(parse_config(CONFIG))
    venue.send("accounts", deposit("a", "10", "t1"))
    venue.send("accounts", command("account.leverage", market="BTC-USDT", account="a", leverage="50"))
    venue.until(lambda: "account.rejected" in venue.types("positions"))


def test_what_cannot_change_is_named_and_nothing_is_sent(venue: Deployment) -> None:
    begin(venue, ENGINE, SETTLEMENT)
    text = CONFIG.replace('tick = "0.1"', 'tick = "0.5"').replace("opening", 'minimum = "2000"\nopening')
    ran = venue.backstop("config", "apply", wanted(venue, text))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "Error: markets.BTC-USDT.tick: cannot change, as orders and marks are counted in it\n"
    assert venue.read("admin") == venue.read("admin", ASSET) == []
    found = venue.backstop("config", "diff", wanted(venue, text), "--json")
    assert found.returncode == 1
    (difference,) = orjson.loads(found.stdout)["differences"]
    assert difference["streams"] == [SETTLEMENT, ENGINE]
    assert [each["setting"] for each in difference["refused"]] == ["markets.BTC-USDT.tick"]


def test_after_a_change_a_service_starts_with_the_new_file_only_and_its_journal_replays(venue: Deployment) -> None:
    """Without a snapshot and with one; the exported journal has the change where it happened."""
    engine, settlement = begin(venue, ENGINE, SETTLEMENT)
    venue.send("accounts", deposit("a", "10", "t1"))
    applied(venue, HALTED)
    for instance in (engine, settlement):
        instance.signal(signal.SIGTERM)
        assert instance.wait(20) == 0
    refused = venue.start(ENGINE)
    assert refused.wait(20) == 2
    assert "differ in markets.BTC-USDT.status; 'backstop config diff'" in refused.log.read_text()
    venue.config.write_text(HALTED)
    for stream in (ENGINE, SETTLEMENT):
        again = venue.start(stream)
        assert again.leads
    venue.send("accounts", deposit("a", "10", "t2"))
    venue.until(lambda: len(venue.types("positions")) == 2)
    (changed,) = venue.events("executions")
    journal = venue.folder / "journal.jsonl"
    exported = venue.backstop("export", "--shard", "usdt", "--out", str(journal))
    assert exported.returncode == 0, exported.stderr
    replayed = venue.replay(journal)
    assert [event for event in replayed if event["type"] == "config.changed"] == [changed]
    assert [event["type"] for event in replayed if event["stream"] == ENGINE].index("config.changed") > 0
    for stream in ("--shard=usdt", "--asset=USDT"):
        kept = venue.backstop("snapshot", stream, "--config", str(venue.config))
        assert kept.returncode == 0, kept.stderr
    assert venue.backstop("config", "diff", str(venue.config)).returncode == 0
    applied(venue, CONFIG)
    again.signal(signal.SIGTERM)
    assert again.wait(20) == 0
    venue.config.write_text(CONFIG)
    assert venue.start(SETTLEMENT).leads, "from the snapshot, which is of the config before"


def test_the_config_is_told_from_a_snapshot_where_the_journal_has_lost_its_beginning(venue: Deployment) -> None:
    begin(venue, ENGINE, SETTLEMENT)
    applied(venue, HALTED)
    last = venue.read("journal")[-1].offset
    assert venue.backstop("snapshot", "--shard=usdt", "--config", wanted(venue, HALTED)).returncode == 0
    venue.forget("journal", last)
    found = venue.backstop("config", "diff", wanted(venue, CONFIG))
    assert found.returncode == 1, found.stderr
    assert "markets.BTC-USDT.status  halted  (default)" in found.stdout
    for snapshot in (venue.folder / "snapshots").iterdir():
        snapshot.unlink()
    lost = venue.backstop("config", "diff", wanted(venue, CONFIG))
    assert lost.returncode == 2
    assert "its config cannot be told" in lost.stderr
    assert lost.stderr.count("\n") == 1


def test_a_shard_is_added_once_its_partitions_are_there_and_settlement_reads_its_claims(venue: Deployment) -> None:
    begin(venue, ENGINE, SETTLEMENT)
    text = CONFIG + MORE + ETH.format(shard="more")
    more = stream_partitions(parse_config(text))["engine:more"]
    early = venue.backstop("config", "apply", wanted(venue, text))
    assert early.returncode == 2
    assert "'backstop topics'" in early.stderr
    assert venue.read("admin", ASSET) == []
    made = venue.backstop("topics", "--config", wanted(venue, text))
    assert made.returncode == 0, made.stderr
    ran = venue.backstop("config", "apply", wanted(venue, text))
    assert ran.returncode == 0, ran.stderr
    assert "engine:more has not begun" in ran.stderr
    venue.config.write_text(text)
    venue.start("engine:more")
    trade_eth(venue, "more", more)
    venue.until(lambda: fees(venue))
    assert fees(venue) == ["0.500000"]
    same = venue.backstop("config", "diff", str(venue.config))
    assert same.returncode == 0, same.stdout


def test_no_engine_is_told_while_a_settlement_is_down_and_a_second_run_completes_the_first(venue: Deployment) -> None:
    _, settlement = begin(venue, ENGINE, SETTLEMENT)
    settlement.signal(signal.SIGTERM)
    assert settlement.wait(20) == 0
    ran = venue.backstop("config", "apply", wanted(venue, HALTED), "--wait", "2s")
    assert ran.returncode == 1
    assert "settlement:USDT: no answer within 2 s" in ran.stderr
    assert "No engine was told." in ran.stderr
    assert venue.read("admin") == []
    assert "1 change it has not read yet" in venue.backstop("config", "diff", wanted(venue, HALTED)).stdout
    venue.start(SETTLEMENT)
    told = applied(venue, HALTED)
    assert "engine:usdt: goes by it from input" in told
    assert len(venue.read("admin", ASSET)) == 1, "it was not told twice"
    assert venue.backstop("config", "diff", wanted(venue, HALTED)).returncode == 0


def test_a_change_that_a_service_refuses_is_reported_with_its_code_and_reason(venue: Deployment) -> None:
    begin(venue, ENGINE)
    venue.start(SETTLEMENT, program=("-c", OBSTINATE))
    venue.until(lambda: venue.read("journal", ASSET))
    ran = venue.backstop("config", "apply", wanted(venue, HALTED))
    assert ran.returncode == 1
    assert "settlement:USDT: refused the change at input" in ran.stderr
    assert "unsupported_change: not with this code" in ran.stderr
    assert venue.read("admin") == []
    disagree = venue.backstop("config", "diff", wanted(venue, HALTED))
    assert disagree.returncode == 2
    assert "this is other code" in disagree.stderr


def test_a_change_of_somebody_else_meanwhile_is_noticed_before_anything_is_sent(venue: Deployment) -> None:
    _, settlement = begin(venue, ENGINE, SETTLEMENT)
    settlement.signal(signal.SIGSTOP)
    ran = []
    mine = threading.Thread(target=lambda: ran.append(venue.backstop("config", "apply", wanted(venue, HALTED))))
    mine.start()
    venue.until(lambda: ran or venue.read("admin", ASSET))
    assert not ran, ran
    other = command("config.set", changes={"markets": {"BTC-USDT": {"price_band": "0.1"}}})
    venue.send("admin", other)
    venue.until(lambda: "config.changed" in venue.types("executions"))
    settlement.signal(signal.SIGCONT)
    mine.join()
    assert ran[0].returncode == 1
    assert "settlement:USDT: goes by it" in ran[0].stdout
    assert "engine:usdt: its config was changed meanwhile by somebody else" in ran[0].stderr
    assert len(venue.read("admin")) == 1


@pytest.mark.parametrize(
    ("theirs", "outcome"),
    [
        ({"price_band": "0.1"}, "its config has the hash {after} after input"),
        ({"taker_fee": "0"}, "refused the change at input"),
    ],
)
def test_a_change_of_somebody_else_at_the_same_moment_is_told_from_the_answer(
    venue: Deployment, monkeypatch: pytest.MonkeyPatch, theirs: dict[str, str], outcome: str
) -> None:
    """Theirs comes before ours, once ours was computed; what both make may be something or nothing."""
    text = CONFIG.replace('lot = "0.001"', 'lot = "0.001"\ntaker_fee = "0.0001"')
    venue.config.write_text(text)
    begin(venue, ENGINE, SETTLEMENT)
    tell = RunningStream.tell
    change: dict[str, Any] = {"markets": {"BTC-USDT": theirs}}

    async def after_theirs(stream: RunningStream, mine: bytes) -> int:
        await tell(stream, command("config.set", changes=change))
        return await tell(stream, mine)

    monkeypatch.setattr(RunningStream, "tell", after_theirs)
    mine = wanted(venue, text.replace("taker_fee", 'maker_fee = "-0.0001"\ntaker_fee'))
    ran = CliRunner().invoke(main, ["config", "apply", mine, "--service", str(venue.service)])
    assert ran.exit_code == 1, ran.output
    *_, last = venue.events("executions", ASSET)
    assert f"settlement:USDT: {outcome.format(after=last.get('after'))}" in ran.output
    assert last.get("code", "invalid_config") == "invalid_config"
    assert venue.read("admin") == []


def test_a_change_from_a_clock_that_is_ahead_is_reported_as_a_dead_letter(
    venue: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(venue, ENGINE, SETTLEMENT)
    monkeypatch.setattr("consumers.config.command._now", lambda: now() + 60_000_000)
    ran = CliRunner().invoke(main, ["config", "apply", wanted(venue, HALTED), "--service", str(venue.service)])
    assert ran.exit_code == 1
    assert "took admin/1/0 for no command: 'backstop dead-letters list --stream settlement:USDT' says why" in ran.output
    assert venue.read("admin") == []


def test_streams_at_different_configs_are_shown_apart(venue: Deployment) -> None:
    begin(venue, ENGINE, SETTLEMENT)
    venue.send("admin", command("config.set", changes={"funds": {"btc": {"minimum": "7"}}}), partition=ASSET)
    venue.until(lambda: "config.changed" in venue.types("executions", ASSET))
    text = CONFIG.replace("opening", 'minimum = "7"\nopening')
    found = venue.backstop("config", "diff", wanted(venue, text))
    assert found.returncode == 1
    lines = [line.split() for line in found.stdout.splitlines()]
    assert [line[0] for line in lines[:3]] == ["stream", SETTLEMENT, ENGINE]
    assert "as the file" in found.stdout
    assert lines[lines.index([f"{ENGINE}:"]) + 2] == ["funds.btc.minimum", "(default)", "7"]
    told = applied(venue, text)
    assert told.splitlines() == [told.rstrip("\n")]
    assert told.startswith("engine:usdt: goes by it")


def test_no_engine_is_told_before_the_settlement_of_its_asset_has_begun(venue: Deployment) -> None:
    """It could begin with the file from before, and would be stopped by the first claim of a new market."""
    begin(venue, ENGINE)
    ran = venue.backstop("config", "apply", wanted(venue, HALTED))
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "settlement:USDT: has not begun" in ran.stderr
    assert venue.read("admin") == []
    venue.config.write_text(HALTED)
    begin(venue, SETTLEMENT)
    assert applied(venue, HALTED).startswith("engine:usdt: goes by it")


def test_a_venue_that_has_not_begun_cannot_be_compared(venue: Deployment) -> None:
    for action in ("diff", "apply"):
        ran = venue.backstop("config", action, str(venue.config))
        assert (ran.returncode, ran.stdout) == (2, "")
        assert "nothing has begun" in ran.stderr
    venue.service.write_text(venue.service.read_text().replace('url = "', 'url = "nowhere://'))
    ran = venue.backstop("config", "diff", str(venue.config))
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert "cannot open nowhere://" in ran.stderr
