"""Cross margin between liquidations: what orders, fills, withdrawals, leverage and modes need, to the unit."""

import pytest

from schemas.events import (
    AccountRejected,
    LedgerPosted,
    OrderCancelled,
    OrderRejected,
    PositionUpdated,
    TradeExecuted,
)
from tests.engine.crossed import BTC, ETH, SOL, CrossStage, started
from tests.engine.stage import codes, of_type

UNIT = "0.000001"


def stage_with(alice: str, *, leverage: str = "10", **settings: str) -> CrossStage:
    """alice has this much, at this leverage in all markets."""
    stage = CrossStage(**settings)
    stage.deposit("alice", alice)
    if leverage != "10":
        stage.lever("alice", leverage)
    return stage


# --- orders ---------------------------------------------------------------------------------------------------


def test_a_cross_position_has_no_margin_of_its_own_and_holds_its_initial_margin_back_in_the_wallet() -> None:
    stage = stage_with("1500")
    events = stage.trade("alice", BTC, "buy", "1")
    (update,) = [event for event in of_type(events, PositionUpdated) if event.account == "alice"]
    assert (update.mode, update.margin, update.wallet) == ("cross", "0.000000", "1500.000000")
    assert stage.free("alice") == "500.000000"


def test_initial_margin_is_that_of_the_entry_value_and_does_not_breathe_with_the_mark() -> None:
    stage = stage_with("1500")
    stage.trade("alice", BTC, "buy", "1")
    stage.mark_of(BTC, "20000")
    assert stage.free("alice") == "500.000000"


def test_a_position_and_the_orders_beside_it_are_carried_at_initial_margin_to_the_unit() -> None:
    stage = stage_with("1999.999999")
    stage.trade("alice", BTC, "buy", "1")
    (refused,) = of_type(stage.order("alice", BTC, "buy", "1", "10000"), OrderRejected)
    assert (refused.code, refused.reason) == (
        "insufficient_margin",
        "position and orders need 2000.000000 in BTC-USDT, 1999.999999 is there",
    )
    stage.deposit("alice", UNIT)
    assert codes(stage.order("alice", BTC, "buy", "1", "10000")) == []
    assert stage.free("alice") == "0.000000"


@pytest.mark.parametrize(("side", "other", "price"), [("buy", "sell", "9999.9"), ("sell", "buy", "10000.1")])
def test_the_worse_side_of_position_and_orders_counts_and_what_only_closes_needs_nothing(
    side: str, other: str, price: str
) -> None:
    stage = stage_with("2000.01")
    stage.trade("alice", BTC, side, "1")
    assert codes(stage.order("alice", BTC, other, "1", "10000")) == []
    assert stage.free("alice") == "1000.010000"
    # Together 3 of the other side: 2 of them would open, 2,000; the position's own side needs 1,000.
    assert codes(stage.order("alice", BTC, other, "2", "10000")) == []
    assert stage.free("alice") == "0.010000"
    assert codes(stage.order("alice", BTC, other, "0.001", "10000")) == ["insufficient_margin"]
    assert codes(stage.order("alice", BTC, side, "1", price)) == []
    assert codes(stage.order("alice", BTC, side, "0.001", price)) == ["insufficient_margin"]


def test_the_needs_of_all_markets_add_up_over_the_account() -> None:
    stage = stage_with("1300")
    stage.trade("alice", BTC, "buy", "1")
    stage.order("alice", ETH, "sell", "2", "1000")
    assert stage.free("alice") == "100.000000"
    assert codes(stage.order("alice", SOL, "buy", "10.01", "100")) == ["insufficient_margin"]
    assert codes(stage.order("alice", SOL, "buy", "10", "100")) == []


def test_unrealised_profit_is_never_free_and_an_unrealised_loss_is_gone() -> None:
    stage = stage_with("2000")
    stage.trade("alice", BTC, "buy", "1")
    stage.trade("alice", ETH, "buy", "2")
    stage.mark_of(ETH, "5000")
    assert stage.free("alice") == "800.000000"
    stage.mark_of(BTC, "9900")
    assert stage.free("alice") == "700.000000"
    assert codes(stage.order("alice", SOL, "buy", "70.01", "100")) == ["insufficient_margin"]
    assert codes(stage.order("alice", SOL, "buy", "70", "100")) == []


def test_what_does_not_raise_the_need_is_accepted_also_under_water() -> None:
    stage = stage_with("1000")
    stage.trade("alice", BTC, "buy", "1")
    stage.mark_of(BTC, "9500")
    assert stage.free("alice") == "0.000000"
    assert codes(stage.order("alice", BTC, "sell", "1.5", "9600")) == []
    assert codes(stage.order("alice", BTC, "buy", "0.001", "9000")) == ["insufficient_margin"]


def test_a_cross_position_and_an_isolated_one_of_the_same_account_share_nothing_but_the_free_balance() -> None:
    stage = stage_with("1500")
    stage.mode("alice", ETH, "isolated")
    stage.trade("alice", ETH, "buy", "2")
    stage.trade("alice", BTC, "buy", "1")
    positions = stage.account("alice")["positions"]
    assert (positions[ETH]["mode"], positions[ETH]["margin"]) == ("isolated", "200.000000")
    assert (positions[BTC]["mode"], positions[BTC]["margin"]) == ("cross", "0.000000")
    assert (stage.wallet("alice"), stage.free("alice")) == ("1300.000000", "300.000000")
    stage.mark_of(ETH, "950")  # the isolated loss is not the wallet's
    assert stage.free("alice") == "300.000000"
    # E = 1,300 − 1,250 = 50 > 43.75 of BTC alone: ETH's maintenance is not the wallet's either.
    assert started(stage.mark_of(BTC, "8750")) == []
    assert started(stage.mark_of(ETH, "900")) == [("alice", ETH)]
    assert (stage.wallet("alice"), stage.open_in("alice")) == ("1300.000000", {BTC: "1.000"})


def test_the_margin_of_a_cross_position_cannot_be_moved() -> None:
    stage = stage_with("1500")
    stage.trade("alice", BTC, "buy", "1")
    for amount in ("1", "-1"):
        (refused,) = stage.margin("alice", amount)
        assert isinstance(refused, AccountRejected)
        assert refused.code == "not_isolated"
    assert stage.wallet("alice") == "1500.000000"


# --- withdrawals ----------------------------------------------------------------------------------------------


def test_only_the_free_balance_can_be_withdrawn() -> None:
    stage = stage_with("1500")
    stage.trade("alice", BTC, "buy", "1")
    stage.trade("alice", ETH, "sell", "1")
    stage.mark_of(ETH, "100")  # a profit of 900
    stage.mark_of(BTC, "9850")
    assert codes(stage.withdraw("alice", "250.000001")) == ["insufficient_balance"]
    assert codes(stage.withdraw("alice", "250")) == []
    assert stage.free("alice") == "0.000000"


def short_that_has_tripled(equity: str) -> CrossStage:
    """alice is short 1 BTC from 10,000 at 100 times, the mark is 30,000: initial margin 100, maintenance margin 150."""
    stage = stage_with("20000", leverage="100")
    stage.trade("alice", BTC, "sell", "1")
    stage.deposit("alice", equity)
    stage.mark_of(BTC, "30000")
    return stage


def test_what_keeps_equity_above_maintenance_margin_is_not_free() -> None:
    stage = short_that_has_tripled("1000")
    assert stage.free("alice") == "849.999999", "and not the 900 above its initial margin"
    (refused,) = stage.withdraw("alice", "850")
    assert isinstance(refused, AccountRejected)
    assert refused.code == "insufficient_balance"
    assert codes(stage.withdraw("alice", "849.999999")) == []
    assert started(stage.mark_of(BTC, "30000")) == []


def test_margin_for_an_isolated_position_is_taken_like_a_withdrawal() -> None:
    stage = short_that_has_tripled("1010")
    stage.mode("alice", ETH, "isolated")
    stage.trade("alice", ETH, "buy", "1")
    add = {"market": ETH, "account": "alice"}
    assert codes(stage.send("account.margin", **add, amount="850")) == ["insufficient_balance"]
    assert codes(stage.send("account.margin", **add, amount="849.999999")) == []


# --- fills ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("deposit", "filled"), [("1600", True), ("1599.999999", False)])
def test_an_increase_that_initial_margin_does_not_carry_at_the_fill_is_cancelled(deposit: str, *, filled: bool) -> None:
    """1,000 are held for BTC, 90 need ETH, 10 SOL; BTC loses 500 before ETH is met, and SOL's profit does not count."""
    stage = stage_with(deposit)
    stage.trade("alice", BTC, "buy", "1")
    stage.order("alice", ETH, "buy", "0.9", "1000", order_id="more")
    stage.trade("alice", SOL, "buy", "1")
    stage.mark_of(SOL, "900")
    stage.mark_of(BTC, "9500")
    events = stage.order("house", ETH, "sell", "0.9", "1000", tif="ioc")
    assert [event.maker.order_id for event in of_type(events, TradeExecuted)] == (["more"] if filled else [])
    cancelled = [(event.order_id, event.reason) for event in of_type(events, OrderCancelled)]
    assert (("more", "margin") in cancelled) != filled


@pytest.mark.parametrize(("equity", "filled"), [("150.500001", True), ("150.5", False)])
def test_an_increase_must_leave_equity_above_maintenance_margin(equity: str, *, filled: bool) -> None:
    """0.1 ETH at 100 times needs 1 of initial margin, which is there, and 0.5 of maintenance margin."""
    stage = short_that_has_tripled(equity)
    assert codes(stage.order("alice", ETH, "buy", "0.1", "1000")) == []
    events = stage.order("house", ETH, "sell", "0.1", "1000", tif="ioc")
    assert bool(of_type(events, TradeExecuted)) == filled


@pytest.mark.parametrize(("price", "filled"), [("8870", True), ("8869.9", False)])
def test_a_reduction_must_leave_equity_at_the_maintenance_margin_of_what_remains(price: str, *, filled: bool) -> None:
    """E = 600 less half of what the print lies below 10,000; MM of 0.5 BTC and 2 ETH at the marks is 25 + 10."""
    stage = stage_with("600", leverage="20")
    stage.trade("alice", BTC, "buy", "1")
    stage.trade("alice", ETH, "buy", "2")
    events = stage.trade("alice", BTC, "sell", "0.5", price)
    assert bool(of_type(events, TradeExecuted)) == filled
    reasons = [event.reason for event in of_type(events, OrderCancelled) if event.account == "alice"]
    assert reasons == ([] if filled else ["margin"])


@pytest.mark.parametrize(("price", "filled"), [("11130", True), ("11130.1", False)])
def test_a_short_is_reduced_by_the_same_rule_and_the_fee_counts(price: str, *, filled: bool) -> None:
    """As above with a short; fees of 5 and 1 were paid before, 2.7825 is that of 0.5 at 11,130."""
    stage = stage_with("608.7825", leverage="20", every='taker_fee = "0.0005"')
    stage.trade("alice", BTC, "sell", "1")
    stage.trade("alice", ETH, "buy", "2")
    assert stage.wallet("alice") == "602.782500"
    events = stage.trade("alice", BTC, "buy", "0.5", price)
    assert bool(of_type(events, TradeExecuted)) == filled


def wallet_below_zero() -> CrossStage:
    """alice sold 1 BTC at a loss of 1,500 while 2 ETH from 1,000 stand at 2,000: W = 600 − 1,500, E = 1,100."""
    stage = stage_with("600", leverage="20")
    stage.trade("alice", BTC, "buy", "1")
    stage.trade("alice", ETH, "buy", "2")
    stage.mark_of(ETH, "2000")
    stage.mark_of(BTC, "8500")
    stage.trade("alice", BTC, "sell", "1", "8500")
    return stage


def test_the_wallet_may_fall_below_zero_while_profit_elsewhere_carries_it() -> None:
    stage = wallet_below_zero()
    assert (stage.wallet("alice"), stage.free("alice")) == ("-900.000000", "0.000000")
    assert stage.open_in("alice") == {ETH: "2.00"}
    assert codes(stage.withdraw("alice", UNIT)) == ["insufficient_balance"]
    assert codes(stage.order("alice", ETH, "buy", "0.01", "1000")) == ["insufficient_margin"]
    assert started(stage.mark_of(SOL, "100")) == []


@pytest.mark.parametrize(("price", "filled"), [("1450", True), ("1449.99", False)])
def test_the_last_cross_position_cannot_be_closed_by_a_trade_that_leaves_the_wallet_below_zero(
    price: str, *, filled: bool
) -> None:
    stage = wallet_below_zero()
    stage.trade("alice", ETH, "sell", "2", price)
    assert stage.wallet("alice") == ("0.000000" if filled else "-900.000000")


@pytest.mark.parametrize(("deposit", "filled"), [("2140", True), ("2139.999999", False)])
def test_a_fill_that_turns_the_position_over_needs_the_margin_of_the_new_side_only(
    deposit: str, *, filled: bool
) -> None:
    """Long 1 from 10,000 sells 3 at 9,950: 50 are lost on 1, and 2 need 1,990 and lose 100 against the mark."""
    stage = stage_with(deposit)
    stage.trade("alice", BTC, "buy", "1")
    stage.order("house", BTC, "buy", "3", "9950")
    events = stage.order("alice", BTC, "sell", "3", tif="ioc")
    assert bool(of_type(events, TradeExecuted)) == filled


@pytest.mark.parametrize(("deposit", "filled"), [("1600", True), ("1599.999999", False)])
def test_an_isolated_increase_beside_cross_positions_leaves_them_their_initial_margin(
    deposit: str, *, filled: bool
) -> None:
    """The wallet must carry BTC's 1,000 and its loss of 500 when 100 become the margin of ETH."""
    stage = stage_with(deposit)
    stage.mode("alice", ETH, "isolated")
    stage.trade("alice", BTC, "buy", "1")
    stage.order("alice", ETH, "buy", "1", "1000", order_id="more")
    stage.mark_of(BTC, "9500")
    events = stage.order("house", ETH, "sell", "1", "1000", tif="ioc")
    assert bool(of_type(events, TradeExecuted)) == filled


@pytest.mark.parametrize(("equity", "filled"), [("151.000001", True), ("151", False)])
def test_an_isolated_increase_leaves_the_cross_positions_above_maintenance_margin(equity: str, *, filled: bool) -> None:
    stage = short_that_has_tripled(equity)
    stage.mode("alice", ETH, "isolated")
    stage.order("alice", ETH, "buy", "0.1", "1000")  # its margin is 1
    events = stage.order("house", ETH, "sell", "0.1", "1000", tif="ioc")
    assert bool(of_type(events, TradeExecuted)) == filled


def test_an_isolated_reduction_that_brings_money_is_always_carried() -> None:
    """Also when the cross positions are due since the last mark; a fee that takes money then is not."""
    stage = stage_with("2000", eth='taker_fee = "0.1"\nmaker_fee = "0"')
    stage.mode("alice", ETH, "isolated")
    stage.deposit("alice", "200")
    stage.trade("alice", ETH, "buy", "1")  # 100 of margin and 100 of fee
    stage.trade("alice", BTC, "buy", "1")
    stage.take_away("alice", 1_960_000_000)
    wallet = stage.wallet("alice")
    assert of_type(stage.trade("alice", ETH, "sell", "0.5", "999"), TradeExecuted) == []  # 50 − 0.5 − 49.95 < 0
    assert stage.wallet("alice") == wallet
    assert of_type(stage.trade("alice", ETH, "sell", "0.5", "1000"), TradeExecuted)  # 50 − 50 = 0


def test_fill_or_kill_judges_every_maker_of_a_cross_account_by_what_its_earlier_orders_would_have_left() -> None:
    """alice's wallet carries one of her two orders after BTC's loss, so 2 cannot be filled at once, and 1 can."""
    stage = stage_with("1700")
    stage.trade("alice", BTC, "buy", "1")
    for order_id in ("first", "second"):
        stage.order("alice", ETH, "buy", "1", "1000", order_id=order_id)
    stage.mark_of(BTC, "9450")
    events = stage.order("house", ETH, "sell", "2", "1000", tif="fok")
    assert [event.reason for event in of_type(events, OrderCancelled)] == ["fok"]
    events = stage.order("house", ETH, "sell", "1", "1000", tif="fok")
    assert [event.maker.order_id for event in of_type(events, TradeExecuted)] == ["first"]


def test_fill_or_kill_judges_a_cross_taker_by_what_its_earlier_fills_would_have_left() -> None:
    stage = stage_with("600", leverage="20")
    stage.trade("alice", BTC, "buy", "1")
    stage.trade("alice", ETH, "buy", "2")
    for price in ("9000", "8700"):  # −500, then −650: −1,150 would leave less than nothing
        stage.order("house", BTC, "buy", "0.5", price)
    events = stage.order("alice", BTC, "sell", "1", "8700", tif="fok")
    assert [event.reason for event in of_type(events, OrderCancelled)] == ["fok"]
    assert of_type(stage.order("alice", BTC, "sell", "0.5", "8700", tif="fok"), TradeExecuted)


def carried_by_profit(wallet: str) -> CrossStage:
    """alice is long 1 BTC at a mark of 9,000, which frees 45 of maintenance margin, and has gained 4,000 in ETH."""
    stage = stage_with(wallet, leverage="20")
    stage.trade("alice", BTC, "buy", "1")
    stage.trade("alice", ETH, "buy", "1")
    stage.mark_of(ETH, "5000")
    stage.mark_of(BTC, "9000")
    return stage


@pytest.mark.parametrize(("price", "sold"), [("8955", True), ("8954.9", False)])
def test_a_reduction_loses_no_more_against_the_mark_than_the_maintenance_margin_it_frees_where_profit_carries_it(
    price: str, *, sold: bool
) -> None:
    """Else a friend could buy far below the mark, and withdraw what nobody has realised yet."""
    stage = carried_by_profit("999.999999")
    stage.trade("alice", BTC, "sell", "1", price)
    assert (BTC in stage.open_in("alice")) != sold


def test_a_reduction_prints_where_it_likes_while_the_wallet_carries_all_losses() -> None:
    stage = carried_by_profit("2000")
    stage.trade("alice", BTC, "sell", "1", "8000")
    assert stage.wallet("alice") == "0.000000"


def test_a_reduction_of_which_the_wallet_would_miss_a_unit_is_none() -> None:
    stage = carried_by_profit("1999.999999")
    stage.trade("alice", BTC, "sell", "1", "8000")
    assert stage.open_in("alice") == {BTC: "1.000", ETH: "1.00"}


# --- leverage -------------------------------------------------------------------------------------------------


def test_leverage_holds_position_and_orders_anew_and_the_wallet_must_carry_it_to_the_unit() -> None:
    stage = stage_with("2999.999999")
    stage.trade("alice", BTC, "buy", "1")
    stage.order("alice", BTC, "buy", "0.5", "10000")
    assert stage.free("alice") == "1499.999999"
    before = stage.rows()
    assert codes(stage.leverage("alice", "5")) == ["insufficient_margin"]
    assert (stage.rows(), stage.free("alice")) == (before, "1499.999999")
    stage.deposit("alice", UNIT)
    assert codes(stage.leverage("alice", "5")) == []
    assert stage.free("alice") == "0.000000"
    assert codes(stage.leverage("alice", "100")) == []
    assert stage.free("alice") == "2850.000000"


def test_leverage_that_lowers_the_need_is_accepted_also_under_water_and_a_loss_is_not_there_for_more() -> None:
    stage = stage_with("1100")
    stage.trade("alice", BTC, "buy", "1")
    stage.mark_of(BTC, "9500")
    assert codes(stage.leverage("alice", "9.5")) == ["insufficient_margin"]  # 1,052.63 of 1,100 − 500
    assert codes(stage.leverage("alice", "11")) == []


# --- switching the mode -----------------------------------------------------------------------------------------


def test_a_position_that_becomes_cross_gives_its_margin_to_the_wallet() -> None:
    stage = stage_with("2000")
    stage.mode("alice", BTC, "isolated")
    stage.trade("alice", BTC, "buy", "1")
    stage.order("alice", BTC, "buy", "0.5", "10000")
    assert (stage.wallet("alice"), stage.free("alice")) == ("1000.000000", "500.000000")
    events = stage.mode("alice", BTC, "cross")
    (update,) = of_type(events, PositionUpdated)
    assert (update.mode, update.margin, update.wallet) == ("cross", "0.000000", "2000.000000")
    (posted,) = of_type(events, LedgerPosted)
    assert [(line.debit, line.credit, line.amount, line.cause_kind) for line in posted.lines] == [
        ("usdt/margin/BTC-USDT/alice", "usdt/wallet/alice", "1000.000000", "margin")
    ]
    assert stage.free("alice") == "500.000000"  # 1,000 for the position, 500 for the order


def test_a_position_that_becomes_isolated_gets_initial_margin_and_its_open_loss() -> None:
    stage = stage_with("3000", leverage="3")
    stage.trade("alice", BTC, "buy", "0.5")
    stage.order("alice", ETH, "buy", "1", "1000")
    stage.mark_of(BTC, "9800")
    assert stage.free("alice") == "899.999999"  # 3,000 − 100 − 1,666.666667 − 333.333334
    (update,) = of_type(stage.mode("alice", BTC, "isolated"), PositionUpdated)
    assert (update.mode, update.margin, update.wallet) == ("isolated", "1766.666667", "1233.333333")
    assert stage.free("alice") == "899.999999"
    stage.mode("alice", BTC, "cross")
    stage.mark_of(BTC, "20000")
    (update,) = of_type(stage.mode("alice", BTC, "isolated"), PositionUpdated)
    assert update.margin == "1666.666667"  # a profit takes nothing off


def test_there_and_back_again_changes_nothing() -> None:
    stage = stage_with("3000")
    stage.trade("alice", BTC, "sell", "1")
    stage.order("alice", BTC, "sell", "1", "10100")
    stage.trade("alice", ETH, "buy", "1")
    stage.mark_of(BTC, "10100")
    before, free = stage.rows(), stage.free("alice")
    for mode in ("isolated", "cross"):
        stage.mode("alice", BTC, mode)
        assert stage.free("alice") == free
    assert stage.rows() == before


@pytest.mark.parametrize(
    ("mark", "deposit", "reason"),
    [
        ("10000", "1399.999999", "1000.000000 needed, 999.999999 would be free"),
        ("9900", "1499.999999", "1100.000000 needed, 1099.999999 would be free"),
        ("11000", "1399.999999", "1000.000000 needed, 999.999999 would be free"),
    ],
)
def test_becoming_isolated_is_refused_where_the_wallet_does_not_carry_it_beside_all_that_stays(
    mark: str, deposit: str, reason: str
) -> None:
    """200 are held for ETH and lost are 100, 100 are held for the order."""
    stage = stage_with(deposit)
    stage.trade("alice", BTC, "buy", "1")
    stage.trade("alice", ETH, "buy", "2")
    stage.order("alice", SOL, "buy", "10", "100")
    stage.mark_of(ETH, "950")
    stage.mark_of(BTC, mark)
    before = stage.rows()
    (refused,) = stage.mode("alice", BTC, "isolated")
    assert isinstance(refused, AccountRejected)
    assert (refused.code, refused.market, refused.reason) == ("insufficient_margin", BTC, reason)
    assert stage.rows() == before
    stage.deposit("alice", UNIT)
    assert codes(stage.mode("alice", BTC, "isolated")) == []
    assert stage.free("alice") == "0.000000"


def test_becoming_isolated_is_refused_where_the_position_would_be_due() -> None:
    """M + uPnL would be the initial margin of 100, and maintenance margin is 150."""
    stage = short_that_has_tripled("100000")
    (refused,) = stage.mode("alice", BTC, "isolated")
    assert isinstance(refused, AccountRejected)
    assert (refused.code, refused.reason) == ("insufficient_margin", "the position would be due for liquidation")
    assert stage.open_in("alice") == {BTC: "1.000"}
    stage.mark_of(BTC, "20000")  # 100 of maintenance margin
    assert codes(stage.mode("alice", BTC, "isolated")) == ["insufficient_margin"]
    stage.mark_of(BTC, "19999.9")
    assert codes(stage.mode("alice", BTC, "isolated")) == []


def test_becoming_isolated_is_refused_where_the_other_cross_positions_would_be_due() -> None:
    stage = short_that_has_tripled("160")
    stage.trade("alice", ETH, "buy", "1")
    (refused,) = stage.mode("alice", ETH, "isolated")  # 160 − 10 is the maintenance margin of BTC
    assert isinstance(refused, AccountRejected)
    assert refused.reason == "the other cross positions would be due for liquidation"
    stage.deposit("alice", UNIT)
    assert codes(stage.mode("alice", ETH, "isolated")) == []


def test_the_position_that_carries_a_wallet_below_zero_cannot_become_isolated() -> None:
    stage = wallet_below_zero()
    (refused,) = stage.mode("alice", ETH, "isolated")
    assert isinstance(refused, AccountRejected)
    assert refused.reason == "100.000000 needed, 0.000000 would be free"
    assert (stage.wallet("alice"), stage.open_in("alice")) == ("-900.000000", {ETH: "2.00"})
    stage.deposit("alice", "1000")
    assert codes(stage.mode("alice", ETH, "isolated")) == []
    assert (stage.wallet("alice"), stage.free("alice")) == ("0.000000", "0.000000")


def test_becoming_cross_is_refused_where_the_account_would_be_due() -> None:
    """An isolated BTC with equity 900 joins an ETH whose wallet fate has emptied since the last mark."""
    stage = stage_with("1200")
    stage.mode("alice", BTC, "isolated")
    stage.trade("alice", BTC, "buy", "1")
    stage.trade("alice", ETH, "buy", "1")
    stage.mark_of(BTC, "9900")
    stage.take_away("alice", 1_045_500_000)  # W = 200 − 1,045.5; E = 54.5 of MM 49.5 + 5
    before = stage.rows()
    (refused,) = stage.mode("alice", BTC, "cross")
    assert isinstance(refused, AccountRejected)
    assert (refused.code, refused.reason) == (
        "insufficient_margin",
        "equity 54.500000 would not exceed the maintenance margin 54.500000",
    )
    assert stage.rows() == before
    stage.deposit("alice", UNIT)
    assert codes(stage.mode("alice", BTC, "cross")) == []
    assert started(stage.mark_of(SOL, "100")) == []


def test_the_mode_it_has_already_is_answered_and_changes_nothing() -> None:
    stage = stage_with("3000")
    stage.trade("alice", BTC, "buy", "1")
    before = stage.rows()
    (update,) = of_type(stage.mode("alice", BTC, "cross"), PositionUpdated)
    assert update.mode == "cross"
    assert stage.rows() == before
