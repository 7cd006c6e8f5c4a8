"""`config.set` about funds: added ones, minimums, pending money, periods, ADL triggers, treasuries."""

from engine.report import report_funds
from schemas.envelope import Event
from schemas.events import AdlActivated, AdlDeactivated, ConfigChanged, FundCredited, FundReconciled, FundUpdated
from tests.engine.stage import SECOND, Stage, of_type
from tests.engine.test_config_change import change_fund, configure
from tests.engine.test_order_commands import open_market

DAY = 86_400 * SECOND


def test_a_fund_that_is_added_begins_with_its_opening_balance() -> None:
    stage = Stage(opening="100", minimum="80", fund="rebalance = true")
    events = configure(stage, funds={"eth": {"asset": "USDT", "opening": "50", "minimum": "60", "rebalance": True}})
    credits_ = [(e.fund, e.amount, e.cause_kind) for e in of_type(events, FundCredited)]
    assert credits_ == [("eth", "50.000000", "opening"), ("eth", "10.000000", "rebalance")]
    fund = report_funds(stage.venue.settlements["USDT"])["eth"]
    assert (fund["opening"], fund["balance"]) == ("50.000000", "60.000000")
    stage.now += 2 * DAY
    periods = [e for e in of_type(stage.send("clock.tick"), FundReconciled) if e.fund == "eth"]
    assert periods[0].opening_balance == "50.000000"
    assert periods[0].period_start == of_type(events, ConfigChanged)[0].ts


def test_the_later_of_command_and_change_sets_the_minimum() -> None:
    stage = Stage(opening="100", minimum="10")
    stage.send("fund.minimum", fund="btc", amount="20")
    assert of_type(change_fund(stage, takeover_slippage="0.01"), FundUpdated) == []
    assert stage.fund()["minimum"] == "20.000000"
    (updated,) = of_type(change_fund(stage, minimum="10"), FundUpdated)
    assert updated.minimum == stage.fund()["minimum"] == "10.000000"


def test_what_is_pending_is_booked_when_a_fund_becomes_immediate() -> None:
    stage = open_market(fund='transfer = "daily"')
    stage.deposit("dora", "500")
    stage.open_position("dora", "buy", "1", "10000", "20", against="bob")
    stage.buy("carol", "1", "9600")
    stage.mark("9540")
    assert stage.fund()["pending_gains"] == "100.000000"
    (credited,) = of_type(change_fund(stage, transfer="immediate"), FundCredited)
    assert (credited.amount, credited.cause_kind) == ("100.000000", "surplus")
    assert (stage.fund()["balance"], stage.fund()["pending_gains"]) == ("100.000000", "0.000000")


def test_the_period_that_runs_ends_when_it_was_to_end() -> None:
    stage = Stage(fund='reconcile_at = "16:00+00:00"', limits="reconciliations_per_command = 1")
    stage.now = 20_000 * DAY + 15 * 3600 * SECOND  # 15:00
    stage.send("clock.tick")
    stage.now += 1800 * SECOND
    change_fund(stage, reconcile_at="15:15+00:00")
    stage.now = 20_000 * DAY + 17 * 3600 * SECOND
    (period,) = of_type(stage.send("clock.tick"), FundReconciled)
    assert period.period_end == 20_000 * DAY + 16 * 3600 * SECOND
    stage.now = 20_001 * DAY + 16 * 3600 * SECOND
    (period,) = of_type(stage.send("clock.tick"), FundReconciled)
    assert period.period_end == 20_001 * DAY + 15 * 3600 * SECOND + 900 * SECOND


DRAWDOWN = {"kind": "drawdown", "window": "8h", "start": "0.30", "stop": "0.25"}


def test_an_active_trigger_that_is_replaced_ends_and_the_new_one_watches_anew() -> None:
    stage = Stage(
        opening="100", fund='adl_trigger = { kind = "drawdown", window = "8h", start = "0.3", stop = "0.25" }'
    )
    assert len(of_type(_withdraw(stage, "40"), AdlActivated)) == 1
    events = change_fund(stage, adl_trigger={"window": "1h"})
    assert [(e.kind, e.worth, e.level) for e in of_type(events, AdlDeactivated)] == [
        ("drawdown", "60.000000", "100.000000")
    ]
    assert of_type(_withdraw(stage, "10"), AdlActivated) == []
    assert len(of_type(_withdraw(stage, "10"), AdlActivated)) == 1  # 40 of 60
    assert len(of_type(change_fund(stage, adl_trigger=None), AdlDeactivated)) == 1


def test_a_trigger_with_other_bounds_goes_on_with_what_it_has_seen() -> None:
    stage = Stage(
        opening="100", fund='adl_trigger = { kind = "drawdown", window = "8h", start = "0.3", stop = "0.25" }'
    )
    assert of_type(_withdraw(stage, "20"), AdlActivated) == []
    (activated,) = of_type(change_fund(stage, adl_trigger={"start": "0.15", "stop": "0.1"}), AdlActivated)
    assert (activated.worth, activated.level) == ("80.000000", "100.000000")


def test_a_trigger_that_is_given_later_knows_no_better_days() -> None:
    stage = Stage(opening="100")
    _withdraw(stage, "50")
    change_fund(stage, adl_trigger=DRAWDOWN)
    assert of_type(_withdraw(stage, "10"), AdlActivated) == []


def test_an_average_that_is_asked_for_later_begins_with_what_the_fund_has() -> None:
    """100 for an hour, then 50: below the average of what was seen, though not of a window of 8 hours from nothing."""
    stage = Stage(opening="100")
    change_fund(stage, adl_trigger={"kind": "average", "window": "8h", "cut": "5"})
    stage.now += 3600 * SECOND
    (activated,) = of_type(_withdraw(stage, "50"), AdlActivated)
    assert activated.level == "100.000000"


def test_a_treasury_can_be_named_later_and_changed() -> None:
    stage = Stage(opening="5", minimum="10")
    (credited,) = of_type(change_fund(stage, treasury="ops"), FundCredited)
    assert (credited.amount, credited.cause_kind) == ("5.000000", "injection")
    change_fund(stage, treasury="reserve", minimum="12")
    treasuries = stage.venue.report()["treasuries"]
    assert (treasuries["treasury/USDT/ops"], treasuries["treasury/USDT/reserve"]) == ("-5.000000", "-2.000000")


def _withdraw(stage: Stage, amount: str) -> list[Event]:
    return stage.send("fund.withdraw", fund="btc", amount=amount, transfer_id=f"w{stage.now}")
