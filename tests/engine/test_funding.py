"""Funding: who pays whom how much, from what, in which order, and what a round that the cap cuts leaves consistent.

Where nothing else is said bob is short 1 and alice long 1 from 10,000, both with a margin of 1,000 (10 times), and
nobody pays trading fees.
"""

import pytest

from engine.position import Parcel
from engine.residual import Residual
from schemas.claims import TakeoverClosed, TakeoverExhausted
from schemas.envelope import Event
from schemas.events import (
    FundingPaid,
    FundingSettled,
    LedgerPosted,
    LiquidationStarted,
    PositionUpdated,
)
from tests.engine.stage import MARKET, Stage, codes, of_type

ONE_PER_COMMAND = "funding_payments_per_command = 1"
TWO_PER_COMMAND = "funding_payments_per_command = 2"


def long_and_short(**settings: str) -> Stage:
    """See above."""
    stage = Stage(**settings)
    for account in ("alice", "bob"):
        stage.deposit(account, "100000")
    stage.mark("10000")
    stage.leverage("bob", "10")
    stage.open_position("alice", "buy", "1", "10000", "10", against="bob")
    return stage


def several(count: int, qty: str = "1", leverage: str = "10", **settings: str) -> Stage:
    """maker is short, and a1, a2 … are long against him `qty` each from 10,000; they appeared in this order."""
    stage = Stage(**settings)
    stage.deposit("maker", "1000000")
    stage.mark("10000")
    stage.leverage("maker", "10")
    for i in range(1, count + 1):
        stage.deposit(f"a{i}", "100000")
        stage.open_position(f"a{i}", "buy", qty, "10000", leverage, against="maker")
    return stage


def payments(events: list[Event]) -> dict[str, str]:
    """What was paid (minus) and received, by account or liquidation, in order."""
    paid = of_type(events, FundingPaid)
    return {event.account if isinstance(event.account, str) else event.liquidation_id: event.amount for event in paid}


def margins(stage: Stage, *accounts: str) -> list[str]:
    return [stage.position(account)["margin"] for account in accounts]


def liquidated(events: list[Event]) -> list[str]:
    return [event.account for event in of_type(events, LiquidationStarted)]


# --- who pays whom ------------------------------------------------------------------------------------------


def test_with_a_positive_rate_longs_pay_shorts_their_share_of_the_value_at_the_mark() -> None:
    # 0.01 % of 12,000, the mark, and not of 10,000, the entry.
    stage = long_and_short()
    stage.margin("bob", "5000")
    stage.mark("12000")
    events = stage.funding("0.0001")
    assert payments(events) == {"bob": "1.200000", "alice": "-1.200000"}
    assert margins(stage, "alice", "bob") == ["998.800000", "6001.200000"]
    assert stage.position("alice")["entry_value"] == stage.position("bob")["entry_value"] == "10000.000000"
    paid = of_type(events, FundingPaid)[1]
    assert (paid.market, paid.round, paid.side, paid.qty) == (MARKET, 1, "long", "1.000")
    assert (paid.mark_price, paid.rate, paid.capitalised) == ("12000.0", "0.0001", "0.000000")
    (settled,) = of_type(events, FundingSettled)
    assert (settled.paid, settled.received, settled.dust) == ("1.200000", "1.200000", "0.000000")
    assert (settled.round, settled.positions, settled.rate, settled.mark_price) == (1, 2, "0.0001", "12000.0")


def test_with_a_negative_rate_shorts_pay_longs() -> None:
    stage = long_and_short()
    events = stage.funding("-0.00010")
    assert payments(events) == {"bob": "-1.000000", "alice": "1.000000"}
    assert margins(stage, "alice", "bob") == ["1001.000000", "999.000000"]
    assert {event.rate for event in of_type(events, FundingPaid, FundingSettled)} == {"-0.0001"}


def test_every_payment_is_published_and_posted_through_the_purse_of_the_market() -> None:
    stage = long_and_short()
    events = stage.funding("0.0001")
    updated = {event.account: event.margin for event in of_type(events, PositionUpdated)}
    assert updated == {"bob": "1001.000000", "alice": "999.000000"}
    (posting,) = of_type(events, LedgerPosted)
    assert [(line.debit, line.credit, line.amount, line.cause_kind) for line in posting.lines] == [
        (f"usdt/funding/{MARKET}", f"usdt/margin/{MARKET}/bob", "1.000000", "funding"),
        (f"usdt/margin/{MARKET}/alice", f"usdt/funding/{MARKET}", "1.000000", "funding"),
    ]


def test_payers_are_rounded_up_receivers_down_and_the_dust_goes_to_the_fees_held() -> None:
    # 0.001 at 10,000 is worth 10; a rate of 10^-9 of that is a hundredth of a unit. maker's 0.003: three hundredths.
    stage = several(3, qty="0.001")
    events = stage.funding("0.000000001")
    assert payments(events) == {"maker": "0.000000", "a1": "-0.000001", "a2": "-0.000001", "a3": "-0.000001"}
    (settled,) = of_type(events, FundingSettled)
    assert (settled.paid, settled.received, settled.dust) == ("0.000003", "0.000000", "0.000003")
    assert stage.venue.shards["usdt"].state.fees.balance == 3
    events = stage.funding("-0.000000001")
    assert payments(events) == {"maker": "-0.000001", "a1": "0.000000", "a2": "0.000000", "a3": "0.000000"}
    assert stage.venue.shards["usdt"].state.fees.balance == 4


def test_a_rate_of_zero_is_over_at_once_and_moves_nothing() -> None:
    stage = long_and_short()
    before = stage.account("alice"), stage.account("bob")
    events = stage.funding("-0.0")
    assert [type(event) for event in events] == [FundingSettled]
    assert (events[0].rate, events[0].positions) == ("0", 0)  # type: ignore[attr-defined]
    assert (stage.account("alice"), stage.account("bob")) == before


def test_a_funding_with_no_position_open_is_over_at_once() -> None:
    stage = Stage()
    stage.mark("10000")
    (settled,) = stage.funding("0.001")
    assert isinstance(settled, FundingSettled)
    assert (settled.round, settled.positions) == (1, 0)


def test_who_is_flat_takes_no_part() -> None:
    stage = long_and_short()
    stage.deposit("carl", "100000")
    stage.open_position("carl", "buy", "1", "10000", "10", against="bob")
    stage.buy("bob", "1", "10000")
    stage.sell("carl", "1", "10000")
    assert list(payments(stage.funding("0.001"))) == ["bob", "alice"]


@pytest.mark.parametrize("rate", ["1.000000001", "-1.1", "0.0000000001", "-99999999999"])
def test_a_rate_beyond_one_or_with_more_than_nine_decimals_is_rejected(rate: str) -> None:
    stage = long_and_short()
    before = stage.rows()
    assert codes(stage.funding(rate)) == ["bad_rate"]
    assert stage.rows() == before


def test_a_rate_of_one_is_taken() -> None:
    assert codes(long_and_short().funding("1")) == []


def test_without_a_mark_or_a_market_there_is_no_funding() -> None:
    stage = Stage()
    assert codes(stage.funding("0.001")) == ["no_mark"]
    assert codes(stage.funding("0.001", market="DOGE-USDT")) == ["unknown_market"]


# --- from what they pay -------------------------------------------------------------------------------------


def test_what_the_margin_of_a_long_cannot_pay_raises_its_entry_value() -> None:
    # 20 % of 12,000 is 2,400: 1,000 from the margin, 1,400 capitalised. uPnL 2,000 − 1,400 = 600 > MM 60.
    stage = long_and_short()
    stage.margin("bob", "5000")
    stage.mark("12000")
    events = stage.funding("0.2")
    paid = of_type(events, FundingPaid)[1]
    assert (paid.account, paid.amount, paid.capitalised) == ("alice", "-2400.000000", "-1400.000000")
    position = stage.position("alice")
    assert (position["margin"], position["entry_value"]) == ("0.000000", "11400.000000")
    assert (position["unrealised_pnl"], position["bankruptcy_price"]) == ("600.000000", "11400.00000000")
    assert stage.account("alice")["wallet"] == "99000.000000"
    # Due at (11,400 − 0) ÷ 0.995 = 11,457.286…
    assert liquidated(stage.mark("11457.3")) == []
    assert liquidated(stage.mark("11457.2")) == ["alice"]


def test_what_the_margin_of_a_short_cannot_pay_lowers_its_entry_value() -> None:
    # 20 % of 8,000 is 1,600: 1,000 from the margin, 600 capitalised. uPnL 2,000 − 600 = 1,400.
    stage = long_and_short()
    stage.margin("alice", "5000")
    stage.mark("8000")
    events = stage.funding("-0.2")
    paid = of_type(events, FundingPaid)[0]
    assert (paid.account, paid.amount, paid.capitalised) == ("bob", "-1600.000000", "-600.000000")
    position = stage.position("bob")
    assert (position["margin"], position["entry_value"], position["unrealised_pnl"]) == (
        "0.000000",
        "9400.000000",
        "1400.000000",
    )


def test_a_capitalised_position_is_closed_in_parts_that_sum_to_its_new_entry_value() -> None:
    stage = long_and_short()
    stage.deposit("carl", "100000")
    stage.margin("bob", "5000")
    stage.mark("12000")
    stage.sell("alice", "0.3", "12000")
    stage.buy("carl", "0.3", "12000")
    # 0.7 from 7,000 with a margin of 700; 12.345678 % of 8,400 is 1,037.036952, of which 337.036952 are capitalised.
    stage.funding("0.12345678")
    assert stage.position("alice")["entry_value"] == "7337.036952"
    realised = 0.0
    for qty in ("0.001", "0.333", "0.366"):
        stage.buy("carl", qty, "12000")
        events = stage.sell("alice", qty, "12000")
        realised += sum(
            float(event.realised_pnl) for event in of_type(events, PositionUpdated) if event.account == "alice"
        )
    assert realised == pytest.approx(8400 - 7337.036952)
    # 100,000 + 600 for the first 0.3, and for the rest 1,400 less the funding.
    assert stage.account("alice")["wallet"] == "100962.963048"


def test_a_position_that_its_funding_makes_due_is_liquidated_by_the_same_command() -> None:
    # Margin 1,000, MM 50: 9.5 % of 10,000 leaves exactly 50.
    stage = long_and_short()
    assert liquidated(stage.funding("0.0949")) == []
    stage = long_and_short()
    stage.deposit("carl", "100000")
    stage.buy("carl", "1", "9960")
    events = stage.funding("0.095")
    assert liquidated(events) == ["alice"]
    # BV = 10,000 − 50; sold at 9,960: 10 to the fund.
    assert stage.fund()["balance"] == "10.000000"
    assert stage.account("bob")["positions"][MARKET]["margin"] == "1950.000000"


def test_who_received_is_not_liquidated_for_it() -> None:
    stage = long_and_short()
    assert liquidated(stage.funding("-0.0949")) == []
    assert liquidated(stage.funding("0.0949")) == []


def test_liquidations_by_funding_run_from_the_lowest_equity_to_maintenance_ratio_then_by_account_name() -> None:
    stage = Stage(opening="100000")
    stage.deposit("maker", "1000000")
    stage.mark("10000")
    for account, leverage in (("zoe", "50"), ("eve", "50"), ("ann", "20"), ("kim", "100")):
        stage.deposit(account, "1000")
        stage.open_position(account, "buy", "1", "10000", leverage, against="maker")
    assert liquidated(stage.funding("0.05")) == ["kim", "eve", "zoe", "ann"]


def test_liquidations_by_funding_above_the_cap_wait_and_run_before_the_next_command() -> None:
    stage = several(4, leverage="50", opening="100000", limits="liquidations_per_command = 3")
    stage.deposit("bidder", "1000000")
    stage.buy("bidder", "4", "9960")  # so that no residual, and no decision as another input, comes in between
    assert liquidated(stage.funding("0.015")) == ["a1", "a2", "a3"]
    events = stage.send("clock.tick")
    assert liquidated(events) == ["a4"]


# --- residuals ----------------------------------------------------------------------------------------------


def fund_holds_a_long(opening: str = "100000", **settings: str) -> Stage:
    """carl's long 1 from 10,000 with a margin of 500 is the fund's at 9,500; bob is short 1; the mark is 9,500."""
    stage = Stage(opening=opening, **settings)
    stage.deposit("carl", "500")
    for account in ("bob", "dave"):
        stage.deposit(account, "100000")
    stage.mark("10000")
    stage.leverage("dave", "10")
    stage.open_position("carl", "buy", "1", "10000", "20", against="bob")
    stage.mark("9500")
    return stage


def test_a_residual_pays_by_its_value_and_whoever_closes_it_realises_that() -> None:
    stage = fund_holds_a_long()
    events = stage.funding("0.01")
    assert payments(events) == {"bob": "95.000000", "usdt:1": "-95.000000"}
    paid = of_type(events, FundingPaid)[1]
    assert (paid.side, paid.qty, paid.capitalised) == ("long", "1.000", "-95.000000")
    assert not isinstance(paid.account, str)
    # Carried at 9,595 now: its budget of nothing is exhausted at the next mark, and 95 are lost at 9,500.
    stage.buy("dave", "1", "9500")
    events = stage.mark("9500")
    assert [event.expected_loss for event in of_type(events, TakeoverExhausted)] == ["95.000000"]
    assert [event.pnl for event in of_type(events, TakeoverClosed)] == ["-95.000000"]
    assert stage.fund()["balance"] == "99905.000000"


def test_a_residual_receives_by_its_value() -> None:
    stage = fund_holds_a_long()
    assert payments(stage.funding("-0.01")) == {"bob": "-95.000000", "usdt:1": "95.000000"}
    stage.buy("dave", "1", "9500")
    assert [event.pnl for event in of_type(stage.mark("9500"), TakeoverClosed)] == ["95.000000"]
    assert stage.fund()["balance"] == "100095.000000"


def test_a_residual_of_which_only_a_loss_is_left_takes_no_part() -> None:
    stage = long_and_short()
    market = stage.venue.shards["usdt"].state.markets[MARKET]
    market.residuals["usdt:1"] = Residual(1, "usdt:1", 1, 1, Parcel())  # as while the fund is asked to cover it
    assert set(payments(stage.funding("0.001"))) == {"alice", "bob"}


def test_an_entry_value_stays_at_the_value_of_one_tick_and_the_fees_held_bear_the_rest() -> None:
    # The fund's long is carried at 9,500 and would receive 9,600: 9,499.9 are taken, down to 0.1 a piece.
    stage = fund_holds_a_long()
    stage.margin("bob", "20000")
    stage.mark("9600")
    events = stage.funding("-1")
    assert payments(events) == {"bob": "-9600.000000", "usdt:1": "9499.900000"}
    (settled,) = of_type(events, FundingSettled)
    assert (settled.paid, settled.received, settled.dust) == ("9600.000000", "9499.900000", "100.100000")
    assert payments(stage.funding("-0.5")) == {"bob": "-4800.000000", "usdt:1": "0.000000"}
    # A short that is carried at little and worth a lot: what it cannot pay the fees held advance.
    stage = Stage(opening="100000")
    for account, amount in (("carl", "20"), ("bob", "100000"), ("dave", "10")):
        stage.deposit(account, amount)
    stage.mark("100")
    stage.open_position("carl", "sell", "1", "100", "5", against="bob")
    stage.margin("bob", "5000")
    stage.mark("250")
    events = stage.funding("1")
    assert payments(events) == {"bob": "-250.000000", "usdt:1": "250.000000"}
    events = stage.funding("-1")
    assert payments(events) == {"bob": "250.000000", "usdt:1": "-250.000000"}
    events = stage.funding("-1")
    assert payments(events) == {"bob": "250.000000", "usdt:1": "-119.900000"}
    (settled,) = of_type(events, FundingSettled)
    assert (settled.paid, settled.received, settled.dust) == ("119.900000", "250.000000", "-130.100000")
    stage.deposit("dave", "1000")
    stage.leverage("dave", "1")
    stage.sell("dave", "1", "250")
    assert [event.pnl for event in of_type(stage.mark("250"), TakeoverClosed)] == ["-249.900000"]
