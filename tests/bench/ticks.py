"""The cost of a mark price that liquidates nobody, by the number of open positions.

Positions are put into the markets directly: opening a million of them through orders would be a benchmark of orders.
Half are long and half short. Isolated ones carry margins of 5 % to 25 % of their value, which spreads their
liquidation prices. Cross accounts hold two positions each, in two markets, carried by a wallet of as much; the marks
go to one of the markets and stay within their bands.
"""

import msgspec
import orjson

from engine.account import Account
from engine.market import Market
from engine.position import Parcel, Position
from engine.shard import Shard
from engine.spec import compile_venue
from engine.state import ShardState
from schemas.commands import Command
from schemas.wire import decode_command
from tests.bench.stage import venue_config

MARK = 500_000  # in ticks of 0.1
LOTS = 100


def isolated_shard(positions: int) -> Shard:
    """A shard with that many open positions in one market, indexed at the first mark."""
    shard = Shard(compile_venue(venue_config()).shards["usdt"])
    state = shard.state
    market = state.markets["BTC-USDT"]
    for i in range(positions):
        position = open_position(state, account_of(state, i), market, 1 if i % 2 else -1)
        position.margin.balance = position.parcel.value * share(i) // 1_000
        state.make_stale(position)
    shard.apply(mark(MARK, 1))
    return shard


def cross_shard(positions: int) -> Shard:
    """A shard with that many open cross positions, two to an account, indexed at the first marks."""
    config = venue_config()
    markets = {"BTC-USDT": config.markets["BTC-USDT"], "BTC2-USDT": config.markets["BTC-USDT"]}
    shard = Shard(compile_venue(msgspec.structs.replace(config, markets=markets)).shards["usdt"])
    state = shard.state
    shard.apply(mark(MARK, 1, "BTC2-USDT"))
    for i in range(positions // 2):
        account = account_of(state, i)
        for market in state.markets.values():
            position = open_position(state, account, market, 1 if i % 2 else -1)
            position.is_cross = True
            position.join_pool()
            account.wallet.balance += position.parcel.value * share(i) // 1_000
        state.make_pool_stale(account.pool)
    shard.apply(mark(MARK, 1))
    return shard


def account_of(state: ShardState, number: int) -> Account:
    """A new account."""
    account = Account("usdt", f"a{number}")
    state.accounts[account.name] = account
    return account


def open_position(state: ShardState, account: Account, market: Market, sign: int) -> Position:
    """A position opened at the first mark."""
    position = state.position(account, market)
    position.sign = sign
    position.parcel = Parcel(LOTS, market.spec.value(MARK, LOTS))
    return position


def share(number: int) -> int:
    """Margin in thousandths of the entry value."""
    return 50 + number * 7919 % 200


def mark(ticks: int, ts: int, market: str = "BTC-USDT") -> Command:
    """A mark price."""
    price = f"{ticks // 10}.{ticks % 10}"
    return decode_command(orjson.dumps({"type": "price.mark", "ts": ts, "market": market, "price": price}))


def idle_marks(count: int) -> list[Command]:
    """Marks that wander within 1 % and reach nobody's liquidation price."""
    return [mark(MARK + (i * 37) % 5_000 - 2_500, i + 2) for i in range(count)]


def run(shard: Shard, marks: list[Command]) -> int:
    """Apply the marks; returns how many events came of them, which is none."""
    return sum(len(shard.apply(command)) for command in marks)
