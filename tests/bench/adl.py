"""The cost of an ADL by the number of opposing positions: the first of a cascade, and those that follow it.

Short positions are put into the market directly, with margins of 5 % to 25 % of their value, and the mark falls by
10 %. Every ADL closes a tenth of the best-ranked position, at a price between entry and mark, and publishes it.
"""

from engine.adl import deleverage
from engine.position import Parcel
from engine.residual import Residual
from engine.shard import Shard
from engine.spec import compile_venue
from tests.bench.stage import venue_config
from tests.bench.ticks import LOTS, MARK, account_of, mark, open_position, share

CASCADE = 200


def shorts(positions: int) -> Shard:
    """A shard with that many short positions in one market, in profit."""
    shard = Shard(compile_venue(venue_config()).shards["usdt"])
    state = shard.state
    market = state.markets["BTC-USDT"]
    for i in range(positions):
        position = open_position(state, account_of(state, i), market, -1)
        position.margin.balance = position.parcel.value * share(i) // 1_000
    shard.apply(mark(MARK * 9 // 10, 1))
    return shard


def first(shard: Shard) -> int:
    """One ADL for which everybody has to be ranked."""
    market = shard.state.markets["BTC-USDT"]
    market.adl_queues.clear()
    return cascade(shard, 1)


def cascade(shard: Shard, count: int = CASCADE) -> int:
    """So many ADLs under one mark; how many events they published."""
    state = shard.state
    market = state.markets["BTC-USDT"]
    lots = LOTS // 10
    value = market.spec.value(MARK * 95 // 100, lots)
    published = 0
    for number in range(count):
        residual = Residual(number, f"usdt:{number}", 1, 1, Parcel(lots, value))
        deleverage(state, market, residual, 0)
        assert not residual.parcel.lots, "the shorts carry it"
        published += len(state.finish_command())
    return published
