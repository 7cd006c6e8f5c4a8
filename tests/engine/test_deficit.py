"""A market's deficit binds its fund: it is repaid from what becomes free, and nothing leaves before it is."""

from engine.fund import Reservation
from engine.settlement import Settlement
from schemas.claims import DeficitRepaid, TakeoverClosed
from schemas.commands import AccountWithdraw, FundWithdraw
from schemas.events import AccountRejected, FundRejected, LossSocialised
from tests.engine.stage import SECOND, of_type
from tests.engine.test_last_resort import with_a_deficit
from tests.engine.test_late_decisions import Late

LATER = 1_700_000_500 * SECOND


def takeover_closed(settlement: Settlement) -> TakeoverClosed:
    """The claim that ends the reservation of liquidation usdt:9."""
    return TakeoverClosed(
        stream="engine:usdt",
        claim=settlement.shards["usdt"].claims.last + 1,
        ts=LATER,
        liquidation_id="usdt:9",
        round=1,
        market="BTC-USDT",
        fund="btc",
        qty="1.000",
        price=None,
        pnl="0.000000",
    )


def test_nothing_leaves_a_fund_that_its_markets_miss() -> None:
    stage = with_a_deficit()
    settlement = stage.venue.settlements["USDT"]
    fund = settlement.funds["btc"]
    settlement.ledger.move(settlement.treasury, fund.purse, 82_871_336, "injection")
    assert fund.withdrawable == 5
    (refused,) = of_type(
        settlement.apply(FundWithdraw(ts=LATER, fund="btc", amount="0.000006", transfer_id="w")),
        FundRejected,
    )
    assert refused.code == "insufficient_balance"


def test_withdrawals_are_held_while_a_loss_is_being_asked_about() -> None:
    stage = with_a_deficit(market='deficit_hold = "82.871331"')
    market = stage.venue.shards["usdt"].state.markets["BTC-USDT"]
    market.suspense.balance = -1
    shard = stage.venue.shards["usdt"]
    (refused,) = of_type(
        shard.apply(AccountWithdraw(ts=LATER, shard="usdt", account="carl", amount="1", transfer_id="w")),
        AccountRejected,
    )
    assert refused.code == "loss_uncovered"


def test_a_deficit_is_repaid_from_what_the_end_of_a_reservation_sets_free() -> None:
    settlement = with_a_deficit().venue.settlements["USDT"]
    fund = settlement.funds["btc"]
    held = settlement.reservations["usdt:9"] = Reservation(fund, 1, 100_000_000)
    settlement.ledger.move(settlement.treasury, fund.purse, 100_000_000, "injection")
    fund.reserved = held.budget
    (repaid,) = of_type(settlement.apply(takeover_closed(settlement)), DeficitRepaid)
    assert repaid.amount == "82.871331"
    assert fund.available == 100_000_000 - 82_871_331


def test_profits_of_a_period_are_known_until_a_loss_that_is_being_asked_about_is_socialised() -> None:
    """The boundary passes between question and answer: the winners of the old period pay all the same."""
    late = Late(opening="301")
    for account in ("bob", "carl"):
        late.fund_account(account, "1000000", "10")
    late.fund_account("alice", "500", "21")
    late.fund_account("erin", "1000000", "100")
    late.mark("10500")
    late.order("bob", "sell", "1", "10500")
    late.order("alice", "buy", "1", "10500")
    late.mark("10040")
    late.deliver()
    late.mark("9700")
    late.deliver()
    late.order("bob", "buy", "1", "9700")
    late.order("erin", "sell", "1", "9700")
    late.mark("9400")
    late.deliver(1)  # ADL; what it could not place is asked about
    assert [type(decision).__name__ for decision in late.decisions] == ["LossCovered"]
    late.now += 86_400 * SECOND
    late.mark("9400")
    socialised = of_type(late.deliver(), LossSocialised)
    assert {event.account for event in socialised} == {"bob", "erin"}
    late.mark("9400")
    assert late.shard.state.markets["BTC-USDT"].realised == {}
