"""ADL in shares: the worked example of the literature, the definitions, and what becomes of what no share places."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.adl_shares import ROUNDINGS, flatten, water_fill
from engine.fixed import largest_remainders, shares_in_order
from schemas.config import ConfigError
from schemas.events import AdlCompleted, AdlExecuted, FundingPaid
from tests.engine.stage import Stage, of_type, venue_toml
from tests.engine.test_adl_lights import crowd
from tests.reference import policies
from tests.reference.exact import Fraction

W = [8_000, 4_000, 500]
"""w = (8, 4, 0.5) in thousandths; 7.5 are to be taken."""


def test_worked_example_pro_rata() -> None:
    assert water_fill(7_500, W, W, shares_in_order) == [4_800, 2_400, 300]
    assert water_fill(7_500, W, W, largest_remainders) == [4_800, 2_400, 300]


def test_worked_example_capped() -> None:
    # The first is held at half; the others give 3.5 ÷ 4.5 = 0.7778 of theirs.
    assert water_fill(7_500, W, [4_000, 4_000, 500], largest_remainders) == [4_000, 3_111, 389]


def test_odd_lots_go_to_the_first_or_to_the_largest_remainders() -> None:
    # 10 by (5, 3, 1): 5.56, 3.33, 1.11.
    weights, limits = [5, 3, 1], [99, 99, 99]
    assert water_fill(10, weights, limits, shares_in_order) == [6, 3, 1]
    assert water_fill(11, weights, limits, shares_in_order) == [7, 3, 1]  # 6.11, 3.67, 1.22
    assert water_fill(11, weights, limits, largest_remainders) == [6, 4, 1]


def test_what_has_no_weight_gets_nothing_and_what_exceeds_all_limits_is_left() -> None:
    assert water_fill(10, [3, 0, 1], [2, 9, 4], shares_in_order) == [2, 0, 4]
    assert water_fill(10, [0, 0], [9, 9], shares_in_order) == [0, 0]
    assert water_fill(10, [], [], shares_in_order) == []


def test_the_largest_leverage_is_levelled() -> None:
    # 100 lots each, worth 1,000, with equity of 100, 200 and 500: leverage 10, 5 and 2. The first comes down to 5 by 50
    # lots; then each step of the first costs two of the second: 60 lots leave 46.67 and 93.33 lots, 4.67 times each.
    sizes = [(1_000, 100, 100), (1_000, 200, 100), (1_000, 500, 100)]
    assert flatten(50, sizes, [100] * 3) == [50, 0, 0]
    assert flatten(60, sizes, [100] * 3) == [54, 6, 0]  # 46 and 94 lots: 4.6 and 4.7 times
    assert flatten(60, sizes, [20, 100, 100]) == [20, 40, 0]
    assert flatten(999, sizes, [100, 100, 7]) == [100, 100, 7]


lots = st.integers(0, 60)


@given(
    st.sampled_from(sorted(ROUNDINGS)),
    st.integers(1, 150),
    st.lists(st.tuples(st.integers(0, 30), lots), max_size=8),
)
def test_shares_are_those_of_the_definition(policy: str, total: int, drawn: list[tuple[int, int]]) -> None:
    weights, limits = [weight for weight, _ in drawn], [limit for _, limit in drawn]
    shares = water_fill(total, weights, limits, ROUNDINGS[policy])
    assert shares == policies.split(policy, total, weights, limits)
    assert all(0 <= share <= limit for share, limit in zip(shares, limits, strict=True))
    assert sum(shares) == min(total, sum(limit for weight, limit in drawn if weight))


@given(
    st.integers(1, 150),
    st.lists(
        st.tuples(
            st.sampled_from([1, 2, 10, 700, 10**12]),
            st.sampled_from([1, 3, 50, 10**9, 10**21]),
            st.integers(1, 40),
            lots,
        ),
        max_size=6,
    ),
)
def test_levelling_is_a_lot_at_a_time_from_the_most_leveraged(
    total: int, drawn: list[tuple[int, int, int, int]]
) -> None:
    limits = [min(size, limit) for _, _, size, limit in drawn]
    shares = flatten(total, [(value, own, size) for value, own, size, _ in drawn], limits)
    assert shares == policies.flatten(total, [(Fraction(value, own), size) for value, own, size, _ in drawn], limits)


def three_shorts(ranking: str, settings: str = "", fund: str = "0", rules: str = "") -> Stage:
    """a, b and c are short 2, 2 and 1 from 12,000, 11,000 and 10,500 at 10, 5 and 2 times; the mark is 10,500.

    alice is long 2 from there, bankrupt at 10,000. At 9,500 uPnL is 5,000, 3,000 and 1,000; equity 7,400, 7,400 and
    6,250.
    """
    stage = Stage(opening=fund, fund=rules, market=f'adl_ranking = "{ranking}"\n{settings}')
    for account in ("a", "b", "c", "house"):
        stage.deposit(account, "100000")
    stage.deposit("alice", "1000")
    stage.leverage("house", "1")
    for account, leverage, qty, price in (("a", "10", "2", "12000"), ("b", "5", "2", "11000")):
        stage.mark(price)
        stage.leverage(account, leverage)
        stage.buy("house", qty, price)
        stage.sell(account, qty, price)
    stage.mark("10500")
    stage.leverage("c", "2")
    stage.buy("house", "1", "10500")
    stage.sell("c", "1", "10500")
    stage.open_position("alice", "buy", "2", "10500", "21", against="house")
    return stage


SHARES = {
    # 2,000 lots by 5 : 3 : 1 of profit: 1,111.1, 666.7, 222.2.
    "pro_rata": [("a", "1.112", 1), ("b", "0.666", 2), ("c", "0.222", 3)],
    "integer_pro_rata": [("a", "1.111", 1), ("b", "0.667", 2), ("c", "0.222", 3)],
    "capped_pro_rata": [("a", "1.111", 1), ("b", "0.667", 2), ("c", "0.222", 3)],
    # 5,000 × 19,000 ÷ 7,400, 3,000 × 19,000 ÷ 7,400 and 1,000 × 9,500 ÷ 6,250 are as 12,837.8 : 7,702.7 : 1,520.
    "risk_weighted": [("a", "1.164", 1), ("b", "0.698", 2), ("c", "0.138", 3)],
    # Leverage 2.57, 2.57 and 1.52: 1,000 lots of each of the first two leave 1.28, so c gives, too. What is left of
    # 3,000 lots is as the equity is, 7,400 : 7,400 : 6,250; the odd lot goes where 1,055 lots are a hair above c's 891.
    "min_leverage": [("a", "0.946", 1), ("b", "0.945", 2), ("c", "0.109", 3)],
}


@pytest.mark.parametrize("ranking", SHARES)
def test_who_gives_how_much(ranking: str) -> None:
    stage = three_shorts(ranking)
    events = stage.mark("9500")
    executed = [(event.account, event.qty, event.rank) for event in of_type(events, AdlExecuted)]
    assert executed == SHARES[ranking]
    (completed,) = of_type(events, AdlCompleted)
    assert (completed.qty, completed.remaining, completed.counterparties) == ("2.000", "0.000", 3)
    assert completed.needed == "1000.000000"


def test_scores_of_shares_are_their_weights() -> None:
    executed = of_type(three_shorts("pro_rata").mark("9500"), AdlExecuted)
    assert [event.score for event in executed][1:] == ["3000000000." + 18 * "0", "1000000000." + 18 * "0"]
    executed = of_type(three_shorts("min_leverage").mark("9500"), AdlExecuted)
    assert [event.score[:6] for event in executed] == ["2.5675", "2.5675", "1.5199"]  # 1.52, rounded down to 2^-64


def test_nobody_gives_more_than_the_cap_and_the_rest_goes_to_the_last_resort() -> None:
    # A tenth of 2, 2 and 1; the other 1.5 are closed at the mark, pro rata by size, and the fund pays 500 for each.
    stage = three_shorts("capped_pro_rata", 'adl_cap = "0.1"', fund="900")
    events = stage.mark("9500")
    executed = [(event.account, event.qty, event.rank) for event in of_type(events, AdlExecuted)]
    assert executed == [
        *(("a", "0.200", 1), ("b", "0.200", 2), ("c", "0.100", 3)),
        *(("a", "0.600", 0), ("b", "0.600", 0), ("c", "0.300", 0)),
    ]
    (completed,) = of_type(events, AdlCompleted)
    assert (completed.qty, completed.remaining) == ("0.500", "1.500")
    assert stage.fund()["balance"] == "150.000000"


def test_a_cap_that_binds_some_has_the_others_give_more() -> None:
    # At most 0.5 of each: a gives 1,000 of its 1,111.1, the others share 1,000 by 3 : 1.
    stage = three_shorts("capped_pro_rata", 'adl_cap = "0.5"')
    executed = of_type(stage.mark("9500"), AdlExecuted)
    assert [(event.account, event.qty) for event in executed] == [("a", "1.000"), ("b", "0.750"), ("c", "0.250")]


def test_who_would_realise_a_loss_comes_after_those_who_would_not() -> None:
    # d, short 1 from 9,990, has 490 of profit at 9,500 and would lose 10 at the bankruptcy price of 10,000.
    stage = three_shorts("pro_rata")
    stage.deposit("d", "100000")
    stage.mark("10060")
    stage.buy("house", "1", "9990")
    stage.sell("d", "1", "9990")
    executed = of_type(stage.mark("9500"), AdlExecuted)
    assert [event.account for event in executed] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ('adl_ranking = "capped_pro_rata"\nadl_cap = "0"', "adl_cap: expected above 0 and at most 1, got 0"),
        ('adl_ranking = "capped_pro_rata"\nadl_cap = "1.1"', "adl_cap: expected above 0 and at most 1, got 1.1"),
        ('adl_cap = "0.5"', "adl_cap: expected only with adl_ranking = capped_pro_rata or risk_weighted"),
    ],
)
def test_a_cap_that_makes_no_sense_is_refused(settings: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Stage(market=settings)
    assert "adl_cap" not in venue_toml()


def test_with_shares_whoever_owes_funding_pays_before() -> None:
    stage = crowd(7, market='adl_ranking = "pro_rata"', limits="funding_payments_per_command = 1")
    stage.deposit("alice", "500")
    stage.open_position("alice", "buy", "1", "10000", "20", against="s0")
    stage.funding("-0.001")
    events = stage.mark("9400")
    paid = [index for index, event in enumerate(events) if isinstance(event, FundingPaid)]
    executed = [index for index, event in enumerate(events) if event.topic == "adl"]
    assert {event.account for event in of_type(events, FundingPaid)} >= {"s3", "s4", "s5", "s6"}
    assert max(paid) < min(executed)
