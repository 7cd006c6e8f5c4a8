"""Decisions that arrive late: the mark has moved, and others were taken in between."""

from typing import Any

import orjson

from engine.conservation import check_shard
from engine.settlement import Settlement
from engine.shard import Shard
from engine.spec import compile_venue
from schemas.claims import AnyDecision, Claim, LiquidationClosed, TakeoverClosed, TakeoverExhausted, TakeoverFilled
from schemas.config import parse_config
from schemas.envelope import Event
from schemas.events import AdlExecuted
from schemas.wire import decode_command
from tests.engine.stage import MARKET, SECOND, Stage, of_type, venue_toml


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

    def deliver(self, most: int = 100) -> list[Event]:
        """The decisions that wait, in their order, and those that they lead to."""
        events: list[Event] = []
        for _ in range(most):
            if not self.decisions:
                break
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
    late.deliver()
    check_shard(late.shard)
    assert of_type(late.mark("9000"), TakeoverExhausted)
    late.deliver()  # both were asked about at once and so passed each other by
    late.mark("9000")
    late.deliver()
    assert not late.shard.state.markets[MARKET].residuals


def test_inventory_that_the_last_resort_closes_says_against_which_liquidation() -> None:
    # As above, but the mark is 10,060, which alice's long bears: nobody but it is there for sam's short.
    late = Late()
    late.fund_account("alice", "500", "21")
    late.fund_account("sam", "525", "20")
    late.mark("10500")
    late.order("sam", "sell", "1", "10500")
    late.order("alice", "buy", "1", "10500")
    for price in ("10050", "11100", "10060"):
        late.mark(price)
    events = late.deliver()
    (filled,) = of_type(events, TakeoverFilled)
    assert (filled.liquidation_id, filled.against, filled.pnl) == ("usdt:1", "usdt:2", "60.000000")
    (closed,) = of_type(events, LiquidationClosed)
    assert (closed.liquidation_id, closed.adl_qty, closed.surplus) == ("usdt:2", "1.000", "965.000000")


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
