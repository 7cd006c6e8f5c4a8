"""Nothing is created and nothing is lost, whatever the commands: random histories, every invariant after each."""

import itertools
from copy import deepcopy

import orjson
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from engine.conservation import InvariantBroken, check_settlement, check_shard
from engine.venue import Venue
from schemas.config import parse_config
from schemas.envelope import Event
from schemas.events import LedgerPosted, OrderCancelled, OrderRejected
from schemas.wire import decode_command, decode_event, encode
from tests.engine.histories import History
from tests.engine.mixtures import Mixture, mixed_venue
from tests.engine.stage import venue_toml

TIERS = """[
    { up_to = "500", initial = "0.01", maintenance = "0.005" },
    { up_to = "3000", initial = "0.03", maintenance = "0.013" },
    { up_to = "100000", initial = "0.1", maintenance = "0.04" },
]"""

VENUES = {
    "no fund, no fees": venue_toml(tiers=TIERS),
    "rebates, fee share, liquidation fee": venue_toml(
        tiers=TIERS,
        opening="500",
        market='maker_fee = "-0.0001"\ntaker_fee = "0.0005"\nfund_fee_share = "0.3"\nliquidation_fee = "0.002"',
    ),
    "rich fund, surplus to the account": venue_toml(
        tiers=TIERS,
        opening="100000",
        market='surplus = "account"\nliquidation_fee = "0.01"',
        fund='takeover_slippage = "0.01"',
    ),
    "partial liquidation": venue_toml(
        tiers=TIERS, opening="2000", market='partial = "tier"\nliquidation_fee = "0.001"\ntaker_fee = "0.0005"'
    ),
    "tight limits": venue_toml(
        tiers=TIERS,
        opening="50",
        limits="liquidations_per_command = 1\nmax_open_residuals = 1\nmax_price_levels = 5",
        fund='takeover_max_age = "90s"',
    ),
    "coarse units": venue_toml(tiers=TIERS, opening="300").replace("decimals = 6", "decimals = 4"),
}


def run_history(toml: str, seed: int, commands: int) -> tuple[Venue, list[Event]]:
    """Apply a random history, checking every invariant after each command."""
    venue = Venue(parse_config(toml))
    events = venue.genesis()
    for command in itertools.islice(History(seed), commands):
        events.extend(venue.apply(decode_command(orjson.dumps(command))))
        venue.check()
        venue.check_consistency()
        assert {residual.strip("0.") for residual in venue.residuals().values()} == {""}, command
    return venue, events


def run_mixture(seed: int, commands: int) -> tuple[Venue, list[Event]]:
    """Apply a random mixture of modes and contracts, checking every invariant after each command."""
    config = parse_config(mixed_venue(seed))
    venue = Venue(config)
    events = venue.genesis()
    for command in itertools.islice(Mixture(seed, config.markets["A"].contract), commands):
        events.extend(venue.apply(decode_command(orjson.dumps(command))))
        venue.check()
        venue.check_consistency()
        assert {residual.strip("0.") for residual in venue.residuals().values()} == {""}, command
    venue.report()
    return venue, events


def rebuilt_balances(machine: Venue, events: list[Event], asset: str) -> dict[str, int]:
    """Every balance as a ledger service would know it that reads nothing but `ledger.posted`."""
    rebuilt: dict[str, int] = {}
    posted: set[str] = set()
    text_to_units = machine.settlements[asset].asset.parse
    for event in events:
        if isinstance(event, LedgerPosted):
            assert event.posting_id not in posted
            posted.add(event.posting_id)
            for line in event.lines:
                amount = text_to_units(line.amount)
                assert amount is not None
                assert amount > 0
                rebuilt[line.debit] = rebuilt.get(line.debit, 0) - amount
                rebuilt[line.credit] = rebuilt.get(line.credit, 0) + amount
    assert sum(rebuilt.values()) == 0
    return rebuilt


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=12)
@given(seed=st.integers(0, 10**9))
def test_every_command_conserves(venue: str, seed: int) -> None:
    run_history(VENUES[venue], seed, 250)


@pytest.mark.parametrize("venue", VENUES)
def test_long_histories_conserve_and_their_postings_rebuild_every_balance(venue: str) -> None:
    toml = VENUES[venue]
    machine, events = run_history(toml, 20_261_122, 1_500)
    rebuilt = rebuilt_balances(machine, events, "USDT")
    state = machine.shards["usdt"].state
    for name, account in state.accounts.items():
        assert rebuilt.get(f"usdt/wallet/{name}", 0) == account.wallet.balance
        for position in account.positions.values():
            assert rebuilt.get(f"usdt/margin/BTC-USDT/{name}", 0) == position.margin.balance
    for name, fund in machine.settlements["USDT"].funds.items():
        assert rebuilt.get(f"fund/{name}", 0) == fund.purse.balance
    assert rebuilt.get("usdt/fees", 0) == state.fees.balance
    assert rebuilt.get("transit/usdt", 0) == 0


@pytest.mark.parametrize("venue", VENUES)
def test_streams_are_numbered_without_gaps_and_survive_the_wire(venue: str) -> None:
    _, events = run_history(VENUES[venue], 7, 400)
    last: dict[str, int] = {}
    last_on_topic: dict[tuple[str, str], int] = {}
    for event in events:
        assert encode(decode_event(encode(event))) == encode(event)
        assert event.seq == last.get(event.stream, 0) + 1
        assert event.prev == last_on_topic.get((event.stream, event.topic), 0)
        last[event.stream] = last_on_topic[event.stream, event.topic] = event.seq


@settings(max_examples=15)
@given(seed=st.integers(0, 10**9))
def test_every_command_conserves_over_three_markets_in_both_modes(seed: int) -> None:
    """And whoever's wallet is below zero has open cross positions that carry it; every check is made after each."""
    run_mixture(seed, 250)


def test_a_long_mixture_conserves_and_its_postings_rebuild_every_balance() -> None:
    for seed in (13, 28):
        machine, events = run_mixture(seed, 1_000)
        rebuilt = rebuilt_balances(machine, events, "X")
        state = machine.shards["s"].state
        for name, account in state.accounts.items():
            assert rebuilt.get(f"s/wallet/{name}", 0) == account.wallet.balance
            for market, position in account.positions.items():
                assert rebuilt.get(f"s/margin/{market}/{name}", 0) == position.margin.balance
        assert rebuilt.get("fund/f", 0) == machine.settlements["X"].funds["f"].purse.balance
        assert rebuilt.get("transit/s", 0) == 0


@settings(max_examples=8, phases=[Phase.reuse, Phase.generate])
@given(seed=st.integers(0, 10**9))
def test_fill_or_kill_fills_exactly_when_the_same_order_would_be_filled_whole(seed: int) -> None:
    """Whatever the modes of taker and makers: the trial ends as the trade would, which is tried on a copy."""
    toml = mixed_venue(seed)
    config = parse_config(toml)
    venue = Venue(config)
    venue.genesis()
    for command in itertools.islice(Mixture(seed, config.markets["A"].contract), 250):
        whole = None
        if command.get("tif") == "fok" and "trigger_price" not in command and not venue.shards["s"].state.triggered:
            copy = deepcopy(venue)
            events = copy.apply(decode_command(orjson.dumps({**command, "tif": "ioc"})))
            left = [event for event in events if isinstance(event, OrderCancelled | OrderRejected)]
            whole = not any(event.order_id == command["order_id"] for event in left)
        events = venue.apply(decode_command(orjson.dumps(command)))
        if whole is not None:
            refused = [event for event in events if isinstance(event, OrderCancelled | OrderRejected)]
            assert (not any(event.order_id == command["order_id"] for event in refused)) == whole


def test_the_check_sees_a_unit_that_appears_from_nowhere() -> None:
    machine, _ = run_history(VENUES["tight limits"], 3, 200)
    account = next(iter(machine.shards["usdt"].state.accounts.values()))
    account.wallet.balance += 1
    with pytest.raises(InvariantBroken, match="conservation residual 1 units"):
        check_shard(machine.shards["usdt"])
    machine.settlements["USDT"].funds["btc"].purse.balance -= 1
    with pytest.raises(InvariantBroken, match="conservation residual -1 units"):
        check_settlement(machine.settlements["USDT"])
    assert machine.residuals() == {"USDT": "0.000000"}
