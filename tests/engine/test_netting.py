"""Takeovers of opposite sides in one market: closed against each other at the mark, each on its own budget."""

import random
from decimal import Decimal
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.conservation import sum_market
from engine.netting import net_inventory
from engine.position import Parcel
from engine.residual import Residual
from engine.shard import Shard
from engine.spec import compile_venue
from engine.state import ShardState
from schemas.claims import TakeoverApproved, TakeoverClosed, TakeoverExhausted, TakeoverFilled
from schemas.config import parse_config
from schemas.envelope import Event
from schemas.events import FundCredited, FundDebited, FundingPaid, LedgerPosted, OrderTriggered, TradeExecuted
from tests.engine.coin import COIN_MARKET, CoinStage, coin_toml
from tests.engine.stage import MARKET, SECOND, Stage, of_type, venue_toml
from tests.engine.test_delayed_settlement import FLAT, DelayedVenue, run_delayed
from tests.engine.test_delayed_settlement import venue_toml as delayed_toml

SELDOM = 'takeover_interval = "1h"\ntakeover_max_age = "2h"'
"""The book is asked at the takeover, where nobody bids yet, and an hour later."""

BY_ONE = 'takeover_slice = "0.001"\n' + SELDOM


def fund_holds(*longs: str, opening: str = "1000", fund: str = "", limits: str = "") -> Stage:
    """The fund holds longs of these sizes at 10,000 each, with budgets of 10 per contract; the mark is 9,990.

    bob and carl are rich; erin's order to sell at 10,000 met bob: she is bankrupt at 10,500, and nobody asks.
    """
    stage = Stage(opening=opening, fund=fund, limits=limits)
    for account in ("bob", "carl"):
        stage.deposit(account, "1000000")
    stage.mark("10500")
    for number, qty in enumerate(longs):
        stage.deposit(f"a{number}", str(500 * Decimal(qty)))
        stage.open_position(f"a{number}", "buy", qty, "10500", "21", against="bob")
    stage.mark("9990")
    return stage


def short(stage: Stage, qty: str = "1", account: str = "erin") -> None:
    """A short from 10,000 that is bankrupt at 10,500."""
    stage.deposit(account, str(500 * Decimal(qty)))
    stage.open_position(account, "sell", qty, "10000", "20", against="bob")


def filled(events: list[Event]) -> list[tuple[str, str, str, str]]:
    """What was closed of which takeover, against which, and what came of it."""
    return [
        (event.liquidation_id, event.qty, event.against or "the book", event.pnl)
        for event in of_type(events, TakeoverFilled)
    ]


def test_takeovers_of_opposite_sides_are_closed_against_each_other_at_the_mark() -> None:
    stage = fund_holds("1")
    short(stage)
    events = stage.mark("10450")
    assert filled(events) == [("usdt:1", "1.000", "usdt:2", "450.000000"), ("usdt:2", "1.000", "usdt:1", "50.000000")]
    assert {event.price for event in of_type(events, TakeoverFilled)} == {"10450.00000000"}
    assert [event.liquidation_id for event in of_type(events, TakeoverClosed)] == ["usdt:1", "usdt:2"]
    assert (stage.fund()["balance"], stage.fund()["reserved"]) == ("1500.000000", "0.000000")  # 10,500 − 10,000
    assert not stage.venue.shards["usdt"].state.markets[MARKET].residuals


def test_nothing_is_traded_when_takeovers_are_netted() -> None:
    stage = fund_holds("1", fund=SELDOM)
    short(stage)
    stage.buy("carl", "1", "10440")
    stage.buy("carl", "1", "10100", trigger_price="10440", trigger_when="rises_to", trigger_by="last")
    events = stage.mark("10450")
    assert [event.against for event in of_type(events, TakeoverFilled)] == ["usdt:2", "usdt:1"]
    assert of_type(events, TradeExecuted, OrderTriggered) == []
    assert [(price, qty) for price, _, qty in stage.book("buy")] == [("10440.0", "1.000")]


def test_each_takeover_is_charged_to_its_own_budget_and_named_in_the_fund() -> None:
    stage = fund_holds("1")
    short(stage)
    events = stage.mark("10520")
    (approved,) = of_type(events, TakeoverApproved)
    assert (approved.liquidation_id, approved.loss_budget) == ("usdt:2", "20.000000")
    assert filled(events) == [("usdt:1", "1.000", "usdt:2", "520.000000"), ("usdt:2", "1.000", "usdt:1", "-20.000000")]
    moved = [(event.liquidation_id, event.amount) for event in of_type(events, FundCredited, FundDebited)]
    assert moved == [("usdt:1", "520.000000"), ("usdt:2", "20.000000")]
    assert (stage.fund()["balance"], stage.fund()["reserved"]) == ("1500.000000", "0.000000")
    lines = [
        (line.debit, line.credit, line.amount)
        for posting in of_type(events, LedgerPosted)
        for line in posting.lines
        if line.cause_kind == "takeover_pnl"
    ]
    assert lines == [
        ("usdt/clearing/BTC-USDT", "transit/usdt", "520.000000"),
        ("transit/usdt", "usdt/clearing/BTC-USDT", "20.000000"),
        ("transit/usdt", "fund/btc", "520.000000"),
        ("fund/btc", "transit/usdt", "20.000000"),
    ]


def test_the_oldest_liquidation_of_each_side_goes_first_and_what_is_left_waits_for_the_book() -> None:
    stage = fund_holds("1", "1", "1")
    short(stage, "1.5")
    events = stage.mark("10450")
    assert filled(events) == [
        ("usdt:1", "1.000", "usdt:4", "450.000000"),
        ("usdt:4", "1.000", "usdt:1", "50.000000"),
        ("usdt:2", "0.500", "usdt:4", "225.000000"),
        ("usdt:4", "0.500", "usdt:2", "25.000000"),
    ]
    stage.buy("carl", "0.2", "10440")
    assert filled(stage.mark("10450")) == [("usdt:2", "0.200", "the book", "88.000000")]


def test_of_an_approval_what_netting_leaves_is_unwound_at_once() -> None:
    stage = fund_holds("1")
    short(stage, "1.5")
    stage.sell("carl", "0.3", "10510")
    events = stage.mark("10520")
    assert filled(events) == [
        ("usdt:1", "1.000", "usdt:2", "520.000000"),
        ("usdt:2", "1.000", "usdt:1", "-20.000000"),
        ("usdt:2", "0.300", "the book", "-3.000000"),
    ]


def test_neither_slice_nor_interval_binds_netting_and_it_begins_no_interval() -> None:
    stage = fund_holds("1", fund=BY_ONE)
    short(stage, "0.4")
    events = stage.mark("10450")
    assert filled(events)[0] == ("usdt:1", "0.400", "usdt:2", "180.000000")
    stage.buy("carl", "1", "10440")
    stage.now += 3_599 * SECOND
    # One slice, an hour after the order at the takeover, with no regard to the netting in between.
    assert [fill[1:3] for fill in filled(stage.mark("10450"))] == [("0.001", "the book")]


def test_takeovers_of_one_side_are_not_closed_against_each_other() -> None:
    stage = fund_holds("1", "2")
    assert filled(stage.mark("10000")) == []
    assert stage.fund()["reserved"] == "30.000000"


def late_approval(limits: str = "") -> tuple[DelayedVenue, int]:
    """The fund holds a long at 10,000; the approval of a short at 10,500 with a budget of 20 is on its way."""
    venue = DelayedVenue(delayed_toml(opening="1000", tiers=FLAT, limits=limits), random.Random(1))
    now = 1_700_000_000 * SECOND
    market, shard = "BTC-USDT", "usdt"

    def order(account: str, side: str, price: str, leverage: str) -> None:
        fields = {"market": market, "account": account, "ts": now}
        venue.command(shard, {"type": "account.leverage", "leverage": leverage, **fields})
        sent = {"order_id": f"{side}{price}", "side": side, "kind": "limit", "qty": "1", "price": price}
        venue.command(shard, {"type": "order.new", **sent, **fields})

    rich = [(account, "100000") for account in ("bob", "carl", "dave")]
    for account, amount in (("alice", "500"), ("erin", "500"), *rich):
        deposit = {"shard": shard, "account": account, "amount": amount, "transfer_id": account}
        venue.command(shard, {"type": "account.deposit", "ts": now, **deposit})
    for price, *orders in (
        ("10500", ("carl", "buy", "10500", "1"), ("dave", "sell", "10500", "1")),
        ("10500", ("bob", "sell", "10500", "1"), ("alice", "buy", "10500", "21")),
        ("9990", ("bob", "buy", "10000", "1"), ("erin", "sell", "10000", "20")),
        ("10520",),
    ):
        venue.settle()
        venue.command(shard, {"type": "price.mark", "market": market, "price": price, "ts": now})
        for each in orders:
            order(*each)
    venue.deliver_claim(shard)
    return venue, now


def test_a_budget_that_does_not_bear_the_mark_takes_no_part_until_settlement_has_been_asked_anew() -> None:
    venue, now = late_approval()
    mark = {"type": "price.mark", "market": "BTC-USDT", "ts": now}
    venue.command("usdt", {**mark, "price": "10560"})
    venue.settle()  # the approval of 20 arrives where 60 would be lost
    events = venue.events["usdt"]
    assert of_type(events, TakeoverFilled) == []
    venue.command("usdt", {**mark, "price": "10540"})
    (exhausted,) = of_type(events, TakeoverExhausted)
    assert (exhausted.liquidation_id, exhausted.expected_loss) == ("usdt:2", "40.000000")
    assert of_type(events, TakeoverFilled) == []
    venue.settle()
    assert filled(events) == [("usdt:1", "1.000", "usdt:2", "540.000000"), ("usdt:2", "1.000", "usdt:1", "-40.000000")]
    assert venue.settlement.funds["btc"].purse.balance == 1_500_000_000
    venue.check_at_rest()


def test_a_mark_that_the_budgets_bear_nets_before_anything_goes_into_the_book() -> None:
    venue, now = late_approval()
    mark = {"type": "price.mark", "market": "BTC-USDT", "ts": now}
    venue.command("usdt", {**mark, "price": "10560"})
    venue.settle()
    order = {"market": "BTC-USDT", "account": "bob", "order_id": "bid", "side": "buy", "kind": "limit", "ts": now}
    venue.command("usdt", {"type": "order.new", "qty": "1", "price": "10510", **order})
    venue.command("usdt", {**mark, "price": "10520"})
    assert filled(venue.events["usdt"]) == [
        ("usdt:1", "1.000", "usdt:2", "520.000000"),
        ("usdt:2", "1.000", "usdt:1", "-20.000000"),
    ]
    venue.settle()
    venue.check_at_rest()


def test_both_pay_the_funding_that_they_owe_before_they_are_netted() -> None:
    venue, now = late_approval("funding_payments_per_command = 1")
    venue.command("usdt", {"type": "price.funding", "market": "BTC-USDT", "rate": "0.001", "ts": now})
    venue.settle()
    events = of_type(venue.events["usdt"], FundingPaid, TakeoverFilled)
    # One payment for each command; the approval has usdt:2 pay, and netting usdt:1.
    assert [(type(event), event.liquidation_id or event.account) for event in events] == [
        (FundingPaid, "carl"),
        (FundingPaid, "dave"),
        (FundingPaid, "usdt:2"),
        (FundingPaid, "usdt:1"),
        (TakeoverFilled, "usdt:1"),
        (TakeoverFilled, "usdt:2"),
    ]
    # 10.52 of funding came to both values: 10,520 − 10,010.52 and 10,510.52 − 10,520.
    assert [event.pnl for event in events[-2:]] == ["509.480000", "-9.480000"]
    venue.check_at_rest()


def coin_fund_holds(*, opening: str = "0.05", decimals: str = "8") -> CoinStage:
    """The fund holds 10,000 long contracts at 1.1 BTC since the mark 9,000, where they were worth 1.1111."""
    stage = CoinStage(opening=opening, decimals=decimals)
    for account in ("bob", "carl"):
        stage.deposit(account, "100")
    stage.mark("10000")
    stage.deposit("alice", "0.1")
    stage.leverage("bob", "2")
    stage.open_position("alice", "buy", "10000", "10000", "10", against="bob")
    stage.mark("9000")
    return stage


def test_inverse_takeovers_are_booked_at_one_value_to_both_sides() -> None:
    stage = coin_fund_holds()
    stage.deposit("erin", "0.05555556")
    stage.open_position("erin", "sell", "5000", "9000", "10", against="bob")  # 0.55555555, bankrupt at 0.49999999
    events = stage.mark("9999")  # 5,000 are worth 0.50005000…
    assert [event.qty for event in of_type(events, TakeoverFilled)] == ["5000", "5000"]
    assert filled(events) == [("coin:1", "5000", "coin:2", "0.04995000"), ("coin:2", "5000", "coin:1", "0.00005001")]
    # 0.55 − 0.50005000 and 0.50005000 − 0.49999999, to the unit: together what the two were carried at apart.


class Held(NamedTuple):
    """A takeover: side, lots, what it is carried at relative to the mark, what its budget has left beyond that."""

    side: int
    lots: int
    off: int
    spare: int


HELD = st.lists(
    st.builds(
        Held,
        st.sampled_from([1, -1]),
        st.integers(1, 40),
        st.integers(-300, 300) | st.integers(-2, 2),
        st.integers(-40, 200) | st.integers(-1, 1),
    ),
    max_size=12,
)

WORLDS = {
    "linear": (venue_toml(), MARKET, 99_990),
    "inverse": (coin_toml(decimals="4"), COIN_MARKET, 20_001),
    "inverse, lots worth less than a unit": (coin_toml(decimals="2"), COIN_MARKET, 20_001),
}


def shard_with(world: str, takeovers: list[Held]) -> tuple[ShardState, str, list[Residual]]:
    """A shard that holds nothing but these takeovers, and clearing what they are carried at."""
    toml, name, mark = WORLDS[world]
    (spec,) = compile_venue(parse_config(toml)).shards.values()
    state = Shard(spec).state
    market = state.markets[name]
    market.mark = mark
    for number, held in enumerate(takeovers, start=1):
        exposure = held.side * market.spec.direction
        value = max(0, market.spec.value(mark, held.lots) + held.off)
        residual = Residual(number, f"s:{number}", held.side, exposure, Parcel(held.lots, value))
        residual.fund = market.spec.fund.name
        residual.budget = max(0, residual.expected_loss(market.spec.value(mark, held.lots)) + held.spare)
        market.residuals[residual.liquidation_id] = residual
        market.clearing.balance -= exposure * value
        state.external.balance += exposure * value
    return state, name, list(market.residuals.values())


@pytest.mark.parametrize("world", WORLDS)
@settings(max_examples=300, deadline=None)
@given(takeovers=HELD)
def test_whatever_is_held_netting_conserves_and_keeps_every_budget(world: str, takeovers: list[Held]) -> None:
    state, name, held = shard_with(world, takeovers)
    market = state.markets[name]
    before = sum_market(market)
    covered = [
        residual for residual in held if residual.is_covered(market.spec.value(market.mark, residual.parcel.lots))
    ]
    carried = market.clearing.balance + state.transit.balance
    net_inventory(state, market)
    fills = of_type(state.outbox.take(), TakeoverFilled)
    after = sum_market(market)
    assert after.lots == before.lots
    assert market.clearing.balance == -after.entry_value
    assert market.clearing.balance + state.transit.balance == carried
    assert all(residual.loss <= residual.budget and residual.parcel.value >= 0 for residual in held)
    # Pairs, told one after the other, of opposite takeovers and the same quantity at the same price.
    sides = {residual.liquidation_id: residual.side for residual in held}
    pairs = list(zip(fills[::2], fills[1::2], strict=True))
    for first, second in pairs:
        assert (first.against, second.against) == (second.liquidation_id, first.liquidation_id)
        assert (first.qty, first.price) == (second.qty, second.price)
        assert sides[first.liquidation_id] == -sides[second.liquidation_id]
        assert int(first.liquidation_id[2:]) < int(second.liquidation_id[2:])
    assert len(pairs) <= max(0, len(covered) - 1)
    able = [
        residual
        for residual in market.residuals.values()
        if residual.is_covered(market.spec.value(market.mark, residual.parcel.lots))
    ]
    assert len({residual.side for residual in able}) < 2, "nothing is left that could still be netted"
    untouched = [residual for residual in held if residual not in covered]
    assert all(residual.parcel.lots == residual.parcel.start_lots for residual in untouched)


NETTING_VENUES = [
    delayed_toml(opening="3000", fund='takeover_max_age = "1h"', tiers=FLAT),
    delayed_toml(opening="3000", fund='takeover = "partial"\ntransfer = "daily"\n' + BY_ONE, tiers=FLAT),
]


@settings(max_examples=15)
@given(venue=st.sampled_from(NETTING_VENUES), seed=st.integers(0, 10**9))
def test_netting_conserves_whatever_arrives_late(venue: str, seed: int) -> None:
    run_delayed(venue, seed, 250)


def test_the_delayed_histories_net_takeovers() -> None:
    events = [event for toml in NETTING_VENUES for event in run_delayed(toml, 3, 900).events["usdt"]]
    assert sum(bool(event.against) for event in of_type(events, TakeoverFilled)) >= 10
