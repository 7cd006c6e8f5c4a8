"""Streams of a small venue and arrivals for them, without a broker: the same code that runs on one."""

import itertools
from collections.abc import Iterable
from typing import Final

from consumers.service.dead_letter import Arrival
from consumers.service.journal import Header
from consumers.service.publication import HeaderStyle, Publisher
from consumers.service.replica import Replica
from consumers.service.sequencing import Sequencer
from consumers.service.stream import Input, Stream, open_stream
from schemas.config import VenueConfig, parse_config
from schemas.wire import encode_plain

CONFIG: Final = """
[assets.USDT]
decimals = 6
[funds.btc]
asset = "USDT"
opening = "1000"
[shards.usdt]
partition = 0
asset = "USDT"
[markets.BTC-USDT]
shard = "usdt"
fund = "btc"
tick = "0.1"
lot = "0.001"
tiers = [{ up_to = "100000000", initial = "0.01", maintenance = "0.005" }]
"""

APPENDED_MS: Final = 1_750_000_000_000
"""When the broker is said to have appended everything here; commands are of the same moment."""

TS: Final = APPENDED_MS * 1_000


def venue() -> VenueConfig:
    """The config as a service has it."""
    return parse_config(CONFIG)


def engine() -> Stream:
    """The stream of the only shard."""
    return open_stream(venue(), "engine:usdt")


def settlement() -> Stream:
    """The stream of the only asset."""
    return open_stream(venue(), "settlement:USDT")


def replica(stream: Stream, headers: HeaderStyle = "type") -> Replica:
    """A replica at the stream's genesis."""
    return Replica(stream, Publisher(stream.name, stream.partition_of, headers), "test")


def sequencer(of: Replica, *, quarantined: Iterable[str] = ()) -> Sequencer:
    """A sequencer as a leader has it."""
    header = Header(stream=of.stream.name, first=0, last=0, chain="", config="", code="test", instance="i", epoch=1)
    return Sequencer(of, header, ahead_max=5_000_000, quarantined=frozenset(quarantined))


class Topic:
    """A partition of a topic that records are appended to."""

    def __init__(self, source: Input) -> None:
        self.source = source
        self._offsets = itertools.count()

    def append(self, value: bytes | None, *, at_ms: int = APPENDED_MS, trace: bytes | None = None) -> Arrival:
        """One record; offsets count up."""
        headers = () if trace is None else (("traceparent", trace),)
        return Arrival(self.source.topic, self.source.partition, next(self._offsets), at_ms, b"k", value, headers)


def topics(stream: Stream) -> dict[str, Topic]:
    """An empty partition for each input of a stream, by topic."""
    return {source.topic: Topic(source) for source in stream.inputs}


def command(type_: str, **fields: object) -> bytes:
    """A command as a producer writes it."""
    return encode_plain({"type": type_, "ts": TS, **fields})


def deposit(account: str, amount: str = "1000", transfer_id: str = "t1", ts: int = TS) -> bytes:
    """A deposit into the only shard."""
    return command("account.deposit", shard="usdt", account=account, amount=amount, transfer_id=transfer_id, ts=ts)


def mark(price: str = "10000", ts: int = TS) -> bytes:
    """A mark of the only market."""
    return command("price.mark", market="BTC-USDT", price=price, ts=ts)


def buy(account: str, order_id: str, qty: str = "0.001", price: str = "10000") -> bytes:
    """A limit order to buy in the only market."""
    return command(
        "order.new",
        market="BTC-USDT",
        account=account,
        order_id=order_id,
        side="buy",
        kind="limit",
        qty=qty,
        price=price,
    )
