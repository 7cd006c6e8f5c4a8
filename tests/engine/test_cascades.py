"""Cascades over many funds and shards, with claims and decisions that arrive late: who pays, to the last unit.

Three shards with two markets each and four funds, most of them behind markets of several shards, all drawn from a seed
with their ways of taking over, triggering ADL and moving money. Marks jump, so residuals of one fund are asked about by
several shards at once. What shards and settlement tell each other stays in order per shard and is otherwise delivered
in any order; `Audit` follows every lot, and the sums of every machine are checked after each input.
"""

import random
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.conservation import check_settlement, check_shard
from schemas.envelope import Event
from tests.engine.audit import Audit
from tests.engine.cascades import Cascade
from tests.engine.test_delayed_settlement import FLAT, DelayedVenue

SHARDS = ("one", "two", "three")
FUNDS = ("f1", "f2", "f3", "f4")


class CascadeVenue(DelayedVenue):
    """A delayed venue with an audit."""

    def __init__(self, toml: str, rng: random.Random) -> None:
        self.audit = Audit()
        self._heard: dict[str, int] = {}
        self._wallets: dict[str, dict[str, int]] = {}
        super().__init__(toml, rng)

    def _take(self, name: str, events: list[Event]) -> None:
        super()._take(name, events)
        self.audit.hear(events)
        shard = self.shards.get(name)
        if shard is not None:
            self.audit.hear_money(shard, self._wallets.get(name, {}), events)
            self._wallets[name] = {account.name: account.wallet.balance for account in shard.state.accounts.values()}

    def check(self) -> None:
        """The sums of every machine. (What each keeps twice is compared when nothing is under way.)"""
        check_settlement(self.settlement)
        for shard in self.shards.values():
            check_shard(shard)

    def check_at_rest(self) -> None:
        """What `DelayedVenue` says, and every lot."""
        super().check()
        super().check_at_rest()
        self.audit.check_at_rest(list(self.shards.values()))


def random_venue(rng: random.Random) -> tuple[str, dict[str, tuple[str, str]]]:
    """The TOML of a venue, and shard and fund of each of its markets."""
    backers = [rng.choice(FUNDS) for _ in range(2 * len(SHARDS))]
    markets = {f"M{number}-USDT": (SHARDS[number % len(SHARDS)], backer) for number, backer in enumerate(backers)}
    used = list(dict.fromkeys(backers))
    limits = (
        f"liquidations_per_command = {rng.choice([1, 3, 200])}\nfunding_payments_per_command = {rng.choice([2, 500])}"
    )
    return (
        f"[assets.USDT]\ndecimals = {rng.choice([4, 6])}\n[limits]\n{limits}\n"
        + "".join(_fund(rng, name) for name in used)
        + "".join(f'[shards.{name}]\nasset = "USDT"\n' for name in SHARDS)
        + "".join(_market(rng, name, *places) for name, places in markets.items())
    ), markets


def _fund(rng: random.Random, name: str) -> str:
    lines = [
        f"[funds.{name}]",
        'asset = "USDT"',
        f'opening = "{rng.choice([0, 25, 400, 3_000])}"',
        f'minimum = "{rng.choice([0, 0, 10, 200])}"',
        f'takeover = "{rng.choice(["whole", "partial"])}"',
        f'transfer = "{rng.choice(["immediate", "daily"])}"',
        f'takeover_slippage = "{rng.choice(["0", "0.005", "0.03"])}"',
        f'takeover_slice = "{rng.choice(["1", "0.3"])}"',
        f'takeover_max_age = "{rng.choice(["15s", "5m", "1h"])}"',
        f"rebalance = {rng.choice(['true', 'false'])}",
    ]
    if rng.random() < 0.3:
        lines.append('treasury = "reserve"')
    if rng.random() < 0.3:
        trigger = '{ kind = "drawdown", window = "5m", start = "0.2", stop = "0.1" }'
        lines.append(f"adl_trigger = {trigger}")
    return "\n".join(lines) + "\n"


def _market(rng: random.Random, name: str, shard: str, fund: str) -> str:
    settings: dict[str, Any] = {
        "default_mode": rng.choice(["isolated", "isolated", "cross"]),
        "surplus": rng.choice(["fund", "account"]),
        "adl_price": rng.choice(["worse", "mark"]),
        "adl_ranking": rng.choice(["pnl_leverage", "pnl_leverage", "price_leverage", "pro_rata", "min_leverage"]),
        "liquidation_fee": rng.choice(["0", "0.001"]),
        "taker_fee": rng.choice(["0", "0.0005"]),
    }
    lines = [f"[markets.{name}]", f'shard = "{shard}"', f'fund = "{fund}"', 'tick = "0.1"', 'lot = "0.001"']
    lines.extend(f'{key} = "{value}"' for key, value in settings.items())
    return "\n".join([*lines, f"tiers = {FLAT}"]) + "\n"


def run_cascade(seed: int, steps: int) -> CascadeVenue:
    """A random venue and history with deliveries in between; how eager the channels are changes from phase to phase."""
    rng = random.Random(seed)
    toml, markets = random_venue(rng)
    venue = CascadeVenue(toml, rng)
    history = iter(Cascade(rng, markets))
    for step in range(steps):
        if step % 40 == 0:
            eagerness = rng.choice([0.02, 0.2, 0.5])
        if rng.random() < eagerness and venue.deliver_something():
            continue
        venue.command(*next(history))
        venue.check()
        if rng.random() < 0.01:
            venue.settle()
            venue.check_at_rest()
    venue.settle()
    venue.check_at_rest()
    return venue


@settings(max_examples=60)
@given(seed=st.integers(0, 10**9))
def test_every_lot_ends_in_one_way_and_nobody_pays_more_than_he_may(seed: int) -> None:
    run_cascade(seed, 400)


def test_long_cascades_reach_every_ending() -> None:
    reached: Counter[str] = Counter()
    for seed in range(12):
        reached += run_cascade(seed, 1_200).audit.reached
    for ending in ("takeover", "split", "netted", "adl", "last resort", "socialised"):
        assert reached[ending] >= 20, f"{ending} too seldom in {reached}"
    assert reached["deficit"]
    assert reached["closed from margin alone"] >= 200


def test_residuals_of_several_shards_wait_for_one_fund_at_once() -> None:
    most = 0
    for seed in range(4):
        rng = random.Random(seed)
        toml, markets = random_venue(rng)
        venue = CascadeVenue(toml, rng)
        history = iter(Cascade(rng, markets))
        for _ in range(600):
            venue.command(*next(history))
            if rng.random() < 0.02:
                venue.deliver_something()
            asking = {
                (market.spec.fund.name, name)
                for name, shard in venue.shards.items()
                for market in shard.state.markets.values()
                if any(residual.is_open for residual in market.residuals.values())
            }
            most = max(most, *Counter(fund for fund, _ in asking).values(), 0)
    assert most >= 2
