"""Set-up that benchmarks share: a market to stand on, and a clock."""

import gc
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from engine.account import Account
from engine.market import Market
from engine.position import Position
from engine.spec import compile_venue
from schemas.config import VenueConfig, load_config

VENUE_TOML = Path(__file__).parents[2] / "deploy" / "venue.toml"


def venue_config() -> VenueConfig:
    """The example venue, with derived prices left out of `position.updated` as by default."""
    config = load_config(VENUE_TOML)
    shards = {name: msgspec.structs.replace(shard, position_detail=False) for name, shard in config.shards.items()}
    return msgspec.structs.replace(config, shards=shards)


def bare_position(leverage: int) -> Position:
    """A flat position of an account in the example market, outside any shard."""
    spec = compile_venue(venue_config()).shards["usdt"]
    market = Market("usdt", spec.markets["BTC-USDT"])
    position = Position(Account("usdt", "bench"), market)
    position.leverage = leverage
    return position


def seconds(run: Callable[[], object]) -> float:
    """How long a run takes, in seconds; garbage collection is off, as in the services."""
    gc.disable()
    try:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    finally:
        gc.enable()


def machine() -> str:
    """Processor, cores and interpreter."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, CPython {platform.python_version()}"
