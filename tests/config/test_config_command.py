"""`backstop config diff` and `apply`: what two files differ in, and a change that makes one of the other."""

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import orjson
import pytest
from click.testing import CliRunner, Result
from hypothesis import given

from consumers.cli import main
from consumers.config.difference import compare_configs, patch_between
from engine.venue import Venue
from schemas.config import config_document, config_hash, decode_config, parse_config
from schemas.config_change import change_config, merge
from schemas.wire import decode_command
from tests.engine.stage import MARKET, venue_toml

OTHER_TIERS = '[{ up_to = "500000", initial = "0.02", maintenance = "0.01" }]'


def run(tmp_path: Path, command: str, old: str, new: str, *options: str) -> Result:
    """The command over two files of these contents."""
    (tmp_path / "old.toml").write_text(old)
    (tmp_path / "new.toml").write_text(new)
    files = [str(tmp_path / "old.toml"), str(tmp_path / "new.toml")]
    return CliRunner().invoke(main, ["config", command, *files, *options])


def test_files_that_say_the_same_do_not_differ(tmp_path: Path) -> None:
    """A default that is written down is no difference, nor is a comment."""
    result = run(tmp_path, "diff", venue_toml(), venue_toml(market='status = "open"  # as ever'))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    result = run(tmp_path, "apply", venue_toml(), venue_toml(market='maker_fee = "0"'), "--ts", "1")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "Nothing differs.\n")


def test_differences_are_listed_by_setting(tmp_path: Path) -> None:
    result = run(tmp_path, "diff", venue_toml(minimum="5"), venue_toml(minimum="7", market='price_band = "0.1"'))
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "setting                      old        new",
        "funds.btc.minimum            5          7",
        "markets.BTC-USDT.price_band  (default)  0.1",
    ]


def test_what_cannot_change_is_named_by_both(tmp_path: Path) -> None:
    old, new = venue_toml(), venue_toml(opening="9").replace('tick = "0.1"', 'tick = "0.5"').replace("BTC-USDT", "X")
    result = run(tmp_path, "diff", old, new)
    assert result.exit_code == 1
    assert "funds.btc.opening: cannot change, as it is credited when the fund begins" in result.stdout
    assert "markets.BTC-USDT: cannot be removed" in result.stdout
    result = run(tmp_path, "apply", old, new, "--ts", "1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "funds.btc.opening" in result.stderr
    assert "markets.BTC-USDT: cannot be removed" in result.stderr
    assert result.stderr.count("\n") == 1


def test_json_has_the_hashes_the_changes_and_the_patch(tmp_path: Path) -> None:
    old, new = venue_toml(market='price_band = "0.1"'), venue_toml(tiers=OTHER_TIERS)
    result = run(tmp_path, "diff", old, new, "--json")
    assert result.exit_code == 1
    said = orjson.loads(result.stdout)
    assert (said["before"], said["after"]) == (config_hash(parse_config(old)), config_hash(parse_config(new)))
    assert [change["setting"].rpartition(".")[2] for change in said["changes"]] == ["tiers", "price_band"]
    assert said["refused"] == []
    tiers = [{"up_to": "500000", "initial": "0.02", "maintenance": "0.01"}]
    assert said["patch"] == {"markets": {MARKET: {"price_band": None, "tiers": tiers}}}


def test_what_apply_writes_makes_a_venue_go_by_the_new_file(tmp_path: Path) -> None:
    old = venue_toml(fund='adl_trigger = { kind = "drawdown", window = "8h", start = "0.3", stop = "0.2" }')
    new = venue_toml(
        tiers=OTHER_TIERS,
        limits="max_open_orders = 7",
        fund='adl_trigger = { kind = "average", window = "8h", cut = "5" }',
        market='[funds.eth]\nasset = "USDT"',
    )
    result = run(tmp_path, "apply", old, new, "--ts", "17")
    assert result.exit_code == 0, result.stderr
    venue = Venue(parse_config(old))
    venue.genesis()
    command = decode_command(result.stdout.encode())
    assert command.ts == 17
    venue.apply(command)
    assert venue.config == parse_config(new)


def test_tables_in_another_order_are_no_difference_but_are_told(tmp_path: Path) -> None:
    first, second = '[funds.a]\nasset = "USDT"\n', '[funds.b]\nasset = "USDT"\n'
    result = run(tmp_path, "diff", venue_toml(market=first + second), venue_toml(market=second + first))
    assert result.exit_code == 0
    assert "another order" in result.stderr


@pytest.mark.parametrize(
    ("new", "named"),
    [
        ("[", "not valid TOML"),
        (venue_toml(market='taker_fee = "-1"'), "maker_fee + taker_fee"),
        (venue_toml(market="taker_fee = 0.1"), "taker_fee"),
    ],
)
@pytest.mark.parametrize("command", ["diff", "apply"])
def test_a_file_that_cannot_be_used_is_one_clear_line(tmp_path: Path, command: str, new: str, named: str) -> None:
    options = ["--ts", "1"] if command == "apply" else []
    result = run(tmp_path, command, venue_toml(), new, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert named in result.stderr
    assert "new.toml" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["apply", "a", "b"], "expected --ts"),
        (["apply", "a", "b", "c"], "expected one file or two, got 3"),
        (["apply", "a", "--ts", "1"], "--ts: expected with two files only"),
        (["apply", "a", "b", "--ts", "1", "--dry-run"], "--dry-run: expected with one file only"),
        (["apply", "a", "b", "--ts", "1", "--wait", "1s"], "--wait: expected with one file only"),
        (["diff", "a", "b", "--kafka", "127.0.0.1:1"], "--kafka: expected with one file only"),
        (["apply", "a", "--wait", "soon"], "expected a duration"),
        (["diff", "a", "--kafka", "127.0.0.1:1"], "no Kafka at 127.0.0.1:1: nothing listens there"),
    ],
)
def test_options_that_would_be_ignored_are_refused(tmp_path: Path, arguments: list[str], says: str) -> None:
    for name in "abc":
        (tmp_path / name).write_text(venue_toml())
    given = [str(tmp_path / each) if each in ("a", "b", "c") else each for each in arguments]
    result = CliRunner().invoke(main, ["config", *given])
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


_VALUES = st.recursive(
    st.one_of(st.text(max_size=3), st.integers(), st.booleans(), st.lists(st.integers(), max_size=2)),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
_DOCUMENTS = st.dictionaries(st.sampled_from("abc"), _VALUES, max_size=3)


@given(_DOCUMENTS, _DOCUMENTS)
def test_a_patch_makes_one_document_of_the_other(current: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert merge(current, patch_between(current, wanted)) == wanted


def test_a_document_is_the_config_and_its_hash_does_not_hang_on_defaults() -> None:
    """So a setting that is added later changes the hash of no config that does not name it."""
    config = parse_config(venue_toml(fund='adl_trigger = { kind = "average", window = "8h", cut = "5" }'))
    document = config_document(config)
    assert decode_config(document) == config
    assert "status" not in document["markets"][MARKET]
    assert document["funds"]["btc"]["adl_trigger"]["kind"] == "average"
    assert config_hash(parse_config(venue_toml(market='status = "open"'))) == config_hash(parse_config(venue_toml()))
    market = document["markets"][MARKET]
    named = decode_config(document | {"markets": {"Z": market, MARKET: market}})
    appended = change_config(config, {"markets": {"Z": market}})
    assert named == appended
    assert config_hash(named) != config_hash(appended), "the order of tables decides the order of events"


def test_equal_configs_have_an_empty_patch() -> None:
    difference = compare_configs(parse_config(venue_toml()), parse_config(venue_toml()))
    assert (difference.changes, difference.patch, difference.before) == ([], {}, difference.after)
