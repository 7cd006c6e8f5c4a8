"""Options that cannot be used are refused in one line, with exit code 2."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from click.testing import Result

Run = Callable[..., Result]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--market", "DOGE"), "--market: expected one of BTC-USDT, ETH-USDT; got 'DOGE'"),
        (("--scenario", "crash", "--prices", "bars.csv"), "--scenario, --prices: expected one of them, got both"),
        (("--prices", "bars.csv", "--start-price", "1"), "--start-price: expected with a scenario only"),
        (("--bars", "19"), "--bars: expected at least 20 for a scenario, got 19"),
        (("--start-price", "abc"), "--start-price: expected a decimal string above zero"),
        (("--start-price", "100.05"), "--start-price: expected a multiple of the tick 0.1, got 100.05"),
    ],
)
def test_options_that_do_not_go_together_are_refused(run: Run, options: tuple[str, ...], complaint: str) -> None:
    """Each says what was expected."""
    result = run(*options)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {complaint}")


@pytest.mark.parametrize(
    "options",
    [("--accounts", "9"), ("--activity", "0"), ("--seed", "-1"), ("--start", "soon"), ("--scenario", "boom")],
)
def test_values_out_of_range_are_refused(run: Run, options: tuple[str, ...]) -> None:
    """click refuses them by name."""
    result = run(*options)
    assert result.exit_code == 2
    assert options[0] in result.stderr


def test_a_config_that_cannot_be_used_is_named(run: Run, venue: Path) -> None:
    """The message of the config, with the file once."""
    venue.write_text(venue.read_text().replace('fund = "btc"', 'fund = "eth"', 1))
    result = run()
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {venue}: markets.BTC-USDT.fund: expected one of btc")


def make_inverse(venue: Path, market: str) -> None:
    """Turn a market of the config into an inverse one."""
    text = venue.read_text()
    venue.write_text(text.replace(f"[markets.{market}]", f'[markets.{market}]\ncontract = "inverse"'))


def test_an_inverse_market_is_refused_by_name_and_passed_over_otherwise(run: Run, venue: Path, tmp_path: Path) -> None:
    """The population thinks linear."""
    make_inverse(venue, "BTC-USDT")
    result = run("--market", "BTC-USDT")
    assert result.exit_code == 2
    assert result.stderr == "Error: --market: expected one of ETH-USDT; got an inverse market\n"
    assert run("--accounts", "10", "--bars", "20").exit_code == 0
    markets = {orjson.loads(line).get("market", "ETH-USDT") for line in (tmp_path / "log.jsonl").open()}
    assert markets == {"ETH-USDT"}


def test_a_config_without_a_linear_market_is_refused(run: Run, venue: Path) -> None:
    """One line says why."""
    make_inverse(venue, "BTC-USDT")
    make_inverse(venue, "ETH-USDT")
    result = run()
    assert result.exit_code == 2
    assert result.stderr == f"Error: {venue}: expected a linear market; the population cannot trade inverse ones\n"


def test_a_place_that_cannot_be_written_is_named(run: Run, tmp_path: Path) -> None:
    """Folders are made; what is a file cannot be one."""
    assert run(out="new/folder/log.jsonl").exit_code == 0
    result = run(out="new/folder/log.jsonl/log.jsonl")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {tmp_path}/new/folder/log.jsonl/log.jsonl: cannot be written: ")


@pytest.mark.parametrize(("name", "bars"), [("log", "20"), ("log", "2000"), ("log.gz", "2000"), ("log.zst", "2000")])
def test_a_full_disk_is_named(run: Run, tmp_path: Path, name: str, bars: str) -> None:
    """Whether it is met on the way or at the end, compressed or not."""
    (tmp_path / name).symlink_to("/dev/full")
    result = run("--accounts", "10", "--bars", bars, out=name)
    assert result.exit_code == 2
    assert result.stderr == "Error: /dev/full: cannot be written: No space left on device\n"


def test_inputs_are_not_written_over(run: Run, venue: Path, tmp_path: Path) -> None:
    """--out may not name the config or the prices."""
    (tmp_path / "bars.csv").write_text("precious")
    for result in (run(out="venue.toml"), run("--prices", str(tmp_path / "bars.csv"), out="bars.csv")):
        assert result.exit_code == 2
        assert result.stderr.startswith("Error: --out: expected a file of its own")
    assert (tmp_path / "bars.csv").read_text() == "precious"


def test_an_existing_device_is_written_to_and_not_replaced(run: Run, tmp_path: Path) -> None:
    """/dev/null stays what it is."""
    (tmp_path / "null").symlink_to("/dev/null")
    assert run("--bars", "100", "--accounts", "10", out="null").exit_code == 0
    assert Path("/dev/null").is_char_device()
