"""`config.set`: what it changes, what it refuses, and that all machines keep the same config."""

import random
from itertools import islice
from typing import Any

import orjson
import pytest

from engine.adl_queue import rank_anew
from engine.consistency import check_consistency
from engine.sequence import BrokenStream
from engine.settlement import Settlement
from engine.shard import Shard
from engine.spec import compile_venue
from engine.venue import Venue
from schemas.claims import FeeShareAccrued
from schemas.config import config_hash, parse_config
from schemas.envelope import Event
from schemas.events import (
    AdlExecuted,
    AdlLights,
    ConfigChanged,
    ConfigRejected,
    FundCredited,
    LiquidationStarted,
    TradeExecuted,
    TransferKnown,
)
from schemas.wire import decode_command
from tests.engine.stage import MARKET, SECOND, TIERS, Stage, codes, of_type, second_market, venue_toml
from tests.engine.test_late_decisions import Late
from tests.engine.test_order_commands import open_market
from tests.reference.histories import History
from tests.reference.worlds import make_world

DAY = 86_400 * SECOND
STRICT = [{"up_to": "1000000", "initial": "0.1", "maintenance": "0.06"}]


def configure(stage: Stage, **changes: Any) -> list[Event]:
    """A change."""
    return stage.send("config.set", changes=changes)


def change_market(stage: Stage, market: str = MARKET, **settings: Any) -> list[Event]:
    """A change of a market that is accepted."""
    events = configure(stage, markets={market: settings})
    assert codes(events) == []
    return events


def change_fund(stage: Stage, fund: str = "btc", **settings: Any) -> list[Event]:
    """A change of a fund that is accepted."""
    events = configure(stage, funds={fund: settings})
    assert codes(events) == []
    return events


def hashes(venue: Venue) -> set[str]:
    """The configs that the machines hold; one, if all is well."""
    held = {shard.state.spec.config_hash for shard in venue.shards.values()}
    rows = [row for settlement in venue.settlements.values() for row in settlement.rows() if row[0] == "config"]
    return held | {str(row[1]) for row in rows} | {config_hash(venue.config)}


# --- what is said --------------------------------------------------------------------------------------------


def test_every_machine_says_what_changed_engines_first_also_where_it_is_none_of_its_business() -> None:
    stage = Stage()
    before = config_hash(stage.venue.config)
    events = change_market(stage, taker_fee="0.0005", price_band="0.1")
    assert [event.stream for event in events] == ["engine:usdt", "settlement:USDT"]
    for event in of_type(events, ConfigChanged):
        assert (event.before, event.after) == (before, config_hash(stage.venue.config))
        assert [(c.setting, c.new) for c in event.changes] == [
            (f"markets.{MARKET}.taker_fee", "0.0005"),
            (f"markets.{MARKET}.price_band", "0.1"),
        ]
    assert len(hashes(stage.venue)) == 1
    assert stage.venue.report()["config"] == config_hash(stage.venue.config)


def test_null_puts_a_setting_back_to_its_default_and_the_hash_is_that_of_before() -> None:
    stage = Stage()
    before = config_hash(stage.venue.config)
    change_market(stage, price_band="0.1", status="reduce_only")
    assert config_hash(stage.venue.config) != before
    change_market(stage, price_band=None, status=None)
    assert hashes(stage.venue) == {before}


def test_a_change_of_nothing_is_accepted_and_changes_nothing() -> None:
    stage = Stage()
    events = configure(stage)
    assert all(isinstance(event, ConfigChanged) and event.before == event.after for event in events)


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "a tick": ({"markets": {MARKET: {"tick": "0.5"}}}, "unsupported_change", f"markets.{MARKET}.tick"),
    "a fund of a market": ({"markets": {MARKET: {"fund": "x"}}}, "unsupported_change", f"markets.{MARKET}.fund"),
    "a removed market": ({"markets": {MARKET: None}}, "unsupported_change", f"markets.{MARKET}: cannot be removed"),
    "a removed fund": ({"funds": {"btc": None}}, "unsupported_change", "funds.btc: cannot be removed"),
    "an opening": ({"funds": {"btc": {"opening": "5"}}}, "unsupported_change", "funds.btc.opening"),
    "decimals": ({"assets": {"USDT": {"decimals": 2}}}, "unsupported_change", "assets.USDT.decimals"),
    "a partition": ({"shards": {"usdt": {"partition": 3}}}, "unsupported_change", "shards.usdt.partition"),
    "a number": ({"markets": {MARKET: {"taker_fee": 1}}}, "invalid_config", f"markets.{MARKET}.taker_fee"),
    "an unknown setting": ({"markets": {MARKET: {"tock": "1"}}}, "invalid_config", f"markets.{MARKET}.tock"),
    "no tiers": ({"markets": {MARKET: {"tiers": []}}}, "invalid_config", f"markets.{MARKET}.tiers"),
    "fees below zero": ({"markets": {MARKET: {"maker_fee": "-1"}}}, "invalid_config", f"markets.{MARKET}"),
    "a leverage above the tiers": (
        {"markets": {MARKET: {"tiers": [{"up_to": "9", "initial": "0.5", "maintenance": "0.1"}]}}},
        "invalid_config",
        f"markets.{MARKET}.default_leverage",
    ),
    "an unknown asset": ({"funds": {"eth": {"asset": "ETH"}}}, "invalid_config", "funds.eth.asset"),
    "an unknown table": ({"venue": {}}, "invalid_config", "venue"),
    "no markets": ({"markets": None}, "invalid_config", "markets"),
    "a half": (
        {"limits": {"max_open_orders": 1}, "funds": {"btc": {"minimum": "7"}}, "markets": {MARKET: {"lot": "1"}}},
        "unsupported_change",
        f"markets.{MARKET}.lot",
    ),
}


@pytest.mark.parametrize(("changes", "code", "named"), REFUSED.values(), ids=REFUSED)
def test_a_change_that_is_refused_names_the_setting_and_changes_nothing(
    changes: dict[str, Any], code: str, named: str
) -> None:
    stage = open_market(opening="1000")
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    rows = [_rows(machine) for machine in _machines(stage.venue)]
    events = configure(stage, **changes)
    assert codes(events) == [code, code]
    for event in of_type(events, ConfigRejected):
        assert event.reason.startswith(named)
    assert [_rows(machine) for machine in _machines(stage.venue)] == rows


def _machines(venue: Venue) -> list[Shard | Settlement]:
    return [*venue.shards.values(), *venue.settlements.values()]


def _rows(machine: Shard | Settlement) -> list[tuple[object, ...]]:
    """Without clock and event numbers, and what a tick, too, would do: begin the first period."""
    return [row for row in machine.rows() if row[0] not in ("outbox", "topic")]


# --- tiers ---------------------------------------------------------------------------------------------------


def test_positions_that_new_tiers_make_due_are_liquidated_at_the_next_mark() -> None:
    """Long 1 from 10,000 with 500: maintenance is 50, with new tiers 600; equity is above the one, not the other."""
    stage = open_market()
    stage.open_position("alice", "buy", "1", "10000", "20", against="bob")
    assert of_type(stage.mark("10000"), LiquidationStarted) == []
    assert of_type(change_market(stage, tiers=STRICT), LiquidationStarted) == []
    (started,) = of_type(stage.mark("10000"), LiquidationStarted)
    assert (started.account, started.maintenance_margin) == ("alice", "600.000000")


def test_positions_that_new_tiers_save_are_not_liquidated() -> None:
    stage = open_market(tiers='[{ up_to = "1000000", initial = "0.1", maintenance = "0.09" }]')
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    change_market(stage, tiers=[{"up_to": "1000000", "initial": "0.1", "maintenance": "0.01"}])
    assert of_type(stage.mark("9800"), LiquidationStarted) == []
    assert len(of_type(stage.mark("9090"), LiquidationStarted)) == 1


def test_a_cross_account_is_judged_by_new_tiers_at_the_next_mark_of_any_market() -> None:
    stage = open_market(market=second_market())
    stage.send("price.mark", market="ETH-USDT", price="100")
    stage.deposit("crux", "500")
    stage.send("account.margin_mode", market=MARKET, account="crux", mode="cross")
    stage.open_position("crux", "buy", "1", "10000", "20", against="bob")
    assert of_type(stage.send("price.mark", market="ETH-USDT", price="100"), LiquidationStarted) == []
    change_market(stage, tiers=STRICT)
    (started,) = of_type(stage.send("price.mark", market="ETH-USDT", price="100"), LiquidationStarted)
    assert (started.account, started.market) == ("crux", MARKET)


def test_a_leverage_above_new_tiers_stays_and_opens_nothing_until_it_is_lower() -> None:
    stage = open_market()
    stage.open_position("alice", "buy", "0.1", "10000", "50", against="bob")
    change_market(stage, tiers=[{"up_to": "1000000", "initial": "0.1", "maintenance": "0.01"}])
    assert stage.position("alice")["leverage"] == "50"
    assert codes(stage.buy("alice", "0.001", "10000")) == ["position_limit"]
    assert codes(stage.sell("alice", "0.001", "10000")) == []
    assert codes(stage.leverage("alice", "10")) == []
    assert codes(stage.buy("alice", "0.001", "10000")) == []


def test_a_mark_at_which_a_position_from_larger_tiers_would_be_worth_too_much_is_still_refused() -> None:
    """Its bound is the largest notional that tiers ever allowed, not that of the tiers of now."""
    wide = '[{ up_to = "9000000000000", initial = "0.5", maintenance = "0.1" }]'
    stage = Stage(tiers=wide, market='default_leverage = "2"')
    for account in ("alice", "bob"):
        stage.deposit(account, "4000000000000")
    stage.mark("10000")
    stage.open_position("alice", "buy", "700000000", "10000", "2", against="bob")
    change_market(stage, tiers=[{"up_to": "1000000", "initial": "0.5", "maintenance": "0.1"}])
    assert codes(stage.mark("14000")) == ["amount_too_large"]


def test_adl_ranks_anew_where_the_ranking_has_changed_under_the_same_mark() -> None:
    """By profit times leverage bob comes before carol, by the leverage that was chosen carol before bob."""
    late = Late()
    for account, amount in (("alice", "500"), ("dora", "500"), ("bob", "100000"), ("carol", "1000"), ("eve", "9000")):
        late.fund_account(account, amount, "5" if account == "bob" else "20")
    late.mark("10000")
    for seller, buyer, qty, price in (
        ("bob", "alice", "1", "10000"),
        ("bob", "dora", "0.5", "10000"),
        ("carol", "eve", "0.5", "9450"),
    ):
        late.order(seller, "sell", qty, price)
        late.order(buyer, "buy", qty, price)
    late.mark("9400")
    assert [event.account for event in of_type(late.deliver(1), AdlExecuted)] == ["bob"]
    (queued,) = late.shard.state.queued
    before = [position.account.name for position in rank_anew(queued, -1)]
    late.send("config.set", changes={"markets": {MARKET: {"adl_ranking": "margin_price"}}})
    assert [position.account.name for position in rank_anew(queued, -1)] == before[::-1] == ["carol", "bob"]
    check_consistency(late.shard)


# --- markets, shards, assets, accounts -----------------------------------------------------------------------


def new_market(**settings: Any) -> dict[str, Any]:
    """The table of a market."""
    tiers = [{"up_to": "1000000", "initial": "0.01", "maintenance": "0.005"}]
    return {"shard": "usdt", "fund": "btc", "tick": "0.01", "lot": "0.01", "tiers": tiers, **settings}


def test_a_market_that_is_added_trades_and_is_covered_by_its_fund() -> None:
    stage = open_market()
    configure(stage, markets={"ETH-USDT": new_market(fund_fee_share="1", taker_fee="0.01")})
    stage.send("price.mark", market="ETH-USDT", price="100")
    for account, side in (("bob", "sell"), ("alice", "buy")):
        order = {"account": account, "side": side, "kind": "limit", "qty": "1", "price": "100", "order_id": side}
        events = stage.send("order.new", market="ETH-USDT", **order)
    assert len(of_type(events, TradeExecuted)) == len(of_type(events, FeeShareAccrued)) == 1
    assert stage.fund()["balance"] == "1.000000"


def test_a_shard_and_an_asset_that_are_added_run_from_then_on() -> None:
    stage = open_market()
    configure(
        stage,
        assets={"EUR": {"decimals": 6}},
        funds={"eur": {"asset": "EUR", "opening": "50"}},
        shards={"eur": {"asset": "EUR"}},
        markets={"BTC-EUR": new_market(shard="eur", fund="eur")},
    )
    assert stage.venue.report()["funds"]["eur"]["balance"] == "50.000000"
    credited = of_type(stage.events, FundCredited)[-1]
    assert (credited.stream, credited.cause, credited.cause_kind) == ("settlement:EUR", 0, "opening")
    deposit = {"account": "alice", "amount": "10", "transfer_id": "eur"}
    assert codes(stage.send("account.deposit", shard="eur", **deposit)) == []
    assert codes(stage.send("price.mark", market="BTC-EUR", price="100")) == []
    assert len(hashes(stage.venue)) == 1
    configure(stage, markets={"BTC-EUR": {"status": "halted"}})
    assert len(hashes(stage.venue)) == 1


def test_a_claim_about_a_market_that_settlement_has_not_heard_of_stops_it() -> None:
    spec = compile_venue(parse_config(venue_toml()))
    settlement = Settlement(spec, spec.assets["USDT"])
    settlement.genesis()
    claim = FeeShareAccrued(market="ETH-USDT", fund="btc", amount="1.000000")
    claim.stream, claim.claim = "engine:usdt", 1
    with pytest.raises(BrokenStream, match="ETH-USDT"):
        settlement.apply(claim)


def test_defaults_hold_for_who_has_not_traded_yet() -> None:
    stage = open_market()
    stage.buy("alice", "1", "9000")
    change_market(stage, default_leverage="2", default_mode="cross")
    stage.buy("carol", "1", "9000")
    positions = {
        name: account.positions[MARKET]
        for name, account in stage.venue.shards["usdt"].state.accounts.items()
        if MARKET in account.positions
    }
    assert (positions["alice"].leverage_text, positions["alice"].mode) == ("10", "isolated")
    assert (positions["carol"].leverage_text, positions["carol"].mode) == ("2", "cross")


def test_free_profit_counts_for_accounts_that_there_are() -> None:
    stage = open_market(market='default_mode = "cross"')
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    stage.mark("11000")
    before = stage.account("alice")["free"]
    configure(stage, shards={"usdt": {"free_profit": True}})
    assert float(stage.account("alice")["free"]) == float(before) + 1000
    configure(stage, shards={"usdt": {"free_profit": None}})
    assert stage.account("alice")["free"] == before


def test_lights_follow_a_new_interval_at_once() -> None:
    stage = open_market()
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    assert len(of_type(change_market(stage, adl_lights="1h"), AdlLights)) == 1
    assert of_type(stage.send("clock.tick"), AdlLights) == []
    assert len(of_type(change_market(stage, adl_lights="1s"), AdlLights)) == 1
    assert len(of_type(stage.send("clock.tick"), AdlLights)) == 1
    change_market(stage, adl_lights=None)
    assert of_type(stage.send("clock.tick"), AdlLights) == []


def test_lights_that_are_not_out_yet_come_out_also_without_an_interval() -> None:
    stage = open_market(limits="adl_lights_per_command = 1")
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    assert len(of_type(change_market(stage, adl_lights="1d"), AdlLights)) == 1
    (last,) = of_type(change_market(stage, adl_lights=None), AdlLights)
    assert [light.account for light in last.lights] == ["bob"]
    assert of_type(stage.send("clock.tick"), AdlLights) == []


def test_limits_hold_from_the_next_command_on() -> None:
    stage = open_market()
    stage.buy("alice", "0.001", "9000")
    configure(stage, limits={"max_open_orders": 1})
    assert codes(stage.buy("alice", "0.001", "9000")) == ["too_many_orders"]


# --- memories ------------------------------------------------------------------------------------------------


def test_a_transfer_that_a_shorter_memory_has_forgotten_stays_forgotten_and_is_too_old() -> None:
    stage = Stage(limits='transfer_memory = "60s"')
    stage.deposit("alice", "10", "once")
    sent = stage.now
    stage.now += 61 * SECOND
    stage.send("clock.tick")
    configure(stage, limits={"transfer_memory": "7d"})
    again = {"shard": "usdt", "account": "alice", "amount": "10", "transfer_id": "once"}
    now, stage.now = stage.now, sent - SECOND
    assert codes(stage.send("account.deposit", **again)) == ["too_old"]
    stage.now = now
    assert stage.account("alice")["wallet"] == "10.000000"


@pytest.mark.parametrize("memory", ["10s", "1h", "7d"])
def test_what_is_within_both_memories_is_remembered_across_the_change(memory: str) -> None:
    stage = Stage(limits='transfer_memory = "60s"')
    for number in range(20):
        stage.deposit("alice", "10", f"t{number}")
    configure(stage, limits={"transfer_memory": memory})
    for number in range(12, 20):
        (known,) = stage.send(
            "account.deposit", shard="usdt", account="alice", amount="10", transfer_id=f"t{number}", ts=stage.now
        )
        assert isinstance(known, TransferKnown)


def test_what_was_noted_before_a_longer_memory_is_kept_as_long() -> None:
    """Also what the shorter one would have dropped at its next turn, which was to come after 120 s."""
    stage = Stage(limits='transfer_memory = "60s"')
    began = stage.now
    for seconds, name in ((0, "first"), (30, "kept"), (61, "turned")):
        stage.now = began + seconds * SECOND
        stage.deposit("alice", "10", name)
    configure(stage, limits={"transfer_memory": "1h"})
    for seconds in range(125, 3_600, 125):
        stage.now = began + seconds * SECOND
        stage.deposit("alice", "1")
        again = {"shard": "usdt", "account": "alice", "amount": "10", "transfer_id": "kept"}
        (known,) = stage.send("account.deposit", **again)
        assert isinstance(known, TransferKnown)


# --- who is addressed ----------------------------------------------------------------------------------------

TWO_SHARDS = (
    venue_toml()
    + f"""
    [assets.EUR]
    decimals = 6
    [funds.eur]
    asset = "EUR"
    [shards.eur]
    asset = "EUR"
    [markets.BTC-EUR]
    shard = "eur"
    fund = "eur"
    tick = "0.1"
    lot = "0.001"
    tiers = {TIERS}
"""
)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ({"type": "price.mark", "market": "BTC-EUR", "price": "1"}, "wrong_shard"),
        ({"type": "price.mark", "market": "DOGE-EUR", "price": "1"}, "unknown_market"),
        ({"type": "price.funding", "market": "BTC-EUR", "rate": "0"}, "wrong_shard"),
        ({"type": "account.leverage", "market": "BTC-EUR", "account": "a", "leverage": "1"}, "wrong_shard"),
        ({"type": "order.cancel", "market": "BTC-EUR", "account": "a", "order_id": "o"}, "wrong_shard"),
        (
            {"type": "account.deposit", "shard": "eur", "account": "a", "amount": "1", "transfer_id": "t"},
            "wrong_shard",
        ),
        ({"type": "account.cancel_after", "shard": "eur", "account": "a", "seconds": 1}, "wrong_shard"),
    ],
)
def test_an_engine_that_is_sent_a_command_for_another_says_so(command: dict[str, Any], code: str) -> None:
    shard = Shard(compile_venue(parse_config(TWO_SHARDS)).shards["usdt"])
    assert codes(shard.apply(decode_command(orjson.dumps({"ts": 1, **command})))) == [code]


@pytest.mark.parametrize(("fund", "code"), [("eur", "wrong_asset"), ("gold", "unknown_fund")])
def test_a_settlement_that_is_sent_a_command_for_another_says_so(fund: str, code: str) -> None:
    spec = compile_venue(parse_config(TWO_SHARDS))
    settlement = Settlement(spec, spec.assets["USDT"])
    command = {"type": "fund.minimum", "ts": 1, "fund": fund, "amount": "1"}
    assert codes(settlement.apply(decode_command(orjson.dumps(command)))) == [code]


# --- always --------------------------------------------------------------------------------------------------


def test_money_is_conserved_and_configs_stay_equal_under_random_changes() -> None:
    """Random histories of random worlds, as the reference model is compared on, with all sums and scans."""
    rng = random.Random(1)
    accepted = 0
    for seed in range(900, 908):
        world = make_world(seed)
        venue = Venue(world.config)
        venue.genesis()
        for fields in islice(History(world, seed), 1_000):
            events = venue.apply(decode_command(orjson.dumps(fields)))
            if fields["type"] == "config.set" or rng.random() < 0.02:
                venue.check()
                venue.check_consistency()
                assert len(hashes(venue)) == 1
                accepted += bool(of_type(events, ConfigChanged))
        assert {residual.strip("0.") for residual in venue.residuals().values()} == {""}
    assert accepted > 20


def test_a_machine_made_from_a_changed_config_holds_what_a_change_would_have_made_of_it() -> None:
    stage = Stage()
    change_market(stage, status="halted", tiers=STRICT)
    spec = compile_venue(stage.venue.config)
    made = Shard(spec.shards["usdt"]).state.spec
    held = stage.venue.shards["usdt"].state.spec
    assert (made.config_hash, made.config) == (held.config_hash, held.config)
    assert made.markets[MARKET].tiers == held.markets[MARKET].tiers
    assert made.markets[MARKET].is_halted
