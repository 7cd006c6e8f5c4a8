"""Auto-deleveraging: who is closed, at what price, in which order, and who is passed over."""

from schemas.claims import AdlTriggered, LiquidationClosed
from schemas.events import AdlCompleted, AdlExecuted, FundCredited, OrderAmended, OrderCancelled, PositionUpdated
from tests.engine.stage import SECOND, Stage, of_type


def crowd(**settings: str) -> Stage:
    """Funded accounts around a mark of 10,500."""
    stage = Stage(**settings)
    for account in ("bob", "carl", "dave", "erin"):
        stage.deposit(account, "1000000")
    stage.mark("10500")
    return stage


def ranks(stage: Stage) -> list[tuple[int, str, str]]:
    """Rank, account and quantity of every counterparty so far."""
    return [(event.rank, event.account, event.qty) for event in of_type(stage.events, AdlExecuted)]


def test_the_residual_closes_at_the_bankruptcy_price_and_the_fund_keeps_its_balance() -> None:
    # Worked example 3 with one counterparty: 11 at 10,000 against shorts from 10,500.
    stage = crowd(opening="1000")
    stage.deposit("alice", "5500")
    stage.open_position("alice", "buy", "11", "10500", "21", against="bob")
    events = stage.mark("9000")
    (triggered,) = of_type(events, AdlTriggered)
    assert (triggered.expected_loss, triggered.fund_balance) == ("11000.000000", "1000.000000")
    (executed,) = of_type(events, AdlExecuted)
    assert (executed.account, executed.side, executed.qty, executed.price, executed.realised_pnl) == (
        "bob",
        "short",
        "11.000",
        "10000.00000000",
        "5500.000000",
    )
    assert stage.fund()["balance"] == "1000.000000"
    assert stage.account("bob")["wallet"] == "1005500.000000"


def test_score_is_profit_ratio_times_leverage_for_winners() -> None:
    # short from 10,500 at the mark 9,000: profit 1,500 ÷ 10,500; equity 1,050 + 1,500, so leverage 9,000 ÷ 2,550.
    stage = crowd()
    stage.deposit("alice", "500")
    stage.open_position("alice", "buy", "1", "10500", "21", against="bob")
    stage.mark("9000")
    (executed,) = of_type(stage.events, AdlExecuted)
    assert executed.profit_ratio == "0.142857142857142857"
    assert executed.leverage == "3.529411764705882352"
    assert executed.score == "0.504201680672268907"  # 1,500 × 9,000 ÷ (10,500 × 2,550)


def test_the_most_leveraged_winner_goes_first_and_ties_break_by_account_name() -> None:
    stage = crowd()
    for account, leverage in (("bob", "5"), ("carl", "20"), ("dave", "20")):
        stage.leverage(account, leverage)
    stage.deposit("alice", "2000")
    for counterparty in ("bob", "dave", "carl"):
        stage.open_position("alice", "buy", "1", "10500", "21", against=counterparty)
    stage.mark("9000")
    assert ranks(stage) == [(1, "carl", "1.000"), (2, "dave", "1.000"), (3, "bob", "1.000")]


def test_a_counterparty_gives_no_more_than_the_residual_needs() -> None:
    stage = crowd()
    stage.deposit("alice", "500")
    stage.deposit("fred", "10500")
    stage.leverage("bob", "20")
    stage.open_position("alice", "buy", "1", "10500", "21", against="bob")
    stage.open_position("fred", "buy", "2", "10500", "2", against="bob")
    stage.mark("9500")
    assert ranks(stage) == [(1, "bob", "1.000")]
    position = stage.position("bob")
    # bob put 3 × 525 into margin. A third is released and 500 realised at 10,000: 998,425 + 525 + 500.
    assert (position["qty"], position["margin"]) == ("2.000", "1050.000000")
    assert stage.account("bob")["wallet"] == "999450.000000"


def test_winners_are_used_up_before_anybody_realises_a_loss() -> None:
    # Bankruptcy price 10,000. carl is short from 9,990 at 100 times: he wins at the mark but would lose 10 at 10,000.
    stage = crowd()
    stage.deposit("alice", "2000")
    stage.deposit("fred", "100000")
    stage.leverage("carl", "100")
    stage.leverage("bob", "2")
    stage.open_position("alice", "buy", "1", "10500", "21", against="bob")
    stage.mark("10060")
    stage.open_position("fred", "buy", "1", "9990", "2", against="carl")
    events = stage.mark("9500")
    # carl scores higher, with 490 of profit at 100 times; but at 10,000 he would realise −10, so bob gives first.
    executed = of_type(events, AdlExecuted)
    assert [(event.account, event.rank) for event in executed] == [("bob", 2)]


def test_a_loser_whose_margin_carries_the_price_gives_all_that_is_needed() -> None:
    # carl sold 10 at 9,900 at the mark 10,060: margin 990 + 160 each, and is alone against alice's 4 long. Closed at
    # 10,000 he realises −100 each, which the margin share of 1,150 carries: he can give all 4, and keeps 6.
    stage = crowd()
    stage.deposit("alice", "5000")
    stage.deposit("fred", "1000000")
    stage.open_position("alice", "buy", "4", "10500", "21", against="fred")
    stage.mark("10060")
    stage.open_position("fred", "buy", "10", "9900", "2", against="carl")
    events = stage.mark("9500")
    executed = of_type(events, AdlExecuted)
    assert [(event.account, event.qty, event.realised_pnl) for event in executed] == [("carl", "4.000", "-400.000000")]
    assert stage.position("carl")["margin"] == "6900.000000"


def inventory_against_a_thin_short(**settings: str) -> Stage:
    """The fund (301) holds alice's 1 long at 10,000; erin alone is short 1, from 9,700 with a margin of 97."""
    stage = crowd(opening="301", **settings)
    stage.deposit("alice", "500")
    stage.open_position("alice", "buy", "1", "10500", "21", against="bob")
    stage.mark("10040")  # taken over with budget 0
    stage.mark("9700")  # exhausted, budget 300
    stage.leverage("erin", "100")
    stage.buy("bob", "1", "9700")
    stage.sell("erin", "1", "9700")
    assert stage.position("erin")["margin"] == "97.000000"
    assert stage.account("bob")["positions"] == {}
    return stage


def test_a_loser_gives_only_the_lots_whose_loss_its_margin_pays_and_the_rest_is_left_to_the_last_resort() -> None:
    # The mark 9,600 would cost the fund 400 of 301: ADL at 10,000. erin loses 0.3 on each of 1,000 lots and her margin
    # of 97 pays for 323 of them; all 1,000 would cost 300.
    stage = inventory_against_a_thin_short()
    events = stage.mark("9600")
    executed = of_type(events, AdlExecuted)
    assert [(event.account, event.qty, event.price, event.realised_pnl) for event in executed] == [
        ("erin", "0.323", "10000.00000000", "-96.900000"),
        ("erin", "0.677", "9600.00000000", "67.700000"),
    ]
    (completed,) = of_type(events, AdlCompleted)
    assert (completed.qty, completed.remaining) == ("0.323", "0.677")
    # erin: of 97 she lost 29.2. The fund: 0.677 × (10,000 − 9,600) = 270.8 of its 301.
    assert stage.account("erin")["wallet"] == "999970.800000"
    assert stage.fund()["balance"] == "30.200000"


def test_who_is_at_maintenance_margin_already_is_not_ranked() -> None:
    # The fund holds alice's 4 long, too old at the mark 10,200. c1, c2 and c3, short from 10,040 at 50 times, fall to
    # maintenance margin there; the cap of 1 per command makes c3 wait while ADL looks for counterparties. dave has just
    # sold 2 to c1 and c2, zed is short 1 at a loss. c3 must not be ranked: it gives its lot in the last resort only.
    stage = crowd(opening="1000", limits="liquidations_per_command = 1", fund='takeover_max_age = "10m"')
    for account, amount in (("alice", "2000"), ("c1", "201"), ("c2", "201"), ("c3", "201"), ("zed", "50000")):
        stage.deposit(account, amount)
    stage.open_position("alice", "buy", "4", "10500", "21", against="bob")
    stage.mark("10040")
    for account in ("c1", "c2", "c3"):
        stage.leverage(account, "50")
    stage.leverage("zed", "1")
    for account in ("c1", "c2", "c3", "zed"):
        stage.buy("bob", "1", "10040")
        stage.sell(account, "1", "10040")
    assert stage.account("bob")["positions"] == {}
    stage.sell("dave", "2", "10210")
    stage.now += 700 * SECOND
    stage.mark("10200")
    assert ranks(stage) == [(1, "dave", "2.000"), (2, "zed", "1.000"), (0, "c3", "1.000")]


def test_when_the_mark_is_worse_for_the_counterparty_it_closes_at_the_mark_and_the_fund_gains() -> None:
    # alice is long, bankrupt at 10,000, liquidated at 10,040 and taken over with budget 0; too old after 10 minutes.
    stage = crowd(fund='takeover_max_age = "10m"')
    stage.deposit("alice", "500")
    stage.open_position("alice", "buy", "1", "10500", "21", against="bob")
    stage.mark("10040")
    stage.now += 700 * SECOND
    events = stage.send("clock.tick")
    (executed,) = of_type(events, AdlExecuted)
    assert (executed.price, executed.realised_pnl) == ("10040.00000000", "460.000000")
    (closed,) = of_type(events, LiquidationClosed)
    assert closed.surplus == "40.000000"
    (credited,) = of_type(events, FundCredited)
    assert (credited.amount, credited.cause_kind) == ("40.000000", "surplus")


def test_overshoot_is_told_by_what_was_needed_and_what_profit_was_taken() -> None:
    # Needed: 11 × (10,000 − 9,000). Taken: 11 × (10,500 − 9,000) of unrealised profit at the mark.
    stage = crowd()
    stage.deposit("alice", "5500")
    stage.open_position("alice", "buy", "11", "10500", "21", against="bob")
    (completed,) = of_type(stage.mark("9000"), AdlCompleted)
    assert (completed.needed, completed.taken) == ("11000.000000", "16500.000000")


def test_adl_charges_no_fee() -> None:
    stage = crowd(market='taker_fee = "0.0005"\nmaker_fee = "0.0002"')
    stage.deposit("alice", "510")
    stage.open_position("alice", "buy", "1", "10500", "21", against="bob")
    fees = stage.venue.shards["usdt"].state.fees.balance
    assert of_type(stage.mark("9000"), AdlExecuted)
    assert stage.venue.shards["usdt"].state.fees.balance == fees


def test_reduce_only_orders_of_a_counterparty_shrink_with_its_position() -> None:
    stage = crowd()
    stage.deposit("alice", "500")
    stage.deposit("fred", "10500")
    stage.open_position("alice", "buy", "1", "10500", "21", against="bob")
    stage.open_position("fred", "buy", "1", "10500", "2", against="bob")
    stage.buy("bob", "2", "9000", order_id="take-profit", reduce_only=True)
    events = stage.mark("9500")
    (amended,) = of_type(events, OrderAmended)
    assert (amended.order_id, amended.remaining) == ("take-profit", "1.000")


def test_only_orders_that_the_counterparty_no_longer_carries_are_cancelled() -> None:
    # bob, short 2, has little left in his wallet and bids for 2: free while they close his short. After ADL takes
    # 1 of it, half of each bid would open a long.
    stage = Stage()
    stage.deposit("bob", "2101")
    for account in ("alice", "fred"):
        stage.deposit(account, "10500")
    stage.mark("10500")
    stage.leverage("alice", "21")
    stage.send("account.withdraw", shard="usdt", account="alice", amount="10000", transfer_id="w")
    stage.open_position("alice", "buy", "1", "10500", "21", against="bob")
    stage.open_position("fred", "buy", "1", "10500", "2", against="bob")
    stage.buy("bob", "1", "9000", order_id="older")
    stage.buy("bob", "1", "8900", order_id="younger")
    events = stage.mark("9500")
    assert [(event.account, event.qty) for event in of_type(events, AdlExecuted)] == [("bob", "1.000")]
    # Released 1,050 and 500 realised: 1,551 carries the 895 that one excess lot needs, so nothing is cancelled.
    assert of_type(events, OrderCancelled) == []
    position = [event for event in of_type(events, PositionUpdated) if event.account == "bob"][-1]
    assert position.wallet == "1551.000000"
