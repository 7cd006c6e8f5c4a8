"""Partial liquidation by risk tier: how much goes, what stays, and when the whole goes after all.

alice is long 10 from 10,000 with a margin of 5,000 (20 times), in the second tier: MM = 2.5 % of MV − 1,000. At the
mark 9,641 her equity is 1,410 of an MM of 1,410.25. In the first tier (up to 50,000, 0.5 %) she may keep 5.186, worth
49,998.226 at the mark, so 4.814 go.
"""

from schemas.claims import LiquidationResidual, LiquidationSettled
from schemas.envelope import Event
from schemas.events import LiquidationOrdered, LiquidationStarted, OrderCancelled
from tests.engine.stage import MARKET, Stage, of_type

TIERS = """[
    { up_to = "50000", initial = "0.02", maintenance = "0.005" },
    { up_to = "500000", initial = "0.05", maintenance = "0.025" },
]"""


def long_in_the_second_tier(market: str = "", **settings: str) -> Stage:
    """See above; nobody bids yet."""
    stage = Stage(tiers=TIERS, market=f'partial = "tier"\n{market}', **settings)
    for account in ("bob", "carl"):
        stage.deposit(account, "10000000")
    stage.deposit("alice", "5000")
    stage.mark("10000")
    stage.open_position("alice", "buy", "10", "10000", "20", against="bob")
    assert of_type(stage.mark("9641.1"), LiquidationStarted) == []
    return stage


def ordered(events: list[Event]) -> list[str]:
    """The quantities of the liquidation orders."""
    return [event.qty for event in of_type(events, LiquidationOrdered)]


def test_the_fewest_lots_go_that_leave_the_position_healthy_in_a_lower_tier() -> None:
    stage = long_in_the_second_tier()
    stage.buy("carl", "10", "9600")
    events = stage.mark("9641")
    (started,) = of_type(events, LiquidationStarted)
    assert (started.qty, started.equity, started.maintenance_margin) == ("10.000", "1410.000000", "1410.250000")
    (order,) = of_type(events, LiquidationOrdered)
    assert (order.qty, order.price) == ("4.814", "9500.0")
    (settled,) = of_type(events, LiquidationSettled)
    assert (settled.filled_qty, settled.surplus, settled.fee) == ("4.814", "0.000000", "0.000000")
    position = stage.position("alice")
    # What the fills realise stays in the margin: 5,000 − 4.814 × 400.
    assert (position["qty"], position["entry_value"], position["margin"]) == (
        "5.186",
        "51860.000000",
        "3074.400000",
    )
    assert of_type(stage.mark("9641"), LiquidationStarted) == []


def test_what_does_not_fill_makes_no_residual_and_the_whole_goes_at_the_next_mark_if_still_due() -> None:
    stage = long_in_the_second_tier(opening="100000")
    events = stage.mark("9641")
    assert ordered(events) == ["4.814"]
    assert of_type(events, LiquidationResidual) == []
    assert stage.position("alice")["qty"] == "10.000"
    assert of_type(stage.send("clock.tick"), LiquidationStarted) == []
    events = stage.mark("9641")
    assert ordered(events) == ["10.000"]
    (residual,) = of_type(events, LiquidationResidual)
    assert residual.qty == "10.000"


def test_a_position_that_funding_makes_due_under_the_first_mark_is_reduced() -> None:
    stage = Stage(tiers=TIERS, market='partial = "tier"')
    for account in ("bob", "alice"):
        stage.deposit(account, "10000000" if account == "bob" else "5000")
    stage.mark("10000")
    stage.open_position("alice", "buy", "10", "10000", "20", against="bob")
    assert ordered(stage.send("price.funding", market=MARKET, rate="0.036")) == ["5.000"]


def test_a_position_is_reduced_once_per_mark_also_where_funding_makes_it_due_again() -> None:
    stage = long_in_the_second_tier(opening="100000")
    stage.buy("carl", "4.814", "9600")
    assert ordered(stage.mark("9641")) == ["4.814"]
    assert ordered(stage.send("price.funding", market=MARKET, rate="0.025")) == ["5.186"]


def test_a_position_that_was_healthy_at_a_mark_in_between_is_reduced_again() -> None:
    stage = long_in_the_second_tier()
    assert ordered(stage.mark("9641")) == ["4.814"]
    assert ordered(stage.mark("9700")) == []
    assert ordered(stage.mark("9641")) == ["4.814"]


def test_in_the_first_tier_the_whole_goes_at_once() -> None:
    stage = Stage(tiers=TIERS, market='partial = "tier"')
    stage.deposit("bob", "1000000")
    stage.deposit("alice", "500")
    stage.mark("10000")
    stage.open_position("alice", "buy", "1", "10000", "20", against="bob")
    assert ordered(stage.mark("9540")) == ["1.000"]


def test_with_no_equity_left_the_whole_goes_at_once() -> None:
    stage = long_in_the_second_tier()
    assert ordered(stage.mark("9500")) == ["10.000"]


def test_thin_equity_takes_the_position_down_further_than_the_tier() -> None:
    # At 9,510 equity is 100, which carries the 0.5 % of 2.103 (99.99765) and not of 2.104.
    stage = long_in_the_second_tier()
    stage.buy("carl", "10", "9505")
    assert ordered(stage.mark("9510")) == ["7.897"]
    assert stage.position("alice")["qty"] == "2.103"


def test_the_fee_is_at_most_what_the_fills_brought_above_their_share_of_bankruptcy_value() -> None:
    # 46,214.4 at 0.2 % is 92.4288; above the share of 45,733 there are 481.4.
    stage = long_in_the_second_tier(market='liquidation_fee = "0.002"')
    stage.buy("carl", "10", "9600")
    (settled,) = of_type(stage.mark("9641"), LiquidationSettled)
    assert settled.fee == "92.428800"
    assert stage.fund()["credited_by_cause"] == {"fee": "92.428800"}
    assert stage.position("alice")["margin"] == "2981.971200"
    stage = long_in_the_second_tier(market='liquidation_fee = "0.05"')
    stage.buy("carl", "10", "9600")
    (settled,) = of_type(stage.mark("9641"), LiquidationSettled)
    assert settled.fee == "481.400000"


def test_a_short_is_reduced_by_buying_back() -> None:
    # Short 10 from 10,000, margin 5,000: 5,000 + 100,000 − m ≤ 0.025 m − 1,000 ⇔ m ≥ 103,414.63…, a mark of 10,341.5.
    stage = Stage(tiers=TIERS, market='partial = "tier"')
    for account in ("bob", "carl"):
        stage.deposit(account, "10000000")
    stage.deposit("alice", "5000")
    stage.mark("10000")
    stage.open_position("alice", "sell", "10", "10000", "20", against="bob")
    stage.sell("carl", "10", "10350")
    events = stage.mark("10341.5")
    (order,) = of_type(events, LiquidationOrdered)
    assert (order.side, order.qty, order.price) == ("buy", "5.166", "10500.0")  # 4.834 × 10,341.5 = 49,990.811
    assert stage.position("alice")["qty"] == "4.834"


def test_reduce_only_orders_of_a_reduced_position_shrink_and_the_others_are_cancelled() -> None:
    stage = long_in_the_second_tier()
    stage.deposit("alice", "5000")
    stage.sell("alice", "8", "12000", reduce_only=True, order_id="close")
    stage.buy("alice", "0.1", "9000", order_id="more")
    stage.buy("carl", "10", "9600")
    events = stage.mark("9641")
    assert [(event.order_id, event.reason) for event in of_type(events, OrderCancelled)] == [("more", "liquidation")]
    assert stage.book("sell") == [("12000.0", "close", "5.186")]


def test_setting_the_margin_mode_it_has_does_not_spare_a_position_the_whole_liquidation() -> None:
    stage = long_in_the_second_tier()
    stage.mark("9641")  # nobody bids: reduced by nothing
    stage.send("account.margin_mode", market=MARKET, account="alice", mode="isolated")
    (ordered,) = of_type(stage.mark("9641"), LiquidationOrdered)
    assert ordered.qty == "10.000"
