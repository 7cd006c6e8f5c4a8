"""Below its minimum a fund is filled up: by its sisters, down to their minimum, then from its treasury."""

import pytest

from schemas.events import FundBelowMinimum, FundCredited, FundDebited, FundRejected, LedgerPosted
from tests.engine.stage import Stage, of_type
from tests.engine.test_takeover import bankrupt_long


def sisters(*others: str, own: str = "rebalance = true") -> str:
    """Settings of the fund `btc`, and further funds of its asset: "name opening minimum" or "… alone"."""
    tables = [own]
    for other in others:
        name, opening, minimum, *alone = other.split()
        rebalance = "false" if alone else "true"
        tables.append(
            f'[funds.{name}]\nasset = "USDT"\nopening = "{opening}"\nminimum = "{minimum}"\nrebalance = {rebalance}'
        )
    return "\n".join(tables)


def balances(stage: Stage) -> dict[str, str]:
    """The whole units that each fund has."""
    return {name: fund["balance"].removesuffix(".000000") for name, fund in stage.venue.report()["funds"].items()}


def movements(events: list[object]) -> list[tuple[str, str, str]]:
    """Which fund gave (with a minus) or got how much, and why."""
    moved = of_type(events, FundCredited, FundDebited)  # type: ignore[arg-type]
    return [
        (
            event.fund,
            ("-" if isinstance(event, FundDebited) else "") + event.amount.removesuffix(".000000"),
            event.cause_kind,
        )
        for event in moved
    ]


def test_at_genesis_sisters_fill_up_a_fund_in_the_order_of_the_config_down_to_their_minimum() -> None:
    stage = Stage(opening="100", minimum="1000", fund=sisters("eth 500 200", "sol 5000 0", "ada 9000 0 alone"))
    (below,) = of_type(stage.events, FundBelowMinimum)
    assert (below.fund, below.balance) == ("btc", "100.000000")
    assert movements(stage.events)[4:] == [
        ("eth", "-300", "rebalance"),
        ("btc", "300", "rebalance"),
        ("sol", "-600", "rebalance"),
        ("btc", "600", "rebalance"),
    ]
    assert balances(stage) == {"btc": "1000", "eth": "200", "sol": "4400", "ada": "9000"}
    (posted,) = of_type(stage.events, LedgerPosted)
    assert [(line.debit, line.credit, line.cause_kind) for line in posted.lines][4:] == [
        ("fund/eth", "fund/btc", "rebalance"),
        ("fund/sol", "fund/btc", "rebalance"),
    ]


@pytest.mark.parametrize("own", ["rebalance = false", ""])
def test_a_fund_that_does_not_rebalance_takes_nothing(own: str) -> None:
    stage = Stage(opening="100", minimum="1000", fund=sisters("eth 500 0", own=own))
    assert balances(stage) == {"btc": "100", "eth": "500"}


def test_a_loss_that_takes_a_fund_below_its_minimum_is_made_good_by_its_sister() -> None:
    stage = bankrupt_long(opening="1000", minimum="1000", fund=sisters("eth 30 0"))
    stage.buy("carl", "1", "9950")
    events = stage.mark("9950")
    assert movements(events) == [
        ("btc", "-50", "takeover_pnl"),
        ("eth", "-30", "rebalance"),
        ("btc", "30", "rebalance"),
    ]
    assert len(of_type(events, FundBelowMinimum)) == 1


def test_a_fund_that_stays_below_gets_more_as_soon_as_a_sister_has_an_excess_and_is_told_of_once() -> None:
    stage = Stage(opening="900", minimum="1000", fund=sisters("eth 10 10"))
    assert movements(stage.send("clock.tick")) == []
    events = stage.send("fund.deposit", fund="eth", amount="60", kind="donation", transfer_id="f1")
    assert movements(events) == [("eth", "60", "donation"), ("eth", "-60", "rebalance"), ("btc", "60", "rebalance")]
    assert of_type(events, FundBelowMinimum) == []
    assert balances(stage) == {"btc": "960", "eth": "10"}


def test_what_a_sister_has_reserved_is_not_taken_from_it() -> None:
    stage = bankrupt_long(opening="1000", fund=sisters("eth 0 0"))
    stage.mark("9950")  # btc reserves 50
    events = stage.send("fund.minimum", fund="eth", amount="5000")
    assert movements(events) == [("btc", "-950", "rebalance"), ("eth", "950", "rebalance")]


def test_a_treasury_fills_up_what_the_sisters_could_not() -> None:
    own = 'rebalance = true\ntreasury = "ops"'
    stage = Stage(opening="100", minimum="1000", fund=sisters("eth 500 200", own=own))
    assert movements(stage.events)[2:] == [
        ("eth", "-300", "rebalance"),
        ("btc", "300", "rebalance"),
        ("btc", "600", "injection"),
    ]
    assert len(of_type(stage.events, FundBelowMinimum)) == 1
    (posted,) = of_type(stage.events, LedgerPosted)
    last = posted.lines[-1]
    assert (last.debit, last.credit, last.cause_kind) == ("treasury/USDT/ops", "fund/btc", "injection")


def test_a_treasury_injects_again_at_each_crossing() -> None:
    stage = bankrupt_long(opening="1000", minimum="1000", fund='treasury = "ops"')
    stage.buy("carl", "1", "9950")
    events = stage.mark("9950")
    assert movements(events) == [("btc", "-50", "takeover_pnl"), ("btc", "50", "injection")]
    (below,) = of_type(events, FundBelowMinimum)
    assert below.balance == "950.000000"
    raised = stage.send("fund.minimum", fund="btc", amount="1200")
    assert len(of_type(raised, FundBelowMinimum)) == 1
    assert balances(stage) == {"btc": "1200"}


def test_all_that_comes_from_outside_stays_below_two_to_the_63() -> None:
    most = "9223372036854.775807"
    stage = Stage(opening="9223372036854", minimum=most, fund='treasury = "ops"')
    assert stage.fund()["balance"] == most
    (refused,) = of_type(
        stage.send("fund.deposit", fund="btc", amount="0.000001", kind="donation", transfer_id="f"), FundRejected
    )
    assert refused.code == "amount_too_large"
    stage = Stage(opening=most, fund=sisters("eth 0 10", own="").replace("true", 'true\ntreasury = "x"'))
    assert balances(stage) == {"btc": most, "eth": "0"}


def test_what_a_fund_needs_includes_the_deficits_that_the_credit_repays_first() -> None:
    stage = Stage(opening="100", fund=sisters("eth 5000 0"))
    state = stage.venue.shards["usdt"].state
    stage.venue.settlements["USDT"].funds["btc"].deficits["BTC-USDT"] = 30_000_000
    state.markets["BTC-USDT"].deficit.balance -= 30_000_000
    state.external.balance += 30_000_000
    events = stage.send("fund.minimum", fund="btc", amount="150")
    assert movements(events) == [("eth", "-80", "rebalance"), ("btc", "80", "rebalance"), ("btc", "-30", "deficit")]
    assert balances(stage) == {"btc": "150", "eth": "4920"}
