"""The two services on a real broker: what they do in good days, and how they end in bad ones."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.service.journal import decode_record
from tests.kafka.conftest import SharedBroker
from tests.kafka.deployment import (
    ASSET,
    ENGINE,
    SETTLEMENT,
    Deployment,
    command,
    deposit,
    mark,
    now,
    order,
)

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

# A service whose engine has a bug: it fails on the deposits of one account.
BUGGY = """
from engine import shard, transfers
def fail(state, command):
    if command.account == "poison":
        raise ZeroDivisionError("a bug")
    transfers.deposit(state, command)
shard._HANDLERS[shard.AccountDeposit] = fail
from consumers.cli import main
main()
"""


@pytest.fixture
def venue(broker: SharedBroker, prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """Topics and nothing else."""
    with Deployment(broker.address, prefix, tmp_path) as deployment:
        yield deployment


def _open_positions(venue: Deployment) -> None:
    """A long of 11 with bankruptcy price 10,000 that shorts of the same size hold against."""
    venue.send("accounts", deposit("long", "11000", "t1"), deposit("short", "200000", "t2"))
    venue.send("mark-prices", mark("11000"))
    venue.until(lambda: len(venue.types("positions")) >= 2)
    venue.send("accounts", command("account.leverage", market="BTC-USDT", account="long", leverage="11"))
    venue.until(lambda: len(venue.types("positions")) >= 3)
    venue.send("orders", order("short", "s", "sell", "11", "11000"))
    venue.until(lambda: "order.accepted" in venue.types("executions"))
    venue.send("orders", order("long", "l", "buy", "11", "11000"))
    venue.until(lambda: "trade.executed" in venue.types("executions"))


def test_a_loss_beyond_the_fund_goes_from_the_engine_to_settlement_and_back_and_ends_in_adl(venue: Deployment) -> None:
    engine, settlement = venue.start(ENGINE), venue.start(SETTLEMENT)
    _open_positions(venue)
    venue.send("mark-prices", mark("9000"), trace=TRACE)
    venue.until(lambda: "adl.completed" in venue.types("adl"))
    executed = next(event for event in venue.events("adl") if event["type"] == "adl.executed")
    assert (executed["account"], executed["qty"], executed["price"]) == ("short", "11.000", "10000.00000000")
    decided = venue.events("decisions")
    assert [(event["type"], event["decision"]) for event in decided] == [("adl.triggered", 1)]
    assert decided[0]["expected_loss"] == "11000.000000"
    claims = [event["claim"] for event in venue.events("liquidations") if "claim" in event]
    assert claims == list(range(1, len(claims) + 1))
    traces = [dict(record.headers).get("traceparent") for record in venue.read("adl")]
    assert set(traces) == {TRACE}, "the trace of the mark goes through settlement and back"
    for instance in (engine, settlement):
        instance.signal(signal.SIGTERM)
        assert instance.wait(20) == 0


def test_a_plain_start_is_refused_while_another_instance_lives_and_takeover_replaces_it(venue: Deployment) -> None:
    first = venue.start(ENGINE)
    second = venue.start(ENGINE)
    assert second.wait(20) == 2
    assert "instance engine:usdt-0 of this stream is alive" in second.log.read_text()
    assert first.leads
    third = venue.start(ENGINE, "--takeover")
    assert third.leads
    assert first.wait(20) == 75
    assert "fenced" in first.log.read_text()


def test_a_standby_takes_over_from_a_killed_leader_and_goes_on_where_it_was(venue: Deployment) -> None:
    leader = venue.start(ENGINE)
    venue.send("accounts", deposit("a", "10", "t1"))
    venue.until(lambda: venue.types("positions"))
    standby = venue.start(ENGINE, "--standby")
    leader.signal(signal.SIGKILL)
    venue.until(lambda: standby.leads)
    venue.send("accounts", deposit("a", "5", "t2"), deposit("a", "10", "t1"))
    venue.until(lambda: len(venue.types("positions")) >= 3)
    *updated, repeated = venue.events("positions")
    assert [event["wallet"] for event in updated] == ["10.000000", "15.000000"]
    assert (repeated["type"], repeated["transfer_id"]) == ("transfer.known", "t1")
    sequences = sorted(event["seq"] for topic in ("positions", "ledger") for event in venue.events(topic))
    assert sequences == list(range(1, len(sequences) + 1))


def test_a_leader_that_wakes_up_after_its_successor_has_started_ends_without_having_written(venue: Deployment) -> None:
    leader, standby = venue.start(ENGINE), venue.start(ENGINE, "--standby")
    leader.signal(signal.SIGSTOP)
    venue.until(lambda: standby.leads)
    written = len(venue.read("journal"))
    leader.signal(signal.SIGCONT)
    assert leader.wait(20) == 75
    instances = {decode_record(record.value, "").header.instance for record in venue.read("journal")[written:]}
    assert instances <= {standby.name}


def test_bad_records_become_dead_letters_and_nothing_else_stops(venue: Deployment) -> None:
    venue.start(ENGINE)
    far = now() + 60_000_000
    ahead = re.sub(rb'"ts":\d+', b'"ts":%d' % far, deposit("a", "1", "t-ahead"))
    venue.send("accounts", b"{nonsense", ahead, deposit("a", "3", "t1"))
    venue.until(lambda: venue.types("positions"))
    letters = venue.read("dead-letters")
    codes = [dict(letter.headers)["code"] for letter in letters]
    assert codes == [b"malformed", b"ts_ahead"]
    assert [letter.value for letter in letters] == [b"{nonsense", ahead]
    assert [event["wallet"] for event in venue.events("positions")] == ["3.000000"]


def test_a_record_that_the_engine_cannot_digest_stops_it_by_name_until_it_is_quarantined(venue: Deployment) -> None:
    engine = venue.start(ENGINE, program=("-c", BUGGY))
    venue.send("accounts", deposit("a", "1", "t1"), deposit("poison", "1", "t2"), deposit("b", "2", "t3"))
    assert engine.wait(30) == 1
    assert "accounts/0/1: ZeroDivisionError" in engine.log.read_text()
    again = venue.start(ENGINE, program=("-c", BUGGY))
    assert again.wait(30) == 1, "it is read again: nothing is lost"
    repaired = venue.start(ENGINE, "--quarantine", "accounts:0:1", program=("-c", BUGGY))
    venue.until(lambda: len(venue.types("positions")) >= 2)
    assert repaired.runs
    letter = venue.read("dead-letters")[0]
    assert dict(letter.headers)["code"] == b"quarantined"
    assert [event["account"] for event in venue.events("positions")] == ["a", "b"]


def test_a_config_that_differs_from_the_journals_is_refused(venue: Deployment) -> None:
    first = venue.start(ENGINE)
    first.signal(signal.SIGTERM)
    first.wait(20)
    venue.config.write_text(venue.config.read_text().replace('lot = "0.001"', 'lot = "0.01"'))
    second = venue.start(ENGINE)
    assert second.wait(20) == 2
    assert "differ in markets.BTC-USDT.lot; 'backstop config diff'" in second.log.read_text()


def test_settlement_serves_the_fund_commands_of_its_asset(venue: Deployment) -> None:
    venue.start(SETTLEMENT)
    gift = command("fund.deposit", fund="btc", amount="5", kind="injection", transfer_id="f1")
    venue.send("fund-admin", gift, gift, partition=ASSET)
    venue.until(lambda: "fund.updated" in venue.types("settlements", ASSET))
    credited = [event for event in venue.events("settlements", ASSET) if event["type"] == "fund.credited"]
    assert [event["cause_kind"] for event in credited] == ["opening", "injection"]
    assert credited[-1]["balance"] == "1005.000000"
