"""What the tests of `backstop replay` share: a venue, a log in which everything happens, and the real command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from consumers.cli import main

VENUE = """
[assets.USDT]
decimals = 6

[funds.btc]
asset = "USDT"
opening = "1000"
minimum = "900"

[shards.usdt]
asset = "USDT"

[markets.BTC-USDT]
shard = "usdt"
fund = "btc"
tick = "0.1"
lot = "0.001"
tiers = [{ up_to = "1000000", initial = "0.01", maintenance = "0.005" }]
"""

START = 1_700_000_000_000_000
Command = dict[str, Any]


def encoded(commands: list[Command]) -> bytes:
    """A plain command log."""
    return b"".join(orjson.dumps(command) + b"\n" for command in commands)


def deposits(count: int) -> list[Command]:
    """As many commands as asked for; each is accepted and publishes two events."""
    return [
        {
            "type": "account.deposit",
            "ts": START + i,
            "shard": "usdt",
            "account": f"a{i % 100}",
            "amount": "5",
            "transfer_id": f"t{i}",
        }
        for i in range(count)
    ]


def three_endings() -> list[Command]:
    """Three longs of 1 BTC with 500 of margin each are liquidated: one by the book, one by the fund, one by ADL."""
    commands: list[Command] = []

    def add(tag: str, **fields: Any) -> None:
        commands.append({"type": tag, "ts": START + len(commands) * 1_000_000, **fields})

    def order(account: str, side: str, price: str, qty: str = "1", **fields: Any) -> None:
        number = f"o{len(commands)}"
        fields = {"side": side, "kind": "limit", "price": price, "qty": qty} | fields
        add("order.new", market="BTC-USDT", account=account, order_id=number, **fields)

    def mark(price: str) -> None:
        add("price.mark", market="BTC-USDT", price=price)

    for account, amount in (("bob", "100000"), ("carol", "100000"), ("alice-1", "500"), ("alice-2", "500")):
        add("account.deposit", shard="usdt", account=account, amount=amount, transfer_id=f"in-{account}")
    add("account.deposit", shard="usdt", account="alice-3", amount="500", transfer_id="in-alice-3")
    mark("10000")
    add("account.leverage", market="BTC-USDT", account="carol", leverage="1")
    for account in ("alice-1", "alice-2", "alice-3"):
        add("account.leverage", market="BTC-USDT", account=account, leverage="20")
        order("bob", "sell", "10000")
        order(account, "buy", "10000")
        if account == "alice-1":
            order("carol", "buy", "9600")  # the book takes the first above its bankruptcy price of 9,500
            mark("9540")
            mark("10000")
        elif account == "alice-2":
            mark("9400")  # nobody bids: the fund may lose 100 on the second
            order("carol", "buy", "9450")
            mark("9400")
            mark("10000")
        else:
            mark("6000")  # a loss of 3,500 is beyond the fund: bob is deleveraged for the third
    order("nobody", "buy", "6000", reduce_only=True)
    return commands


class Run:
    """A finished run of the command: its exit code, what it said, and its files."""

    def __init__(self, result: Result, out: Path) -> None:
        self.exit_code = result.exit_code
        self.stdout = result.stdout
        self.stderr = result.stderr
        self.exception = result.exception
        self.out = out

    @property
    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = orjson.loads((self.out / "report.json").read_bytes())
        return report

    @property
    def events(self) -> list[dict[str, Any]]:
        return _lines(self.out / "events.jsonl")

    @property
    def dead_letters(self) -> list[dict[str, Any]]:
        return _lines(self.out / "dead-letters.jsonl")

    @property
    def complaint(self) -> str:
        """What went wrong: there must be one line of it, and no traceback."""
        lines = self.stderr.splitlines()
        assert len(lines) == 1, self.stderr
        assert isinstance(self.exception, SystemExit)
        return lines[0].removeprefix("Error: ")


def _lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
def venue(tmp_path: Path) -> Path:
    """The path of a venue config: one market, no fees, a fund of 1,000 with a minimum of 900."""
    path = tmp_path / "venue.toml"
    path.write_text(VENUE)
    return path


@pytest.fixture
def replay(venue: Path, tmp_path: Path) -> Callable[..., Run]:
    """Run `backstop replay` over logs, given as bytes or paths; bytes become log-1.jsonl, log-2.jsonl…"""

    def replay(*logs: bytes | Path, options: tuple[str, ...] = (), out: str = "out", verbose: bool = False) -> Run:
        paths = []
        for number, log in enumerate(logs, 1):
            path = log if isinstance(log, Path) else tmp_path / f"log-{number}.jsonl"
            if isinstance(log, bytes):
                path.write_bytes(log)
            paths.append(str(path))
        arguments = [*(["-v"] if verbose else []), "replay", *paths, "--config", str(venue)]
        result = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / out), *options])
        return Run(result, tmp_path / out)

    return replay


TWO_FUNDS = VENUE.replace("[funds.btc]", 'usd = "1"\n[funds.eth]\nasset = "USDT"\nopening = "30"\n[funds.btc]')
"""The same venue with another fund of the asset, and an asset that is worth a dollar."""


def given_and_reconciled() -> list[Command]:
    """Donations to two funds, one of them with a price, and two reconciliation periods that end."""
    day = 86_400_000_000
    gift = {"type": "fund.deposit", "kind": "donation"}
    return [
        {**gift, "ts": START, "fund": "btc", "amount": "2500.5", "transfer_id": "d1"},
        {**gift, "ts": START + 1, "fund": "eth", "amount": "10", "index": "0.5", "transfer_id": "d2"},
        {"type": "clock.tick", "ts": START + day},
        {**gift, "ts": START + day, "fund": "btc", "amount": "1", "transfer_id": "d3"},
        {"type": "clock.tick", "ts": START + 2 * day},
    ]
