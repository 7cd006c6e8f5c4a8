"""What review found: each test fails as long as the engine does what its docstring complains about."""

import re
from pathlib import Path
from typing import get_args

import pytest

from engine.fixed import AMOUNT_LIMIT
from engine.reject import Code
from engine.venue import Venue
from schemas.config import ConfigError, parse_config
from schemas.events import LiquidationStarted, OrderAccepted
from schemas.wire import encode
from tests.engine.stage import MARKET, Stage, codes, of_type, venue_toml
from tests.engine.test_order_commands import TWO_TIERS, apply_alone
from tests.engine.test_orders import open_market

ENGINE = Path(__file__).parents[2] / "engine"


def test_a_shard_without_markets_takes_commands() -> None:
    """The config is accepted, then the first command to the shard (every tick is one) raises ValueError."""
    stage = Stage(market='\n[shards.empty]\nasset = "USDT"')
    assert codes(stage.send("account.deposit", shard="empty", account="alice", amount="1", transfer_id="t")) == []
    stage.send("clock.tick")


def test_a_rebate_to_whom_a_forced_order_meets_is_paid_from_fees_that_were_earned() -> None:
    """A liquidation order pays no taker fee, but its maker gets the rebate: the fees held go below zero."""
    stage = open_market(market='maker_fee = "-0.0002"\ntaker_fee = "0.0005"\nfund_fee_share = "1"')
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    stage.buy("carol", "1", "9100")
    assert of_type(stage.mark("9040"), LiquidationStarted)
    assert stage.venue.shards["usdt"].state.fees.balance >= 0


def test_no_amount_that_a_mark_leads_to_is_two_to_the_63_units_or_more() -> None:
    """The mark is refused when one lot is worth that much; a position of many lots is worth more."""
    stage = open_market()
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    events = stage.mark("9000000000000000")
    amounts = re.findall(r'"-?([0-9]+)\.([0-9]{6})"', b"".join(map(encode, events)).decode())
    assert max((int(whole + units) for whole, units in amounts), default=0) < AMOUNT_LIMIT


def test_taking_margin_out_never_makes_a_position_liquidatable() -> None:
    """What must stay is reckoned on the entry value; maintenance is that of the mark, which may have tripled.

    Short 1 at 10,000, leverage 100, margin 21,100, mark 30,000: equity 1,100, maintenance 150. Taking 1,000 is allowed.
    """
    stage = open_market()
    stage.deposit("bob", "1000000")
    stage.open_position("alice", "sell", "1", "10000", "100", against="bob")
    stage.margin("alice", "21000")
    assert of_type(stage.mark("30000"), LiquidationStarted) == []
    stage.margin("alice", "-1000")
    assert of_type(stage.mark("30000"), LiquidationStarted) == []


def test_an_order_that_was_accepted_does_not_open_a_position_that_is_due_for_liquidation() -> None:
    """Initial margin is that of the print: at less than half the mark and leverage 100 it is below maintenance."""
    stage = open_market()
    stage.leverage("alice", "100")
    stage.buy("bob", "1", "4000")
    stage.sell("alice", "1", "4000")
    assert of_type(stage.mark("10000"), LiquidationStarted) == []


def test_a_flip_opens_no_more_than_the_tier_allows() -> None:
    """Only what makes the position larger is checked: 4.9 short at 20,000 is refused, and got by flipping 4.9 long."""
    stage = open_market(tiers=TWO_TIERS)
    for name in ("bob", "carol"):
        stage.deposit(name, "1000000")
        stage.leverage(name, "1")
    stage.open_position("alice", "buy", "4.9", "10000", "10", against="bob")
    stage.mark("20000")
    assert codes(stage.sell("dave", "4.9", "20000")) == ["position_limit"]
    assert codes(stage.sell("alice", "9.8", "20000")) == ["position_limit"]


def test_while_settlement_is_behind_a_position_cannot_be_flipped() -> None:
    """The refusal says "only reducing"; an order that closes 2 and opens 2 the other way passes."""
    stage = open_market(limits="max_open_residuals = 1")
    for name in ("long1", "long2"):
        stage.deposit(name, "1000")
        stage.open_position(name, "buy", "1", "10000", "10", against="bob")
    apply_alone(stage, "price.mark", market=MARKET, price="8000")
    flip = {"market": MARKET, "account": "bob", "order_id": "x", "side": "buy", "kind": "limit", "price": "8000"}
    assert codes(apply_alone(stage, "order.new", **flip, qty="4")) == ["settlement_behind"]


def test_orders_of_the_worse_side_are_carried_at_what_they_will_need() -> None:
    """Of orders beyond the position the average is held back, but asks trade cheapest first: the dearest ones open.

    Long 1; asks of 1 at 10,001 and 1 at 35,000: the first one closes, the second needs 3,500 and not 2,250.05.
    """
    stage = open_market()
    stage.deposit("long", "3300")
    stage.open_position("long", "buy", "1", "10000", "10", against="bob")
    stage.sell("long", "1", "10001")
    assert codes(stage.sell("long", "1", "35000")) == ["insufficient_margin"]


def test_lowering_the_leverage_is_never_too_high() -> None:
    """Once the mark has lifted a position over its last tier no leverage is taken any more, not even 1."""
    stage = open_market(tiers='[{ up_to = "50000", initial = "0.01", maintenance = "0.005" }]')
    stage.open_position("alice", "buy", "5", "10000", "10", against="bob")
    stage.mark("10001")
    assert codes(stage.leverage("alice", "1")) == []


def test_an_order_that_is_alone_at_its_price_can_be_moved_while_the_side_is_full() -> None:
    """It leaves its level before it needs another one: the bound on levels is kept."""
    stage = open_market(limits="max_price_levels = 2")
    stage.buy("alice", "1", "9000", order_id="a")
    stage.buy("alice", "1", "8000", order_id="b")
    assert codes(stage.amend("alice", "b", price="8500")) == []


def test_an_order_that_trades_whole_needs_no_room_in_the_book() -> None:
    """A limit order across the spread never rests, and is refused because its own side is full."""
    stage = open_market(limits="max_price_levels = 1")
    stage.sell("bob", "1", "11000")
    stage.buy("carol", "1", "10000")
    assert of_type(stage.sell("alice", "1", "10000"), OrderAccepted)


def test_a_refused_order_leaves_no_trace_in_the_state_hash() -> None:
    """It makes the account's position in the market, whose rank in order of appearance decides ties in ADL."""
    stage = open_market()
    rows = [row for row in stage.venue.shards["usdt"].rows() if row[0] not in ("outbox", "topic")]
    assert codes(stage.buy("alice", "1000", "10000")) == ["position_limit"]
    assert [row for row in stage.venue.shards["usdt"].rows() if row[0] not in ("outbox", "topic")] == rows


def test_every_code_of_a_refusal_is_given_somewhere() -> None:
    """docs/wire.md lists other_asset (a fund that exists is called unknown_fund) and unknown_shard (wrong_shard)."""
    sources = [path.read_text("utf-8") for path in ENGINE.glob("*.py") if path.name != "reject.py"]
    assert [code for code in get_args(Code) if not any(f'"{code}"' in source for source in sources)] == []


@pytest.mark.parametrize(("shard", "fund"), [("fund", "fees"), ("transit", "btc"), ("usdt", "btc")])
def test_no_two_balances_have_the_same_name_in_the_ledger(shard: str, fund: str) -> None:
    """`fund/fees` is the fund called fees and the fees of a shard called fund; `transit/external` likewise.

    Who rebuilds balances from the ledger alone adds them up. Refusing such a config would do.
    """
    others = "".join(f'\n[shards.{name}]\nasset = "USDT"' for name in {shard, "external"} - {"usdt"})
    toml = venue_toml(market=others + '\n[funds.fees]\nasset = "USDT"' * (fund == "fees"))
    try:
        venue = Venue(parse_config(toml))
    except ConfigError as refused:
        assert shard in str(refused)  # noqa: PT017 -- either way of solving it is right
        return
    states = [machine.state for machine in venue.shards.values()]
    purses = [purse for state in states for purse in (state.external, state.fees, state.transit)]
    purses += [held.purse for held in venue.settlements["USDT"].funds.values()]
    names = [purse.name for purse in purses]
    assert len(names) == len(set(names))
