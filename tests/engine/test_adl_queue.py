"""The ADL queue: always what ranking everybody anew would say, and much cheaper than that."""

import itertools
import random

import orjson
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import engine.adl
import engine.adl_queue
from engine.adl_queue import AdlQueue, queue_of, rank_anew
from engine.market import Market
from engine.position import Position
from engine.ranking import RANKINGS, score
from engine.state import ShardState
from engine.venue import Venue
from schemas.config import parse_config
from schemas.events import AdlExecuted
from schemas.wire import decode_command, encode
from tests.engine.crossed import BTC, ETH, CrossStage
from tests.engine.mixtures import Mixture, mixed_venue
from tests.engine.stage import Stage, of_type


def drawn_venue(seed: int) -> tuple[Venue, str]:
    """A mixed venue whose markets rank by something, and its contract."""
    ranking = sorted(RANKINGS)[seed % len(RANKINGS)]
    toml = mixed_venue(seed).replace("partial =", f'adl_ranking = "{ranking}"\n        partial =')
    return Venue(parse_config(toml)), "inverse" if 'contract = "inverse"' in toml else "linear"


@settings(max_examples=15, phases=[Phase.reuse, Phase.generate])  # a smaller seed is not a simpler history
@given(seed=st.integers(0, 10**9))
def test_a_queue_that_lives_through_other_commands_is_what_ranking_anew_says(seed: int) -> None:
    venue, contract = drawn_venue(seed)
    rng = random.Random(seed)
    state = venue.shards["s"].state
    venue.genesis()
    for fields in itertools.islice(Mixture(seed, contract), 400):
        venue.apply(decode_command(orjson.dumps(fields)))
        market, sign = rng.choice(list(state.markets.values())), rng.choice((1, -1))
        if market.mark and rng.random() < 0.5:
            queue = queue_of(state, market, sign)
            for _ in range(rng.randrange(4)):
                queue.take()
            queue.put_back()
        if rng.random() < 0.5:  # not after each command, so that changes pile up
            for market in state.markets.values():
                for sign, queue in market.adl_queues.items():
                    assert queue.order() == rank_anew(market, sign)


class PlainQueue:
    """The plain way: everybody is ranked for each ADL."""

    def __init__(self, market: Market, sign: int) -> None:
        self._left = rank_anew(market, sign)

    def take(self) -> Position | None:
        """The next."""
        return self._left.pop(0) if self._left else None

    def put_back(self) -> None:
        """It is not used again."""

    def nobody_gains(self, *price: int) -> bool:
        """Everybody is looked at."""
        del price
        return False


def plain_queue_of(state: ShardState, market: Market, sign: int) -> PlainQueue:
    """In the place of `queue_of`."""
    del state
    return PlainQueue(market, sign)


def published(seed: int, commands: int) -> tuple[list[bytes], str, int]:
    """Every event of a history, the state hash at its end, and how many counterparties ADL closed."""
    venue, contract = drawn_venue(seed)
    events = venue.genesis()
    for fields in itertools.islice(Mixture(seed, contract), commands):
        events.extend(venue.apply(decode_command(orjson.dumps(fields))))
    return [encode(event) for event in events], venue.state_hash(), len(of_type(events, AdlExecuted))


def test_events_and_state_hash_are_those_of_ranking_everybody_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    executed = 0
    for seed in range(20):
        with_queue = published(seed, 300)
        with monkeypatch.context() as patch:
            patch.setattr(engine.adl, "queue_of", plain_queue_of)
            assert published(seed, 300) == with_queue
        executed += with_queue[2]
    assert executed > 50, executed


def cascade(shorts: int) -> Stage:
    """Two longs that will be liquidated, bankrupt at 10,000, against so many shorts from 10,500; no fund."""
    stage = Stage()
    for account in ("alice", "zed"):
        stage.deposit(account, "500")
    for i in range(shorts):
        stage.deposit(f"s{i}", "10000")
    stage.deposit("house", "1000000")
    stage.mark("10500")
    stage.leverage("house", "1")
    for account in ("alice", "zed"):
        stage.leverage(account, "21")
        stage.sell("s0", "1", "10500")
        stage.buy(account, "1", "10500")
    for i in range(1, shorts):
        stage.buy("house", "0.1", "10500")
        stage.sell(f"s{i}", "0.1", "10500")
    return stage


def test_only_the_first_adl_of_a_mark_ranks_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def counted(position: Position) -> int:
        asked.append(position.account.name)
        return score(position)

    monkeypatch.setattr(engine.adl_queue, "score", counted)
    stage = cascade(30)
    monkeypatch.setattr(stage.venue, "check_consistency", lambda: None)  # which ranks everybody
    executed = of_type(stage.mark("9000"), AdlExecuted)
    assert [(event.liquidation_id, event.account, event.rank) for event in executed] == [
        ("usdt:1", "s0", 1),
        ("usdt:2", "s0", 1),
    ]
    # Everybody once, and then who gave 1 of 2.
    assert len(asked) == 31
    assert asked[-1] == "s0"


def test_where_the_price_is_beyond_every_entry_nobody_is_looked_at_but_those_who_give(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # alice is bankrupt at 10,000, and 30 are short from 9,990: all would realise a loss. The first carries it alone.
    stage = Stage()
    for account in ("alice", "house", *(f"s{i}" for i in range(30))):
        stage.deposit(account, "1000000" if account != "alice" else "500")
    stage.mark("10500")
    stage.leverage("house", "1")
    stage.open_position("alice", "buy", "1", "10500", "21", against="house")
    stage.mark("10060")
    for i in range(30):
        stage.leverage(f"s{i}", "2")
        stage.buy("house", "1", "9990")
        stage.sell(f"s{i}", "1", "9990")
    taken: list[Position | None] = []
    take = AdlQueue.take
    monkeypatch.setattr(AdlQueue, "take", lambda queue: taken.append(take(queue)) or taken[-1])
    (executed,) = of_type(stage.mark("9500"), AdlExecuted)
    assert (executed.account, executed.rank, executed.realised_pnl) == ("s0", 1, "-10.000000")
    assert len(taken) == 1


def test_a_mark_drops_the_queue_and_the_state_hash_knows_nothing_of_it() -> None:
    stage = cascade(3)
    stage.mark("9000")
    state = stage.venue.shards["usdt"].state
    assert state.queued == [state.markets["BTC-USDT"]]
    before = stage.venue.state_hash()
    queue_of(state, state.markets["BTC-USDT"], 1)
    queue_of(state, state.markets["BTC-USDT"], -1)
    assert stage.venue.state_hash() == before
    stage.mark("9001")
    assert (state.queued, state.markets["BTC-USDT"].adl_queues) == ([], {})


def test_a_cross_account_that_was_due_is_ranked_when_another_market_has_made_it_healthy() -> None:
    # zoe, short BTC and long ETH, is under water while the queue of BTC shorts is first used; then ETH rises.
    stage = CrossStage()
    stage.deposit("zoe", "4000")
    stage.trade("zoe", BTC, "sell", "1")
    stage.trade("zoe", ETH, "buy", "10")
    stage.take_away("zoe", 3_950_000_000)
    state = stage.venue.shards["usdt"].state
    assert queue_of(state, state.markets[BTC], -1).order() == []
    stage.mark_of(ETH, "1500")
    assert [position.account.name for position in queue_of(state, state.markets[BTC], -1).order()] == ["zoe"]
