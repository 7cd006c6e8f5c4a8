"""Who is liquidated at which mark: the formula against every integer mark, the index against a look at everybody."""

import itertools
import math
import random
from fractions import Fraction

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from engine.account import Account
from engine.contract import NO_TRIGGER
from engine.fixed import RATE
from engine.margin import trigger_price
from engine.market import Market
from engine.pool import is_due, liquidation_price
from engine.position import Parcel, Position
from engine.spec import MarketSpec, compile_venue
from engine.triggers import TriggerIndex
from schemas.config import parse_config
from schemas.events import LiquidationStarted
from tests.engine.stage import MARKET, Stage, of_type, venue_toml

ONE_TIER = '[{ up_to = "100", initial = "0.2", maintenance = "0.1" }]'
THREE_TIERS = """[{ up_to = "40", initial = "0.2", maintenance = "0.05" },
                  { up_to = "150", initial = "0.5", maintenance = "0.2" },
                  { up_to = "400", initial = "1", maintenance = "0.55" }]"""
STEEP_TIERS = """[{ up_to = "7", initial = "0.1", maintenance = "0.000000001" },
                  { up_to = "20", initial = "0.9", maintenance = "0.7" },
                  { up_to = "21", initial = "0.9", maintenance = "0.7" },
                  { up_to = "60", initial = "1", maintenance = "0.9" }]"""


def coarse_market(tiers: str, decimals: int = 0, tick: str = "1", lot: str = "1") -> MarketSpec:
    """A market of few and large units, so that every mark can be tried."""
    toml = (
        venue_toml(tiers=tiers, market='default_leverage = "1"')
        .replace("decimals = 6", f"decimals = {decimals}")
        .replace('tick = "0.1"', f'tick = "{tick}"')
        .replace('lot = "0.001"', f'lot = "{lot}"')
    )
    return compile_venue(parse_config(toml)).shards["usdt"].markets[MARKET]


SPECS = {
    "one tier": coarse_market(ONE_TIER),
    "three tiers": coarse_market(THREE_TIERS),
    "steep tiers": coarse_market(STEEP_TIERS),
    "three tiers, fine units": coarse_market(THREE_TIERS, decimals=2, tick="0.5", lot="0.3"),
}


def position_of(spec: MarketSpec, sign: int, lots: int, entry: int, margin: int) -> Position:
    """A position as if trades had led to it."""
    position = Position(Account("usdt", "alice"), Market("usdt", spec))
    position.sign = sign
    position.parcel = Parcel(lots, entry)
    position.margin.balance = margin
    return position


POSITIONS = st.builds(
    position_of,
    st.sampled_from(list(SPECS.values())),
    st.sampled_from([1, -1]),
    st.integers(1, 6),
    st.integers(1, 300),
    st.integers(0, 200),
)


def trigger(position: Position) -> int:
    return trigger_price(position, position.margin.balance)


def marks_liquidating(position: Position) -> list[int]:
    """Every mark, in ticks, from 1 to one beyond which nothing changes, at which M + uPnL ≤ MM."""
    per_tick = position.parcel.lots * position.market.spec.value(1, 1)
    # A long at 10 EV has equity above 9 EV, and no maintenance rate is above 0.9; a short has lost all its margin.
    last = max(10 * position.parcel.value, position.parcel.value + position.margin.balance) // per_tick + 3
    liquidating = []
    for position.market.mark in range(1, last + 1):
        if is_due(position):
            liquidating.append(position.market.mark)
    return liquidating


@settings(max_examples=400)
@given(position=POSITIONS)
def test_the_trigger_is_the_first_mark_at_which_equity_is_not_above_maintenance(position: Position) -> None:
    """Every mark on its far side liquidates too, so nobody is missed and nobody is liquidated early."""
    liquidating = marks_liquidating(position)
    first_mark = trigger(position)
    first, last = (1, len(liquidating)) if position.sign > 0 else (liquidating[0], position.market.mark)
    assert liquidating == list(range(first, last + 1)), "one unbroken range"
    assert first_mark == (last if position.sign > 0 else first)


def exact_equity_over_maintenance(position: Position, value: Fraction) -> Fraction:
    """M + uPnL − MM at a mark value, in exact units, the tiers taken as slices of value."""
    maintenance, start = Fraction(0), Fraction(0)
    tiers = position.market.spec.tiers
    for tier in tiers:
        end = max(value, Fraction(tier.up_to)) if tier is tiers[-1] else Fraction(tier.up_to)
        maintenance += max(Fraction(0), min(value, end) - start) * Fraction(tier.maintenance, RATE)
        start = end
    return position.margin.balance + position.sign * (value - position.parcel.value) - maintenance


def exact_liquidation_value(position: Position) -> Fraction | None:
    """The mark value at which M + uPnL = MM: on the line through two points of the tier in which the sign changes."""
    ends = [Fraction(0), *(Fraction(tier.up_to) for tier in position.market.spec.tiers)]
    ends.append(ends[-1] + 10**9)
    for start, end in itertools.pairwise(ends):
        at_start = exact_equity_over_maintenance(position, start)
        at_end = exact_equity_over_maintenance(position, end)
        if (at_start > 0) != (at_end > 0) or at_end == 0:
            return start + (end - start) * at_start / (at_start - at_end)
    return None


@settings(max_examples=400)
@given(position=POSITIONS)
def test_the_liquidation_price_is_where_equity_equals_maintenance_rounded_to_eight_places(position: Position) -> None:
    value = exact_liquidation_value(position)
    text = liquidation_price(position)
    if value is None or value <= 0:
        assert text is None
        assert trigger(position) == NO_TRIGGER
        return
    assert exact_equity_over_maintenance(position, value) == 0
    spec = position.market.spec
    ticks = value / (position.parcel.lots * spec.value(1, 1))
    price = ticks * Fraction(spec.ticks.step, 10**spec.ticks.places)
    assert text is not None
    assert Fraction(text) * 10**8 == math.floor(price * 10**8 + Fraction(1, 2))
    assert trigger(position) == (math.floor(ticks) if position.sign > 0 else math.ceil(ticks))


def test_nobody_is_liquidated_without_a_position_and_no_long_that_its_margin_covers() -> None:
    flat = position_of(SPECS["one tier"], 0, 0, 0, 0)
    assert (trigger(flat), liquidation_price(flat)) == (NO_TRIGGER, None)
    covered = position_of(SPECS["one tier"], 1, 2, 50, 50)
    assert (trigger(covered), liquidation_price(covered)) == (NO_TRIGGER, None)


class Watched:
    """A trigger index and, beside it, a plain table of what should be in it."""

    def __init__(self, seed: int, positions: int) -> None:
        self.rng = random.Random(seed)
        self.index = TriggerIndex()
        market = Market("usdt", SPECS["one tier"])
        self.positions = [Position(Account("usdt", f"a{i}"), market) for i in range(positions)]
        self.table: dict[Position, tuple[int, int]] = {}

    def place(self, triggers: int) -> None:
        position = self.rng.choice(self.positions)
        if position not in self.table or self.rng.random() < 0.5:
            position.sign = self.rng.choice([1, -1])
        trigger = self.rng.choice([NO_TRIGGER, *range(1, triggers + 1)])
        self.index.place(position, trigger)
        self.table.pop(position, None)
        if trigger:
            self.table[position] = (position.sign, trigger)

    def discard(self) -> None:
        position = self.rng.choice(self.positions)
        self.index.discard(position)
        self.table.pop(position, None)

    def take(self, mark: int) -> None:
        due = {
            position
            for position, (sign, trigger) in self.table.items()
            if (mark <= trigger if sign > 0 else mark >= trigger)
        }
        taken = self.index.take(mark)
        assert set(taken) == due
        assert len(taken) == len(due), "nobody twice"
        for position in taken:
            del self.table[position]
            assert position.trigger == NO_TRIGGER


@pytest.mark.parametrize(("positions", "triggers"), [(3, 2), (20, 6), (60, 500)])
def test_a_mark_takes_out_exactly_those_that_a_look_at_everybody_finds(positions: int, triggers: int) -> None:
    watched = Watched(seed=triggers, positions=positions)
    for _ in range(6_000):
        roll = watched.rng.random()
        if roll < 0.7:
            watched.place(triggers)
        elif roll < 0.85:
            watched.discard()
        else:
            # Longs have low triggers and shorts high ones in life; here both are met at any mark.
            watched.take(watched.rng.choice([1, triggers, watched.rng.randrange(1, triggers + 2)]))
        watched.index.check()
    watched.take(1)
    watched.take(triggers)
    assert watched.table == {}


def test_a_position_that_changes_sides_is_found_on_its_new_side_only() -> None:
    watched = Watched(seed=0, positions=1)
    (position,) = watched.positions
    position.sign = 1
    watched.index.place(position, 10)
    position.sign = -1
    watched.index.place(position, 10)
    watched.index.check()
    assert watched.index.take(9) == []
    assert watched.index.take(10) == [position]


@settings(max_examples=25, phases=[Phase.reuse, Phase.generate])  # a smaller seed is not a simpler history
@given(seed=st.integers(0, 10**9))
def test_in_the_engine_a_mark_liquidates_whom_a_scan_of_all_positions_finds(seed: int) -> None:
    """Positions of many sizes and leverages, trades and margin between the marks: index and scan agree at each."""
    rng = random.Random(seed)
    tiers = THREE_TIERS.replace('"40"', '"4000"').replace('"150"', '"30000"').replace('"400"', '"900000"')
    stage = Stage(tiers=tiers, market='default_leverage = "1"')
    price = 1_000
    stage.mark(str(price))
    names = [f"a{i}" for i in range(6)]
    for name in names:
        stage.deposit(name, "20000")
        stage.leverage(name, rng.choice(["1", "2", "5"]))
    market = stage.venue.shards["usdt"].state.markets[MARKET]
    for _ in range(12):
        maker, taker = rng.sample(names, 2)
        qty, at = f"{rng.randrange(1, 9)}.{rng.randrange(1000):03}", str(max(1, price + rng.randrange(-20, 21)))
        stage.sell(maker, qty, at)
        stage.buy(taker, qty, at)
        stage.margin(rng.choice(names), f"{rng.choice(['', '-'])}{rng.randrange(1, 500)}")
        for name in (maker, taker):  # what rests would trade with liquidation orders, and may heal who is due
            stage.send("order.cancel_all", shard="usdt", account=name)
        price = max(100, price + rng.randrange(-300, 301))
        before, market.mark = market.mark, price * 10
        due = {position.account.name for position in market.positions.values() if is_due(position)}
        market.mark = before
        events = stage.mark(str(price))
        assert {event.account for event in of_type(events, LiquidationStarted)} == due
