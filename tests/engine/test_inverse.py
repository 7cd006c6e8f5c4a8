"""Inverse contracts: what a quantity is worth, what it gains, what it needs. Everything in the coin.

Most numbers are about 10,000 contracts of 1 USD at 10,000: worth 1 BTC. At 12,500 they are worth 0.8, at 8,000 1.25.
"""

import pytest

from engine.fixed import AMOUNT_LIMIT
from engine.spec import compile_venue
from schemas.config import parse_config
from schemas.events import OrderAccepted, OrderCancelled, OrderTriggered, PositionUpdated, PriceRejected, TradeExecuted
from tests.engine.coin import COIN_MARKET, CoinStage, coin_toml
from tests.engine.stage import codes, of_type

TIERS = """[
    { up_to = "1", initial = "0.02", maintenance = "0.01" },
    { up_to = "5", initial = "0.05", maintenance = "0.025" },
]"""


def market(mark: str = "10000", **settings: str) -> CoinStage:
    """alice, bob and carl with 10 BTC each."""
    stage = CoinStage(**settings)
    for account in ("alice", "bob", "carl"):
        stage.deposit(account, "10")
    stage.mark(mark)
    return stage


def entry_values(stage: CoinStage) -> tuple[str, str]:
    """What alice and bob have traded for."""
    return stage.position("alice")["entry_value"], stage.position("bob")["entry_value"]


# --- value --------------------------------------------------------------------------------------------------


def test_both_sides_of_a_trade_book_the_value_rounded_down() -> None:
    # 1 ÷ 30,000 is 3,333.33… units.
    stage = market("30000")
    stage.open_position("alice", "buy", "1", "30000", "10", against="bob")
    assert entry_values(stage) == ("0.00003333", "0.00003333")


def test_the_value_is_rounded_once_per_trade_and_not_per_contract() -> None:
    stage = market("30000")
    stage.open_position("alice", "buy", "3", "30000", "10", against="bob")
    assert entry_values(stage) == ("0.00010000", "0.00010000")
    stage = market("30000")
    for _ in range(3):
        stage.open_position("alice", "buy", "1", "30000", "10", against="bob")
    assert entry_values(stage) == ("0.00009999", "0.00009999")


def test_multiplier_lot_and_tick_scale_the_value() -> None:
    # 7 lots of 0.3 contracts of 62.5 USD are 131.25 USD; at 12.5 that is 10.5 of a coin with 3 decimals.
    toml = coin_toml(market='multiplier = "62.5"', decimals="3", tick="0.25", lot="0.3")
    spec = compile_venue(parse_config(toml)).shards["coin"].markets[COIN_MARKET]
    ticks, lots = spec.ticks.parse("12.5"), spec.lots.parse("2.1")
    assert (ticks, lots) == (50, 7)
    assert spec.asset.text(spec.value(50, 7)) == "10.500"
    assert spec.price_text(10_500, 7) == "12.50000000"
    assert spec.price_text(0, 7) is None


def test_the_entry_price_is_the_harmonic_mean() -> None:
    # 10,000 at 10,000 and 10,000 at 8,000: 1 + 1.25 BTC for 20,000 USD.
    stage = market()
    stage.open_position("alice", "buy", "10000", "10000", "2", against="bob")
    stage.mark("8500")
    stage.open_position("alice", "buy", "10000", "8000", "2", against="bob")
    assert stage.position("alice")["entry_value"] == "2.25000000"
    assert stage.position("alice")["entry_price"] == "8888.88888889"


# --- PnL ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mark", "long", "short"),
    [("12500", "0.20000000", "-0.20000000"), ("8000", "-0.25000000", "0.25000000")],
)
def test_a_long_gains_in_the_coin_as_the_price_rises_and_a_short_as_it_falls(mark: str, long: str, short: str) -> None:
    stage = market()
    stage.open_position("alice", "buy", "10000", "10000", "1", against="bob")
    stage.margin("bob", "1")
    stage.mark(mark)
    assert stage.position("alice")["unrealised_pnl"] == long
    assert stage.position("bob")["unrealised_pnl"] == short


def test_closing_realises_the_difference_of_values() -> None:
    # Bought at 10,000 for 1 BTC and sold at 12,500 for 0.8: 0.2 for the long, from the short.
    stage = market()
    stage.leverage("bob", "1")
    stage.open_position("alice", "buy", "10000", "10000", "10", against="bob")
    stage.mark("12500")
    stage.buy("bob", "10000", "12500")
    stage.sell("alice", "10000", "12500")
    assert (stage.account("alice")["wallet"], stage.account("bob")["wallet"]) == ("10.20000000", "9.80000000")


def test_closing_in_parts_carries_shares_of_the_entry_value_and_leaves_nothing() -> None:
    # 3 contracts for 10,000 units; sold one by one at 40,000 for 2,500 units each: 3,333, 3,333 and 3,334 leave.
    stage = market("30000")
    stage.leverage("bob", "1")
    stage.open_position("alice", "buy", "3", "30000", "10", against="bob")
    stage.mark("40000")
    realised = []
    for _ in range(3):
        stage.buy("carl", "1", "40000")
        (update,) = [e for e in of_type(stage.sell("alice", "1"), PositionUpdated) if e.account == "alice"]
        realised.append((update.realised_pnl, update.entry_value))
    assert realised == [("0.00000833", "0.00006667"), ("0.00000833", "0.00003334"), ("0.00000834", "0.00000000")]


def test_a_flip_shares_the_value_of_the_trade_between_what_closes_and_what_opens() -> None:
    # 5 at 30,000 are 16,666 units: 2 of them close for 6,666, 3 open for 10,000.
    stage = market("30000")
    stage.open_position("alice", "buy", "2", "30000", "10", against="bob")
    stage.buy("carl", "5", "30000")
    stage.sell("alice", "5", "30000")
    position = stage.position("alice")
    assert (position["side"], position["qty"], position["entry_value"]) == ("short", "3", "0.00010000")


# --- margin and fees ----------------------------------------------------------------------------------------


def test_margin_and_fees_are_shares_of_the_value_in_the_coin_rounded_up() -> None:
    # 7,001 at 10,000 are 0.7001; a seventh of it is 0.1000142857…, 0.05 % is 0.00035005, 0.02 % is 0.00014002.
    stage = market(market='taker_fee = "0.0005"\nmaker_fee = "0.0002"')
    stage.open_position("alice", "buy", "7001", "10000", "7", against="bob")
    (trade,) = of_type(stage.events, TradeExecuted)
    assert (trade.taker.fee, trade.maker.fee) == ("0.00035005", "0.00014002")
    assert stage.position("alice")["margin"] == "0.10001429"
    assert stage.account("alice")["wallet"] == "9.89963566"  # 10 − margin − fee


@pytest.mark.parametrize(
    ("side", "price", "margin"),
    [
        ("buy", "10100", "0.10891090"),  # worth 0.99009900, a tenth 0.09900990, and 0.00990100 less than at the mark
        ("sell", "9900", "0.11111112"),  # worth 1.01010101, a tenth 0.10101011, and 0.01010101 more than at the mark
        ("buy", "9900", "0.10101011"),
        ("sell", "10100", "0.09900990"),
    ],
)
def test_the_open_loss_of_a_print_off_the_mark_goes_into_the_margin(side: str, price: str, margin: str) -> None:
    stage = market()
    stage.open_position("alice", side, "10000", price, "10", against="bob")
    assert stage.position("alice")["margin"] == margin


@pytest.mark.parametrize(
    ("side", "price", "needed"),
    [
        ("buy", "10100", "0.10891090"),
        ("sell", "9900", "0.11111112"),
        ("buy", "9900", "0.10101011"),
        ("sell", "10100", "0.09900990"),
    ],
)
def test_an_order_holds_back_what_its_fill_would_need(side: str, price: str, needed: str) -> None:
    stage = CoinStage()
    stage.deposit("alice", needed)
    stage.mark("10000")
    send = stage.buy if side == "buy" else stage.sell
    assert codes(send("alice", "10000", price, order_id="a")) == []
    assert stage.account("alice")["free"] == "0.00000000"
    assert codes(send("alice", "1", price)) == ["insufficient_margin"]
    assert of_type(stage.cancel("alice", "a"), OrderCancelled)
    assert codes(send("alice", "10001", price)) == ["insufficient_margin"]


def test_maintenance_margin_is_in_the_coin_and_continuous_over_the_tiers() -> None:
    # 1 % of the first coin, 2.5 % of what is above.
    stage = market(tiers=TIERS)
    stage.open_position("alice", "buy", "20000", "10000", "10", against="bob")
    assert stage.position("alice")["maintenance_margin"] == "0.03500000"
    stage.margin("bob", "1")
    stage.mark("20000")
    assert stage.position("alice")["maintenance_margin"] == "0.01000000"
    stage.mark("20000.5")
    assert stage.position("alice")["maintenance_margin"] == "0.00999975"


def test_a_reduction_beyond_the_bankruptcy_price_is_refused() -> None:
    # Long 10,000 from 10,000 with 0.1: to sell at 9,090.5 would cost 0.10004950.
    stage = market()
    stage.open_position("alice", "buy", "10000", "10000", "10", against="bob")
    stage.buy("carl", "10000", "9090.5")
    (cancelled,) = of_type(stage.sell("alice", "10000", reduce_only=True), OrderCancelled)
    assert cancelled.reason == "margin"
    stage.buy("carl", "10000", "9091")
    assert of_type(stage.sell("alice", "10000", reduce_only=True), TradeExecuted)


@pytest.mark.parametrize(("price", "trades"), [("6742", 1), ("6741.5", 0)])
def test_a_cross_reduction_leaves_equity_at_maintenance_margin_or_above(price: str, trades: int) -> None:
    # Long 10,000 from 10,000 on a wallet of 0.3, at 9,000: what remains of it has lost 0.05555555 and needs 0.00277777,
    # so to close 5,000, carried at 0.5, may cost 0.74166668, at 6,741.57.
    stage = market(market='default_mode = "cross"')
    stage.deposit("dave", "0.3")
    stage.open_position("dave", "buy", "10000", "10000", "10", against="bob")
    stage.mark("9000")
    stage.buy("carl", "5000", price)
    assert len(of_type(stage.sell("dave", "5000", reduce_only=True), TradeExecuted)) == trades


def test_a_cross_long_that_has_gained_may_be_increased() -> None:
    # At 20,000 it is worth 0.5 and has gained 0.5; the wallet of 0.12 carries 0.1 and 0.0005 of initial margin.
    stage = market(market='default_mode = "cross"')
    stage.deposit("dave", "0.12")
    stage.open_position("dave", "buy", "10000", "10000", "10", against="bob")
    stage.mark("20000")
    stage.open_position("dave", "buy", "100", "20000", "10", against="bob")
    assert (stage.position("dave")["qty"], stage.account("dave")["free"]) == ("10100", "0.01950000")


@pytest.mark.parametrize(("amount", "expected"), [("-0.05", []), ("-0.05000001", ["insufficient_margin"])])
def test_margin_may_be_taken_down_to_the_initial_margin_and_the_loss(amount: str, expected: list[str]) -> None:
    # Margin 0.1 + 0.2 − 0.15 of a long that at 9,523.8… has lost 0.05.
    stage = market()
    stage.open_position("alice", "buy", "10000", "10000", "10", against="bob")
    stage.margin("alice", "0.1")
    stage.mark("9523.5")  # worth 1.05003412
    stage.margin("alice", "0.00003412")
    assert codes(stage.margin("alice", amount)) == expected


# --- liquidation and bankruptcy price -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "leverage", "bankruptcy", "liquidation"),
    [
        # Long: entry × L ÷ (L + 1), and 0.5 % of maintenance: entry × 1.005 × L ÷ (L + 1).
        ("buy", "10", "9090.90909091", "9136.36363636"),
        ("buy", "1", "5000.00000000", "5025.00000000"),
        ("buy", "100", "9900.99009901", "9950.49504950"),
        # Short: entry × L ÷ (L − 1), and entry × 0.995 × L ÷ (L − 1).
        ("sell", "10", "11111.11111111", "11055.55555556"),
        ("sell", "2", "20000.00000000", "19900.00000000"),
        ("sell", "1", None, None),
    ],
)
def test_bankruptcy_and_liquidation_price(
    side: str, leverage: str, bankruptcy: str | None, liquidation: str | None
) -> None:
    stage = market()
    stage.open_position("alice", side, "10000", "10000", leverage, against="bob")
    position = stage.position("alice")
    assert (position["bankruptcy_price"], position["liquidation_price"]) == (bankruptcy, liquidation)


def test_margin_added_moves_both_prices_away() -> None:
    # BV 1.1 + 0.15 = 1.25.
    stage = market()
    stage.open_position("alice", "buy", "10000", "10000", "10", against="bob")
    stage.margin("alice", "0.15")
    position = stage.position("alice")
    assert (position["bankruptcy_price"], position["liquidation_price"]) == ("8000.00000000", "8040.00000000")


@pytest.mark.parametrize(
    ("side", "qty", "leverage", "liquidation"),
    [
        # From 0.99 up over the first tier: (0.99 + 0.0495 + 0.015) ÷ 1.025 = 1.02878049; in the first it were 9,619.
        ("buy", "9900", "20", "9623.04409673"),
        # Below the end of the tier: 0.945 ÷ 1.01 = 0.93564356.
        ("buy", "9000", "20", "9619.04761905"),
        # From 1.05 down into the first tier: (1.05 − 0.105) ÷ 0.99 = 0.95454545; in the second it were 11,008.06.
        ("sell", "10500", "10", "11000.00000000"),
        # It stays in the second: (1.05 − 0.0525 − 0.015) ÷ 0.975 = 1.0076923.
        ("sell", "10500", "20", "10419.84732824"),
    ],
)
def test_the_liquidation_price_lies_in_the_tier_of_the_answer(
    side: str, qty: str, leverage: str, liquidation: str
) -> None:
    stage = market(tiers=TIERS)
    stage.open_position("alice", side, qty, "10000", leverage, against="bob")
    assert stage.position("alice")["liquidation_price"] == liquidation


# --- rules and orders ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "qty", "expected"),
    [
        ("10000", "20000", []),
        ("9999.5", "20000", ["order_too_large"]),  # worth 2.00010000
        ("8000", "16000", []),
        ("8000", "16001", ["order_too_large"]),
        (None, "20001", ["order_too_large"]),
    ],
)
def test_the_largest_notional_is_an_amount_of_the_coin(price: str | None, qty: str, expected: list[str]) -> None:
    stage = market(market='max_order_notional = "2"')
    assert codes(stage.buy("alice", qty, price)) == expected


@pytest.mark.parametrize(("qty", "expected"), [("10000", []), ("10001", ["position_limit"])])
def test_the_tier_limits_the_position_by_its_value_in_the_coin_at_the_mark(qty: str, expected: list[str]) -> None:
    stage = market(tiers=TIERS)
    stage.leverage("alice", "50")
    assert codes(stage.buy("alice", qty, "10000")) == expected
    stage.mark("12500")
    assert codes(stage.sell("bob", "12500", "12500")) == []


def test_a_falling_mark_brings_a_position_to_its_limit() -> None:
    stage = market(tiers=TIERS)
    stage.leverage("bob", "2")
    stage.open_position("alice", "sell", "9000", "10000", "50", against="bob")
    stage.mark("9000")
    assert codes(stage.sell("alice", "1", "9000")) == ["position_limit"]


@pytest.mark.parametrize(
    ("price", "expected"),
    [("9500", []), ("9499.5", ["price_band"]), ("10500", []), ("10500.5", ["price_band"])],
)
def test_the_price_band_is_about_prices(price: str, expected: list[str]) -> None:
    stage = market(market='price_band = "0.05"')
    assert codes(stage.buy("alice", "1", price)) == expected
    assert codes(stage.sell("bob", "1", price)) == expected


def test_the_largest_quantity_is_in_contracts() -> None:
    stage = market(market='max_order_qty = "500"')
    assert codes(stage.buy("alice", "501", "10000")) == ["order_too_large"]
    assert codes(stage.buy("alice", "500", "10000")) == []


def test_the_book_trades_by_price_best_first() -> None:
    stage = market()
    stage.sell("bob", "1000", "10100")
    stage.sell("carl", "1000", "10050")
    events = stage.buy("alice", "1500", "10100")
    assert [(trade.price, trade.qty) for trade in of_type(events, TradeExecuted)] == [
        ("10050.0", "1000"),
        ("10100.0", "500"),
    ]


@pytest.mark.parametrize("by", ["mark", "last"])
def test_a_stop_order_of_a_long_sells_when_the_price_falls(by: str) -> None:
    stage = market()
    stage.open_position("alice", "buy", "10000", "10000", "2", against="bob")
    stage.buy("carl", "10001", "9400")
    stop = {"trigger_price": "9500", "trigger_when": "falls_to", "trigger_by": by}
    stage.sell("alice", "10000", reduce_only=True, **stop)
    assert of_type(stage.mark("9500.5"), OrderTriggered) == []
    events = stage.mark("9500") if by == "mark" else stage.sell("bob", "1", "9400")
    assert of_type(events, OrderTriggered)
    assert of_type(events, TradeExecuted)[-1].price == "9400.0"
    assert "BTC-USD" not in stage.account("alice")["positions"]


def test_fill_or_kill_foresees_the_margin_of_makers_in_the_coin() -> None:
    # carl's bid of 10,000 was affordable at the mark 10,000; at 8,000 it would lose 0.25 at once.
    stage = CoinStage()
    for account, amount in (("alice", "10"), ("bob", "10"), ("carl", "0.1")):
        stage.deposit(account, amount)
    stage.mark("10000")
    stage.buy("carl", "10000", "10000")
    stage.mark("9000")
    (killed,) = of_type(stage.sell("alice", "10000", "9000", tif="fok"), OrderCancelled)
    assert killed.reason == "fok"
    stage.buy("bob", "10000", "9000")
    assert len(of_type(stage.sell("alice", "10000", "9000", tif="fok"), TradeExecuted)) == 1


def test_a_reduce_only_order_closes_no_more_than_the_position() -> None:
    stage = market()
    stage.open_position("alice", "sell", "10000", "10000", "2", against="bob")
    (accepted,) = of_type(stage.buy("alice", "12000", "9000", reduce_only=True, order_id="r"), OrderAccepted)
    assert accepted.remaining == "10000"
    stage.sell("carl", "4000", "9500")
    stage.buy("alice", "4000", "9500")
    assert stage.book("buy") == [("9000.0", "r", "6000")]
    assert codes(stage.sell("alice", "1", "10000", reduce_only=True)) == ["reduce_only"]


# --- large amounts ------------------------------------------------------------------------------------------


def large() -> CoinStage:
    """alice is long as many contracts as stay below 2^63 units at a mark of one tick."""
    tiers = '[{ up_to = "92000000000", initial = "0.01", maintenance = "0.005" }]'
    stage = CoinStage(tiers=tiers)
    for account in ("alice", "bob"):
        stage.deposit(account, "30000000000")
    stage.mark("1")
    stage.open_position("alice", "buy", "46116860184", "1", "2", against="bob")
    return stage


def test_a_mark_at_which_a_position_would_be_worth_two_to_the_63_units_is_refused() -> None:
    # 46,116,860,184 contracts are worth 9,223,372,036,800,000,000 units at 0.5, and 2^63 is 9,223,372,036,854,775,808.
    stage = large()
    stage.margin("alice", "6000000000")
    stage.open_position("alice", "buy", "1", "1", "2", against="bob")
    stage.margin("alice", "100")
    before = stage.rows()
    (refused,) = of_type(stage.mark("0.5"), PriceRejected)
    assert refused.code == "amount_too_large"
    assert stage.rows() == before
    stage = large()
    assert codes(stage.mark("0.5")) == []


def test_an_order_that_would_be_worth_two_to_the_63_units_is_refused() -> None:
    stage = market("1")
    assert codes(stage.sell("alice", "46116860185", "0.5")) == ["amount_too_large"]
    assert codes(stage.sell("alice", "46116860184", "0.5")) == ["position_limit"]
    stage.mark("0.5")
    assert codes(stage.buy("alice", "46116860185", "1")) == ["amount_too_large"]


def test_what_a_position_was_worth_beyond_its_rounded_value_counts_when_the_mark_falls_far() -> None:
    # Ten lots are worth 1.99 units at the first mark and 1.19 × 10^19 at one tick; one unit were 6 × 10^18.
    tiers = '[{ up_to = "0.00000001", initial = "0.1", maintenance = "0.05" }]'
    stage = CoinStage(tiers=tiers, market='multiplier = "5970000000"')
    for account in ("alice", "bob"):
        stage.deposit(account, "1000")
    stage.mark("3000000000000000000")
    stage.open_position("alice", "buy", "10", "3000000000000000000", "10", against="bob")
    assert stage.position("alice")["entry_value"] == "0.00000001"
    assert codes(stage.mark("0.5")) == ["amount_too_large"]
    # The highest mark counts, not the one before.
    stage.margin("alice", "900")
    assert codes(stage.mark("1500000000")) == []
    assert codes(stage.mark("0.5")) == ["amount_too_large"]


def test_prices_stay_below_two_to_the_63_ticks_where_values_do_not_bound_them() -> None:
    stage = market()
    too_high = f"{AMOUNT_LIMIT // 2}.0"
    assert codes(stage.mark(too_high)) == ["amount_too_large"]
    assert codes(stage.buy("alice", "1", too_high)) == ["amount_too_large"]
    assert codes(stage.mark(f"{AMOUNT_LIMIT // 2 - 1}.5")) == []
