"""Reproductions of what a review found: each test says what is right and fails until it holds."""

from typing import Any

import orjson

from engine.conservation import check_shard
from engine.settlement import Settlement
from engine.shard import Shard
from engine.spec import compile_venue
from engine.venue import Venue
from schemas.config import parse_config
from schemas.events import (
    AdlExecuted,
    AnyDecision,
    Claim,
    Event,
    LiquidationClosed,
    OrderCancelled,
    TakeoverClosed,
    TakeoverExhausted,
)
from schemas.wire import decode_command, encode
from tests.engine.stage import MARKET, SECOND, Stage, of_type, second_market, venue_toml


class Late:
    """One engine and its settlement; decisions wait until they are delivered."""

    def __init__(self, **settings: str) -> None:
        spec = compile_venue(parse_config(venue_toml(**settings)))
        self.shard = Shard(spec.shards["usdt"])
        self.settlement = Settlement(spec, spec.assets["USDT"])
        self.settlement.genesis()
        self.decisions: list[AnyDecision] = []
        self.now = 1_700_000_000 * SECOND
        self._ids = 0

    def send(self, type_: str, **fields: Any) -> list[Event]:
        """One command a second after the last; settlement answers what it claims, but the answers wait."""
        self.now += SECOND
        return self._heard(self.shard.apply(decode_command(orjson.dumps({"type": type_, "ts": self.now, **fields}))))

    def deliver(self) -> list[Event]:
        """All decisions that wait, in their order."""
        events: list[Event] = []
        while self.decisions:
            events.extend(self._heard(self.shard.apply(self.decisions.pop(0))))
        return events

    def mark(self, price: str) -> list[Event]:
        """A mark price."""
        return self.send("price.mark", market=MARKET, price=price)

    def fund_account(self, account: str, amount: str, leverage: str) -> None:
        """A deposit and a leverage."""
        self.send("account.deposit", shard="usdt", account=account, amount=amount, transfer_id=f"d:{account}")
        self.send("account.leverage", market=MARKET, account=account, leverage=leverage)

    def order(self, account: str, side: str, qty: str, price: str) -> list[Event]:
        """A limit order."""
        self._ids += 1
        fields = {"account": account, "side": side, "qty": qty, "price": price, "order_id": f"o{self._ids}"}
        return self.send("order.new", market=MARKET, kind="limit", **fields)

    def _heard(self, events: list[Event]) -> list[Event]:
        for event in events:
            if isinstance(event, Claim):
                self.decisions.extend(e for e in self.settlement.apply(event) if isinstance(e, AnyDecision))
        return events


def test_the_last_resort_does_not_close_against_inventory_that_the_mark_has_taken_beyond_its_budget() -> None:
    # alice is long, sam is short, nobody else is there; the fund is empty. At 10,050 alice's long is asked about
    # (expected loss 0: approved with a budget of 0), at 11,100 sam's short (expected loss > 0: ADL). Both answers
    # arrive when the mark is 9,000, where alice's long, now the fund's, would lose 1,000.
    late = Late()
    late.fund_account("alice", "500", "21")
    late.fund_account("sam", "525", "20")
    late.mark("10500")
    late.order("sam", "sell", "1", "10500")
    late.order("alice", "buy", "1", "10500")
    late.mark("10050")
    late.mark("11100")
    late.mark("9000")
    assert [type(decision).__name__ for decision in late.decisions] == ["TakeoverApproved", "AdlTriggered"]
    late.deliver()  # AssertionError: unwinding stays within its budget
    check_shard(late.shard)
    assert of_type(late.mark("9000"), TakeoverExhausted)
    late.deliver()
    assert not late.shard.state.markets[MARKET].residuals


def test_what_adl_gained_for_a_residual_reaches_the_fund_also_when_a_takeover_closes_the_rest() -> None:
    # The fund holds 2 long from 10,000. When they are too old, ADL at 11,500 finds uma (1, healthy); the other short,
    # sam, is bankrupt at this very mark and being asked about. So 1 closes with a gain of 1,500 and 1 waits, is
    # taken over at the next mark and sold. The 1,500 stay in suspense for ever.
    stage = Stage(opening="100000")
    stage.deposit("alice", "1000")
    stage.deposit("sam", "525")
    for account in ("uma", "ben"):
        stage.deposit(account, "1000000")
    stage.mark("10500")
    stage.leverage("uma", "1")
    stage.leverage("sam", "20")
    stage.sell("sam", "1", "10500")
    stage.sell("uma", "1", "10500")
    stage.leverage("alice", "21")
    stage.buy("alice", "2", "10500")
    stage.mark("10050")
    stage.now += 700 * SECOND
    events = stage.mark("11500")
    assert [(event.account, event.qty) for event in of_type(events, AdlExecuted)] == [("uma", "1.000")]
    stage.buy("ben", "1", "11500")
    events = stage.mark("11500")
    assert of_type(events, TakeoverClosed, LiquidationClosed)
    market = stage.venue.shards["usdt"].state.markets[MARKET]
    assert market.suspense.balance == sum(residual.balance for residual in market.residuals.values())


def test_odd_lots_of_pro_rata_closing_go_by_account_name_not_by_who_was_there_first() -> None:
    # Four shorts fall due at 11,000, one liquidation per command: amy and bea are liquidated, cat and dan still wait
    # when 1.999 of the fund's long are closed against their 1 + 1. The odd lot is cat's, by name.
    stage = Stage(opening="100000", limits="liquidations_per_command = 1")
    stage.deposit("alice", "999.5")
    stage.deposit("bob", "1000000")
    stage.mark("10500")
    stage.leverage("bob", "1")
    stage.leverage("alice", "21")
    for account in ("dan", "cat", "bea", "amy"):
        stage.deposit(account, "525")
        stage.leverage(account, "20")
        stage.sell(account, "1", "10500")
    stage.buy("alice", "1.999", "10500")
    stage.buy("bob", "2.001", "10500")
    stage.mark("10050")
    stage.now += 700 * SECOND
    closed = {event.account: event.qty for event in of_type(stage.mark("11000"), AdlExecuted)}
    assert closed == {"cat": "1.000", "dan": "0.999"}


def test_a_dead_man_switch_at_the_end_of_time_is_refused_or_published_within_the_schema() -> None:
    stage = Stage()
    stage.deposit("bob", "1")
    stage.now = 2**63 - 1 - SECOND
    stage.send("account.cancel_after", shard="usdt", account="bob", seconds=1)  # WireError: cancel_at


RECORD_BYTES_MAX = 1_048_588
"""Kafka's default `message.max.bytes`."""


def test_no_record_of_one_command_exceeds_what_a_broker_takes_under_default_limits() -> None:
    # One market order that meets 5,000 orders (the default bound is 10,000): its one posting has 20,000 lines.
    venue = Venue(parse_config(venue_toml(market='maker_fee = "0.0002"\ntaker_fee = "0.0005"')))
    now = 1_700_000_000 * SECOND

    def apply(type_: str, **fields: Any) -> list[Event]:
        return venue.apply(decode_command(orjson.dumps({"type": type_, "ts": now, **fields})))

    apply("price.mark", market=MARKET, price="10000")
    for account in ("taker", *(f"m{i}" for i in range(5_000))):
        apply("account.deposit", shard="usdt", account=account, amount="100000", transfer_id=account)
        if account != "taker":
            fields = {"side": "sell", "kind": "limit", "price": "10000", "qty": "0.001"}
            apply("order.new", market=MARKET, account=account, order_id="1", **fields)
    events = apply("order.new", market=MARKET, account="taker", order_id="1", side="buy", kind="market", qty="5")
    assert max(len(encode(event)) for event in events) <= RECORD_BYTES_MAX


def two_markets(first: str, second: str) -> Stage:
    """bob has set his leverage in two markets, in this order, and then has an order in each."""
    stage = Stage(market=second_market())
    stage.deposit("bob", "1000000")
    for market, price in ((MARKET, "10000"), ("ETH-USDT", "1000")):
        stage.send("price.mark", market=market, price=price)
    for market in (first, second):
        stage.send("account.leverage", market=market, account="bob", leverage="10")
    return stage


def test_equal_state_hashes_mean_equal_futures_also_for_the_order_of_an_accounts_markets() -> None:
    one, other = two_markets(MARKET, "ETH-USDT"), two_markets("ETH-USDT", MARKET)
    same_hash = one.venue.state_hash() == other.venue.state_hash()
    futures = []
    for stage in (one, other):
        for market, price in ((MARKET, "9000"), ("ETH-USDT", "900")):
            fields = {"order_id": f"o:{market}", "side": "buy", "kind": "limit", "price": price, "qty": "1"}
            stage.send("order.new", market=market, account="bob", **fields)
        stage.send("account.cancel_after", shard="usdt", account="bob", seconds=1)
        stage.now += 5 * SECOND
        futures.append([event.market for event in of_type(stage.send("clock.tick"), OrderCancelled)])
    assert not same_hash or futures[0] == futures[1]
