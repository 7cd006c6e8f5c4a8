"""Claims and decisions that arrive late and in batches, as over Kafka: nothing is lost, paid twice or left open.

Two shards share one settlement and one of its funds. What a machine says to another waits in a channel that keeps its
order; which machine acts next is drawn from a seed, so that marks, liquidations, fills, withdrawals of funds and the
end of a reconciliation period come between any question and its answer. Everything crosses as bytes, some of it twice.
"""

import random
from collections import deque
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.conservation import check_settlement, check_shard
from engine.consistency import check_consistency
from engine.settlement import Settlement
from engine.shard import Shard
from engine.spec import compile_venue
from schemas.claims import (
    AdlTriggered,
    AnyDecision,
    Claim,
    Decision,
    LiquidationClosed,
    LiquidationResidual,
    LiquidationUncovered,
    TakeoverClosed,
    TakeoverExhausted,
)
from schemas.config import parse_config
from schemas.envelope import Event
from schemas.wire import decode_command, decode_event, encode
from tests.engine.histories import ACCOUNTS, SECOND, History
from tests.engine.test_conservation import TIERS

MARKETS = {"BTC-USDT": ("usdt", "btc"), "ETH-USDT": ("usdt", "eth"), "XBT-USDT": ("more", "btc")}
"""Shard and fund of each market: the fund `btc` backs markets of both shards."""


def venue_toml(
    *, opening: str = "0", fund: str = "", market: str = "", limits: str = "", decimals: int = 6, tiers: str = TIERS
) -> str:
    """Two shards of one asset, two funds, three markets; settings may be added to each kind of table."""
    funds = "".join(f'[funds.{name}]\nasset = "USDT"\nopening = "{opening}"\n{fund}\n' for name in ("btc", "eth"))
    shards = "".join(f'[shards.{name}]\nasset = "USDT"\n' for name in ("usdt", "more"))
    markets = "".join(
        f'[markets.{name}]\nshard = "{shard}"\nfund = "{backer}"\ntick = "0.1"\nlot = "0.001"\n'
        f"tiers = {tiers}\n{market}\n"
        for name, (shard, backer) in MARKETS.items()
    )
    return f"[assets.USDT]\ndecimals = {decimals}\n[limits]\n{limits}\n{funds}{shards}{markets}"


FEW = ACCOUNTS[:5]
"""Whom the commands are about: so few that at times nobody is left on one side of a market."""

FLAT = '[{ up_to = "1000000", initial = "0.01", maintenance = "0.005" }]'
"""One tier of high leverage: positions are large, so both sides of a market go bankrupt and ADL finds nobody."""

VENUES = {
    "empty funds": venue_toml(tiers=FLAT),
    "tiny funds, short lives": venue_toml(opening="25", fund='takeover_max_age = "30s"\nminimum = "10"', tiers=FLAT),
    "funds that may lose slippage": venue_toml(
        opening="400", fund='takeover_slippage = "0.02"\ntakeover_max_age = "5m"', market='liquidation_fee = "0.001"'
    ),
    "rich funds, fees, surplus to the account": venue_toml(
        opening="100000",
        fund='takeover_slippage = "0.005"\ntakeover_max_age = "60s"',
        market='surplus = "account"\nmaker_fee = "-0.0001"\ntaker_fee = "0.0005"\nfund_fee_share = "0.5"',
    ),
    "ADL at the mark": venue_toml(
        opening="2000",
        fund='takeover_max_age = "10s"\nadl_trigger = { kind = "drawdown", window = "1m", start = "0.01", stop = "0" }',
        market='adl_price = "mark"',
        tiers=FLAT,
    ),
    "one liquidation at a time, coarse units": venue_toml(
        opening="60",
        fund='takeover_slippage = "0.01"\ntakeover_max_age = "15s"',
        limits="liquidations_per_command = 1\nmax_open_residuals = 2",
        decimals=4,
        tiers=FLAT,
    ),
}


def commands(rng: random.Random) -> Iterator[tuple[str, dict[str, Any]]]:
    """Random histories of all markets, interleaved on one clock: which machine a command is for, and the command."""
    now = 1_700_000_000 * SECOND
    histories = {market: iter(History(rng.randrange(10**9), market)) for market in MARKETS}
    clocks = dict.fromkeys(MARKETS, now)
    ticks = dict.fromkeys(MARKETS, 10_000)
    for market, (shard, _) in MARKETS.items():
        for account in FEW:
            fields = {"account": account, "ts": now}
            deposit = {"shard": shard, "amount": str(rng.choice([40, 300])), "transfer_id": f"{market}:{account}"}
            yield shard, {"type": "account.deposit", **deposit, **fields}
            leverage = {"market": market, "leverage": rng.choice(["5", "10", "30"])}
            yield shard, {"type": "account.leverage", **leverage, **fields}
    while True:
        market = rng.choice(list(MARKETS))
        shard, fund = MARKETS[market]
        if rng.random() < 0.1:
            scare = max(1, ticks[market] * rng.randrange(850, 1_150) // 1_000)
            price = f"{scare // 10}.{scare % 10}"
            yield shard, {"type": "price.mark", "market": market, "price": price, "ts": now}
            continue
        command = next(histories[market])
        if "account" in command:
            command["account"] = FEW[ACCOUNTS.index(command["account"]) % len(FEW)]
        if command["type"] == "price.mark":
            ticks[market] = int(command["price"].replace(".", ""))
        now += command["ts"] - clocks[market]
        clocks[market] = command["ts"]
        if "expire_at" in command:
            command["expire_at"] += now - command["ts"]
        command["ts"] = now
        if "transfer_id" in command:
            command["transfer_id"] = f"{market}:{command['transfer_id']}"
        if "shard" in command:
            command["shard"] = shard
        if "fund" in command:
            command["fund"] = fund
            if command["type"] == "fund.withdraw" and rng.random() < 0.3:
                del command["type"]
                command |= {"type": "fund.transfer", "to": "eth" if fund == "btc" else "btc"}
            yield "settlement", command
        else:
            yield shard, command


class Channel:
    """What one machine sends another: first in, first out, as bytes; what has arrived may arrive again."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.waiting: deque[bytes] = deque()

    def send(self, event: Event) -> None:
        """Put an event behind all others."""
        self.sent.append(encode(event))
        self.waiting.append(self.sent[-1])


class DelayedVenue:
    """Two engines and their settlement, wired by channels that deliver when they are told to."""

    def __init__(self, toml: str, rng: random.Random) -> None:
        self._rng = rng
        self.spec = compile_venue(parse_config(toml))
        self.shards = {name: Shard(spec) for name, spec in self.spec.shards.items()}
        self.settlement = Settlement(self.spec, self.spec.assets["USDT"])
        self.claims = {name: Channel() for name in self.shards}
        self.decisions = {name: Channel() for name in self.shards}
        self.inputs: dict[str, list[bytes]] = {name: [] for name in (*self.shards, "settlement")}
        self.events: dict[str, list[Event]] = {name: [] for name in self.inputs}
        self.opened: list[str] = []
        self.ended: list[str] = []
        self._take("settlement", self.settlement.genesis())

    def command(self, name: str, command: dict[str, Any]) -> None:
        """Have one machine apply an outside command."""
        record = orjson.dumps(command)
        machine = self.settlement if name == "settlement" else self.shards[name]
        self.inputs[name].append(record)
        self._take(name, machine.apply(decode_command(record)))

    def deliver_claim(self, shard: str) -> None:
        """Have settlement apply the next claim of a shard."""
        record = self.claims[shard].waiting.popleft()
        claim = decode_event(record)
        assert isinstance(claim, Claim)
        self.inputs["settlement"].append(record)
        self._take("settlement", self.settlement.apply(claim))

    def deliver_decision(self, shard: str) -> None:
        """Have a shard apply the next decision of settlement."""
        record = self.decisions[shard].waiting.popleft()
        self.inputs[shard].append(record)
        self._take(shard, self.shards[shard].apply(_decision(record)))

    def repeat(self, shard: str) -> None:
        """Deliver again what a shard and settlement have seen of each other; neither may act on it."""
        for channel, is_claim in ((self.claims[shard], True), (self.decisions[shard], False)):
            seen = len(channel.sent) - len(channel.waiting)
            if seen:
                record = channel.sent[self._rng.randrange(seen)]
                before = self.settlement.state_hash(), self.shards[shard].state_hash()
                if is_claim:
                    claim = decode_event(record)
                    assert isinstance(claim, Claim)
                    assert self.settlement.apply(claim) == []
                else:
                    assert self.shards[shard].apply(_decision(record)) == []
                assert (self.settlement.state_hash(), self.shards[shard].state_hash()) == before

    def deliver_something(self) -> bool:
        """Deliver a batch of one channel, if any channel holds something."""
        channels = [
            (deliver, shard, len(channel[shard].waiting))
            for deliver, channel in ((self.deliver_claim, self.claims), (self.deliver_decision, self.decisions))
            for shard in self.shards
            if channel[shard].waiting
        ]
        if not channels:
            return False
        deliver, shard, waiting = self._rng.choice(channels)
        for _ in range(self._rng.randint(1, waiting)):
            deliver(shard)
            self.check()
        return True

    def settle(self) -> None:
        """Deliver everything that is under way, and what that causes."""
        steps = 0
        while self.deliver_something():
            steps += 1
            assert steps < 10_000, "an answer asks no new question for ever"

    def check(self) -> None:
        """What holds at every moment, whatever is under way."""
        check_settlement(self.settlement)
        for shard in self.shards.values():
            check_shard(shard)
            check_consistency(shard)
            for market in shard.state.markets.values():
                pending = sum(residual.balance for residual in market.residuals.values())
                assert market.suspense.balance == pending, f"suspense of {market.spec.name} is that of its residuals"
        assert len(self.ended) == len(set(self.ended)), "a residual ends once"

    def check_at_rest(self) -> None:
        """What holds when nothing is under way."""
        held: dict[str, tuple[str, int, int, int]] = {}
        left: set[str] = set()
        deficits: dict[str, int] = {}
        for name, shard in self.shards.items():
            state = shard.state
            assert state.transit.balance + self.settlement.shards[name].transit.balance == 0
            assert state.open_residuals == 0, "every question is answered"
            for market in state.markets.values():
                if market.deficit.balance:
                    deficits[market.spec.name] = -market.deficit.balance
                for residual in market.residuals.values():
                    left.add(residual.liquidation_id)
                    assert residual.parcel.lots > 0
                    found_nobody = self.settlement.reservations.get(residual.liquidation_id)
                    if residual.fund is None and found_nobody is not None:
                        held[residual.liquidation_id] = (market.spec.fund.name, residual.round, found_nobody.budget, 0)
                    if residual.fund is not None:
                        held[residual.liquidation_id] = (residual.fund, residual.round, residual.budget, residual.loss)
        reserved = {
            liquidation_id: (r.fund.spec.name, r.round, r.budget, r.loss)
            for liquidation_id, r in self.settlement.reservations.items()
        }
        assert reserved == held, "what is reserved is what funds hold"
        missing = {
            market: amount for fund in self.settlement.funds.values() for market, amount in fund.deficits.items()
        }
        assert missing == deficits, "both sides know the same deficits"
        assert len(self.opened) == len(set(self.opened))
        assert set(self.opened) - set(self.ended) == left, "a residual that has not ended is still there"
        assert set(self.ended) <= set(self.opened)

    def _take(self, name: str, events: list[Event]) -> None:
        self.events[name].extend(events)
        for event in events:
            if isinstance(event, Claim):
                self.claims[name].send(event)
            elif isinstance(event, Decision):
                self.decisions[event.shard].send(event)
            if isinstance(event, LiquidationResidual) and event.round == 1:
                self.opened.append(event.liquidation_id)
            elif isinstance(event, TakeoverClosed | LiquidationClosed):
                self.ended.append(event.liquidation_id)


def _decision(record: bytes) -> AnyDecision:
    decision = decode_event(record)
    assert isinstance(decision, AnyDecision)
    return decision


def run_delayed(toml: str, seed: int, steps: int) -> DelayedVenue:
    """Random histories with deliveries in between; how eager the channels are changes from phase to phase."""
    rng = random.Random(seed)
    venue = DelayedVenue(toml, rng)
    history = commands(rng)
    for step in range(steps):
        if step % 50 == 0:
            eagerness = rng.choice([0.03, 0.2, 0.5])
        if rng.random() < eagerness and venue.deliver_something():
            continue
        venue.command(*next(history))
        venue.check()
        if rng.random() < 0.02:
            venue.repeat(rng.choice(list(venue.shards)))
        if rng.random() < 0.01:
            venue.settle()
            venue.check_at_rest()
    venue.settle()
    venue.check_at_rest()
    return venue


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=15)
@given(seed=st.integers(0, 10**9))
def test_whatever_arrives_late_conserves_and_every_residual_ends_once(venue: str, seed: int) -> None:
    run_delayed(VENUES[venue], seed, 250)


@pytest.mark.parametrize("venue", VENUES)
def test_long_delayed_histories_conserve_and_each_stream_follows_from_its_own_inputs(venue: str) -> None:
    ran = run_delayed(VENUES[venue], 20_261_122, 1_200)
    for name, records in ran.inputs.items():
        machine: Shard | Settlement
        if name == "settlement":
            machine = Settlement(ran.spec, ran.spec.assets["USDT"])
            events = machine.genesis()
        else:
            machine = Shard(ran.spec.shards[name])
            events = []
        for record in records:
            events.extend(machine.apply(_input(record)))
        assert [encode(event) for event in events] == [encode(event) for event in ran.events[name]]
        recorded = ran.settlement if name == "settlement" else ran.shards[name]
        assert machine.state_hash() == recorded.state_hash()


def _input(record: bytes) -> Any:
    """A command, or else a claim or decision, from its bytes: those carry the stream that they come from."""
    return decode_event(record) if "stream" in orjson.loads(record) else decode_command(record)


def test_the_histories_reach_what_they_are_meant_to_test() -> None:
    ran = [run_delayed(toml, seed, 600) for toml in VENUES.values() for seed in (1, 2)]
    events = [event for venue in ran for stream in venue.events.values() for event in stream]
    for type_, least in ((LiquidationResidual, 100), (TakeoverClosed, 30), (TakeoverExhausted, 50)):
        assert sum(isinstance(event, type_) for event in events) >= least, type_
    assert any(isinstance(event, LiquidationUncovered) for event in events)
    assert sum(isinstance(event, AdlTriggered) and bool(event.loss_budget) for event in events) >= 10
