"""Cross accounts on the other side of somebody's loss: ADL, the last resort, socialised losses."""

from schemas.events import AdlExecuted, LossDeficit, LossSocialised, OrderCancelled
from tests.engine.crossed import BTC, ETH, SOL, CrossStage
from tests.engine.stage import of_type


def against_alice(fund: str = "0", **settings: str) -> CrossStage:
    """victim, isolated, goes long 1 BTC at 100 times; who is short is up to the test."""
    stage = CrossStage(opening=fund, **settings)
    stage.deposit("victim", "100")
    stage.lever("victim", "100", BTC)
    stage.mode("victim", BTC, "isolated")
    return stage


def short_against_victim(stage: CrossStage, account: str, qty: str = "1") -> None:
    """A short of BTC from 10,000 for an account, the other side of which is victim's or the house's."""
    stage.order(account, BTC, "sell", qty, "10000")


def test_a_cross_counterparty_realises_into_its_wallet() -> None:
    stage = against_alice()
    stage.deposit("alice", "1000")
    short_against_victim(stage, "alice")
    stage.order("victim", BTC, "buy", "1", "10000")
    events = stage.mark_of(BTC, "9800")
    (executed,) = of_type(events, AdlExecuted)
    # 100 profit at the bankruptcy price of 9,900; leverage 9,800 ÷ the whole equity of 1,200.
    assert (executed.account, executed.price, executed.realised_pnl) == ("alice", "9900.00000000", "100.000000")
    assert executed.leverage == "8.166666666666666666"
    assert (stage.wallet("alice"), stage.open_in("alice")) == ("1100.000000", {})


def test_a_cross_counterparty_is_ranked_by_the_equity_that_is_allotted_to_its_position() -> None:
    """anna and zoe have the same short and equity; three quarters of zoe's are allotted to something else."""
    stage = against_alice()
    for account in ("anna", "zoe"):
        stage.deposit(account, "4000")
        short_against_victim(stage, account)
    stage.order("house", BTC, "buy", "1", "10000")
    stage.order("victim", BTC, "buy", "1", "10000")
    stage.trade("zoe", ETH, "buy", "29.4")
    events = stage.mark_of(BTC, "9800")
    (executed,) = of_type(events, AdlExecuted)
    # E = 4,200; MM of zoe's BTC is 49 of 196: 1,050 allotted.
    assert (executed.account, executed.leverage) == ("zoe", "9.333333333333333333")


def test_a_cross_counterparty_that_would_fall_to_maintenance_margin_gives_what_leaves_it_above() -> None:
    """victim is bankrupt at 9,900 and the mark is 9,800: a lot of 0.001 takes 0.1 of equity and frees 0.049 of MM."""
    stage = against_alice()
    stage.deposit("alice", "2000")
    short_against_victim(stage, "alice")
    stage.order("victim", BTC, "buy", "1", "10000")
    stage.trade("alice", ETH, "buy", "5")
    stage.take_away("alice", 2_000_000_000 + 200_000_000 - 125_000_000)
    # E = 125 at 9,800, MM = 49 + 25: having given n lots 125 − 0.1 n > 74 − 0.049 n ⇔ n < 1,000.
    events = stage.mark_of(BTC, "9800")
    executed = [event for event in of_type(events, AdlExecuted) if event.account == "alice"]
    assert executed[0].qty == "0.999"


def test_a_cross_counterparty_without_other_positions_may_give_all_that_leaves_its_wallet_at_zero() -> None:
    stage = against_alice()
    stage.deposit("alice", "1000")
    short_against_victim(stage, "alice")
    stage.order("victim", BTC, "buy", "1", "10000")
    stage.take_away("alice", 1_100_000_000)  # W = −100, and 100 are realised at 9,900
    events = stage.mark_of(BTC, "9800")
    assert [(event.account, event.qty) for event in of_type(events, AdlExecuted)] == [("alice", "1.000")]
    assert stage.wallet("alice") == "0.000000"


def test_a_cross_counterparty_whose_wallet_would_end_below_zero_gives_only_a_part() -> None:
    stage = against_alice()
    stage.deposit("alice", "1000")
    short_against_victim(stage, "alice")
    stage.order("victim", BTC, "buy", "1", "10000")
    stage.take_away("alice", 1_100_000_001)
    events = stage.mark_of(BTC, "9800")
    executed = of_type(events, AdlExecuted)
    assert [(event.account, event.qty, event.price) for event in executed] == [
        ("alice", "0.999", "9900.00000000"),
        ("alice", "0.001", "9800.00000000"),  # the last resort, at the mark
    ]
    assert executed[1].rank == 0


def test_adl_cancels_orders_that_the_cross_account_no_longer_carries() -> None:
    stage = against_alice()
    stage.deposit("alice", "2100")
    short_against_victim(stage, "alice")
    stage.order("victim", BTC, "buy", "1", "10000")
    stage.order("alice", BTC, "sell", "1", "10500", order_id="old")
    events = stage.mark_of(BTC, "9800")
    # Flat with 2,200: the order of 1,050 is carried.
    assert of_type(events, OrderCancelled) == []
    assert stage.free("alice") == "1150.000000"


def test_a_cross_account_pays_of_a_socialised_loss_what_is_free_which_is_no_unrealised_profit() -> None:
    """thin is short 1 against victim with W = −900: at 9,000 its equity is 100, so that 64 lots close at 9,900 and 936
    at the mark, at a loss of 842.4 over what alice (500) and thin itself (942.4) realised."""
    stage = against_alice()
    stage.deposit("alice", "1000")
    stage.deposit("thin", "1000")
    stage.trade("alice", BTC, "buy", "0.5")
    stage.trade("alice", BTC, "sell", "0.5", "11000")
    stage.trade("alice", ETH, "buy", "9")
    stage.trade("alice", SOL, "buy", "10")
    stage.mark_of(ETH, "950")  # −450, and 1,000 of initial margin: 50 of 1,500 are free
    stage.mark_of(SOL, "200")
    short_against_victim(stage, "thin")
    stage.order("victim", BTC, "buy", "1", "10000")
    stage.take_away("thin", 1_900_000_000)
    events = stage.mark_of(BTC, "9000")
    assert [(event.account, event.qty) for event in of_type(events, AdlExecuted)] == [
        ("thin", "0.064"),
        ("thin", "0.936"),
    ]
    paid = [(event.account, event.amount) for event in of_type(events, LossSocialised)]
    assert paid == [("alice", "50.000000"), ("thin", "42.400000")]
    (deficit,) = of_type(events, LossDeficit)
    assert deficit.amount == "750.000000"
    assert (stage.wallet("alice"), stage.free("alice")) == ("1450.000000", "0.000000")
    assert (stage.wallet("thin"), stage.open_in("thin")) == ("0.000000", {})


def test_who_has_no_equity_is_not_closed_at_the_mark_either() -> None:
    """thin's equity at 9,000 is 0: nobody takes the residual, which waits for the next mark."""
    stage = against_alice()
    stage.deposit("thin", "1000")
    short_against_victim(stage, "thin")
    stage.order("victim", BTC, "buy", "1", "10000")
    stage.mark_of(SOL, "100")
    stage.take_away("thin", 2_000_000_000)
    assert of_type(stage.mark_of(BTC, "9000"), AdlExecuted) == []
    assert stage.open_in("thin") == {BTC: "1.000"}
