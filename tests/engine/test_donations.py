"""Donations and what they are worth in USD; the history of a fund; the totals of an asset."""

from typing import Any

import pytest
from msgspec import UNSET

from engine.digest import hash_rows
from engine.donations import value_in_cents
from engine.reject import Refused
from engine.spec import AssetSpec
from engine.venue import Venue
from schemas.config import ConfigError, parse_config
from schemas.events import FundCredited, FundReconciled, FundRejected, FundUpdated
from tests.engine.stage import SECOND, Stage, of_type, venue_toml
from tests.engine.test_takeover import bankrupt_long

DAY = 86_400 * SECOND


class StageOfStablecoin(Stage):
    """A venue whose asset is worth 0.9997 USD where a donation does not say."""

    @staticmethod
    def toml(**settings: str) -> str:
        """The venue with the price in it."""
        return venue_toml(**settings).replace("decimals = 6", 'decimals = 6\nusd = "0.9997"')


class StageOfTwoFunds(Stage):
    """A venue with a second fund of the asset, eth: 5, minimum 10."""

    @staticmethod
    def toml(**settings: str) -> str:
        """The venue with the second fund in it."""
        eth = '[funds.eth]\nasset = "USDT"\nopening = "5"\nminimum = "10"\n[shards.usdt]'
        return venue_toml(**settings).replace("[shards.usdt]", eth)


def give(stage: Stage, amount: str, transfer_id: str = "d1", **fields: Any) -> list[Any]:
    """What is said of a donation."""
    command = {"fund": "btc", "amount": amount, "kind": "donation", "transfer_id": transfer_id} | fields
    return of_type(stage.send("fund.deposit", **command), FundCredited, FundUpdated, FundRejected)


@pytest.mark.parametrize(
    ("amount", "index", "value"),
    [
        ("150", "1", "150.00"),
        ("2.5", "43210.5", "108026.25"),
        ("0.029999", "1", "0.02"),  # 0.029999
        ("3", "0.333333333333333333", "0.99"),  # 0.999999999999999999
        ("0.000001", "0.5", "0.00"),
        ("0.000001", "1000000000000000000", "1000000000000.00"),
    ],
)
def test_a_donation_is_valued_at_its_index_price_rounded_down_to_a_cent(amount: str, index: str, value: str) -> None:
    stage = Stage()
    (credited,) = give(stage, amount, index=index)
    assert (credited.cause_kind, credited.usd_value) == ("donation", value)
    assert stage.fund()["donations"] == {
        "count": 1,
        "amount": credited.amount,
        "usd_value": value,
        "unpriced": "0.000000",
    }


def test_without_an_index_price_the_assets_own_holds() -> None:
    stage = StageOfStablecoin()
    (credited,) = give(stage, "100")
    assert credited.usd_value == "99.97"
    (credited,) = give(stage, "100", "d2", index="1.01")
    assert credited.usd_value == "101.00"
    assert stage.fund()["donations"]["usd_value"] == "200.97"


def test_without_any_price_a_donation_has_no_value_and_is_counted_apart() -> None:
    stage = Stage()
    (credited,) = give(stage, "100")
    assert credited.usd_value is UNSET
    give(stage, "7", "d2", index="2")
    assert stage.fund()["donations"] == {
        "count": 2,
        "amount": "107.000000",
        "usd_value": "14.00",
        "unpriced": "100.000000",
    }


def test_only_donations_are_valued() -> None:
    stage = StageOfStablecoin(opening="10")
    stage.send("fund.deposit", fund="btc", amount="5", kind="injection", transfer_id="i")
    assert [event.usd_value for event in of_type(stage.events, FundCredited)] == [UNSET, UNSET]
    assert stage.fund()["donations"]["count"] == 0


def test_a_donation_again_at_another_price_is_another_transfer() -> None:
    stage = Stage()
    give(stage, "100", index="1.5")
    (known,) = give(stage, "100", index="1.50")
    assert isinstance(known, FundUpdated)
    for fields in ({"index": "1.51"}, {}):
        (refused,) = give(stage, "100", **fields)
        assert refused.code == "transfer_mismatch"
    assert stage.fund()["donations"]["usd_value"] == "150.00"


def test_a_value_of_two_to_the_63_cents_is_refused_and_changes_nothing() -> None:
    stage = Stage()
    (refused,) = give(stage, "1", index="92233720368547758.08")
    assert refused.code == "amount_too_large"
    assert stage.fund()["balance"] == "0.000000"
    (credited,) = give(stage, "1", index="92233720368547758.07")
    assert credited.usd_value == "92233720368547758.07"


def test_an_asset_without_decimals_is_valued_too() -> None:
    asset = AssetSpec("PTS", 0, 25 * 10**15)
    assert value_in_cents(asset, 3, None) == 7
    assert value_in_cents(asset, 3, 10**18) == 300
    with pytest.raises(Refused, match="2\\^63 cents"):
        value_in_cents(asset, 1 << 62, 10**18)


@pytest.mark.parametrize("usd", ["0", "-1", "1e3"])
def test_the_price_of_an_asset_is_above_zero(usd: str) -> None:
    with pytest.raises(ConfigError, match=r"^assets\.USDT\.usd: expected a decimal string above zero"):
        parse_config(venue_toml().replace("decimals = 6", f'decimals = 6\nusd = "{usd}"'))


def test_the_history_is_what_was_published_of_each_period() -> None:
    stage = bankrupt_long("2", opening="1000")
    stage.buy("carl", "1", "9990")
    stage.mark("9950")  # the fund sells 1 at a loss of 10
    assert stage.fund()["history"] == []
    stage.now += 2 * DAY
    periods = of_type(stage.send("clock.tick"), FundReconciled)
    history = stage.fund()["history"]
    assert [period["period_end"] for period in history] == [period.period_end for period in periods]
    assert history[0] == {
        "period_start": 1_700_000_001 * SECOND,
        "period_end": history[1]["period_start"],
        "opening_balance": "1000.000000",
        "closing_balance": "990.000000",
        "surplus_count": 0,
        "surplus_sum": "0.000000",
        "loss_count": 1,
        "loss_sum": "10.000000",
        "adl_count": 0,
        "adl_sum": "0.000000",
    }
    assert (history[1]["opening_balance"], history[1]["loss_count"]) == ("990.000000", 0)


def test_the_history_keeps_the_last_periods_and_no_more_than_its_limit() -> None:
    stage = Stage(opening="7", limits="fund_history = 2")
    stage.send("clock.tick")
    stage.now += 5 * DAY
    periods = of_type(stage.send("clock.tick"), FundReconciled)
    assert len(periods) == 5
    assert [period["period_end"] for period in stage.fund()["history"]] == [
        period.period_end for period in periods[-2:]
    ]


def test_how_much_history_is_kept_influences_neither_events_nor_the_rest_of_the_state() -> None:
    hashes = []
    for limit in (1, 400):
        stage = Stage(opening="7", limits=f"fund_history = {limit}")
        stage.send("clock.tick")
        stage.now += 3 * DAY
        stage.send("clock.tick")
        rows = stage.venue.settlements["USDT"].rows()
        hashes.append(hash_rows(row for row in rows if row[0] != "config"))
    assert hashes[0] == hashes[1]


def test_the_totals_of_an_asset_add_up_its_funds() -> None:
    stage = StageOfTwoFunds(opening="100", minimum="20")
    give(stage, "8", index="2")
    give(stage, "4", "d2", fund="eth")
    stage.send("fund.transfer", fund="btc", to="eth", amount="40", transfer_id="x")
    stage.send("fund.withdraw", fund="btc", amount="3", transfer_id="w")
    assert stage.venue.report()["totals"] == {
        "USDT": {
            "funds": 2,
            "balance": "114.000000",
            "reserved": "0.000000",
            "available": "114.000000",
            "pending_gains": "0.000000",
            "pending_losses": "0.000000",
            "minimum": "30.000000",
            "credited": "157.000000",
            "debited": "43.000000",
            "credited_by_cause": {"donation": "12.000000", "opening": "105.000000", "transfer": "40.000000"},
            "debited_by_cause": {"transfer": "40.000000", "withdrawal": "3.000000"},
            "donations": {"count": 2, "amount": "12.000000", "usd_value": "16.00", "unpriced": "4.000000"},
        }
    }


def test_the_totals_have_what_takeovers_reserve() -> None:
    stage = bankrupt_long(opening="1000")
    stage.mark("9950")
    total = stage.venue.report()["totals"]["USDT"]
    assert (total["balance"], total["reserved"], total["available"]) == ("1000.000000", "50.000000", "950.000000")


def test_an_asset_without_funds_has_totals_of_zero() -> None:
    venue = Venue(parse_config(venue_toml() + "\n[assets.BTC]\ndecimals = 8\n"))
    assert venue.report()["totals"]["BTC"]["balance"] == "0.00000000"
    assert venue.report()["totals"]["BTC"]["funds"] == 0
