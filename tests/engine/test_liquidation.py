"""Liquidation of isolated linear positions: the trigger, the order, the surplus, the residual."""

import pytest

from schemas.claims import LiquidationResidual, LiquidationSettled
from schemas.envelope import Event
from schemas.events import (
    LiquidationOrdered,
    LiquidationStarted,
    OrderCancelled,
    OrderRejected,
    PositionUpdated,
    TradeExecuted,
)
from tests.engine.stage import Stage, of_type


def long_at_10500(**settings: str) -> Stage:
    """alice is long 1 at 10,500 with margin 500 (bankruptcy price 10,000); bob is short against her."""
    stage = Stage(**settings)
    stage.deposit("alice", "500")
    for account in ("bob", "carl", "dave"):
        stage.deposit(account, "100000")
    stage.mark("10500")
    stage.open_position("alice", "buy", "1", "10500", "21", against="bob")
    return stage


def liquidated(events: list[Event]) -> list[str]:
    """The accounts whose liquidation started, in order."""
    return [event.account for event in of_type(events, LiquidationStarted)]


def test_a_position_is_liquidated_at_the_first_mark_at_which_equity_is_not_above_maintenance_margin() -> None:
    # 500 + (m − 10,500) ≤ 0.005 m  ⇔  m ≤ 10,050.2512…
    stage = long_at_10500()
    assert of_type(stage.mark("10050.3"), LiquidationStarted) == []
    (started,) = of_type(stage.mark("10050.2"), LiquidationStarted)
    assert (started.equity, started.maintenance_margin) == ("50.200000", "50.251000")
    assert (started.bankruptcy_price, started.bankruptcy_value) == ("10000.00000000", "10000.000000")


def test_equity_equal_to_maintenance_margin_liquidates() -> None:
    # Maintenance 0.5 % of 10,000 is 50; margin 550 leaves equity 50 at the mark 10,000.
    stage = long_at_10500()
    stage.deposit("alice", "50")
    stage.margin("alice", "50")
    assert of_type(stage.mark("10000.1"), LiquidationStarted) == []
    (started,) = of_type(stage.mark("10000"), LiquidationStarted)
    assert started.equity == started.maintenance_margin == "50.000000"


def test_a_short_is_liquidated_by_a_rising_mark() -> None:
    # short 1 at 9,500 with margin 500: 500 + 9,500 − m ≤ 0.005 m ⇔ m ≥ 9,950.2487…
    stage = Stage()
    stage.deposit("alice", "500")
    stage.deposit("bob", "100000")
    stage.mark("9500")
    stage.open_position("alice", "sell", "1", "9500", "19", against="bob")
    assert of_type(stage.mark("9950.2"), LiquidationStarted) == []
    (started,) = of_type(stage.mark("9950.3"), LiquidationStarted)
    assert started.side == "short"


def test_margin_added_after_the_last_mark_counts_at_the_next() -> None:
    stage = long_at_10500()
    stage.deposit("alice", "100")
    stage.margin("alice", "100")
    assert of_type(stage.mark("10050"), LiquidationStarted) == []


def test_the_liquidation_order_sells_at_the_bankruptcy_price_rounded_up_and_pays_no_taker_fee() -> None:
    # Margin 500.03: bankruptcy price 9,999.97, so the order asks 10,000.0 and not 9,999.9.
    stage = long_at_10500(market='taker_fee = "0.0005"\nmaker_fee = "0.0002"')
    events = stage.events
    assert of_type(events, OrderRejected)  # 500 does not carry the fee: nothing was opened
    stage = Stage(market='taker_fee = "0.0005"\nmaker_fee = "0.0002"')
    stage.deposit("alice", "505.28")
    stage.deposit("bob", "100000")
    stage.mark("10500")
    stage.open_position("alice", "buy", "1", "10500", "21", against="bob")
    stage.margin("alice", "0.03")
    stage.buy("bob", "0.4", "10020")
    events = stage.mark("10050")
    (ordered,) = of_type(events, LiquidationOrdered)
    assert (ordered.side, ordered.price, ordered.qty, ordered.tif) == ("sell", "10000.0", "1.000", "ioc")
    (trade,) = of_type(events, TradeExecuted)
    assert (trade.price, trade.qty, trade.taker.fee, trade.taker.account) == ("10020.0", "0.400", "0.000000", "alice")
    assert trade.liquidation_id == ordered.liquidation_id


def test_the_liquidation_order_of_a_short_is_rounded_down() -> None:
    stage = Stage()
    stage.deposit("alice", "500.07")
    stage.deposit("bob", "100000")
    stage.mark("9500")
    stage.open_position("alice", "sell", "1", "9500", "19", against="bob")
    stage.margin("alice", "0.07")
    (ordered,) = of_type(stage.mark("9960"), LiquidationOrdered)
    assert (ordered.side, ordered.price) == ("buy", "10000.0")


def test_no_fill_is_worse_than_bankruptcy() -> None:
    stage = long_at_10500()
    stage.buy("carl", "1", "9999.9")
    events = stage.mark("10050")
    assert of_type(events, TradeExecuted) == []
    (residual,) = of_type(events, LiquidationResidual)
    assert residual.qty == "1.000"


def test_what_fills_above_bankruptcy_is_surplus_and_goes_to_the_fund() -> None:
    stage = long_at_10500()
    stage.buy("carl", "1", "10100")
    (settled,) = of_type(stage.mark("10050"), LiquidationSettled)
    assert (settled.filled_qty, settled.average_price, settled.surplus, settled.to) == (
        "1.000",
        "10100.00000000",
        "100.000000",
        "fund",
    )
    assert stage.fund()["balance"] == "100.000000"
    assert stage.account("alice")["wallet"] == "0.000000"


def test_a_partly_filled_liquidation_passes_the_rest_on_at_its_share_of_bankruptcy_value() -> None:
    # 0.4 fills at 10,100: 4,040 against a share of 4,000. The other 0.6 leave at 6,000.
    stage = long_at_10500(opening="1000")
    stage.buy("carl", "0.4", "10100")
    events = stage.mark("9990")
    (settled,) = of_type(events, LiquidationSettled)
    assert (settled.filled_qty, settled.surplus) == ("0.400", "40.000000")
    (residual,) = of_type(events, LiquidationResidual)
    assert (residual.qty, residual.bankruptcy_value, residual.expected_loss) == ("0.600", "6000.000000", "6.000000")
    (position,) = [event for event in of_type(events, PositionUpdated) if event.account == "alice"][-1:]
    assert (position.side, position.margin, position.wallet) == ("flat", "0.000000", "0.000000")
    assert position.realised_pnl == "-460.000000"


@pytest.mark.parametrize(
    ("fee", "charged", "surplus"),
    [("0.002", "20.200000", "79.800000"), ("0.05", "100.000000", "0.000000")],
)
def test_the_liquidation_fee_is_at_most_what_is_left(fee: str, charged: str, surplus: str) -> None:
    # Fill 1 at 10,100: 0.2 % is 20.2; 5 % would be 505 but only 100 is left.
    stage = long_at_10500(market=f'liquidation_fee = "{fee}"')
    stage.buy("carl", "1", "10100")
    (settled,) = of_type(stage.mark("10050"), LiquidationSettled)
    assert (settled.fee, settled.surplus) == (charged, surplus)
    assert stage.fund()["balance"] == "100.000000"
    assert stage.fund()["credited_by_cause"]["fee"] == charged


def test_surplus_goes_back_to_the_account_where_the_market_says_so_after_the_fee() -> None:
    stage = long_at_10500(market='surplus = "account"\nliquidation_fee = "0.002"')
    stage.buy("carl", "1", "10100")
    (settled,) = of_type(stage.mark("10050"), LiquidationSettled)
    assert settled.to == "account"
    assert stage.account("alice")["wallet"] == "79.800000"
    assert stage.fund()["balance"] == "20.200000"


def test_surplus_goes_to_the_fund_all_the_same_when_something_became_a_residual() -> None:
    stage = long_at_10500(market='surplus = "account"', opening="1000")
    stage.buy("carl", "0.4", "10100")
    (settled,) = of_type(stage.mark("10050"), LiquidationSettled)
    assert (settled.to, settled.surplus) == ("fund", "40.000000")
    assert stage.account("alice")["wallet"] == "0.000000"


def test_orders_that_could_increase_risk_are_cancelled_first_and_reduce_only_ones_when_the_position_is_gone() -> None:
    stage = long_at_10500()
    stage.deposit("alice", "5000")
    stage.buy("alice", "0.1", "9000", order_id="more")
    stage.sell("alice", "0.1", "12000", order_id="other_side")
    stage.sell("alice", "0.5", "11000", order_id="close", reduce_only=True)
    events = stage.mark("10050")
    cancelled = [(event.order_id, event.reason) for event in of_type(events, OrderCancelled)]
    assert cancelled == [("more", "liquidation"), ("other_side", "liquidation"), ("close", "reduce_only")]
    started = events.index(of_type(events, LiquidationStarted)[0])
    assert [type(event) for event in events[:started]] == [OrderCancelled, OrderCancelled]


def test_the_wallet_beside_an_isolated_position_is_not_touched() -> None:
    stage = long_at_10500(opening="1000")
    stage.deposit("alice", "777")
    stage.mark("9990")
    assert stage.account("alice")["wallet"] == "777.000000"


def test_liquidations_of_one_mark_run_from_the_lowest_equity_to_maintenance_ratio_then_by_account_name() -> None:
    stage = Stage(opening="100000")
    stage.deposit("maker", "1000000")
    stage.mark("10000")
    for account, leverage in (("zoe", "50"), ("eve", "50"), ("ann", "20"), ("kim", "100")):
        stage.deposit(account, "1000")
        stage.open_position(account, "buy", "1", "10000", leverage, against="maker")
    assert liquidated(stage.mark("9000")) == ["kim", "eve", "zoe", "ann"]


def test_liquidations_above_the_cap_wait_in_their_order_and_run_before_the_next_command() -> None:
    stage = Stage(opening="100000", limits="liquidations_per_command = 2")
    stage.deposit("maker", "1000000")
    stage.mark("10000")
    for account in ("a1", "a2", "a3", "a4", "a5"):
        stage.deposit(account, "1000")
        stage.open_position(account, "buy", "1", "10000", "50", against="maker")
    stage.deposit("bidder", "1000000")
    stage.buy("bidder", "5", "9850")  # so that no residual, and no decision as another input, comes in between
    assert liquidated(stage.mark("9000")) == ["a1", "a2"]
    events = stage.sell("a5", "1")
    assert liquidated(events) == ["a3", "a4"]
    assert [event.code for event in of_type(events, OrderRejected)] == ["in_liquidation"]
    assert liquidated(stage.send("clock.tick")) == ["a5"]


def test_a_decision_is_a_command_too_and_lets_waiting_liquidations_run_before_it() -> None:
    stage = Stage(opening="100000", limits="liquidations_per_command = 1")
    stage.deposit("maker", "1000000")
    stage.mark("10000")
    for account in ("a1", "a2", "a3"):
        stage.deposit(account, "1000")
        stage.open_position(account, "buy", "1", "10000", "50", against="maker")
    events = stage.mark("9000")  # nobody bids: each residual is answered by a decision
    started = {event.account: event.cause for event in of_type(events, LiquidationStarted)}
    assert list(started) == ["a1", "a2", "a3"]
    assert list(started.values()) == list(range(started["a1"], started["a1"] + 3))


def test_who_waits_is_looked_at_again_and_let_go_when_healthy() -> None:
    stage = Stage(opening="100000", limits="liquidations_per_command = 1")
    stage.deposit("maker", "1000000")
    stage.mark("10000")
    for account in ("a1", "a2", "a3"):
        stage.deposit(account, "1000")
        stage.open_position(account, "buy", "1", "10000", "50", against="maker")
    stage.deposit("bidder", "1000000")
    stage.buy("bidder", "3", "9850")
    stage.mark("9000")  # a1 goes, a2 and a3 wait
    stage.mark("10000")  # a2 goes before this mark is taken over
    stage.send("clock.tick")  # a3 is healthy at 10,000
    assert liquidated(stage.events) == ["a1", "a2"]
    assert stage.position("a3")["side"] == "long"
    assert of_type(stage.sell("a3", "1", "10500"), OrderRejected) == []
    assert liquidated(stage.mark("9000")) == ["a3"]


def test_a_maker_whose_margin_fails_is_cancelled_and_the_liquidation_goes_on_to_the_next() -> None:
    stage = long_at_10500()
    stage.deposit("poor", "150")
    stage.leverage("poor", "100")
    stage.buy("poor", "1", "10200")
    stage.mark("10100")
    stage.buy("carl", "1", "10010")
    # At the mark 10,050 poor's bid of 10,200 loses 150 at once and needs 102 of margin: 252 of 150.
    events = stage.mark("10050")
    (cancelled,) = of_type(events, OrderCancelled)
    assert (cancelled.account, cancelled.reason) == ("poor", "margin")
    (trade,) = of_type(events, TradeExecuted)
    assert (trade.maker.account, trade.price) == ("carl", "10010.0")
