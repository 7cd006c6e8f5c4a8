"""A fund behind the markets of several shards: its reservations add up over all of them, whoever asks first."""

import random
from typing import Any

import pytest

from schemas.claims import AdlTriggered, Decision, TakeoverApproved, TakeoverClosed
from schemas.events import FundCredited
from tests.engine.stage import SECOND, of_type
from tests.engine.test_delayed_settlement import FLAT, DelayedVenue, venue_toml

BTC, XBT = "BTC-USDT", "XBT-USDT"
SHARDS = {BTC: "usdt", XBT: "more"}


class Twins:
    """A bankrupt long in each of two shards; the fund `btc` is behind both markets."""

    def __init__(self, opening: str) -> None:
        self.venue = DelayedVenue(venue_toml(opening=opening, tiers=FLAT), random.Random(1))
        self.now = 1_700_000_000 * SECOND
        for market in (BTC, XBT):
            for account, amount in (("alice", "500"), ("bob", "100000")):
                deposit = {"shard": SHARDS[market], "amount": amount, "transfer_id": account}
                self.send(market, "account.deposit", account=account, **deposit)
            self.mark(market, "10500")
            self.send(market, "account.leverage", account="alice", market=market, leverage="21")
            self.order(market, "bob", "sell", "10500")
            self.order(market, "alice", "buy", "10500")

    def send(self, to: str, type_: str, **fields: Any) -> None:
        """A command to the shard of a market."""
        self.now += SECOND
        self.venue.command(SHARDS[to], {"type": type_, "ts": self.now, **fields})

    def mark(self, market: str, price: str) -> None:
        """A mark price."""
        self.send(market, "price.mark", market=market, price=price)

    def order(self, market: str, account: str, side: str, price: str) -> None:
        """A limit order for 1."""
        fields = {"market": market, "account": account, "order_id": f"o{self.now}", "side": side, "kind": "limit"}
        self.send(market, "order.new", qty="1", price=price, **fields)

    def decisions(self) -> list[tuple[str, type[Decision]]]:
        """What settlement answered, to whom."""
        return [(d.shard, type(d)) for d in of_type(self.venue.events["settlement"], Decision)]


@pytest.mark.parametrize(("first", "second"), [("usdt", "more"), ("more", "usdt")])
def test_who_asks_first_is_taken_over_and_the_other_shard_finds_the_fund_reserved(first: str, second: str) -> None:
    twins = Twins(opening="90")
    for market in (BTC, XBT):
        twins.mark(market, "9950")  # expected loss 50 each
    for shard in (first, second):
        while twins.venue.claims[shard].waiting:
            twins.venue.deliver_claim(shard)
    assert twins.decisions() == [(first, TakeoverApproved), (second, AdlTriggered)]
    fund = twins.venue.settlement.funds["btc"]
    assert (fund.purse.balance, fund.reserved) == (90_000_000, 50_000_000)
    twins.venue.settle()
    twins.venue.check_at_rest()


def test_a_fund_that_can_carry_both_shards_reserves_for_both_and_is_paid_by_both() -> None:
    twins = Twins(opening="100")
    for market in (BTC, XBT):
        twins.mark(market, "9950")
    twins.venue.settle()
    assert sorted(twins.decisions()) == [("more", TakeoverApproved), ("usdt", TakeoverApproved)]
    fund = twins.venue.settlement.funds["btc"]
    assert fund.reserved == fund.purse.balance == 100_000_000
    for market, price in ((BTC, "9960"), (XBT, "10010")):
        twins.order(market, "bob", "buy", price)
        twins.mark(market, price)
        assert of_type(twins.venue.events[SHARDS[market]], TakeoverClosed)
    twins.venue.settle()
    twins.venue.check_at_rest()
    assert (fund.purse.balance, fund.reserved) == (70_000_000, 0)  # 100 − 40 + 10
    credited = of_type(twins.venue.events["settlement"], FundCredited)
    assert [(event.market, event.amount) for event in credited if event.cause_kind == "takeover_pnl"] == [
        (XBT, "10.000000")
    ]
