"""Liquidation of inverse positions: the order, the fund, auto-deleveraging, the last resort. Everything in the coin.

alice is long 10,000 contracts from 10,000, worth 1 BTC, with a margin of 0.1: bankrupt where they are worth 1.1, at
9,090.909…, and due where 1.1 − MV is half a percent of MV, at 9,136.36. The short of the same size is bankrupt where
they are worth 0.9, at 11,111.11…, and due at 11,055.56.
"""

import pytest

from engine.last_resort import close_at_mark
from engine.position import Parcel
from engine.residual import Residual
from schemas.claims import (
    AdlTriggered,
    LiquidationClosed,
    LiquidationResidual,
    LiquidationSettled,
    LiquidationUncovered,
    TakeoverApproved,
    TakeoverClosed,
    TakeoverExhausted,
    TakeoverFilled,
)
from schemas.envelope import Event
from schemas.events import (
    AdlCompleted,
    AdlExecuted,
    LiquidationOrdered,
    LiquidationStarted,
    LossSocialised,
    OrderCancelled,
    TradeExecuted,
)
from tests.engine.coin import CoinStage
from tests.engine.stage import SECOND, of_type


def with_money(**settings: str) -> CoinStage:
    """bob, carl and dave with 100 BTC each, at a mark of 10,000."""
    stage = CoinStage(**settings)
    for account in ("bob", "carl", "dave"):
        stage.deposit(account, "100")
    stage.mark("10000")
    return stage


def leveraged(side: str, **settings: str) -> CoinStage:
    """alice as above, bob with leverage 2 against her."""
    stage = with_money(**settings)
    stage.deposit("alice", "0.1")
    stage.leverage("bob", "2")
    stage.open_position("alice", side, "10000", "10000", "10", against="bob")
    return stage


def three_contracts(side: str, leverage: str, **settings: str) -> CoinStage:
    """alice with 3 contracts from 30,000, worth 10,000 units, so that single units show."""
    stage = with_money(**settings)
    stage.deposit("alice", "0.1")
    stage.mark("30000")
    stage.leverage("bob", "2")
    stage.open_position("alice", side, "3", "30000", leverage, against="bob")
    free = stage.account("alice")["free"]
    stage.send("account.withdraw", shard="coin", account="alice", amount=free, transfer_id="w")
    return stage


def trades(events: list[Event]) -> list[tuple[str, str]]:
    """Price and quantity of the trades."""
    return [(trade.price, trade.qty) for trade in of_type(events, TradeExecuted)]


# --- who is due ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "healthy", "due"), [("buy", "9136.5", "9136"), ("sell", "11055.5", "11056")])
def test_a_long_is_liquidated_by_a_falling_mark_and_a_short_by_a_rising_one(side: str, healthy: str, due: str) -> None:
    stage = leveraged(side)
    assert of_type(stage.mark(healthy), LiquidationStarted) == []
    (started,) = of_type(stage.mark(due), LiquidationStarted)
    assert started.account == "alice"


def test_equity_equal_to_maintenance_margin_liquidates() -> None:
    # At 8,000 the position is worth 1.25 and needs 0.00625; a margin of 0.25625 leaves just that.
    stage = leveraged("buy")
    stage.deposit("alice", "0.15625")
    stage.margin("alice", "0.15625")
    assert of_type(stage.mark("8000.5"), LiquidationStarted) == []
    (started,) = of_type(stage.mark("8000"), LiquidationStarted)
    assert started.equity == started.maintenance_margin == "0.00625000"


def test_a_short_without_leverage_is_never_liquidated() -> None:
    # What it can lose is what it set aside, all of the 1 BTC, and no price takes it all.
    stage = with_money()
    stage.deposit("alice", "1")
    stage.leverage("bob", "1")
    stage.open_position("alice", "sell", "10000", "10000", "1", against="bob")
    position = stage.position("alice")
    assert (position["bankruptcy_price"], position["liquidation_price"]) == (None, None)
    for mark in ("20000", "1000000", "1000000000", "900000000000"):
        assert of_type(stage.mark(mark), LiquidationStarted) == []
    assert stage.position("alice")["unrealised_pnl"] == "-0.99999999"
    # At more than 10^12 USD the contracts are worth less than a unit of the coin: all is lost.
    (started,) = of_type(stage.mark("1000000000000.5"), LiquidationStarted)
    assert (started.account, started.equity) == ("alice", "0.00000000")


def test_a_long_without_leverage_is_liquidated_near_half_its_entry_price() -> None:
    stage = with_money()
    stage.deposit("alice", "1")
    stage.leverage("bob", "1")
    stage.open_position("alice", "buy", "10000", "10000", "1", against="bob")
    # At 5,025 sharp it is worth 1.990049751…, a fraction of a unit too little once it is rounded down.
    assert of_type(stage.mark("5025"), LiquidationStarted) == []
    (started,) = of_type(stage.mark("5024.5"), LiquidationStarted)
    assert started.bankruptcy_price == "5000.00000000"


def test_the_lowest_equity_to_maintenance_ratio_goes_first() -> None:
    stage = with_money(opening="10")
    stage.leverage("bob", "1")
    for account, leverage in (("zoe", "50"), ("eve", "50"), ("ann", "20"), ("kim", "100")):
        stage.deposit(account, "1")
        stage.open_position(account, "buy", "1000", "10000", leverage, against="bob")
    assert [event.account for event in of_type(stage.mark("9000"), LiquidationStarted)] == ["kim", "eve", "zoe", "ann"]


# --- the liquidation order ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "mark", "sent", "limit"), [("buy", "9136", "sell", "9091.0"), ("sell", "11056", "buy", "11111.0")]
)
def test_the_order_is_bounded_by_the_bankruptcy_price_rounded_to_the_safe_side(
    side: str, mark: str, sent: str, limit: str
) -> None:
    (ordered,) = of_type(leveraged(side).mark(mark), LiquidationOrdered)
    assert (ordered.side, ordered.price, ordered.qty) == (sent, limit, "10000")


@pytest.mark.parametrize(("side", "mark", "beyond"), [("buy", "9136", "9090.5"), ("sell", "11056", "11111.5")])
def test_no_fill_is_worse_than_bankruptcy(side: str, mark: str, beyond: str) -> None:
    stage = leveraged(side)
    (stage.buy if side == "buy" else stage.sell)("carl", "10000", beyond)
    events = stage.mark(mark)
    assert trades(events) == []
    (residual,) = of_type(events, LiquidationResidual)
    assert (residual.qty, residual.expected_loss) == ("10000", "0.00000000")


@pytest.mark.parametrize(
    ("side", "mark", "price", "average", "surplus"),
    [
        # Sold for 1.096491228… rounded down, of 1.1; bought back for 0.902934537… rounded up, of 0.9.
        ("buy", "9136", "9120", "9120.00006712", "0.00350878"),
        ("sell", "11056", "11075", "11074.99996622", "0.00293454"),
    ],
)
def test_what_fills_better_than_bankruptcy_is_surplus_in_the_coin(
    side: str, mark: str, price: str, average: str, surplus: str
) -> None:
    stage = leveraged(side)
    (stage.buy if side == "buy" else stage.sell)("carl", "10000", price)
    events = stage.mark(mark)
    (settled,) = of_type(events, LiquidationSettled)
    assert (settled.average_price, settled.surplus, settled.to) == (average, surplus, "fund")
    assert stage.fund()["balance"] == surplus
    assert stage.account("alice")["wallet"] == "0.00000000"


def test_the_value_of_a_sold_long_is_rounded_down() -> None:
    """Rounded up, three contracts sold one by one at the limit would cost a unit more than bankruptcy value."""
    # BV 11,000: a third is 3,666.67, and at 27,273 a contract is worth 3,666.63 units.
    stage = three_contracts("buy", "10")
    for _ in range(3):
        stage.buy("carl", "1", "27273")
    events = stage.mark("27407")
    (ordered,) = of_type(events, LiquidationOrdered)
    assert ordered.price == "27273.0"
    assert trades(events) == [("27273.0", "1")] * 3
    assert stage.position("carl")["entry_value"] == "0.00010998"
    (settled,) = of_type(events, LiquidationSettled)
    assert settled.surplus == "0.00000002"


def test_the_value_of_a_short_bought_back_is_rounded_up() -> None:
    """Rounded down, three contracts bought one by one at the limit would bring a unit less than bankruptcy value."""
    # Margin 1,428: BV 8,572, a third is 2,857.33, and at 34,997.5 a contract is worth 2,857.35 units.
    stage = three_contracts("sell", "7.0029")
    for _ in range(3):
        stage.sell("carl", "1", "34997.5")
    events = stage.mark("34819")
    (started,) = of_type(events, LiquidationStarted)
    assert started.bankruptcy_value == "0.00008572"
    (ordered,) = of_type(events, LiquidationOrdered)
    assert ordered.price == "34997.5"
    assert trades(events) == [("34997.5", "1")] * 3
    assert stage.position("carl")["entry_value"] == "0.00008574"
    (settled,) = of_type(events, LiquidationSettled)
    assert settled.surplus == "0.00000002"


def test_a_partly_filled_liquidation_passes_the_rest_on_at_its_share_of_bankruptcy_value() -> None:
    # 1 of 3 sold at 27,300 for 3,663 of its share of 3,666; two leave at 7,334.
    stage = three_contracts("buy", "10")
    stage.buy("carl", "1", "27300")
    events = stage.mark("27000")  # 3 are worth 11,111, 2 are worth 7,407
    (settled,) = of_type(events, LiquidationSettled)
    assert (settled.filled_qty, settled.surplus) == ("1", "0.00000003")
    (residual,) = of_type(events, LiquidationResidual)
    assert (residual.qty, residual.bankruptcy_value, residual.expected_loss) == ("2", "0.00007334", "0.00000073")


@pytest.mark.parametrize(
    ("fee", "charged", "surplus"),
    [("0.002", "0.00219299", "0.00131579"), ("0.05", "0.00350878", "0.00000000")],
)
def test_the_liquidation_fee_is_a_share_of_the_filled_value_and_at_most_what_is_left(
    fee: str, charged: str, surplus: str
) -> None:
    stage = leveraged("buy", market=f'liquidation_fee = "{fee}"\nsurplus = "account"')
    stage.buy("carl", "10000", "9120")
    (settled,) = of_type(stage.mark("9136"), LiquidationSettled)
    assert (settled.fee, settled.surplus, settled.to) == (charged, surplus, "account")
    assert stage.account("alice")["wallet"] == surplus
    assert stage.fund()["balance"] == charged


def test_a_maker_whose_margin_fails_at_the_mark_is_cancelled_and_the_liquidation_goes_on() -> None:
    stage = leveraged("buy")
    stage.deposit("poor", "0.02")
    stage.leverage("poor", "100")
    stage.buy("poor", "10000", "9500")
    stage.buy("carl", "10000", "9100")
    # At the mark 9,136 the bid of 9,500 would lose 0.0419 at once.
    events = stage.mark("9136")
    (cancelled,) = of_type(events, OrderCancelled)
    assert (cancelled.account, cancelled.reason) == ("poor", "margin")
    assert trades(events) == [("9100.0", "10000")]


TIERS = """[
    { up_to = "1", initial = "0.02", maintenance = "0.01" },
    { up_to = "5", initial = "0.05", maintenance = "0.025" },
]"""


@pytest.mark.parametrize(
    ("side", "healthy", "mark", "part", "limit"),
    [
        # Due at (4.4 + 0.015) ÷ 1.025 = 4.30731707, at 9,286.52; of the first tier 9,286 contracts are worth 1 BTC.
        ("buy", "9287", "9286", "30714", "9091.0"),
        # Due at (3.6 − 0.015) ÷ 0.975 = 3.67692307, at 10,878.66; 10,879 contracts are worth 1 BTC.
        ("sell", "10878.5", "10879", "29121", "11111.0"),
    ],
)
def test_a_position_in_a_higher_tier_is_first_reduced_to_a_lower_one(
    side: str, healthy: str, mark: str, part: str, limit: str
) -> None:
    stage = with_money(tiers=TIERS, market='partial = "tier"')
    stage.deposit("alice", "0.4")
    stage.leverage("bob", "1")
    stage.open_position("alice", side, "40000", "10000", "10", against="bob")
    (stage.buy if side == "buy" else stage.sell)("carl", "40000", mark)
    assert of_type(stage.mark(healthy), LiquidationStarted) == []
    events = stage.mark(mark)
    (ordered,) = of_type(events, LiquidationOrdered)
    assert (ordered.qty, ordered.price) == (part, limit)
    assert trades(events) == [(f"{mark}.0", part)]
    assert stage.position("alice")["maintenance_margin"] == "0.01000000"
    assert of_type(stage.mark(mark), LiquidationStarted) == []


@pytest.mark.parametrize(
    ("side", "mark", "fee", "charged"),
    [
        # 30,714 are sold for 3.30755976, 0.07098024 less than their share of 4.4.
        ("buy", "9286", "0.001", "0.00330756"),
        ("buy", "9286", "0.05", "0.07098024"),
        # 29,121 are bought back for 2.67680854, 0.05591854 more than their share of 3.6.
        ("sell", "10879", "0.001", "0.00267681"),
        ("sell", "10879", "0.05", "0.05591854"),
    ],
)
def test_the_fee_of_a_reduction_is_at_most_what_its_fills_left(side: str, mark: str, fee: str, charged: str) -> None:
    stage = with_money(tiers=TIERS, market=f'partial = "tier"\nliquidation_fee = "{fee}"')
    stage.deposit("alice", "0.4")
    stage.leverage("bob", "1")
    stage.open_position("alice", side, "40000", "10000", "10", against="bob")
    (stage.buy if side == "buy" else stage.sell)("carl", "40000", mark)
    (settled,) = of_type(stage.mark(mark), LiquidationSettled)
    assert (settled.fee, settled.surplus) == (charged, "0.00000000")


QUARTERLY = """
[markets.BTC-USD-Q]
shard = "coin"
fund = "coin"
contract = "inverse"
default_mode = "cross"
tick = "0.5"
lot = "1"
tiers = [{ up_to = "100", initial = "0.01", maintenance = "0.005" }]
"""


def test_a_cross_long_is_closed_at_its_allotment_and_the_fee_is_at_most_what_its_fills_left() -> None:
    # Long 10,000 and 1,000 from 10,000 on a wallet of 0.3. At 7,700 the first is worth 1.29870129: E = 0.00129871 of a
    # ΣMM of 0.00649350 + 0.0005. 0.00120586 is allotted to it, so it is bankrupt at 1.29990715; sold for 1.29903871.
    stage = with_money(market=f'default_mode = "cross"\nliquidation_fee = "0.002"{QUARTERLY}')
    stage.deposit("alice", "0.3")
    stage.send("price.mark", market="BTC-USD-Q", price="10000")
    for market, qty in (("BTC-USD", "10000"), ("BTC-USD-Q", "1000")):
        for account, side in (("bob", "sell"), ("alice", "buy")):
            order = {"account": account, "order_id": market, "side": side, "qty": qty, "price": "10000"}
            stage.send("order.new", market=market, kind="limit", **order)
    stage.buy("carl", "10000", "7698")
    assert of_type(stage.mark("7750"), LiquidationStarted) == []
    events = stage.mark("7700")
    first = of_type(events, LiquidationStarted)[0]
    assert (first.market, first.equity, first.maintenance_margin) == ("BTC-USD", "0.00129871", "0.00699350")
    assert first.bankruptcy_value == "1.29990715"
    settled = of_type(events, LiquidationSettled)[0]
    assert (settled.filled_qty, settled.fee, settled.surplus) == ("10000", "0.00086844", "0.00000000")


# --- takeover -----------------------------------------------------------------------------------------------


def test_a_fund_takes_a_long_over_with_a_budget_in_the_coin_and_sells_it_at_the_mark() -> None:
    # At 9,000 worth 1.11111111: 0.01111111 beyond bankruptcy.
    stage = leveraged("buy", opening="0.05")
    stage.buy("carl", "10000", "9000")
    events = stage.mark("9000")
    (approved,) = of_type(events, TakeoverApproved)
    assert (approved.qty, approved.loss_budget) == ("10000", "0.01111111")
    (filled,) = of_type(events, TakeoverFilled)
    assert (filled.price, filled.pnl) == ("9000.00000900", "-0.01111111")
    assert (stage.fund()["balance"], stage.fund()["reserved"]) == ("0.03888889", "0.00000000")


def test_a_fund_takes_a_short_over_and_buys_it_back_at_the_mark() -> None:
    # At 11,250 worth 0.88888888 (0.888… rounded down), bought back for 0.88888889 (rounded up).
    stage = leveraged("sell", opening="0.05")
    stage.sell("carl", "10000", "11250")
    events = stage.mark("11250")
    (approved,) = of_type(events, TakeoverApproved)
    assert approved.loss_budget == "0.01111112"
    (closed,) = of_type(events, TakeoverClosed)
    assert closed.pnl == "-0.01111111"
    assert (stage.fund()["balance"], stage.fund()["reserved"]) == ("0.03888889", "0.00000000")


@pytest.mark.parametrize(("side", "mark", "beyond"), [("buy", "9000", "8999.5"), ("sell", "11250", "11250.5")])
def test_unwinding_never_trades_beyond_the_budget(side: str, mark: str, beyond: str) -> None:
    stage = leveraged(side, opening="0.05")
    (stage.buy if side == "buy" else stage.sell)("carl", "1", beyond)
    events = stage.mark(mark)
    assert of_type(events, TakeoverApproved)
    assert trades(events) == []


@pytest.mark.parametrize(
    ("side", "mark", "reserved"),
    # Of 0.77, worth 0.00011111 + 0.03688888 + 0.74077777; of 0.63, 0.00008889 + 0.02951112 + 0.59262223.
    [("buy", "9000", "0.00333335"), ("sell", "11250", "0.00333336")],
)
def test_sold_in_parts_at_the_mark_the_budget_is_enough(side: str, mark: str, reserved: str) -> None:
    stage = leveraged(side, opening="0.05")
    send = stage.buy if side == "buy" else stage.sell
    for qty in ("1", "332", "6667"):
        send("carl", qty, mark)
    events = stage.mark(mark)
    assert [qty for _, qty in trades(events)] == ["1", "332", "6667"]
    assert stage.fund()["reserved"] == reserved
    send("dave", "3000", mark)
    assert of_type(stage.mark(mark), TakeoverClosed)
    assert stage.fund()["reserved"] == "0.00000000"


def test_slippage_is_a_share_of_the_mark_value_in_the_coin() -> None:
    # 0.01111111 and 1 % of 1.11111111: 0.02222223, so a long may be sold down to where it is worth 1.12222223.
    stage = leveraged("buy", opening="0.05", fund='takeover_slippage = "0.01"')
    stage.buy("carl", "5000", "8911")
    stage.buy("carl", "5000", "8910.5")
    events = stage.mark("9000")
    (approved,) = of_type(events, TakeoverApproved)
    assert approved.loss_budget == "0.02222223"
    assert trades(events) == [("8911.0", "5000")]


def test_unwinding_stays_within_the_band_around_the_mark() -> None:
    stage = leveraged("buy", opening="5", fund='takeover_slippage = "1"\ntakeover_band = "0.01"')
    stage.buy("carl", "5000", "8910")
    stage.buy("carl", "5000", "8909.5")
    assert trades(stage.mark("9000")) == [("8910.0", "5000")]
    stage = leveraged("sell", opening="5", fund='takeover_slippage = "0.5"\ntakeover_band = "0.01"')
    stage.sell("carl", "5000", "11362.5")
    stage.sell("carl", "5000", "11363")
    assert trades(stage.mark("11250")) == [("11362.5", "5000")]


def test_a_mark_beyond_the_budget_asks_settlement_anew() -> None:
    stage = leveraged("buy", opening="0.05")
    stage.mark("9136")  # nobody bids; budget 0
    events = stage.mark("9000")
    (exhausted,) = of_type(events, TakeoverExhausted)
    assert (exhausted.round, exhausted.expected_loss, exhausted.reason) == (2, "0.01111111", "budget")
    (approved,) = of_type(events, TakeoverApproved)
    assert (approved.round, approved.loss_budget) == (2, "0.01111111")


@pytest.mark.parametrize(("opening", "taken_over"), [("0.01111111", True), ("0.01111110", False)])
def test_the_whole_balance_may_be_risked_and_not_a_unit_more(opening: str, *, taken_over: bool) -> None:
    events = leveraged("buy", opening=opening).mark("9000")
    assert bool(of_type(events, TakeoverApproved)) == taken_over
    assert bool(of_type(events, AdlTriggered)) != taken_over


# --- auto-deleveraging --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "mark", "price", "needed", "taken"),
    [
        ("buy", "9000", "9090.90909091", "0.01111111", "0.11111111"),
        ("sell", "11250", "11111.11111111", "0.01111112", "0.11111112"),
    ],
)
def test_adl_is_at_the_bankruptcy_price_where_the_residual_has_lost_at_the_mark(
    side: str, mark: str, price: str, needed: str, taken: str
) -> None:
    """Bankruptcy is worse for bob than the mark: he gains 0.1 BTC instead of 0.111."""
    stage = leveraged(side)
    events = stage.mark(mark)
    (executed,) = of_type(events, AdlExecuted)
    assert (executed.account, executed.qty, executed.price) == ("bob", "10000", price)
    assert executed.realised_pnl == "0.10000000"
    (completed,) = of_type(events, AdlCompleted)
    assert (completed.needed, completed.taken, completed.remaining) == (needed, taken, "0")
    assert stage.account("bob")["wallet"] == "100.10000000"


@pytest.mark.parametrize(
    ("side", "mark", "realised", "surplus"),
    [
        ("buy", "9136", "0.09457092", "0.00542908"),  # worth 1.09457092 at the mark, below 1.1
        ("sell", "11056", "0.09551374", "0.00448626"),  # worth 0.904486251…, rounded up for the residual
    ],
)
def test_adl_is_at_the_mark_where_the_residual_has_gained_and_the_gain_is_surplus(
    side: str, mark: str, realised: str, surplus: str
) -> None:
    stage = leveraged(side)
    stage.mark(mark)  # an empty fund may take over what has lost nothing; nobody bids
    stage.now += 600 * SECOND
    events = stage.send("clock.tick")
    (executed,) = of_type(events, AdlExecuted)
    assert executed.realised_pnl == realised
    (closed,) = of_type(events, LiquidationClosed)
    assert (closed.surplus, closed.socialised, closed.deficit) == (surplus, "0.00000000", "0.00000000")
    assert stage.fund()["balance"] == surplus


def test_parts_closed_at_the_mark_never_leave_below_their_share_of_bankruptcy_value() -> None:
    """A short residual of 3 lots, carried at 10 units and worth 11 at the mark: each lot is worth 3.7, not 3."""
    tiers = '[{ up_to = "1000", initial = "0.2", maintenance = "0.1" }]'
    settings = 'multiplier = "100"\ndefault_leverage = "1"'
    stage = CoinStage(tiers=tiers, market=settings, decimals="0", tick="1")
    stage.deposit("alice", "6")
    stage.mark("20")
    stage.leverage("alice", "3")
    for account in ("l1", "l2", "l3"):
        stage.deposit(account, "1000")
        stage.sell("alice", "1", "20")
        stage.buy(account, "1", "20")
    assert (stage.position("alice")["entry_value"], stage.position("alice")["margin"]) == ("15", "6")
    stage.margin("alice", "-1")
    stage.mark("27")
    stage.now += 600 * SECOND
    events = stage.send("clock.tick")
    assert [event.account for event in of_type(events, AdlExecuted)] == ["l1", "l2", "l3"]
    assert of_type(events, LiquidationUncovered) == []
    (closed,) = of_type(events, LiquidationClosed)
    assert int(closed.surplus) >= 0


def test_shorts_are_ranked_by_profit_and_leverage_in_the_coin() -> None:
    # All short from 10,000; at 9,000 each has gained 11.111111 % of EV, beside a margin of 50, 20 or 10 % of it.
    stage = with_money()
    stage.deposit("alice", "0.3")
    stage.leverage("alice", "10")
    for account, leverage, qty in (("bob", "2", "9000"), ("carl", "5", "9000"), ("dave", "10", "12000")):
        stage.leverage(account, leverage)
        stage.sell(account, qty, "10000")
        stage.buy("alice", qty, "10000")
    events = stage.mark("9000")
    executed = of_type(events, AdlExecuted)
    assert [(event.rank, event.account, event.qty) for event in executed] == [
        (1, "dave", "12000"),
        (2, "carl", "9000"),
        (3, "bob", "9000"),
    ]
    # dave: 0.13333333 ÷ 1.2 × 1.33333333 ÷ 0.25333333
    assert executed[0].score == "0.584795313250230766"
    assert executed[0].leverage == "5.263157950831025668"
    assert executed[0].profit_ratio == "0.111111108333333333"


def test_a_short_that_would_realise_a_loss_comes_after_one_that_would_not() -> None:
    # eve is short from 9,050: in profit at the mark 9,000 and ranked first, but at 9,090.91 she would lose.
    stage = leveraged("buy")
    stage.deposit("eve", "1")
    stage.mark("9137")
    stage.open_position("eve", "sell", "1000", "9050", "100", against="dave")
    executed = of_type(stage.mark("9000"), AdlExecuted)
    assert [(event.rank, event.account, event.qty) for event in executed] == [(2, "bob", "10000")]


# --- last resort --------------------------------------------------------------------------------------------


def fund_holds_a_long_that_only_a_thin_short_faces() -> CoinStage:
    """The fund holds alice's 10,000 at 1.1; bob has bought his short back from carl at 8,690, whose margin is thin."""
    stage = leveraged("buy", opening="0.05")
    stage.mark("8700")  # worth 1.14942528: budget 0.04942528
    stage.leverage("carl", "100")
    stage.buy("bob", "10000", "8690", reduce_only=True)
    stage.sell("carl", "10000", "8690")
    stage.send("account.withdraw", shard="coin", account="bob", amount="90", transfer_id="out")
    return stage


def test_what_nobody_carries_is_closed_at_the_mark_and_the_fund_and_the_winners_pay() -> None:
    stage = fund_holds_a_long_that_only_a_thin_short_faces()
    position = stage.position("carl")
    assert (position["entry_value"], position["margin"]) == ("1.15074798", "0.01283018")
    events = stage.mark("8600")  # worth 1.16279069: 0.06279069 of a fund of 0.05
    adl, *resort = of_type(events, AdlExecuted)
    # At bankruptcy a lot costs carl 0.0000050747…, and his margin pays for 2,528 of them; the rest at the mark.
    assert (adl.rank, adl.qty, adl.price) == (1, "2528", "9090.90909091")
    assert [(event.rank, event.account, event.qty) for event in resort] == [(0, "carl", "7472")]
    (uncovered,) = of_type(events, LiquidationUncovered)
    # 7,472 lots carried at 0.82192 are worth 0.868837209…, rounded up for carl.
    assert uncovered.loss == "0.04691721"
    assert stage.fund()["balance"] == "0.00308279"
    assert of_type(events, LossSocialised) == []


def test_a_loss_beyond_the_fund_is_socialised_over_profits_in_the_coin() -> None:
    stage = fund_holds_a_long_that_only_a_thin_short_faces()
    events = stage.mark("8500")  # worth 1.17647058
    (uncovered,) = of_type(events, LiquidationUncovered)
    # 7,472 lots carried at 0.82192 are worth 0.879058823…, rounded up; the fund has 0.05.
    assert uncovered.loss == "0.05713883"
    assert stage.fund()["balance"] == "0.00000000"
    # 0.00713883 over bob's profit of 0.15074798 and carl's of 0.01921993 less the 0.01282908 lost before.
    paid = [(event.account, event.amount, event.rate) for event in of_type(events, LossSocialised)]
    rate = "0.045430082430930661"
    assert paid == [("bob", "0.00684849", rate), ("carl", "0.00029034", rate)]
    (closed,) = of_type(events, LiquidationClosed)
    assert (closed.socialised, closed.deficit) == ("0.00713883", "0.00000000")


def test_the_last_resort_takes_no_more_than_the_margin_however_coarse_the_units() -> None:
    """A short without margin whose profit is its equity: one of its 99 lots is worth half a unit and carries one."""
    stage = CoinStage(market='multiplier = "100"', decimals="0", tick="1")
    for account in ("alice", "bob"):
        stage.deposit(account, "100000")
    stage.mark("194")
    state, market = stage.venue.shards["coin"].state, stage.inside
    position = state.position(state.accounts["bob"], market)
    position.sign = -1
    position.parcel = Parcel(100, 50)
    position.parcel.lots = 99
    residual = Residual(1, "coin:1", 1, -1, Parcel(1, 1))
    market.residuals["coin:1"] = residual
    close_at_mark(state, market, residual)
    assert (position.parcel.lots, position.margin.balance, residual.parcel.lots) == (98, 0, 0)
