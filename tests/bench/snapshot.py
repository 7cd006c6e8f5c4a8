"""A snapshot of a large state: what it takes to write it as bytes, and to have a machine from them again.

Positions are put into the market directly, as for the marks (`tests/bench/ticks.py`), and a fifth as many orders rest
on 2,000 prices a side. Both include the state hash; restoring checks it and builds all indexes.
"""

from consumers.snapshots.snapshot import SnapshotHeader, decode_snapshot, encode_snapshot, restore
from engine.book import Order
from engine.margin import order_cost
from engine.shard import Shard
from engine.spec import VenueSpec, compile_venue
from tests.bench.stage import venue_config
from tests.bench.ticks import MARK, isolated_shard

LOTS = 10


def quoted_shard(positions: int) -> Shard:
    """A shard with so many isolated positions in one market, and a fifth as many orders in its book."""
    shard = isolated_shard(positions)
    market = shard.state.markets["BTC-USDT"]
    held = list(market.positions.values())
    for i in range(positions // 5):
        position = held[i * 7919 % positions]
        sign = 1 if i % 2 else -1
        price = MARK - sign * (1 + i * 31 % 2_000)
        order = Order(position, f"order-{i}", sign, price, LOTS, order_cost(position, sign, price, LOTS))
        market.book.side(sign).add(order)
        position.add_order(order)
        position.refresh_reserve()
    return shard


def venue_spec() -> VenueSpec:
    """What the shard was made from."""
    return compile_venue(venue_config())


def dump(shard: Shard) -> bytes:
    """Its state as the file of a snapshot."""
    header = SnapshotHeader(
        stream=shard.stream,
        last=shard.applied,
        offset=0,
        chain="",
        next={},
        seen={},
        config="",
        code="",
        epoch=0,
    )
    return encode_snapshot(header, shard)


def load(spec: VenueSpec, file: bytes) -> str:
    """Have the machine from the file; its stream."""
    return restore(spec, decode_snapshot(file)).stream
