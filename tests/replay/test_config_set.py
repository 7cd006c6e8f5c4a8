"""A log in which the config changes: what is added later is in the report, the summary, the page and the stories."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from click.testing import CliRunner

from consumers.cli import main
from schemas.config import config_hash, parse_config
from schemas.config_change import change_config
from tests.replay.conftest import START, VENUE, Run, encoded

CHANGES: dict[str, Any] = {
    "funds": {"eth": {"asset": "USDT", "opening": "77"}},
    "markets": {
        "ETH-USDT": {
            "shard": "usdt",
            "fund": "eth",
            "tick": "0.1",
            "lot": "0.001",
            "tiers": [{"up_to": "1000000", "initial": "0.01", "maintenance": "0.005"}],
        }
    },
}


def log_with_a_new_market() -> bytes:
    """A long in a market that was added is liquidated; the fund that was added with it takes it over."""
    commands: list[dict[str, Any]] = [
        {"type": "price.mark", "market": "BTC-USDT", "price": "10000"},
        {"type": "price.mark", "market": "ETH-USDT", "price": "10000"},
        {"type": "config.set", "changes": CHANGES},
        {"type": "config.set", "changes": {"markets": {"ETH-USDT": {"tick": "1"}}}},
        {"type": "account.deposit", "shard": "usdt", "account": "alice", "amount": "500", "transfer_id": "a"},
        {"type": "account.deposit", "shard": "usdt", "account": "bob", "amount": "100000", "transfer_id": "b"},
        {"type": "price.mark", "market": "ETH-USDT", "price": "10000"},
        {"type": "account.leverage", "market": "ETH-USDT", "account": "alice", "leverage": "20"},
        *(
            {"type": "order.new", "market": "ETH-USDT", "account": account, "order_id": "o", "side": side}
            | {"kind": "limit", "price": "10000", "qty": "1"}
            for account, side in (("bob", "sell"), ("alice", "buy"))
        ),
        {"type": "price.mark", "market": "ETH-USDT", "price": "9440"},
    ]
    return encoded([{"ts": START + number, **command} for number, command in enumerate(commands)])


def test_what_is_added_by_a_change_is_in_report_summary_and_page(
    replay: Callable[..., Run], venue: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(log_with_a_new_market())
    run = replay(log, options=("--html", "--check-every", "1"))
    assert run.exit_code == 0, run.stderr
    report = orjson.loads((run.out / "report.json").read_bytes())
    assert report["config"] == config_hash(change_config(parse_config(VENUE), CHANGES))
    assert report["funds"]["eth"]["opening"] == report["funds"]["eth"]["balance"] == "77.000000"
    assert report["counts"]["takeovers"] == 1
    assert report["counts"]["by_event_type"]["config.changed"] == 2
    assert report["counts"]["reject_codes"]["unsupported_change"] == 2
    page = (run.out / "report.html").read_text()
    assert "ETH-USDT" in page
    assert "ETH-USDT" in run.stdout
    # The story is told with the config of the genesis, which does not know the market.
    arguments = ["explain", str(run.out / "events.jsonl"), "--config", str(venue)]
    for question in (("--liquidation", "usdt:1"), ("--account", "alice")):
        told = CliRunner().invoke(main, [*arguments, *question])
        assert told.exit_code == 0, told.output
        assert "ETH-USDT" in told.stdout


def test_a_config_that_is_not_changed_has_the_hash_of_its_file(
    replay: Callable[..., Run], venue: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(encoded([{"type": "clock.tick", "ts": START}]))
    report = orjson.loads((replay(log).out / "report.json").read_bytes())
    assert report["config"] == config_hash(parse_config(venue.read_text()))
