"""ADL triggers: what a fund was worth over a rolling window of event time decides, whatever it could still pay."""

import pytest

from engine.adl_trigger import BUCKETS, AdlTrigger
from engine.settlement import Settlement
from engine.spec import TriggerSpec, compile_venue
from schemas.claims import AdlTriggered, LiquidationResidual, TakeoverApproved
from schemas.commands import FundWithdraw
from schemas.config import ConfigError, parse_config
from schemas.events import AdlActivated, AdlDeactivated
from tests.engine.stage import SECOND, Stage, of_type, venue_toml
from tests.engine.test_takeover import bankrupt_long

HOUR = 3_600 * SECOND
START = 1_700_000_000 * SECOND
DRAWDOWN = 'adl_trigger = { kind = "drawdown", window = "8h", start = "0.30", stop = "0.25" }'
AVERAGE = 'adl_trigger = { kind = "average", window = "8h", cut = "100" }'


def drawdown(*, inclusive: bool) -> AdlTrigger:
    """30 % starts, 25 % stops; the fund is worth 1,000."""
    rate = 10**9
    trigger = AdlTrigger(TriggerSpec("drawdown", 8 * HOUR, 3 * rate // 10, rate // 4, 0, inclusive))
    trigger.observe(START, 1_000)
    return trigger


@pytest.mark.parametrize(
    ("inclusive", "starts", "stays"), [(False, (700, 699), (750, 751)), (True, (701, 700), (749, 750))]
)
def test_a_drawdown_starts_at_one_threshold_and_stops_at_the_other(
    inclusive: bool, starts: tuple[int, int], stays: tuple[int, int]
) -> None:
    trigger = drawdown(inclusive=inclusive)
    for worth, is_active in ((starts[0], False), (starts[1], True), (stays[0], True), (stays[1], False), (720, False)):
        changed = trigger.observe(START + SECOND, worth)
        assert (worth, trigger.is_active) == (worth, is_active)
        assert changed == (worth in (starts[1], stays[1]))


def test_a_peak_is_forgotten_when_its_part_of_the_window_has_passed() -> None:
    trigger = drawdown(inclusive=False)
    trigger.observe(START + SECOND, 600)
    width = 8 * HOUR // BUCKETS
    end = (START + SECOND) // width * width + width + 8 * HOUR
    assert not trigger.observe(end - 1, 600)
    assert trigger.level == 1_000
    assert trigger.observe(end, 600)
    assert (trigger.is_active, trigger.level) == (False, 600)


def test_memory_is_bounded_by_the_parts_of_the_window() -> None:
    trigger = drawdown(inclusive=False)
    for i in range(5_000):
        trigger.observe(START + i * 7 * SECOND, 10_000 - i)
    trigger.observe(START + 10_000 * HOUR, 1)
    assert len(list(trigger.rows())) <= BUCKETS + 3


@pytest.mark.parametrize(
    ("inclusive", "worth", "is_active"), [(False, 900, False), (False, 899, True), (True, 900, True)]
)
def test_an_average_is_weighted_by_time_and_its_cut_is_an_amount(inclusive: bool, worth: int, is_active: bool) -> None:
    trigger = AdlTrigger(TriggerSpec("average", 8 * HOUR, 0, 0, 100, inclusive))
    trigger.observe(START, 1_000)
    assert trigger.level == 0  # before, it was worth nothing
    trigger.observe(START + 9 * HOUR, 1_000)
    trigger.observe(START + 9 * HOUR, worth)
    assert (trigger.level, trigger.is_active) == (1_000, is_active)
    trigger.observe(START + 13 * HOUR, worth)
    assert trigger.level == pytest.approx((1_000 + worth) // 2, abs=1)


def test_a_fund_that_never_had_anything_is_not_down() -> None:
    trigger = AdlTrigger(TriggerSpec("drawdown", 8 * HOUR, 10**8, 0, 0, inclusive=True))
    assert not trigger.observe(START, 0)
    assert not trigger.is_active


def test_an_active_trigger_sends_to_adl_what_the_fund_could_carry_until_it_ends() -> None:
    stage = bankrupt_long(opening="1000", fund=DRAWDOWN)
    events = stage.send("fund.withdraw", fund="btc", amount="301", transfer_id="w")
    (activated,) = of_type(events, AdlActivated)
    assert (activated.fund, activated.kind) == ("btc", "drawdown")
    assert (activated.worth, activated.level) == ("699.000000", "1000.000000")
    (triggered,) = of_type(stage.mark("9950"), AdlTriggered)
    assert (triggered.reason, triggered.expected_loss) == ("trigger_active", "50.000000")
    events = stage.send("fund.deposit", fund="btc", amount="52", kind="injection", transfer_id="d")
    (ended,) = of_type(events, AdlDeactivated)
    assert ended.worth == "751.000000"


def test_time_alone_ends_a_trigger_before_the_question_of_the_same_input_is_answered() -> None:
    spec = compile_venue(parse_config(venue_toml(opening="1000", fund=AVERAGE)))
    settlement = Settlement(spec, spec.assets["USDT"])
    settlement.genesis()
    events = settlement.apply(FundWithdraw(ts=START, fund="btc", amount="101", transfer_id="w"))
    assert len(of_type(events, AdlActivated)) == 1
    question = LiquidationResidual(
        stream="engine:usdt",
        claim=1,
        ts=START + 9 * HOUR,
        liquidation_id="usdt:1",
        round=1,
        market="BTC-USDT",
        side="long",
        qty="1.000",
        bankruptcy_price=None,
        bankruptcy_value="10000.000000",
        mark_price="9950.0",
        expected_loss="50.000000",
    )
    answered = of_type(settlement.apply(question), AdlDeactivated, TakeoverApproved, AdlTriggered)
    assert [type(event) for event in answered] == [AdlDeactivated, TakeoverApproved]


def test_a_pending_loss_counts_before_it_is_booked() -> None:
    stage = bankrupt_long(opening="100", fund=DRAWDOWN + '\ntransfer = "daily"')
    stage.buy("carl", "1", "9950")
    (activated,) = of_type(stage.mark("9950"), AdlActivated)
    assert (activated.worth, stage.fund()["balance"]) == ("50.000000", "100.000000")


@pytest.mark.parametrize(
    ("trigger", "reason"),
    [
        ('{ kind = "drawdown", window = "8h", start = "0.25", stop = "0.25" }', "expected stop < start <= 1"),
        ('{ kind = "drawdown", window = "8h", start = "1.1", stop = "0.25" }', "expected stop < start <= 1"),
        ('{ kind = "average", window = "8h", cut = "0.0000001" }', "at most 6 decimals"),
        ('{ kind = "moon", window = "8h" }', "adl_trigger"),
        ('"drawdown"', "adl_trigger"),
    ],
)
def test_a_trigger_that_makes_no_sense_is_refused_by_name(trigger: str, reason: str) -> None:
    with pytest.raises(ConfigError, match="adl_trigger") as refused:
        Stage(fund=f"adl_trigger = {trigger}")
    assert reason in str(refused.value)
    parse_config(venue_toml(fund=DRAWDOWN))
