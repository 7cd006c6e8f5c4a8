"""What holds for every generated log, whatever happens in it."""

import gzip
import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import zstandard
from click.testing import Result

from consumers.generate.scenarios import SCENARIOS
from schemas.wire import decode_command
from tests.generate.conftest import BARS

Log = Callable[..., list[dict[str, Any]]]
Run = Callable[..., Result]

SMALL = ("--accounts", "60", "--bars", "120")


@pytest.fixture(params=[*SCENARIOS, "prices"])
def path_options(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ...]:
    """The options of each scenario, and of a price file."""
    if request.param != "prices":
        return ("--scenario", request.param)
    (tmp_path / "bars.csv").write_text(BARS)
    return ("--prices", str(tmp_path / "bars.csv"))


def test_same_seed_gives_the_same_bytes_whatever_the_hash_seed(venue: Path, run: Run, tmp_path: Path) -> None:
    """Nothing in the log depends on hashing, addresses, time or the process."""
    options = ["--scenario", "cascade", "--seed", "7", *SMALL]
    run(*options)
    expected = (tmp_path / "log.jsonl").read_bytes()
    program = "from consumers.generate.command import generate; generate()"
    for hash_seed in ("0", "123"):
        out = tmp_path / f"log-{hash_seed}.jsonl"
        subprocess.run(
            [sys.executable, "-c", program, "--config", str(venue), "--out", str(out), *options],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=Path(__file__).parents[2],
            check=True,
            capture_output=True,
        )
        assert out.read_bytes() == expected


def test_bytes_of_a_seed_are_the_same_on_every_machine_and_python(run: Run, tmp_path: Path) -> None:
    """Change this hash only together with a change of behaviour that is meant."""
    run("--scenario", "crash", "--seed", "7", *SMALL)
    digest = hashlib.sha256((tmp_path / "log.jsonl").read_bytes()).hexdigest()
    assert digest == "5ba30576b236393a5a078ae1b32083d1d903d911804facc2c854cdd86e2e97e6"


def test_another_seed_gives_another_log(run: Run, tmp_path: Path) -> None:
    """Seeds are not ignored."""
    run(*SMALL, "--seed", "1", out="one.jsonl")
    run(*SMALL, "--seed", "2", out="two.jsonl")
    assert (tmp_path / "one.jsonl").read_bytes() != (tmp_path / "two.jsonl").read_bytes()


def test_compressed_logs_are_reproducible_and_hold_the_plain_bytes(run: Run, tmp_path: Path) -> None:
    """Twice the same .gz and .zst, under different names and times; inside, the bytes of the plain log."""
    run(*SMALL)
    plain = (tmp_path / "log.jsonl").read_bytes()
    for out in ("a.jsonl.gz", "b.jsonl.gz", "a.jsonl.zst", "b.jsonl.zst"):
        run(*SMALL, out=out)
    packed = (tmp_path / "a.jsonl.gz").read_bytes()
    assert packed == (tmp_path / "b.jsonl.gz").read_bytes()
    assert packed[3] == 0, "the gzip header carries no name"
    assert packed[4:8] == bytes(4), "the gzip header carries no time"
    assert gzip.decompress(packed) == plain
    assert (tmp_path / "a.jsonl.zst").read_bytes() == (tmp_path / "b.jsonl.zst").read_bytes()
    with (tmp_path / "a.jsonl.zst").open("rb") as file:
        assert zstandard.ZstdDecompressor().stream_reader(file).read() == plain


def test_the_last_line_on_stderr_says_what_was_written(run: Run, tmp_path: Path) -> None:
    """Path, commands, bars, seed and the hash of the uncompressed bytes."""
    result = run(*SMALL, "--seed", "3", out="log.jsonl.gz")
    plain = gzip.decompress((tmp_path / "log.jsonl.gz").read_bytes())
    assert result.stdout == ""
    digest = hashlib.sha256(plain).hexdigest()
    path = tmp_path / "log.jsonl.gz"
    assert result.stderr == (f"{path}: {len(plain.splitlines())} commands, 120 bars, seed 3, sha256 {digest}\n")


def test_every_line_is_a_command_of_the_contract(run: Run, path_options: tuple[str, ...], tmp_path: Path) -> None:
    """The decoder of the wire takes every line."""
    run(*path_options, *SMALL)
    for line in (tmp_path / "log.jsonl").read_bytes().splitlines():
        decode_command(line)


def test_time_never_goes_back(log: Log, path_options: tuple[str, ...]) -> None:
    """`ts` is an integer that does not fall from line to line."""
    stamps = [command["ts"] for command in log(*path_options, *SMALL)]
    assert all(isinstance(ts, int) for ts in stamps)
    assert stamps == sorted(stamps)


def test_first_mark_then_money_then_orders(log: Log, path_options: tuple[str, ...]) -> None:
    """Nobody orders before the market has a mark, nor before the account has money and its leverage."""
    commands = log(*path_options, *SMALL)
    assert commands[0]["type"] == "price.mark"
    funded: set[str] = set()
    levered: set[str] = set()
    for command in commands:
        if command["type"] == "account.deposit":
            funded.add(command["account"])
        elif command["type"] == "account.leverage":
            levered.add(command["account"])
        elif command["type"].startswith("order."):
            assert command["account"] in funded & levered
    assert len(funded) == 60


def test_ids_are_used_once(log: Log) -> None:
    """Order ids per account, transfer ids altogether."""
    commands = log("--scenario", "crash", "--accounts", "40", "--bars", "600")
    orders = Counter((c["account"], c["order_id"]) for c in commands if c["type"] == "order.new")
    transfers = Counter(c["transfer_id"] for c in commands if "transfer_id" in c)
    assert max(orders.values()) == max(transfers.values()) == 1


@pytest.mark.parametrize(("market", "price"), [("BTC-USDT", "50000"), ("ETH-USDT", "3000.25")])
def test_prices_quantities_and_amounts_lie_on_the_grids(log: Log, market: str, price: str) -> None:
    """Ticks, lots and units of the asset, also where they are coarse; all on the market asked for."""
    tick, lot = {"BTC-USDT": ("0.1", "0.001"), "ETH-USDT": ("0.25", "5")}[market]
    steps = {"price": Decimal(tick), "qty": Decimal(lot), "amount": Decimal("0.000001")}
    commands = log("--scenario", "crash", "--market", market, "--start-price", price, *SMALL)
    assert {command["market"] for command in commands if "market" in command} == {market}
    assert commands[0]["price"] == format(Decimal(price).quantize(Decimal(tick)), "f")
    for command in commands:
        for name, step in steps.items():
            if name in command:
                assert Decimal(command[name]) > 0
                assert Decimal(command[name]) % step == 0


@pytest.mark.parametrize("activity", [4, 10, 40, 200])
def test_activity_is_the_commands_per_bar(log: Log, activity: int) -> None:
    """Four marks per bar, and beside them about as many commands as asked for, after everybody has arrived."""
    commands = log("--accounts", "200", "--bars", "500", "--activity", str(activity))
    kinds = Counter(command["type"] for command in commands)
    others = len(commands) - kinds["price.mark"] - 2 * 200
    assert kinds["price.mark"] == 4 * 500
    assert 0.8 * activity <= others / 500 <= 1.3 * activity


def test_quotes_stand_on_both_sides_of_the_coming_mark(log: Log) -> None:
    """Makers never quote through the price: new quotes bracket the mark that follows them."""
    laid: list[dict[str, Any]] = []
    quotes = 0
    for command in log("--scenario", "crash", *SMALL)[1:]:
        if command["type"] == "price.mark":
            for order in laid:
                below = Decimal(order["price"]) < Decimal(command["price"])
                assert below == (order["side"] == "buy")
            quotes += len(laid)
            laid.clear()
        elif command["type"] == "order.new" and command["account"].startswith("maker"):
            laid.append(command)
        elif command["type"] == "order.new":
            laid.clear()  # the first ladders stand around the first mark
    assert quotes > 100


def test_books_are_thinner_while_the_price_runs(log: Log) -> None:
    """In the first leg of a crash makers lay far less, further out, than before it."""
    commands = log("--scenario", "crash", "--accounts", "300", "--bars", "800")
    marks = 0
    resting: dict[str, dict[str, tuple[str, Decimal]]] = {}
    depth: list[Decimal] = []
    for command in commands:
        account = command.get("account", "")
        if command["type"] == "price.mark":
            marks += 1
            depth.append(
                sum((qty for orders in resting.values() for side, qty in orders.values() if side == "buy"), Decimal(0))
            )
        elif not account.startswith("maker"):
            continue
        elif command["type"] == "order.new":
            resting.setdefault(account, {})[command["order_id"]] = (command["side"], Decimal(command["qty"]))
        elif command["type"] == "order.cancel_all":
            resting[account] = {}
    fall = 4 * 800 * 45 // 100
    assert min(depth[fall : fall + 4 * 12]) < sum(depth[fall - 400 : fall]) / 400 / 4


def test_a_pause_in_the_prices_passes_with_a_clock_tick(log: Log, tmp_path: Path) -> None:
    """A gap does not stretch the bar before it, and the log ends when the last bar does."""
    (tmp_path / "bars.csv").write_text(
        "timestamp,open,high,low,close\n0,100,101,99,100\n60,100,101,99,100\n7200,100,101,99,100\n"
    )
    commands = log("--prices", str(tmp_path / "bars.csv"), "--accounts", "10")
    assert [c["ts"] for c in commands if c["type"] == "clock.tick"] == [120_000_000, 7_260_000_000]
    marks = [c["ts"] // 1_000_000 for c in commands if c["type"] == "price.mark"]
    assert marks == [0, 15, 30, 45, 60, 75, 90, 105, 7200, 7215, 7230, 7245]
    assert commands[-1]["type"] == "clock.tick"


def test_a_failure_leaves_no_file_behind(run: Run, tmp_path: Path) -> None:
    """A log that could not be finished does not exist, and one that was there before is untouched."""
    (tmp_path / "bars.csv").write_text(BARS + "oops\n")
    (tmp_path / "log.jsonl").write_text("earlier")
    assert run("--prices", str(tmp_path / "bars.csv")).exit_code == 2
    assert (tmp_path / "log.jsonl").read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bars.csv", "log.jsonl", "venue.toml"]
