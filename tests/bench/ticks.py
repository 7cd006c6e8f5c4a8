"""The cost of a mark price that liquidates nobody, by the number of open positions.

Positions are put into the market directly: opening a million of them through orders would be a benchmark of
orders. Half are long and half short, their liquidation prices spread over 20 % on either side.
"""

import orjson

from engine.account import Account
from engine.position import Parcel
from engine.shard import Shard
from engine.spec import compile_venue
from schemas.commands import Command
from schemas.wire import decode_command
from tests.bench.stage import venue_config

MARK = 500_000  # in ticks of 0.1
LOTS = 100


def populated_shard(positions: int) -> Shard:
    """A shard whose only market has that many open positions, indexed at the first mark."""
    shard = Shard(compile_venue(venue_config()).shards["usdt"])
    state = shard.state
    market = state.markets["BTC-USDT"]
    value = market.spec.value(MARK, LOTS)
    for i in range(positions):
        account = Account("usdt", f"a{i}")
        state.accounts[account.name] = account
        position = state.position(account, market)
        position.sign = 1 if i % 2 else -1
        position.parcel = Parcel(LOTS, value)
        # Margins from 5 % to 25 % of the entry value spread the liquidation prices.
        position.margin.balance = value * (50 + i * 7919 % 200) // 1_000
        state.make_stale(position)
    shard.apply(mark(MARK, 1))
    return shard


def mark(ticks: int, ts: int) -> Command:
    """A mark price."""
    price = f"{ticks // 10}.{ticks % 10}"
    return decode_command(orjson.dumps({"type": "price.mark", "ts": ts, "market": "BTC-USDT", "price": price}))


def idle_marks(count: int) -> list[Command]:
    """Marks that wander within 1 % and reach nobody's liquidation price."""
    return [mark(MARK + (i * 37) % 5_000 - 2_500, i + 2) for i in range(count)]


def run(shard: Shard, marks: list[Command]) -> int:
    """Apply the marks; returns how many events came of them, which is none."""
    return sum(len(shard.apply(command)) for command in marks)
