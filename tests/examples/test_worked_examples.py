"""The worked examples of the contract, as logs through `backstop replay`: every event, and the numbers that matter.

Each folder holds a venue, a command log and the events expected of it, byte for byte. After a change of the wire
format that is meant, replay the log and read the difference before committing it.
"""

from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from click.testing import CliRunner

from consumers.cli import main

FOLDER = Path(__file__).parent


class Expected(NamedTuple):
    """What the contract says comes of an example. `facts` are fields of the one event of that type or, after a
    colon, of that liquidation."""

    name: str
    fund: str
    facts: dict[str, dict[str, Any]]
    liquidated: str = "alice"
    shard: str = "usdt"
    conserved: tuple[str, str] = ("USDT", "0.000000")


EXAMPLES = [
    Expected(
        "1_surplus_of_a_long_sold_above_bankruptcy",
        "100.000000",
        {
            "liquidation.started": {"mark_price": "10050.0", "bankruptcy_price": "10000.00000000"},
            "liquidation.ordered": {"side": "sell", "price": "10000.0", "qty": "1.000"},
            "liquidation.settled": {"average_price": "10100.00000000", "surplus": "100.000000", "to": "fund"},
            "fund.credited": {"amount": "100.000000", "cause_kind": "surplus"},
        },
    ),
    Expected(
        "2_takeover_of_a_short_bought_back_at_a_loss",
        "950.000000",
        {
            "liquidation.residual": {"side": "short", "qty": "1.000", "expected_loss": "50.000000"},
            "takeover.approved": {"loss_budget": "50.000000", "fund": "btc"},
            "takeover.filled": {"price": "10050.00000000", "pnl": "-50.000000"},
            "fund.debited": {"amount": "50.000000", "balance": "950.000000"},
        },
    ),
    Expected(
        "3_adl_when_the_loss_exceeds_the_fund",
        "1000.000000",
        {
            "adl.triggered": {"qty": "11.000", "expected_loss": "11000.000000", "fund_balance": "1000.000000"},
            "adl.completed": {"qty": "11.000", "remaining": "0.000", "counterparties": 3, "needed": "11000.000000"},
        },
    ),
    Expected(
        "4a_liquidation_price_and_surplus",
        "1040.000000",
        {
            "liquidation.started": {"mark_price": "7000.0", "bankruptcy_price": "6950.00000000"},
            "liquidation.settled": {"average_price": "6990.00000000", "surplus": "40.000000"},
        },
    ),
    Expected(
        "4b_exhausted_takeover_gets_a_larger_budget",
        "980.000000",
        {
            "takeover.exhausted": {"round": 2, "mark_price": "6930.0", "expected_loss": "20.000000"},
            "takeover.filled": {"price": "6930.00000000", "pnl": "-20.000000"},
        },
    ),
    Expected(
        "5_surplus_of_a_cross_account",
        "37.000000",
        {
            "liquidation.started:usdt:1": {"market": "ETH-USDT", "equity": "60.000000", "mode": "cross"},
            "liquidation.settled:usdt:1": {"average_price": "963.70000000", "surplus": "0.000000"},
            "liquidation.started:usdt:2": {
                "market": "BTC-USDT",
                "equity": "47.000000",
                "maintenance_margin": "47.050000",
            },
            "liquidation.settled:usdt:2": {"average_price": "9400.00000000", "surplus": "37.000000", "to": "fund"},
            "fund.credited": {"amount": "37.000000", "cause_kind": "surplus"},
        },
    ),
    Expected(
        "6_fund_minimum_and_withdrawal",
        "1000.000000",
        {
            "fund.below_minimum": {"balance": "900.000000", "minimum": "1000.000000"},
            "fund.rejected": {"code": "insufficient_balance"},
            "fund.debited": {"amount": "50.000000", "cause_kind": "withdrawal"},
        },
        liquidated="",
    ),
    Expected(
        "7_socialised_loss",
        "0.000000",
        {
            # The fund holds alice's long while erin opens a short that cannot carry 10,000; at 1,700 nobody can.
            "takeover.exhausted": {"mark_price": "1700.0", "expected_loss": "8300.000000"},
            "adl.completed": {"qty": "0", "remaining": "1"},
            "liquidation.uncovered": {"loss": "8300.000000"},
            "loss.covered": {"amount": "300.000000"},
            "liquidation.closed": {"socialised": "8000.000000", "deficit": "0.000000"},
        },
    ),
    Expected(
        "8_inverse_long_sold_above_bankruptcy",
        "0.00350878",
        {
            # Worth 1.09457092 BTC at the mark, 1.1 at bankruptcy, and sold for 1.09649122.
            "liquidation.started": {
                "mark_price": "9136.0",
                "bankruptcy_price": "9090.90909091",
                "bankruptcy_value": "1.10000000",
                "equity": "0.00542908",
                "maintenance_margin": "0.00547285",
            },
            "liquidation.ordered": {"side": "sell", "price": "9091.0", "qty": "10000"},
            "liquidation.settled": {"average_price": "9120.00006712", "surplus": "0.00350878", "to": "fund"},
        },
        shard="coin",
        conserved=("BTC", "0.00000000"),
    ),
    Expected(
        "9_tiers_that_make_a_position_due",
        "300.000000",
        {
            # Nothing moved but the tiers: 6 % of 10,500 instead of 0.5 %.
            "liquidation.started": {
                "mark_price": "10500.0",
                "equity": "500.000000",
                "maintenance_margin": "630.000000",
            },
            "liquidation.settled": {"average_price": "10300.00000000", "surplus": "300.000000", "to": "fund"},
        },
    ),
]


def replayed(name: str, out: Path) -> tuple[bytes, dict[str, Any]]:
    """Events and report of an example, every invariant checked after every command."""
    folder = FOLDER / name
    arguments = ["replay", str(folder / "commands.jsonl"), "--config", str(folder / "venue.toml")]
    result = CliRunner().invoke(main, [*arguments, "--out", str(out), "--check-every", "1"])
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = orjson.loads((out / "report.json").read_bytes())
    return (out / "events.jsonl").read_bytes(), report


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_worked_example_holds_to_the_unit(example: Expected, tmp_path: Path) -> None:
    events, report = replayed(example.name, tmp_path)
    assert report["funds"]["btc"]["balance"] == example.fund
    assert report["conservation"] == dict([example.conserved])
    assert report["counts"]["dead_letters"] == 0
    published = [orjson.loads(line) for line in events.splitlines()]
    for name, fields in example.facts.items():
        type_, _, liquidation_id = name.partition(":")
        (event,) = [
            event
            for event in published
            if event["type"] == type_ and event.get("liquidation_id", "").endswith(liquidation_id)
        ]
        assert {field: event[field] for field in fields} == fields
    if example.liquidated:
        account = report["accounts"][example.shard][example.liquidated]
        assert account["positions"] == {}
        assert account["wallet"] == example.conserved[1], "the trader loses the margin, which was all there was"
    assert events == (FOLDER / example.name / "expected.jsonl").read_bytes()


def test_the_liquidation_price_of_example_4_is_printed_to_eight_decimals(tmp_path: Path) -> None:
    events, _ = replayed("4a_liquidation_price_and_surplus", tmp_path)
    prices = [
        event["liquidation_price"]
        for event in map(orjson.loads, events.splitlines())
        if event["type"] == "position.updated" and event["account"] == "alice"
    ]
    assert "7000.40290089" in prices


def test_example_7_takes_two_hundredths_of_a_percent_of_every_realised_profit(tmp_path: Path) -> None:
    """8,000 over 40,000,000: 39,991,000 of winner, 8,000 of erin, and bob's 1,000, of which he pays 0.2."""
    events, _ = replayed("7_socialised_loss", tmp_path)
    shares = [event for event in map(orjson.loads, events.splitlines()) if event["type"] == "loss.socialised"]
    assert {event["rate"] for event in shares} == {"0.000200000000000000"}
    assert {event["account"]: event["amount"] for event in shares} == {
        "winner": "7998.200000",
        "erin": "1.600000",
        "bob": "0.200000",
    }


def test_example_3_deleverages_in_rank_order_at_the_bankruptcy_price(tmp_path: Path) -> None:
    events, _ = replayed("3_adl_when_the_loss_exceeds_the_fund", tmp_path)
    executed = [event for event in map(orjson.loads, events.splitlines()) if event["type"] == "adl.executed"]
    assert [(event["rank"], event["account"], event["qty"], event["price"]) for event in executed] == [
        (1, "bob", "6.000", "10000.00000000"),
        (2, "carl", "4.000", "10000.00000000"),
        (3, "dave", "1.000", "10000.00000000"),
    ]
    # Shorts from 10,500 at the mark 9,000, margins of 525, 1,050 and 2,100: 1,500 × 9,000 ÷ (10,500 × equity).
    assert [event["score"] for event in executed] == [
        "0.634920634920634920",
        "0.504201680672268907",
        "0.357142857142857142",
    ]
