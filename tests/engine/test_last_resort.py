"""The last resort: a loss that neither the fund nor ADL could place is socialised or stands as a deficit."""

from schemas.claims import DeficitRepaid, LiquidationClosed, LiquidationUncovered, LossCovered
from schemas.events import AccountRejected, AdlExecuted, FundDebited, LossDeficit, LossSocialised
from tests.engine.stage import SECOND, Stage, of_type
from tests.engine.test_adl import inventory_against_a_thin_short

# The fund (301) holds 1 long at 10,000, erin is short 1 from 9,700 with a margin of 97, bob has realised 800. At the
# mark 9,400 the loss is 600 of 301, so ADL: erin's margin pays for 323 of 1,000 lots at 10,000. The other 677 close
# at 9,400: they miss 0.677 × 600 = 406.2, and erin realises 0.677 × 300 − 96.9 = 106.2 in all.


def test_the_fund_pays_what_it_can_and_the_rest_is_socialised_over_realised_profits_by_largest_remainders() -> None:
    stage = inventory_against_a_thin_short()
    bob, erin = (stage.venue.shards["usdt"].state.accounts[name].wallet.balance for name in ("bob", "erin"))
    events = stage.mark("9400")
    (uncovered,) = of_type(events, LiquidationUncovered)
    assert uncovered.loss == "406.200000"
    (covered,) = of_type(events, LossCovered)
    assert covered.amount == "301.000000"
    assert stage.fund()["balance"] == "0.000000"
    # 105.2 over profits of 800 and 106.2: 92.871330… and 12.328669…; the odd unit goes to the larger remainder.
    socialised = of_type(events, LossSocialised)
    assert [(event.account, event.amount, event.rate) for event in socialised] == [
        ("bob", "92.871331", "0.116089163540057382"),
        ("erin", "12.328669", "0.116089163540057382"),
    ]
    (closed,) = of_type(events, LiquidationClosed)
    assert (closed.socialised, closed.deficit, closed.surplus) == ("105.200000", "0.000000", "0.000000")
    accounts = stage.venue.shards["usdt"].state.accounts
    assert accounts["bob"].wallet.balance == bob - 92_871_331
    assert accounts["erin"].wallet.balance == erin + 97_000_000 + 106_200_000 - 12_328_669


def with_a_deficit(**settings: str) -> Stage:
    """As above, but bob has withdrawn all but 10: 82.871331 is missing."""
    stage = inventory_against_a_thin_short(**settings)
    free = stage.account("bob")["free"]
    left = f"{int(free.partition('.')[0]) - 10}.{free.partition('.')[2]}"
    stage.send("account.withdraw", shard="usdt", account="bob", amount=left, transfer_id="w1")
    stage.mark("9400")
    return stage


def test_a_winner_pays_at_most_its_free_balance_and_what_is_missing_stands_as_the_deficit_of_the_market() -> None:
    stage = with_a_deficit()
    paid = {event.account: event.amount for event in of_type(stage.events, LossSocialised)}
    assert paid == {"bob": "10.000000", "erin": "12.328669"}
    (deficit,) = of_type(stage.events, LossDeficit)
    assert (deficit.amount, deficit.deficit) == ("82.871331", "82.871331")
    assert stage.venue.report()["markets"]["BTC-USDT"]["deficit"] == "82.871331"
    assert stage.fund()["deficits"] == {"BTC-USDT": "82.871331"}


def test_withdrawals_are_held_while_a_deficit_stands_and_deposits_are_not() -> None:
    stage = with_a_deficit()
    (refused,) = of_type(
        stage.send("account.withdraw", shard="usdt", account="carl", amount="1", transfer_id="w2"), AccountRejected
    )
    assert refused.code == "loss_uncovered"
    assert of_type(stage.deposit("carl", "1"), AccountRejected) == []


def test_a_deficit_within_the_markets_hold_does_not_hold_withdrawals() -> None:
    stage = with_a_deficit(market='deficit_hold = "82.871331"')
    assert (
        of_type(
            stage.send("account.withdraw", shard="usdt", account="carl", amount="1", transfer_id="w2"), AccountRejected
        )
        == []
    )


def test_a_deficit_is_repaid_first_from_any_later_credit_of_the_fund() -> None:
    stage = with_a_deficit()
    events = stage.send("fund.deposit", fund="btc", amount="50", kind="injection", transfer_id="f1")
    (repaid,) = of_type(events, DeficitRepaid)
    assert repaid.amount == "50.000000"
    assert stage.fund()["balance"] == "0.000000"
    assert stage.fund()["deficits"] == {"BTC-USDT": "32.871331"}
    events = stage.send("fund.deposit", fund="btc", amount="50", kind="donation", transfer_id="f2")
    (debited,) = of_type(events, FundDebited)
    assert (debited.amount, debited.cause_kind, debited.balance) == ("32.871331", "deficit", "17.128669")
    assert stage.venue.report()["markets"]["BTC-USDT"]["deficit"] == "0.000000"
    withdrawn = stage.send("account.withdraw", shard="usdt", account="carl", amount="1", transfer_id="w3")
    assert of_type(withdrawn, AccountRejected) == []


def test_profits_realised_before_the_last_reconciliation_are_not_clawed_back() -> None:
    stage = inventory_against_a_thin_short(fund='takeover_max_age = "9d"')
    stage.now += 86_400 * SECOND
    stage.mark("9400")
    assert {event.account for event in of_type(stage.events, LossSocialised)} == {"erin"}


def test_what_was_clawed_back_is_no_profit_any_more() -> None:
    stage = inventory_against_a_thin_short()
    stage.mark("9400")
    realised = stage.venue.shards["usdt"].state.markets["BTC-USDT"].realised
    assert realised["bob"] == 800_000_000 - 92_871_331
    assert realised["erin"] == 106_200_000 - 12_328_669


def test_without_any_opposing_position_that_has_equity_the_residual_waits_for_the_next_mark() -> None:
    # alice (long) and bob (short) are both bankrupt at some mark of a market that nobody else is in.
    stage = Stage(limits="liquidations_per_command = 1")
    stage.deposit("alice", "105")
    stage.deposit("bob", "105")
    stage.mark("10500")
    stage.leverage("bob", "100")
    stage.open_position("alice", "buy", "1", "10500", "100", against="bob")
    stage.mark("10000")  # alice bankrupt at 10,395: the fund is empty, bob wins 395 + what ADL takes
    assert stage.account("alice")["wallet"] == "0.000000"
    assert [event.account for event in of_type(stage.events, AdlExecuted)] == ["bob"]
    assert stage.venue.report()["markets"]["BTC-USDT"]["open_interest"] == "0.000"


def test_odd_lots_of_pro_rata_closing_go_by_account_name_not_by_who_was_there_first() -> None:
    # Four shorts fall due at 11,000, one liquidation per command: amy and bea are liquidated, cat and dan still wait
    # when 1.999 of the fund's long are closed against their 1 + 1. The odd lot is cat's, by name.
    stage = Stage(opening="100000", limits="liquidations_per_command = 1")
    stage.deposit("alice", "999.5")
    stage.deposit("bob", "1000000")
    stage.mark("10500")
    stage.leverage("bob", "1")
    stage.leverage("alice", "21")
    for account in ("dan", "cat", "bea", "amy"):
        stage.deposit(account, "525")
        stage.leverage(account, "20")
        stage.sell(account, "1", "10500")
    stage.buy("alice", "1.999", "10500")
    stage.buy("bob", "2.001", "10500")
    stage.mark("10050")
    stage.now += 700 * SECOND
    closed = {event.account: event.qty for event in of_type(stage.mark("11000"), AdlExecuted)}
    assert closed == {"cat": "1.000", "dan": "0.999"}
