"""What the machines really publish keeps to the published documents."""

from typing import Any

import orjson
import pytest

from engine.venue import Venue
from schemas.config import parse_config
from schemas.documents import type_name
from schemas.envelope import Event
from schemas.wire import decode_command, decode_event, encode
from tests.schemas.validation import complaints

VENUE = """
assets.USDT = { decimals = 6 }
limits = { liquidations_per_command = 200 }

[funds.btc]
asset = "USDT"
minimum = "1000"
opening = "900"

[shards.usdt]
asset = "USDT"
position_detail = true

[markets.BTC-USDT]
shard = "usdt"
fund = "btc"
tick = "0.1"
lot = "0.001"
taker_fee = "0.0005"
fund_fee_share = "0.5"
default_leverage = "20"
adl_lights = "10s"
tiers = [{ up_to = "100000000", initial = "0.01", maintenance = "0.005" }]
"""
MARKET = {"market": "BTC-USDT"}


def _deposit(account: str, amount: str) -> dict[str, Any]:
    return {
        "type": "account.deposit",
        "shard": "usdt",
        "account": account,
        "amount": amount,
        "transfer_id": f"deposit-{account}",
    }


def _limit(account: str, order_id: str, side: str, qty: str, price: str) -> dict[str, Any]:
    return {
        "type": "order.new",
        **MARKET,
        "account": account,
        "order_id": order_id,
        "side": side,
        "kind": "limit",
        "qty": qty,
        "price": price,
    }


def _mark(price: str) -> dict[str, Any]:
    return {"type": "price.mark", **MARKET, "price": price}


# Ordinary trading, refusals of every kind, a liquidation that the book takes, a takeover, and ADL.
COMMANDS: list[dict[str, Any]] = [
    {"type": "fund.deposit", "fund": "btc", "amount": "150", "kind": "injection", "transfer_id": "i-1"},
    {"type": "fund.deposit", "fund": "btc", "amount": "150", "kind": "injection", "transfer_id": "i-1"},
    {"type": "fund.withdraw", "fund": "btc", "amount": "100", "transfer_id": "w-1"},
    {"type": "fund.minimum", "fund": "btc", "amount": "0"},
    {"type": "config.set", "changes": {"markets": {"BTC-USDT": {"tick": "0.5"}}}},
    {"type": "config.set", "changes": {"markets": {"BTC-USDT": {"price_band": "0.9"}}}},
    *(_deposit(account, "1000000") for account in ("alice", "bob", "carol", "dave")),
    _deposit("alice", "1000000"),
    {"type": "account.withdraw", "shard": "usdt", "account": "dave", "amount": "7", "transfer_id": "w-2"},
    {"type": "account.withdraw", "shard": "usdt", "account": "dave", "amount": "9999999", "transfer_id": "w-3"},
    _limit("alice", "early", "buy", "1", "10000"),
    _mark("10000.05"),
    _mark("10000"),
    {"type": "account.leverage", **MARKET, "account": "carol", "leverage": "5"},
    {"type": "account.margin_mode", **MARKET, "account": "carol", "mode": "cross"},
    _limit("alice", "a-1", "sell", "11", "10000"),
    _limit("bob", "b-1", "buy", "11", "10000"),
    _limit("carol", "c-1", "buy", "2", "9600"),
    {"type": "order.amend", **MARKET, "account": "carol", "order_id": "c-1", "qty": "1"},
    _limit("carol", "c-2", "buy", "2", "9000"),
    {"type": "order.cancel", **MARKET, "account": "carol", "order_id": "c-2"},
    {"type": "order.cancel", **MARKET, "account": "carol", "order_id": "c-2"},
    {"type": "account.margin", **MARKET, "account": "alice", "amount": "10"},
    _mark("9550"),
    _limit("dave", "d-1", "buy", "4", "9540"),
    _mark("9540"),
    {"type": "order.cancel_all", "shard": "usdt", "account": "dave"},
    _limit("carol", "c-3", "buy", "2", "9535"),
    _mark("9530"),
    {"type": "price.funding", **MARKET, "rate": "-0.0001"},
    {"type": "price.funding", **MARKET, "rate": "2"},
    _limit("carol", "c-4", "buy", "4", "9520"),
    _mark("9525"),
    {"type": "fund.withdraw", "fund": "btc", "amount": "50", "transfer_id": "w-4"},
    _mark("8000"),
    {"type": "clock.tick", "ts": 86_400_000_000},
]


def _published() -> list[Event]:
    venue = Venue(parse_config(VENUE))
    events = venue.genesis()
    for second, command in enumerate(COMMANDS):
        events += venue.apply(decode_command(orjson.dumps({"ts": second * 1_000_000} | command)))
    return events


@pytest.fixture(scope="module")
def published() -> list[Event]:
    """All events of the scenario."""
    return _published()


def test_the_scenario_shows_most_of_what_there_is_to_see(published: list[Event]) -> None:
    """Else the tests below would prove little."""
    assert {type_name(type(event)) for event in published} >= {
        "account.rejected",
        "account.updated",
        "adl.completed",
        "adl.executed",
        "adl.lights",
        "adl.triggered",
        "config.changed",
        "config.rejected",
        "fund.below_minimum",
        "fee_share.accrued",
        "fund.credited",
        "fund.debited",
        "fund.reconciled",
        "fund.rejected",
        "fund.updated",
        "funding.paid",
        "funding.settled",
        "ledger.posted",
        "liquidation.closed",
        "liquidation.ordered",
        "liquidation.residual",
        "liquidation.settled",
        "liquidation.started",
        "order.accepted",
        "order.amended",
        "order.cancelled",
        "order.rejected",
        "position.updated",
        "price.rejected",
        "takeover.approved",
        "takeover.closed",
        "takeover.filled",
        "trade.executed",
        "transfer.known",
    }


def test_every_published_event_keeps_to_its_document(published: list[Event]) -> None:
    """Patterns, domains and required fields hold for what the engine and settlement emit."""
    found = [
        f"{type_name(type(event))} {event.stream}/{event.seq} {complaint}"
        for event in published
        for complaint in complaints(type_name(type(event)), orjson.loads(encode(event)))
    ]
    assert found == []


def test_every_published_event_can_be_read_back(published: list[Event]) -> None:
    """What one service writes the other reads: the same event, and the same bytes again."""
    for event in published:
        record = encode(event)
        assert decode_event(record) == event
        assert encode(decode_event(record)) == record


def test_each_topic_of_a_stream_can_be_read_alone(published: list[Event]) -> None:
    """`seq` counts every event of a stream; `prev` names the one before on the same topic, so gaps show."""
    last_on: dict[tuple[str, str], int] = {}
    last_of: dict[str, int] = {}
    for event in published:
        assert event.seq == last_of.get(event.stream, 0) + 1
        assert event.prev == last_on.get((event.stream, event.topic), 0)
        last_of[event.stream] = last_on[event.stream, event.topic] = event.seq


LONGEST = "n" * 64


def test_the_longest_names_give_events_that_can_be_read_back() -> None:
    """Identifiers that the engine builds from names of 64 characters still fit their fields."""
    text = (
        VENUE.replace("BTC-USDT", LONGEST).replace("shards.usdt", f"shards.{LONGEST}").replace('"usdt"', f'"{LONGEST}"')
    )
    venue = Venue(parse_config(text))
    for second, command in enumerate(COMMANDS):
        renamed = orjson.dumps({"ts": second} | command).replace(b"BTC-USDT", LONGEST.encode())
        for event in venue.apply(decode_command(renamed.replace(b'"usdt"', f'"{LONGEST}"'.encode()))):
            assert decode_event(encode(event)) == event
