"""Nobody who is due is missed, nobody else is liquidated: bands, triggers and queue against a look at everybody."""

import itertools
import random
from typing import Any

import orjson
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

import engine.liquidation
from engine.account import Account, Pool
from engine.bands import place_pool, remove_pool
from engine.contract import NO_TRIGGER
from engine.position import Position
from engine.venue import Venue
from schemas.config import parse_config
from schemas.envelope import Event
from schemas.events import LiquidationStarted, PriceRejected, TradeExecuted
from schemas.wire import decode_command
from tests.engine.crossed import BTC, ETH, MARKS, SOL, CrossStage, started
from tests.engine.mixtures import Mixture, mixed_venue
from tests.engine.pools import CONFIGS, accounts
from tests.engine.scan import Scan

HIGHEST = 100_000
"""A mark in ticks far above all others of the property."""

# --- placing ----------------------------------------------------------------------------------------------------


def safe_marks(position: Position) -> tuple[int, int]:
    """The lowest and the highest mark at which a position's trigger is not reached, of those that are tried."""
    if position.sign > 0:
        return position.trigger + 1, HIGHEST
    return 1, HIGHEST if position.trigger == NO_TRIGGER else position.trigger - 1


def with_slack(scan: Scan, slack: int) -> None:
    """Give the account a wallet with which its equity is this much above maintenance margin."""
    standing = scan.standings()["alice", ""]
    scan.accounts["alice"].wallet.balance += slack - (standing.equity - standing.maintenance)


@settings(max_examples=300)
@given(drawn=accounts(), slack=st.integers(-2, 60), data=st.data())
def test_while_no_trigger_is_reached_the_account_is_healthy_whatever_the_marks(
    drawn: tuple[str, Account], slack: int, data: st.DataObject
) -> None:
    contract, account = drawn
    scan = Scan(CONFIGS[contract], {"alice": account})
    with_slack(scan, slack)
    positions = account.positions
    assert place_pool(account.pool) == (slack > 0)
    if slack <= 0:
        assert {position.trigger for position in positions.values()} == {NO_TRIGGER}, "nowhere"
        return
    bands = {name: safe_marks(position) for name, position in positions.items()}
    for low, high in bands.values():
        assume(low <= high)  # a share of the slack that rounds to nothing leaves no mark at all
    ends = [
        (low, high) if low == high else (low, high, data.draw(st.integers(low, high))) for low, high in bands.values()
    ]
    for marks in itertools.product(*ends):
        assert not scan.due(dict(zip(bands, marks, strict=True))), marks


@settings(max_examples=300)
@given(drawn=accounts(most=1), slack=st.integers(1, 60))
def test_with_one_position_the_trigger_is_exact(drawn: tuple[str, Account], slack: int) -> None:
    contract, account = drawn
    scan = Scan(CONFIGS[contract], {"alice": account})
    with_slack(scan, slack)
    ((name, position),) = account.positions.items()
    place_pool(account.pool)
    if position.trigger != NO_TRIGGER:
        assert scan.due({name: position.trigger})
    low, high = safe_marks(position)
    for mark in (low, high, position.market.mark):
        assert not scan.due({name: mark})


@settings(max_examples=150)
@given(drawn=accounts(), slack=st.integers(1, 60))
def test_a_band_is_no_narrower_than_it_needs_to_be(drawn: tuple[str, Account], slack: int) -> None:
    """At all triggers at once the account is due: the shares of the wallet sum to no less than it holds."""
    contract, account = drawn
    scan = Scan(CONFIGS[contract], {"alice": account})
    with_slack(scan, slack)
    place_pool(account.pool)
    triggers = {name: position.trigger for name, position in account.positions.items()}
    assume(NO_TRIGGER not in triggers.values())
    assert scan.due(triggers)


@pytest.mark.parametrize("way", ["removed", "due"])
@settings(max_examples=60)
@given(drawn=accounts())
def test_what_was_placed_is_nowhere_once_it_is_removed_or_due(way: str, drawn: tuple[str, Account]) -> None:
    _, account = drawn
    account.wallet.balance += 10_000
    for _ in range(2):
        assert place_pool(account.pool)
    for position in account.positions.values():
        position.market.triggers.check()
    if way == "removed":
        remove_pool(account.pool)
    else:
        account.wallet.balance -= 20_000
        assert not place_pool(account.pool)
    for position in account.positions.values():
        position.market.triggers.check()
        assert position.trigger == NO_TRIGGER


# --- in the engine ----------------------------------------------------------------------------------------------


def pool_of(event: LiquidationStarted) -> tuple[str, str]:
    """The account and, unless it is cross, the market whose liquidation began."""
    return event.account, event.market if event.mode == "isolated" else ""


class Watch:
    """A venue whose every mark is compared with a look at everybody, before and after."""

    def __init__(self, seed: int) -> None:
        config = parse_config(mixed_venue(seed))
        self.venue = Venue(config)
        self.venue.genesis()
        self.state = self.venue.shards["s"].state
        self.scan = Scan(config, self.state.accounts)
        self.contract = config.markets["A"].contract
        self.seen: dict[str, int] = dict.fromkeys(("cross", "isolated", "below zero"), 0)

    def apply(self, command: dict[str, Any]) -> None:
        """Apply one command and compare."""
        is_mark = command["type"] == "price.mark"
        if not is_mark:
            self._send(command)
        elif self.state.waiting or self.state.triggered:
            self._nobody_was_missed(command["market"], self._send(command))  # what ran before it may have changed all
        else:
            market = command["market"]
            standings = self.scan.standings({market: int(command["price"].replace(".", ""))})
            due = {pool for pool, it in standings.items() if it.is_due and pool[1] in ("", market)}
            events = self._send(command)
            began = {pool_of(event) for event in events if isinstance(event, LiquidationStarted)}
            assert began <= due, "nobody early"
            # Makers of what is sold by force may be healed by it before their turn.
            made = {event.maker.account for event in events if isinstance(event, TradeExecuted)}
            left = due - began - self._waiting()
            assert {pool for pool in left if pool[0] not in made} == set(), "nobody missed"
            self._nobody_was_missed(market, events)

    def _nobody_was_missed(self, market: str, events: list[Event]) -> None:
        if any(isinstance(event, PriceRejected) for event in events):
            return
        touched = {getattr(event, "account", None) for event in events}
        due = {pool for pool in self.scan.due() if pool[1] in ("", market)}
        assert {pool for pool in due if pool[0] not in touched} <= self._waiting(), "nobody missed"

    def _waiting(self) -> set[tuple[str, str]]:
        return {
            (pool.account.name, "" if isinstance(pool, Pool) else pool.market.spec.name) for pool in self.state.waiting
        }

    def _send(self, command: dict[str, Any]) -> list[Event]:
        events = self.venue.apply(decode_command(orjson.dumps(command)))
        for event in events:
            if isinstance(event, LiquidationStarted):
                self.seen[event.mode] += 1
        self.seen["below zero"] += sum(account.wallet.balance < 0 for account in self.state.accounts.values())
        return events


@settings(max_examples=15, phases=[Phase.reuse, Phase.generate])  # a smaller seed is not a simpler history
@given(seed=st.integers(0, 10**9))
def test_a_mark_liquidates_whom_a_look_at_everybody_finds_in_any_mixture_of_modes(seed: int) -> None:
    watch = Watch(seed)
    for command in itertools.islice(Mixture(seed, watch.contract), 400):
        watch.apply(command)


def test_the_mixtures_meet_what_they_are_made_for() -> None:
    """Cross accounts that are liquidated, and wallets below zero, in a few histories already."""
    seen: dict[str, int] = {}
    for seed in (13, 15, 28):
        watch = Watch(seed)
        for command in itertools.islice(Mixture(seed, watch.contract), 600):
            watch.apply(command)
        for what, count in watch.seen.items():
            seen[what] = seen.get(what, 0) + count
    assert min(seen.values()) >= 5, seen


# --- cost -------------------------------------------------------------------------------------------------------


class Looks:
    """Counts how often accounts are placed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr(engine.liquidation, "place_pool", self._place)

    def _place(self, pool: Pool) -> bool:
        self.count += 1
        return place_pool(pool)


def crowd_of_three_longs(accounts: int) -> CrossStage:
    """Accounts that are long BTC, ETH and SOL, with ever more money."""
    stage = CrossStage(opening="1000000")
    for i in range(accounts):
        name = f"a{i}"
        stage.deposit(name, str(4000 + 200 * i))
        for market, qty in ((BTC, "1"), (ETH, "10"), (SOL, "100")):
            stage.trade(name, market, "buy", qty)
    for market, price in MARKS.items():
        stage.mark_of(market, price)
    return stage


def test_marks_inside_the_bands_look_at_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = crowd_of_three_longs(4)
    looks = Looks(monkeypatch)
    rng = random.Random(5)
    for _ in range(300):
        market = rng.choice(list(MARKS))
        stage.mark_of(market, f"{float(MARKS[market]) * rng.uniform(0.95, 1.5):.1f}")
    assert looks.count == 0


def test_on_a_path_to_liquidation_an_account_is_looked_at_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """All marks fall together by 1/20,000 at a time with some noise: thousands of marks, some dozen looks each."""
    stage = crowd_of_three_longs(3)
    looks = Looks(monkeypatch)
    rng = random.Random(6)
    level, marks = 1.0, 0
    while stage.account("a0")["positions"]:
        level *= 1 - 1 / 4_000
        market = rng.choice(list(MARKS))
        stage.send("price.mark", market=market, price=f"{float(MARKS[market]) * level * rng.uniform(0.999, 1.001):.1f}")
        marks += 1
    assert marks > 300
    assert looks.count < 90


# --- what makes a band stale ------------------------------------------------------------------------------------


def long_of_two() -> CrossStage:
    """alice is long 1 BTC and 10 ETH with 2,000: due at MM of about 100."""
    stage = CrossStage(opening="100000")
    stage.deposit("alice", "2000")
    stage.trade("alice", BTC, "buy", "1")
    stage.trade("alice", ETH, "buy", "10")
    stage.mark_of(SOL, "100")
    return stage


def test_money_that_comes_and_goes_moves_the_band_before_the_next_mark_of_any_market() -> None:
    stage = long_of_two()
    stage.deposit("alice", "1000")
    assert started(stage.mark_of(BTC, "8050")) == []  # E = 1,050
    stage.mark_of(BTC, "10000")
    assert stage.withdraw("alice", "1000")
    assert started(stage.mark_of(BTC, "8050"))[:1] == [("alice", ETH)]  # E = 50


def test_a_fill_moves_the_band_before_the_next_mark_of_another_market() -> None:
    """Short, due when BTC rises; after the fill the position is long, and it is due when ETH falls."""
    stage = CrossStage(opening="100000")
    stage.deposit("alice", "4000")
    stage.trade("alice", BTC, "sell", "1")
    stage.trade("alice", ETH, "buy", "10")
    stage.mark_of(BTC, "10000")
    stage.trade("alice", BTC, "buy", "2")
    assert started(stage.mark_of(ETH, "700")) == []
    assert started(stage.mark_of(BTC, "9050"))[:1] == [("alice", BTC)]


@pytest.mark.parametrize("then", ["isolated", "cross"])
def test_a_position_that_changed_its_mode_between_two_marks_is_judged_as_what_it_is_now(then: str) -> None:
    stage = long_of_two()
    stage.deposit("alice", "1000")
    stage.mode("alice", BTC, "isolated")  # M = 1,000, W = 2,000
    if then == "cross":
        stage.mark_of(ETH, "1000")
        stage.mode("alice", BTC, "cross")
    events = stage.mark_of(BTC, "8950")
    assert started(events) == ([("alice", BTC)] if then == "isolated" else [])
    # Alone ETH is carried by 2,000; together E = 3,000 − 1,050 − 10 x.
    assert started(stage.mark_of(ETH, "810"))[:1] == ([] if then == "isolated" else [("alice", BTC)])


def test_what_is_left_of_a_pool_is_judged_without_the_position_that_left_it() -> None:
    stage = long_of_two()
    stage.trade("alice", BTC, "sell", "1")
    assert started(stage.mark_of(BTC, "100")) == []
    assert started(stage.mark_of(ETH, "804.1")) == []
    assert started(stage.mark_of(ETH, "804")) == [("alice", ETH)]  # 2,000 − 1,960 of 40.2
