"""The core, bytes to bytes: decode, check margin, match, settle, publish as bytes; 0.16 fills per command.

The flow is that of market makers who requote around a moving mark, and of takers: 49 % new limit orders, 45 %
cancels (a quarter of them of orders that were taken meanwhile, which are rejected), 4 % market orders, 2 % mark
prices. The log is drawn before the clock starts.
"""

import random
from typing import NamedTuple

import orjson

from engine.shard import Shard
from engine.spec import compile_venue
from schemas.events import TradeExecuted
from schemas.wire import decode_command, encode
from tests.bench.stage import venue_config

SECOND = 1_000_000
MAKERS = 40
TAKERS = 400


class CoreRun(NamedTuple):
    """What one pass over the log produced."""

    commands: int
    events: int
    fills: int
    bytes_out: int


def draw_log(count: int, seed: int = 1) -> tuple[list[bytes], list[bytes]]:
    """Set-up commands (deposits, leverage, first mark) and `count` commands of flow, as records."""
    rng = random.Random(seed)
    now = 1_700_000_000 * SECOND
    price = 500_000  # in ticks of 0.1
    makers = [f"maker-{i}" for i in range(MAKERS)]
    takers = [f"taker-{i}" for i in range(TAKERS)]

    def record(type_: str, **fields: object) -> bytes:
        return orjson.dumps({"type": type_, "ts": now, **fields})

    setup = [record("price.mark", market="BTC-USDT", price=f"{price // 10}.{price % 10}")]
    for account in makers + takers:
        setup.append(
            record("account.deposit", shard="usdt", account=account, amount="100000000", transfer_id=f"d-{account}")
        )
        setup.append(record("account.leverage", market="BTC-USDT", account=account, leverage="20"))
    flow: list[bytes] = []
    live: list[tuple[str, str]] = []
    number = 0
    while len(flow) < count:
        now += 500
        roll = rng.random()
        if roll < 0.02:
            price += rng.randrange(-15, 16)
            flow.append(record("price.mark", market="BTC-USDT", price=f"{price // 10}.{price % 10}"))
        elif roll < 0.065:
            number += 1
            flow.append(
                record(
                    "order.new",
                    market="BTC-USDT",
                    account=rng.choice(takers),
                    order_id=f"t{number}",
                    side=rng.choice(("buy", "sell")),
                    kind="market",
                    qty=f"{rng.randrange(1, 50) / 1000:.3f}",
                )
            )
        elif roll < 0.55 or len(live) < 400:
            number += 1
            side = rng.choice(("buy", "sell"))
            away = rng.randrange(3, 120)
            level = price - away if side == "buy" else price + away
            account = rng.choice(makers)
            live.append((account, f"m{number}"))
            flow.append(
                record(
                    "order.new",
                    market="BTC-USDT",
                    account=account,
                    order_id=f"m{number}",
                    side=side,
                    kind="limit",
                    price=f"{level // 10}.{level % 10}",
                    qty=f"{rng.randrange(1, 34) / 1000:.3f}",
                )
            )
        else:
            at = rng.randrange(len(live))
            live[at], live[-1] = live[-1], live[at]
            account, order_id = live.pop()
            flow.append(record("order.cancel", market="BTC-USDT", account=account, order_id=order_id))
    return setup, flow


def prepared_shard(setup: list[bytes]) -> Shard:
    """An engine with funded accounts and a first mark."""
    shard = Shard(compile_venue(venue_config()).shards["usdt"])
    for record in setup:
        shard.apply(decode_command(record))
    return shard


def run(shard: Shard, flow: list[bytes]) -> CoreRun:
    """Apply the flow, bytes in, bytes out."""
    events = fills = bytes_out = 0
    for record in flow:
        for event in shard.apply(decode_command(record)):
            events += 1
            bytes_out += len(encode(event))
            if type(event) is TradeExecuted:
                fills += 1
    return CoreRun(len(flow), events, fills, bytes_out)
