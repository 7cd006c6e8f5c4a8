"""A config that cannot be used is refused by the name of the setting, before anything runs."""

from pathlib import Path

import pytest

from schemas.config import ConfigError, load_config, parse_config

GOOD = (Path(__file__).parents[2] / "deploy" / "venue.toml").read_text("utf-8")


def _with(found: str, there: str) -> str:
    assert GOOD.count(found) >= 1
    return GOOD.replace(found, there, 1)


def test_the_example_venue_is_read() -> None:
    """Settings and defaults arrive as they stand in the file; decimals stay text."""
    venue = parse_config(GOOD)
    assert venue.markets["BTC-USDT"].tick == "0.1"
    assert venue.markets["BTC-USDT"].multiplier == "1"
    assert venue.markets["BTC-USDT"].tiers[1].maintenance == "0.01"
    assert venue.limits.liquidations_per_command == 200


REFUSED = {
    # unknown names
    "unknown table": ("[limits]", "[limit]", "limit: unknown; expected one of assets, funds"),
    "unknown setting of a market": ('tick = "0.1"', 'ticks = "0.1"', "markets.BTC-USDT.ticks: unknown"),
    "unknown setting of a tier": (
        'initial = "0.01"',
        'initial = "0.01", x = 1',
        "markets.BTC-USDT.tiers[0].x: unknown",
    ),
    "unknown setting of a fund": ('minimum = "50000"', 'min = "1"', "funds.btc.min: unknown; expected one of asset"),
    "unknown limit": ("liquidations_per_command", "liquidations", "limits.liquidations: unknown"),
    # decimals
    "float as decimal": ('tick = "0.1"', "tick = 0.1", "markets.BTC-USDT.tick: expected `str`, got `float`"),
    "integer as decimal": ('lot = "0.001"', "lot = 1", "markets.BTC-USDT.lot: expected `str`, got `int`"),
    "float in a tier": ('initial = "0.01"', "initial = 0.01", "markets.BTC-USDT.tiers[0].initial: expected `str`"),
    "exponent": ('tick = "0.1"', 'tick = "1e-1"', "markets.BTC-USDT.tick: expected an unsigned decimal string"),
    "negative decimal": ('minimum = "50000"', 'minimum = "-1"', "funds.btc.minimum: expected an unsigned decimal"),
    "NaN": ('maker_fee = "0.0002"', "maker_fee = nan", "markets.BTC-USDT.maker_fee: expected `str`, got `float`"),
    "text that is no decimal": ('opening = "150000"', 'opening = "all"', "funds.btc.opening: expected an unsigned"),
    # missing
    "missing table": ("[funds.btc]", "[limits.btc]", "limits.btc: unknown"),
    "missing setting": ('tick = "0.1"', "", "markets.BTC-USDT.tick: missing; expected unsigned decimal"),
    "missing setting of a tier": ('initial = "0.01", ', "", "markets.BTC-USDT.tiers[0].initial: missing"),
    # other domains
    "duration without a unit": ("liquidations_per_command = 200", 'transfer_memory = "7"', "limits.transfer_memory"),
    "duration of zero": ("liquidations_per_command = 200", 'transfer_memory = "0d"', "expected a duration like"),
    "duration in a unit of its own": ("liquidations_per_command = 200", 'transfer_memory = "1w"', '"7d"'),
    "duration with a newline": ("liquidations_per_command = 200", 'transfer_memory = "7d\\n"', "duration like"),
    "duration as a number": ("liquidations_per_command = 200", "transfer_memory = 7", "expected `str`, got `int`"),
    "hour 24": ('minimum = "50000"', 'reconcile_at = "24:00+00:00"', "funds.btc.reconcile_at: expected a time of day"),
    "time without offset": ('minimum = "50000"', 'reconcile_at = "16:00"', 'like "16:00+08:00"'),
    "TOML time": ('minimum = "50000"', "reconcile_at = 16:00:00", "funds.btc.reconcile_at: expected `str`, got `time`"),
    "limit of zero": (
        "liquidations_per_command = 200",
        "max_open_residuals = 0",
        "limits.max_open_residuals: expected",
    ),
    "19 decimals": ("decimals = 6", "decimals = 19", "assets.USDT.decimals: expected `int` <= 18"),
    "decimals as text": ("decimals = 6", 'decimals = "6"', "assets.USDT.decimals: expected `int`, got `str`"),
    "negative partition": ("partition = 0", "partition = -1", "shards.usdt.partition: expected `int` >= 0"),
    "flag as number": ("position_detail = true", "position_detail = 1", "shards.usdt.position_detail: expected `bool`"),
    "unknown contract": ('contract = "linear"', 'contract = "quanto"', "markets.BTC-USDT.contract: expected"),
    "no tiers": ("tiers = [", "tiers = []\nrest = [", "markets.BTC-USDT"),
    "bad name": ("[markets.BTC-USDT]", '[markets."BTC/USDT"]', "markets: expected [A-Za-z0-9._:-] only"),
    "empty name": ("[funds.btc]", '[funds.""]', "funds: expected names of 1 to 64 characters, got ''"),
    "empty reference": ('fund = "btc"', 'fund = ""', "markets.BTC-USDT.fund: expected `str` of length >= 1"),
    # not TOML
    "setting twice": ('tick = "0.1"', 'tick = "0.1"\ntick = "0.1"', "not valid TOML"),
    "unquoted text": ('contract = "linear"', "contract = linear", "not valid TOML"),
    "endless integer": ("decimals = 6", f"decimals = {'6' * 5000}", "not valid TOML"),
    "endless nesting": ("decimals = 6", f"decimals = {'[' * 5000}", "not valid TOML: nested too deeply"),
}


@pytest.mark.parametrize(("found", "there", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_a_config_error_names_the_setting(found: str, there: str, says: str) -> None:
    """Which table, which entry, which setting, and what was expected; nothing is ignored or guessed."""
    with pytest.raises(ConfigError) as caught:
        parse_config(_with(found, there))
    assert says in str(caught.value)
    assert len(str(caught.value)) < 500


def test_the_second_of_two_markets_is_named_when_it_is_the_wrong_one() -> None:
    """An error in one of many entries names that entry."""
    second = GOOD[GOOD.index("[markets.BTC-USDT]") :].replace("BTC-USDT", "ETH-USDT").replace('"0.1"', "0.1")
    with pytest.raises(ConfigError, match=r"^markets\.ETH-USDT\.tick: expected `str`, got `float`"):
        parse_config(f"{GOOD}\n{second}")


@pytest.mark.parametrize("missing", ["assets", "funds", "shards", "markets"])
def test_each_table_is_required_but_limits(missing: str) -> None:
    """A venue without one of them is no venue; bounds have defaults."""
    tables = {"assets": "{ USDT = { decimals = 6 } }", "funds": "{}", "shards": "{}", "markets": "{}"}
    del tables[missing]
    with pytest.raises(ConfigError, match=f"^{missing}: missing"):
        parse_config("\n".join(f"{name} = {value}" for name, value in tables.items()))


def test_a_table_that_is_a_value_is_refused() -> None:
    """`assets = 1` names assets."""
    with pytest.raises(ConfigError, match=r"^assets: expected `object`, got `int`"):
        parse_config("assets = 1")


def test_an_empty_config_is_refused() -> None:
    """An empty file is not a venue with defaults."""
    with pytest.raises(ConfigError, match=r"^assets: missing"):
        parse_config("")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    """One line with the path and the reason of the system."""
    with pytest.raises(ConfigError, match=r"venue\.toml: cannot be read: No such file or directory"):
        load_config(tmp_path / "venue.toml")


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    """A path of the wrong kind is named too."""
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path)


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    """TOML is UTF-8."""
    path = tmp_path / "venue.toml"
    path.write_bytes(GOOD.encode("utf-16"))
    with pytest.raises(ConfigError, match=r"venue\.toml: expected UTF-8 text"):
        load_config(path)


def test_an_error_in_a_file_names_file_and_setting(tmp_path: Path) -> None:
    """The reader knows where to look without opening anything else."""
    path = tmp_path / "venue.toml"
    path.write_text(_with('tick = "0.1"', "tick = 0.1"), "utf-8")
    with pytest.raises(ConfigError, match=r"venue\.toml: markets\.BTC-USDT\.tick: expected `str`, got `float`"):
        load_config(path)


def test_a_file_is_read_like_its_text(tmp_path: Path) -> None:
    """Nothing but the text decides."""
    path = tmp_path / "venue.toml"
    path.write_text(GOOD, "utf-8")
    assert load_config(path) == parse_config(GOOD)
