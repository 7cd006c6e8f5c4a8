"""Inverse contracts against plain arithmetic: every integer mark, every fill of an order, random histories."""

import itertools
from fractions import Fraction

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.contract import NO_TRIGGER, Contract, Inverse, Linear
from engine.fills import Trial, plan_fill
from engine.fixed import AMOUNT_LIMIT, RATE, Grid, share_down
from engine.margin import maintenance_margin, mark_value, trigger_price
from engine.pool import is_due, liquidation_price
from engine.position import Parcel, Position
from engine.spec import MarketSpec, compile_venue
from engine.venue import Venue
from schemas.claims import TakeoverClosed, TakeoverExhausted
from schemas.config import parse_config
from schemas.envelope import Event
from schemas.events import AdlExecuted, LiquidationStarted
from schemas.wire import decode_command
from tests.engine.coin import COIN_MARKET, coin_toml
from tests.engine.histories import History
from tests.engine.stage import venue_toml
from tests.engine.test_triggers import position_of

ONE_TIER = '[{ up_to = "100", initial = "0.1", maintenance = "0.05" }]'
THREE_TIERS = """[{ up_to = "40", initial = "0.2", maintenance = "0.05" },
                  { up_to = "150", initial = "0.5", maintenance = "0.2" },
                  { up_to = "400", initial = "1", maintenance = "0.55" }]"""
STEEP_TIERS = """[{ up_to = "7", initial = "0.1", maintenance = "0.000000001" },
                  { up_to = "20", initial = "0.9", maintenance = "0.7" },
                  { up_to = "60", initial = "1", maintenance = "0.9" }]"""


def coarse_market(tiers: str, multiplier: str, decimals: str = "0", tick: str = "1", lot: str = "1") -> MarketSpec:
    """A market in which a lot is worth few units at a mark of few ticks, so that rounding shows."""
    settings = f'default_leverage = "1"\nmultiplier = "{multiplier}"'
    toml = coin_toml(tiers=tiers, market=settings, decimals=decimals, tick=tick, lot=lot)
    return compile_venue(parse_config(toml)).shards["coin"].markets[COIN_MARKET]


SPECS = {
    "one tier": coarse_market(ONE_TIER, "100"),
    "seven percent": coarse_market(ONE_TIER.replace("0.05", "0.07"), "100"),
    "three tiers": coarse_market(THREE_TIERS, "250"),
    "steep tiers": coarse_market(STEEP_TIERS, "60"),
    "fine units, odd grids": coarse_market(THREE_TIERS, "90", decimals="2", tick="0.5", lot="0.3"),
}


POSITIONS = st.builds(
    position_of,
    st.sampled_from(list(SPECS.values())),
    st.sampled_from([1, -1]),
    st.integers(1, 6),
    st.integers(1, 300),
    st.integers(0, 320),
)


def worth_at_one_tick(position: Position) -> int:
    """Beyond this mark, in ticks, a position is worth nothing and nothing changes any more."""
    return position.market.spec.value(1, position.parcel.lots)


def marks_liquidating(position: Position) -> list[int]:
    """Every mark at which M + uPnL ≤ MM, in ticks."""
    market = position.market
    liquidating = []
    for market.mark in range(1, worth_at_one_tick(position) + 2):
        if is_due(position):
            liquidating.append(market.mark)
    return liquidating


@settings(max_examples=400)
@given(position=POSITIONS)
def test_the_trigger_is_the_first_mark_at_which_equity_is_not_above_maintenance(position: Position) -> None:
    """Every mark on its far side liquidates too, so nobody is missed and nobody is liquidated early."""
    liquidating = marks_liquidating(position)
    last = worth_at_one_tick(position) + 1
    trigger = trigger_price(position, position.margin.balance)
    if not liquidating:
        assert trigger == NO_TRIGGER
    elif position.sign > 0:
        assert liquidating == list(range(1, liquidating[-1] + 1)), "one unbroken range"
        assert trigger == liquidating[-1] or (trigger >= AMOUNT_LIMIT and liquidating[-1] == last)
    else:
        assert liquidating == list(range(liquidating[0], last + 1)), "one unbroken range"
        assert trigger == liquidating[0]


def test_the_trigger_of_a_position_with_nothing_at_all() -> None:
    """A long that is worth nothing and has nothing is due at any price; a short is once it is worth nothing."""
    spec = SPECS["one tier"]
    assert trigger_price(position_of(spec, 1, 1, 0, 0), 0) == AMOUNT_LIMIT
    assert trigger_price(position_of(spec, -1, 1, 0, 0), 0) == worth_at_one_tick(position_of(spec, -1, 1, 0, 0)) + 1
    assert trigger_price(position_of(spec, -1, 1, 5, 6), 6) == NO_TRIGGER
    assert trigger_price(position_of(spec, 1, 1, 90, 20), 20) == NO_TRIGGER  # worth 100 at one tick at most
    assert trigger_price(position_of(spec, 0, 0, 0, 0), 0) == NO_TRIGGER


@pytest.mark.parametrize("numerator", [0, -1, -1000])
def test_a_linear_quantity_that_reaches_a_value_below_zero(numerator: int) -> None:
    """A cross account may owe more than a position is worth: its short is due at any price, its long at none."""
    linear = Linear(7, Grid(1, 0))
    assert linear.trigger(numerator, RATE, 3, -1) == 1
    assert linear.trigger(numerator, RATE, 3, 1) == NO_TRIGGER


def exact_mark_value(position: Position, price: str) -> Fraction:
    """What a position is worth at a price, in units, unrounded."""
    spec = position.market.spec
    ticks = Fraction(price) * 10**spec.ticks.places / spec.ticks.step
    # value(1, 1) × price is whole for these specs.
    return Fraction(spec.value(1, position.parcel.lots)) / ticks


@settings(max_examples=400)
@given(position=POSITIONS)
def test_the_liquidation_price_is_where_equity_equals_maintenance(position: Position) -> None:
    text = liquidation_price(position)
    trigger = trigger_price(position, position.margin.balance)
    if text is None:
        assert position.sign < 0
        assert position.margin.balance >= position.parcel.value
        return
    value = exact_mark_value(position, text)
    maintenance, start = Fraction(0), Fraction(0)
    tiers = position.market.spec.tiers
    for tier in tiers:
        end = max(value, Fraction(tier.up_to)) if tier is tiers[-1] else Fraction(tier.up_to)
        maintenance += max(Fraction(0), min(value, end) - start) * Fraction(tier.maintenance, RATE)
        start = end
    off = position.margin.balance + position.sign * (position.parcel.value - value) - maintenance
    printed = Fraction(text)
    assert abs(off) <= 2 * value / printed / 10**8, "rounded to 8 places"
    # Marks are whole ticks and mark values are rounded down: a long is due from a unit more, a short from a unit less.
    worth = Fraction(worth_at_one_tick(position))
    if trigger not in (NO_TRIGGER, AMOUNT_LIMIT):
        value_there = worth / trigger
        assert value_there > value - Fraction(1, 10**6) if position.sign > 0 else value_there < value + 1


CONTRACTS: list[Contract] = [
    Inverse(100, 1, Grid(1, 0)),
    Inverse(7_000, 3, Grid(5, 1)),
    Inverse(10**9, 5, Grid(5, 1)),
    Linear(1, Grid(1, 0)),
    Linear(7, Grid(1, 0)),
    Linear(10**4, Grid(1, 1)),
]


@settings(max_examples=600)
@given(
    contract=st.sampled_from(CONTRACTS),
    side=st.sampled_from([1, -1]),
    value=st.integers(-5, 30_000),
    fills=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 40)), min_size=1, max_size=6),
    left=st.integers(0, 9),
)
def test_no_fills_at_the_limit_or_better_are_worse_than_their_share(
    contract: Contract, side: int, value: int, fills: list[tuple[int, int]], left: int
) -> None:
    """However the quantity is cut, and whatever of it fills. `fills` are lots and ticks better than the limit."""
    exposure = side * contract.direction
    filled = sum(lots for lots, _ in fills)
    limit = contract.limit_price(value, filled + left, side)
    if limit is None:
        # Not even a price that no book has: it would take a value that is never reached.
        best = 1 if side < 0 else 10**30
        assert exposure * (contract.value(best, filled + left) - value) < (1 if contract.direction < 0 else 0)
        return
    got = 0
    for lots, better in fills:
        price = limit + side * better
        got += contract.forced_value(price if price > 0 else 1, lots, side)
    assert exposure * (got - share_down(value, filled, filled + left)) >= 0


@settings(max_examples=300)
@given(
    contract=st.sampled_from(CONTRACTS),
    side=st.sampled_from([1, -1]),
    value=st.integers(1, 30_000),
    lots=st.integers(1, 30),
)
def test_a_tick_beyond_the_limit_is_worse_than_bankruptcy(contract: Contract, side: int, value: int, lots: int) -> None:
    """In exact numbers: the limit gives nothing away."""
    limit = contract.limit_price(value, lots, side)
    beyond = 1 if limit is None else limit - side
    if (limit is None and side > 0) or beyond < 1:
        return
    if isinstance(contract, Linear):
        exact = Fraction(contract.value(beyond, lots))
    else:
        exact = Fraction(contract.value(1, lots * 3), 3 * beyond)  # K is a third of a unit at the finest
    assert contract.direction * side * (exact - value) < 0


@given(
    contract=st.sampled_from(CONTRACTS),
    price=st.integers(1, 10**6),
    lots=st.integers(1, 10**6),
    side=st.sampled_from([1, -1]),
)
def test_a_forced_value_is_the_value_or_a_unit_more_in_favour_of_a_short(
    contract: Contract, price: int, lots: int, side: int
) -> None:
    value, forced = contract.value(price, lots), contract.forced_value(price, lots, side)
    worth = contract.value(1, lots * 3)
    exact = contract.direction > 0 or (worth % (3 * price) == 0)
    assert forced == (value if side > 0 or exact else value + 1)


@settings(max_examples=500)
@given(
    spec=st.sampled_from(list(SPECS.values())),
    mark=st.integers(1, 60),
    sign=st.sampled_from([1, -1]),
    lots=st.integers(0, 8),
    spare=st.integers(1, 3),
    opened=st.integers(1, 5),
    away=st.integers(-3, 3),
    leverage=st.sampled_from([1, 2, 5, 10]),
)
@example(spec=SPECS["one tier"], mark=39, sign=1, lots=7, spare=1, opened=2, away=0, leverage=10)
@example(spec=SPECS["seven percent"], mark=47, sign=1, lots=7, spare=1, opened=7, away=0, leverage=10)
def test_no_increase_leaves_a_position_due_however_coarse_the_units(
    spec: MarketSpec, mark: int, sign: int, lots: int, spare: int, opened: int, away: int, leverage: int
) -> None:
    """The position stands `spare` units above maintenance margin before.

    The examples: 7 lots are worth 17.9 and 2 are worth 5.1, but all 9 are worth 23.07, which is 1 more than 17 + 5. And
    7 are worth 14.9, which needs 0.98; 14 are worth 29.8 and need 2.03, and 1 + 2 less the unit is only 2.
    """
    position = position_of(spec, sign if lots else 0, lots, 0, 0)
    position.market.mark = mark
    value = mark_value(position)
    position.parcel = Parcel(lots, value)
    position.margin.balance = maintenance_margin(spec, value) + spare if lots else 0
    position.leverage = leverage * RATE
    position.wallet.balance = 10**9
    fill = plan_fill(position, sign, opened, spec.value(max(1, mark + away), opened), 0)
    if fill is None:
        return
    after = Trial(position)
    after.trade(sign, fill)
    assert not is_due(position_of_trial(after))


def position_of_trial(trial: Trial) -> Position:
    """The position that a trial came to."""
    position = position_of(trial.market.spec, trial.sign, trial.parcel.lots, trial.parcel.value, trial.margin.balance)
    position.market.mark = trial.market.mark
    return position


# --- random histories ---------------------------------------------------------------------------------------

HISTORY_TIERS = """[
    { up_to = "500", initial = "0.01", maintenance = "0.005" },
    { up_to = "3000", initial = "0.03", maintenance = "0.013" },
    { up_to = "100000", initial = "0.1", maintenance = "0.04" },
]"""
INVERSE = 'contract = "inverse"\nmultiplier = "1000000"\n'
"""A quantity is worth at a price of 1,000, where histories begin, what it is on a linear market."""

VENUES = {
    "isolated": venue_toml(tiers=HISTORY_TIERS, market=INVERSE),
    "fees, rebates, some money in the fund": venue_toml(
        tiers=HISTORY_TIERS,
        opening="500",
        market=INVERSE
        + 'maker_fee = "-0.0001"\ntaker_fee = "0.0005"\nfund_fee_share = "0.3"\nliquidation_fee = "0.002"',
    ),
    "rich fund, surplus to the account": venue_toml(
        tiers=HISTORY_TIERS,
        opening="100000",
        market=INVERSE + 'surplus = "account"\nliquidation_fee = "0.01"',
        fund='takeover_slippage = "0.01"',
    ),
    "partial liquidation, tight limits": venue_toml(
        tiers=HISTORY_TIERS,
        opening="50",
        market=INVERSE + 'partial = "tier"',
        limits="liquidations_per_command = 1\nmax_open_residuals = 1",
        fund='takeover_max_age = "90s"',
    ),
    "coarse units": venue_toml(tiers=HISTORY_TIERS, market=INVERSE).replace("decimals = 6", "decimals = 2"),
    "cross": venue_toml(tiers=HISTORY_TIERS, opening="500", market=INVERSE + 'default_mode = "cross"'),
    "cross, partial, fees": venue_toml(
        tiers=HISTORY_TIERS,
        opening="50",
        market=INVERSE + 'default_mode = "cross"\npartial = "tier"\ntaker_fee = "0.0005"\nliquidation_fee = "0.002"',
        fund='takeover_max_age = "90s"',
    ),
}


def run_history(toml: str, seed: int, commands: int) -> list[Event]:
    """Apply a random history, checking every invariant after each command."""
    venue = Venue(parse_config(toml))
    events = venue.genesis()
    for command in itertools.islice(History(seed), commands):
        if "decimals = 2" in toml and "amount" in command:
            command["amount"] = command["amount"].partition(".")[0]  # amounts of histories have six places
        if "cross" in toml and command["type"] == "account.deposit":
            command["amount"] = "40"  # or wallets carry anything
        events.extend(venue.apply(decode_command(orjson.dumps(command))))
        venue.check()
        venue.check_consistency()
        assert {residual.strip("0.") for residual in venue.residuals().values()} == {""}, command
    return events


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=8)
@given(seed=st.integers(0, 10**9))
def test_every_command_conserves(venue: str, seed: int) -> None:
    run_history(VENUES[venue], seed, 250)


def test_in_a_long_history_everything_happens() -> None:
    for venue in ("isolated", "cross"):
        happened = {type(event) for event in run_history(VENUES[venue], 20_261_122, 1_500)}
        assert {LiquidationStarted, TakeoverClosed, TakeoverExhausted, AdlExecuted} <= happened
