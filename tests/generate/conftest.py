"""What the tests of the generator share: a venue to trade on, and a way to run the command."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from consumers.generate.command import generate
from consumers.generate.terms import Terms
from engine.spec import compile_venue
from schemas.config import parse_config

VENUE = """
[assets.USDT]
decimals = 6

[funds.btc]
asset = "USDT"

[shards.usdt]
asset = "USDT"

[markets.BTC-USDT]
shard = "usdt"
fund = "btc"
tick = "0.1"
lot = "0.001"
maker_fee = "0.0002"
taker_fee = "0.0005"
tiers = [
    { up_to = "1000000", initial = "0.01", maintenance = "0.005" },
    { up_to = "100000000", initial = "0.05", maintenance = "0.025" },
]

[markets.ETH-USDT]
shard = "usdt"
fund = "btc"
tick = "0.25"
lot = "5"
multiplier = "0.01"
default_leverage = "3"
tiers = [{ up_to = "10000000", initial = "0.04", maintenance = "0.02" }]
"""

BARS = "timestamp,open,high,low,close,volume\n" + "".join(
    f"2022-01-01 00:{i:02}:00.000000,{100 + i}.0,{103 + i}.0,{99 + i}.0,{101 + i}.0,7.5\n" for i in range(30)
)


@pytest.fixture
def venue(tmp_path: Path) -> Path:
    """The path of a venue config with a market of fine and one of coarse grids."""
    path = tmp_path / "venue.toml"
    path.write_text(VENUE)
    return path


@pytest.fixture
def run(venue: Path, tmp_path: Path) -> Callable[..., Result]:
    """Run `backstop generate` on that venue; writes log.jsonl beside it unless told otherwise."""

    def run(*options: str, out: str = "log.jsonl") -> Result:
        arguments = ["--config", str(venue), "--out", str(tmp_path / out), *options]
        return CliRunner().invoke(generate, arguments)

    return run


@pytest.fixture
def log(run: Callable[..., Result], tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """The commands that `backstop generate` writes with these options."""

    def log(*options: str) -> list[dict[str, Any]]:
        result = run(*options)
        assert result.exit_code == 0, result.output
        return [orjson.loads(line) for line in (tmp_path / "log.jsonl").read_bytes().splitlines()]

    return log


@pytest.fixture
def terms() -> Terms:
    """The terms of the market with fine grids."""
    return terms_of("BTC-USDT")


def terms_of(market: str) -> Terms:
    """The terms of a market of the venue."""
    return Terms("usdt", compile_venue(parse_config(VENUE)).shards["usdt"].markets[market])
