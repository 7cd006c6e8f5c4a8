"""Liquidation of cross accounts: when, in which order, how far, and who gets or pays what."""

import pytest

from schemas.claims import LiquidationResidual, LiquidationSettled
from schemas.envelope import Event
from schemas.events import (
    LiquidationStarted,
    OrderCancelled,
    PositionUpdated,
    TradeExecuted,
)
from tests.engine.crossed import BTC, ETH, SOL, CrossStage, started
from tests.engine.stage import codes, of_type
from tests.engine.test_order_commands import apply_alone

UNIT = "0.000001"


def three_longs(**settings: str) -> CrossStage:
    """alice is long 1 BTC, 20 ETH and 50 SOL with 900 in the wallet, at 100 times; at first MM is 50, 100 and 25."""
    stage = CrossStage(**settings)
    stage.deposit("alice", "900")
    stage.lever("alice", "100")
    stage.trade("alice", BTC, "buy", "1")
    stage.trade("alice", ETH, "buy", "20")
    stage.trade("alice", SOL, "buy", "50")
    return stage


def numbers(events: list[Event]) -> list[tuple[str, str, str, str]]:
    """Market, equity, maintenance margin and bankruptcy value of every liquidation that began."""
    return [
        (event.market, event.equity, event.maintenance_margin, event.bankruptcy_value)
        for event in of_type(events, LiquidationStarted)
    ]


def settled(events: list[Event]) -> list[tuple[str, str, str, str, str]]:
    """Market, filled quantity, fee, surplus and where it went of every liquidation that was settled."""
    return [
        (event.market, event.filled_qty, event.fee, event.surplus, event.to)
        for event in of_type(events, LiquidationSettled)
    ]


def bid(stage: CrossStage, market: str, qty: str, price: str) -> None:
    """The house would buy."""
    stage.order("house", market, "buy", qty, price)


# --- when, and in which order ---------------------------------------------------------------------------------


def test_an_account_is_due_at_the_first_mark_of_any_market_at_which_equity_is_not_above_maintenance_margin() -> None:
    stage = three_longs()
    # 900 − 20 x − (10,000 − 20 y)… with ETH at 963.65: E = 900 − 727 = 173, MM = 50 + 96.365 + 25 = 171.365.
    assert started(stage.mark_of(ETH, "963.65")) == []
    # A fall of BTC by 1.6 leaves 171.4 of 171.357; by 1.7 171.3 of 171.3565.
    assert started(stage.mark_of(BTC, "9998.4")) == []
    events = stage.mark_of(BTC, "9998.3")
    assert numbers(events)[0][:3] == (ETH, "171.300000", "171.356500")


def test_equity_equal_to_maintenance_margin_is_due() -> None:
    stage = CrossStage()
    stage.deposit("alice", "1050")
    stage.trade("alice", BTC, "buy", "1")
    stage.trade("alice", ETH, "buy", "0.4")
    stage.take_away("alice", 998_000_001)
    assert started(stage.mark_of(SOL, "100")) == [("alice", BTC), ("alice", ETH)]
    stage = CrossStage()
    stage.deposit("alice", "1050")
    stage.trade("alice", BTC, "buy", "1")
    stage.trade("alice", ETH, "buy", "0.4")
    stage.take_away("alice", 997_999_999)
    stage.deposit("alice", UNIT)
    assert started(stage.mark_of(SOL, "100")) == []


def test_the_position_with_the_largest_maintenance_margin_goes_first_and_equity_is_allotted_anew_before_each() -> None:
    stage = three_longs(opening="100000")
    # E = 900 − 800 = 100 of 50 + 96 + 25: ETH's 19,200 is worth its share of 100 more than bankruptcy.
    events = stage.mark_of(ETH, "960")
    assert numbers(events) == [
        (ETH, "100.000000", "171.000000", "19143.859650"),  # 56.140350: the odd unit is BTC's
        (BTC, "43.859650", "75.000000", "9970.760233"),  # 29.239767: and so it is here
        (SOL, "14.619883", "25.000000", "4985.380117"),
    ]
    assert [event.bankruptcy_value for event in of_type(events, LiquidationResidual)] == [
        "19143.859650",
        "9970.760233",
        "4985.380117",
    ]
    assert stage.wallet("alice") == "0.000000"
    assert stage.open_in("alice") == {}


def test_the_largest_maintenance_margin_goes_first_and_not_the_largest_value() -> None:
    """2,000 of BTC at 5 % need 100, 10,000 of ETH at 0.5 % need 50."""
    stage = CrossStage(opening="100000", tiers='[{ up_to = "1000000", initial = "0.1", maintenance = "0.05" }]')
    stage.deposit("alice", "1200")
    stage.trade("alice", ETH, "buy", "10")
    stage.trade("alice", BTC, "buy", "0.2")
    stage.take_away("alice", 1_050_000_000)
    assert started(stage.mark_of(SOL, "100")) == [("alice", BTC), ("alice", ETH)]


def test_equal_maintenance_margins_go_by_market_name() -> None:
    stage = CrossStage(opening="100000")
    stage.deposit("alice", "300")
    stage.lever("alice", "100")
    for market, qty in ((SOL, "100"), (ETH, "10"), (BTC, "1")):
        stage.trade("alice", market, "sell", qty)
    stage.take_away("alice", 150_000_000)
    assert started(stage.mark_of(SOL, "100")) == [("alice", BTC), ("alice", ETH), ("alice", SOL)]


def test_it_stops_as_soon_as_the_account_is_healthy() -> None:
    stage = three_longs()
    bid(stage, ETH, "20", "960")
    events = stage.mark_of(ETH, "960")
    assert settled(events) == [(ETH, "20.00", "0.000000", "0.000000", "fund")]
    assert (stage.wallet("alice"), stage.open_in("alice")) == ("100.000000", {BTC: "1.000", SOL: "50.00"})
    # At 9,975.1 E = 75.1 of 74.8755.
    bid(stage, BTC, "1", "9974.8")
    assert started(stage.mark_of(BTC, "9975.1")) == []
    assert started(stage.mark_of(BTC, "9974.8")) == [("alice", BTC)]


def test_what_fills_above_bankruptcy_may_heal_the_account_and_stays_in_its_wallet() -> None:
    stage = three_longs()
    bid(stage, ETH, "10", "970")  # half of it, at 9,700 of 9,571.929825
    events = stage.mark_of(ETH, "960")
    assert settled(events)[0] == (ETH, "10.00", "0.000000", "0.000000", "fund")
    # What was left of 100 after ETH's share, and what half of it brought above bankruptcy: 43.859650 + 128.070175.
    assert started(events) == [("alice", ETH)]
    wallet = 900 - 20_000 + 9_700 + 9_571.929825
    assert stage.wallet("alice") == f"{wallet:.6f}"
    (update,) = [event for event in of_type(events, PositionUpdated) if event.account == "alice"]
    assert (update.side, update.wallet) == ("flat", f"{wallet:.6f}")
    assert stage.open_in("alice") == {BTC: "1.000", SOL: "50.00"}


def test_due_pools_go_by_their_score_then_by_account_and_the_cross_positions_before_isolated_ones() -> None:
    stage = CrossStage(opening="1000000")
    for account, deposit in (("amy", "150"), ("bea", "150"), ("cat", "140")):
        stage.deposit(account, deposit)
        stage.lever(account, "100", BTC)
        stage.trade(account, BTC, "buy", "1")
    stage.deposit("bea", "1000")
    stage.mode("bea", BTC, "isolated")  # a margin of 100
    stage.margin("bea", "50")
    events = stage.mark_of(BTC, "9890")
    assert started(events) == [("cat", BTC), ("amy", BTC), ("bea", BTC)]
    stage = CrossStage(opening="1000000")
    stage.deposit("amy", "200")
    stage.lever("amy", "100", BTC, ETH)
    stage.trade("amy", BTC, "buy", "1")
    stage.mode("amy", ETH, "isolated")
    stage.trade("amy", ETH, "buy", "10")
    stage.mark_of(SOL, "100")
    stage.take_away("amy", 60_000_000)
    assert started(stage.mark_of(ETH, "990")) == [("amy", ETH)]  # only what the wallet holds is in the pool
    stage.deposit("amy", UNIT)
    assert started(stage.mark_of(BTC, "9999")) == [("amy", BTC)]


def test_of_one_account_with_equal_scores_the_cross_positions_go_before_an_isolated_one() -> None:
    stage = CrossStage(opening="1000000")
    stage.deposit("amy", "200")
    stage.lever("amy", "100", ETH, SOL)
    stage.trade("amy", SOL, "buy", "100")
    stage.mode("amy", ETH, "isolated")
    stage.trade("amy", ETH, "buy", "10")  # a margin of 100, all lost at 990
    stage.take_away("amy", 100_000_001)
    stage.deposit("amy", UNIT)
    assert started(stage.mark_of(ETH, "990")) == [("amy", SOL), ("amy", ETH)]


def test_all_orders_of_the_account_in_the_shard_that_could_increase_risk_go_and_reduce_only_ones_stay() -> None:
    stage = three_longs(opening="100000")
    stage.mode("alice", SOL, "cross")
    stage.order("alice", SOL, "buy", "1", "90", order_id="sol")
    stage.order("alice", BTC, "buy", "0.1", "9000", order_id="btc")
    stage.order("alice", BTC, "sell", "0.1", "12000", order_id="btc-sell")
    stage.order("alice", BTC, "sell", "0.5", "11000", order_id="btc-close", reduce_only=True)
    stage.order("alice", ETH, "sell", "5", "1200", order_id="eth-close", reduce_only=True)
    stage.order(
        "alice", SOL, "sell", "1", "80", order_id="stop", trigger_price="85", trigger_when="falls_to", trigger_by="mark"
    )
    bid(stage, ETH, "20", "960")
    events = stage.mark_of(ETH, "960")
    assert [(event.order_id, event.reason) for event in of_type(events, OrderCancelled)] == [
        ("btc", "liquidation"),
        ("btc-sell", "liquidation"),
        ("sol", "liquidation"),
        ("stop", "liquidation"),
        ("eth-close", "reduce_only"),
    ]
    first = events.index(of_type(events, LiquidationStarted)[0])
    assert [type(event) for event in events[:first]] == [OrderCancelled] * 4
    assert [order_id for _, order_id, _ in stage.book("sell")] == ["btc-close"]


def test_an_isolated_position_beside_it_keeps_its_margin_and_loses_its_orders() -> None:
    stage = CrossStage(opening="100000")
    stage.deposit("alice", "2000")
    stage.mode("alice", SOL, "isolated")
    stage.trade("alice", SOL, "buy", "10")
    stage.trade("alice", BTC, "buy", "1")
    stage.order("alice", SOL, "buy", "1", "90", order_id="sol")
    events = stage.mark_of(BTC, "8000")
    assert [event.order_id for event in of_type(events, OrderCancelled)] == ["sol"]
    assert stage.open_in("alice") == {SOL: "10.00"}
    assert stage.account("alice")["positions"][SOL]["margin"] == "100.000000"
    assert stage.wallet("alice") == "0.000000"


def test_liquidating_an_isolated_position_leaves_orders_in_other_markets_and_cross_positions_alone() -> None:
    stage = CrossStage(opening="100000")
    stage.deposit("alice", "2000")
    stage.mode("alice", SOL, "isolated")
    stage.trade("alice", SOL, "buy", "10")
    stage.trade("alice", BTC, "buy", "1")
    stage.order("alice", ETH, "buy", "0.1", "900", order_id="eth")
    events = stage.mark_of(SOL, "89")
    assert started(events) == [("alice", SOL)]
    assert of_type(events, OrderCancelled) == []
    assert (stage.wallet("alice"), stage.open_in("alice")) == ("1900.000000", {BTC: "1.000"})


# --- surplus and fee --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("surplus", "fund", "wallet"), [("fund", "37", "0"), ("account", "0", "37")])
def test_what_is_left_in_the_wallet_with_the_last_position_is_the_surplus(surplus: str, fund: str, wallet: str) -> None:
    """Worked example 5: 900 − 773 − 60 − 30 = 37."""
    stage = three_longs(every=f'surplus = "{surplus}"')
    bid(stage, ETH, "20", "961.35")
    bid(stage, BTC, "1", "9940")
    bid(stage, SOL, "50", "99.4")
    stage.mark_of(BTC, "9940")
    stage.mark_of(SOL, "99")
    events = stage.mark_of(ETH, "960")
    assert started(events) == [("alice", ETH), ("alice", BTC), ("alice", SOL)]
    assert settled(events) == [
        (ETH, "20.00", "0.000000", "0.000000", "fund"),
        (BTC, "1.000", "0.000000", "0.000000", "fund"),
        (SOL, "50.00", "0.000000", "37.000000", surplus),
    ]
    assert stage.fund()["balance"] == f"{fund}.000000"
    assert stage.wallet("alice") == f"{wallet}.000000"


def test_a_residual_of_an_episode_that_ended_in_health_is_forgotten() -> None:
    stage = three_longs(every='surplus = "account"', opening="100000")
    bid(stage, BTC, "1", "10000")
    bid(stage, SOL, "50", "99.9")
    events = stage.mark_of(ETH, "960")
    assert [event.market for event in of_type(events, LiquidationResidual)] == [ETH]
    assert started(events) == [("alice", ETH), ("alice", BTC)]  # E = 43.859650 of 25: healthy without BTC
    events = stage.mark_of(SOL, "99.5")  # 18.859650 of 24.875; the episode is a new one
    assert settled(events) == [(SOL, "50.00", "0.000000", "38.859650", "account")]


def test_after_a_residual_earlier_in_the_episode_the_surplus_goes_to_the_fund_all_the_same() -> None:
    stage = three_longs(every='surplus = "account"', opening="100000")
    bid(stage, BTC, "1", "9980")
    bid(stage, SOL, "50", "99.9")
    events = stage.mark_of(ETH, "960")
    assert started(events) == [("alice", ETH), ("alice", BTC), ("alice", SOL)]
    # 43.859650 − 20 of BTC − 5 of SOL.
    assert settled(events)[-1] == (SOL, "50.00", "0.000000", "18.859650", "fund")
    assert stage.wallet("alice") == "0.000000"
    stage.deposit("alice", "1000")  # and the next episode is not charged with it
    stage.trade("alice", BTC, "buy", "1")
    bid(stage, BTC, "1", "9100")
    assert settled(stage.mark_of(BTC, "9040"))[0][2:] == ("0.000000", "100.000000", "account")


def test_an_episode_is_remembered_while_the_account_waits_for_the_rest_of_the_cap() -> None:
    stage = three_longs(every='surplus = "account"', opening="100000", limits="liquidations_per_command = 1")
    bid(stage, BTC, "1", "9980")
    bid(stage, SOL, "50", "99.9")
    apply_alone(stage, "price.mark", market=ETH, price="960")
    apply_alone(stage, "clock.tick")
    assert settled(apply_alone(stage, "clock.tick"))[-1] == (SOL, "50.00", "0.000000", "18.859650", "fund")


def test_a_residual_does_not_outlive_positions_that_were_closed_otherwise() -> None:
    """ETH leaves a residual and BTC is reduced in part; alice closes the rest herself, and starts anew."""
    stage = partly_reduced()
    assert stage.open_in("alice") == {BTC: "1.000"}
    stage.trade("alice", BTC, "sell", "1", "10100")
    assert stage.open_in("alice") == {}
    stage.deposit("alice", "1000")
    stage.trade("alice", SOL, "buy", "100")
    bid(stage, SOL, "100", "91")
    wallet = float(stage.wallet("alice"))
    (outcome,) = settled(stage.mark_of(SOL, f"{100 - wallet / 100 + 0.3:.2f}"))
    assert (outcome[0], outcome[-1]) == (SOL, "account")


def test_a_residual_does_not_outlive_a_mark_at_which_the_account_was_healthy() -> None:
    stage = partly_reduced()
    stage.deposit("alice", "1000")  # E = 17.983302 + 1,000
    assert started(stage.mark_of(SOL, "100")) == []
    bid(stage, BTC, "1", "9000")
    events = stage.mark_of(BTC, "8980")  # below zero: the whole goes
    assert [(market, qty, to) for market, qty, _, _, to in settled(events)] == [(BTC, "1.000", "account")]


def test_an_episode_goes_on_while_the_account_is_due_from_mark_to_mark() -> None:
    """ETH left a residual at the last mark; at this one the rest of BTC goes, and what it leaves is the fund's."""
    stage = partly_reduced()
    bid(stage, BTC, "1", "10000")
    assert settled(stage.mark_of(SOL, "100")) == [(BTC, "1.000", "0.000000", "17.983302", "fund")]


def partly_reduced() -> CrossStage:
    """ETH, the first to go, leaves a residual; then BTC is asked to shrink to the first tier, and nobody bids."""
    tiers = """[{ up_to = "6000", initial = "0.01", maintenance = "0.005" },
                { up_to = "500000", initial = "0.02", maintenance = "0.01" }]"""
    stage = CrossStage(every='surplus = "account"', btc='partial = "tier"', opening="100000", tiers=tiers)
    stage.deposit("alice", "2900")
    stage.lever("alice", "50")
    stage.trade("alice", BTC, "buy", "1")
    stage.trade("alice", ETH, "buy", "20")
    assert started(stage.mark_of(ETH, "857")) == [("alice", ETH), ("alice", BTC)]
    return stage


@pytest.mark.parametrize(("fee", "charged"), [("0.002", "38.800000"), ("0.05", "256.140350")])
def test_the_fee_of_an_earlier_position_is_at_most_what_its_fills_brought_above_bankruptcy(
    fee: str, charged: str
) -> None:
    """19,400 for 20 ETH, which were bankrupt at 19,143.859650."""
    stage = three_longs(eth=f'liquidation_fee = "{fee}"')
    bid(stage, ETH, "20", "970")
    bid(stage, BTC, "1", "10000")  # needed only after the higher fee
    events = stage.mark_of(ETH, "960")
    assert settled(events)[0] == (ETH, "20.00", charged, "0.000000", "fund")
    assert stage.fund()["credited_by_cause"] == {"fee": charged}
    assert stage.wallet("alice") == f"{300 - float(charged):.6f}"


def test_the_fee_of_the_last_position_comes_before_the_surplus() -> None:
    stage = CrossStage(every='surplus = "account"\nliquidation_fee = "0.002"')
    stage.deposit("alice", "1000")
    stage.trade("alice", BTC, "buy", "1")
    bid(stage, BTC, "1", "9100")
    assert settled(stage.mark_of(BTC, "9040")) == [(BTC, "1.000", "18.200000", "81.800000", "account")]
    assert stage.wallet("alice") == "81.800000"


# --- with less than nothing -------------------------------------------------------------------------------------


def test_equity_below_zero_is_charged_to_losing_positions_by_their_loss() -> None:
    """W = 900, BTC −1,200, ETH −600, SOL +300: E = −600, two thirds of it BTC's and one third ETH's."""
    stage = three_longs(opening="100000")
    stage.mark_of(SOL, "106")
    stage.mark_of(ETH, "970")
    events = stage.mark_of(BTC, "8800")
    assert numbers(events) == [
        (ETH, "-600.000000", "167.500000", "19600.000000"),
        (BTC, "-400.000000", "70.500000", "9200.000000"),
        (SOL, "0.000000", "26.500000", "5300.000000"),
    ]
    assert stage.wallet("alice") == "0.000000"


def test_odd_units_of_a_shortfall_go_by_market_name() -> None:
    """900.000001 − 1,200 − 600 − 1: −900.999999 over losses of 1,200, 600 and 1, then over 600 and 1."""
    stage = three_longs(opening="100000")
    stage.deposit("alice", UNIT)
    stage.mark_of(SOL, "99.98")
    stage.mark_of(ETH, "970")
    events = stage.mark_of(BTC, "8800")
    # ETH: floor(900.999999 × 600 ÷ 1,801) = 300.166574; BTC's share is rounded up before it is.
    assert numbers(events)[0] == (ETH, "-900.999999", "165.995000", "19700.166574")
    assert numbers(events)[1][:2] == (BTC, "-600.833425")
    assert stage.wallet("alice") == "0.000000"


def carried_by_ether(*, short_of_sol: str) -> CrossStage:
    """W = −900 after a loss in BTC that the profit of alice's 2 ETH carries; she is short of SOL from 100."""
    stage = CrossStage(opening="100000")
    stage.deposit("alice", "700")
    stage.lever("alice", "20")
    stage.trade("alice", BTC, "buy", "1")
    stage.trade("alice", ETH, "buy", "2")
    stage.trade("alice", SOL, "sell", short_of_sol)
    stage.mark_of(ETH, "2000")
    stage.mark_of(BTC, "8400")
    stage.trade("alice", BTC, "sell", "1", "8400")
    return stage


def test_what_exceeds_all_losses_is_charged_by_share_of_maintenance_margin() -> None:
    """The profit is gone at a stroke, and no position has a loss but SOL."""
    stage = carried_by_ether(short_of_sol="10")
    assert stage.wallet("alice") == "-900.000000"
    stage.mark_of(SOL, "101")  # short 10 from 100: −10
    events = stage.mark_of(ETH, "1000")
    # −910: 10 are SOL's loss, 900 go by 10 of ETH and 5.05 of SOL: 598.006644 and 301.993355, the odd unit to ETH.
    assert numbers(events) == [
        (ETH, "-910.000000", "15.050000", "2598.006645"),
        (SOL, "-311.993355", "5.050000", "698.006645"),
    ]
    assert stage.wallet("alice") == "0.000000"


def test_a_bankruptcy_value_may_be_below_zero_and_its_loss_is_settled_all_the_same() -> None:
    """What is left to charge by maintenance margin exceeds all that a short can be bought back for."""
    stage = carried_by_ether(short_of_sol="5")
    events = stage.mark_of(ETH, "0.01")
    assert numbers(events)[0][0] == SOL
    (residual,) = [event for event in of_type(events, LiquidationResidual) if event.market == SOL]
    assert residual.bankruptcy_value.startswith("-")
    assert residual.bankruptcy_price is None
    assert stage.wallet("alice") == "0.000000"
    assert stage.open_in("alice") == {}
    stage.order("house", SOL, "sell", "5", "100")
    stage.mark_of(SOL, "100")
    assert stage.venue.report()["markets"][SOL]["residual_qty"] == "0.00"


# --- the cap ----------------------------------------------------------------------------------------------------


def half_done() -> CrossStage:
    """One liquidation per command: alice's ETH is gone, BTC and SOL wait; zoe, who is better off, waits behind her."""
    stage = three_longs(opening="100000", limits="liquidations_per_command = 1")
    stage.deposit("zoe", "110")
    stage.lever("zoe", "100")
    stage.trade("zoe", ETH, "buy", "2.5")
    bid(stage, BTC, "10", "9970.8")
    assert started(apply_alone(stage, "price.mark", market=ETH, price="960")) == [("alice", ETH)]
    return stage


def test_the_cap_carries_a_half_done_account_over_at_the_head_of_the_queue() -> None:
    stage = half_done()
    assert stage.state_of("alice").waiting == 1
    assert started(apply_alone(stage, "clock.tick")) == [("alice", BTC)]
    assert started(apply_alone(stage, "clock.tick")) == [("alice", SOL)]
    assert stage.state_of("alice").waiting == 0
    assert started(apply_alone(stage, "clock.tick")) == [("zoe", ETH)]
    assert started(apply_alone(stage, "clock.tick")) == []


def test_commands_of_a_half_done_account_are_rejected_in_every_market() -> None:
    stage = half_done()
    order = {"account": "alice", "order_id": "x", "side": "buy", "kind": "limit", "price": "10", "qty": "1"}
    assert codes(apply_alone(stage, "order.new", market=SOL, **order)) == ["in_liquidation"]
    stage = half_done()
    assert codes(apply_alone(stage, "account.margin_mode", account="alice", market=SOL, mode="isolated")) == [
        "in_liquidation"
    ]
    stage = half_done()
    withdrawal = {"shard": "usdt", "account": "zoe", "amount": "1", "transfer_id": "w"}
    assert codes(apply_alone(stage, "account.withdraw", **withdrawal)) == ["in_liquidation"]


def test_a_half_done_account_that_a_deposit_heals_is_let_go_before_its_next_position() -> None:
    stage = half_done()
    deposit = {"shard": "usdt", "account": "alice", "amount": "500", "transfer_id": "d"}
    assert started(apply_alone(stage, "account.deposit", **deposit)) == [("alice", BTC)]  # run before the command
    assert started(apply_alone(stage, "clock.tick")) == [("zoe", ETH)]
    assert stage.open_in("alice") == {SOL: "50.00"}
    order = {"account": "alice", "order_id": "x", "side": "buy", "kind": "limit", "price": "90", "qty": "1"}
    assert codes(apply_alone(stage, "order.new", market=SOL, **order)) == []
    assert started(apply_alone(stage, "price.mark", market=SOL, price="89")) == [("alice", SOL)]


def test_orders_of_an_account_that_waits_may_only_reduce_and_only_back_to_maintenance_margin() -> None:
    """E = 0 for four accounts; amy goes at the mark, bea before the first order, cat before the second, dan is last."""
    stage = CrossStage(opening="100000", limits="liquidations_per_command = 1")
    for name in ("amy", "bea", "cat", "dan"):
        stage.deposit(name, "110")
        stage.lever(name, "100", BTC, ETH)
        stage.trade(name, ETH, "buy", "2.5")
        stage.order(name, BTC, "buy", "0.01", "9000", order_id=f"{name}-more")
    stage.order("dan", ETH, "sell", "1", "960", order_id="too-cheap", reduce_only=True)
    stage.order("dan", ETH, "sell", "1", "1001", order_id="dear", reduce_only=True)
    apply_alone(stage, "price.mark", market=ETH, price="956")
    order = {"account": "house", "kind": "limit", "tif": "ioc"}
    sell = {"order_id": "x", "market": BTC, "side": "sell", "price": "9000", "qty": "0.04"}
    events = apply_alone(stage, "order.new", **order, **sell)
    assert of_type(events, TradeExecuted) == []
    assert [(event.order_id, event.reason) for event in of_type(events, OrderCancelled)] == [
        ("bea-more", "liquidation"),
        ("cat-more", "margin"),
        ("dan-more", "margin"),
        ("x", "ioc"),
    ]
    # 1 of 2.5 sold 4 above the mark leaves 4 of 7.17; the other order, 45 above it, 45 of 7.17.
    buy = {"order_id": "y", "market": ETH, "side": "buy", "price": "1001", "qty": "2"}
    events = apply_alone(stage, "order.new", **order, **buy)
    assert [event.maker.order_id for event in of_type(events, TradeExecuted)] == ["dear"]
    assert ("too-cheap", "margin") in [(event.order_id, event.reason) for event in of_type(events, OrderCancelled)]
    assert started(apply_alone(stage, "clock.tick")) == []
    assert (stage.state_of("dan").waiting, stage.open_in("dan")) == (0, {ETH: "1.50"})


def test_an_account_whose_last_position_is_closed_while_it_waits_keeps_its_money_and_is_let_go() -> None:
    """Three of four wait; cat's order closes all it has before its turn comes."""
    stage = CrossStage(opening="100000", limits="liquidations_per_command = 1")
    for name in ("amy", "bea", "cat"):
        stage.deposit(name, "110")
        stage.lever(name, "100", ETH)
        stage.trade(name, ETH, "buy", "2.5")
    stage.order("cat", ETH, "sell", "2.5", "1001", reduce_only=True)
    apply_alone(stage, "price.mark", market=ETH, price="956")
    order = {"order_id": "y", "account": "house", "kind": "limit", "tif": "ioc", "side": "buy", "price": "1001"}
    events = apply_alone(stage, "order.new", market=ETH, qty="2.5", **order)
    assert started(events) == [("bea", ETH)]
    assert of_type(events, TradeExecuted)[-1].maker.account == "cat"
    withdrawal = {"shard": "usdt", "account": "cat", "amount": "112.5", "transfer_id": "w"}
    events = apply_alone(stage, "account.withdraw", **withdrawal)
    assert (started(events), codes(events)) == ([], [])
    assert (stage.wallet("cat"), stage.state_of("cat").waiting) == ("0.000000", 0)
