"""ADL rankings: scores against numbers computed by hand, and who goes first because of them."""

import pytest

from engine.fixed import SCORE, ratio_text
from engine.position import Position
from engine.ranking import RANKINGS, stand
from schemas.events import AdlExecuted
from tests.engine.coin import CoinStage
from tests.engine.crossed import BTC, ETH, CrossStage
from tests.engine.stage import Stage, of_type


def held(stage: Stage, account: str, market: str | None = None) -> Position:
    """An account's position in the engine's state."""
    state = stage.venue.shards[stage.shard].state
    return state.accounts[account].positions[market or stage.market]


def scores(position: Position) -> dict[str, int]:
    """What each ranking of positions by name makes of one."""
    return {name: RANKINGS[name](position) for name in EXPECTED["winner"]}


def one_short(mark: str) -> Stage:
    """bob is short 1 from 10,500 at 10 times (M = 1,050), alice long at 5 times (M = 2,100)."""
    stage = Stage()
    for account in ("alice", "bob"):
        stage.deposit(account, "10500")
    stage.mark("10500")
    stage.open_position("alice", "buy", "1", "10500", "5", against="bob")
    stage.mark(mark)
    return stage


EXPECTED = {
    # At 9,000: uPnL 1,500, equity 2,550, MM 45.
    "winner": {
        "pnl_leverage": (1_500 * 9_000, 10_500 * 2_550),
        "pnl_margin_ratio": (1_500 * 45, 1_050 * 2_550),
        "roi_mmr": (1_500 * 45, 10_500 * 2_550),
        "price_leverage": (10_500 * 9_000, 9_000 * 2_550),
        "margin_price": (10_500 * 10_500, 1_050 * 9_000),
    },
    # At 10,800: uPnL −300, equity 750, MM 54.
    "loser": {
        "pnl_leverage": (-300 * 750, 10_500 * 10_800),
        "pnl_margin_ratio": (0, 1),
        "roi_mmr": (-300 * 750, 10_500 * 54),
        "price_leverage": (10_500 * 10_800, 10_800 * 750),
        "margin_price": (10_500 * 10_500, 1_050 * 10_800),
    },
    # At 10,500: uPnL 0, equity 1,050.
    "even": {
        "pnl_leverage": (0, 1),
        "pnl_margin_ratio": (0, 1),
        "roi_mmr": (0, 1),
        "price_leverage": (10, 1),
        "margin_price": (10, 1),
    },
}


@pytest.mark.parametrize(("who", "mark"), [("winner", "9000"), ("loser", "10800"), ("even", "10500")])
def test_scores_of_an_isolated_short(who: str, mark: str) -> None:
    found = scores(held(one_short(mark), "bob"))
    assert found == {name: SCORE * num // den for name, (num, den) in EXPECTED[who].items()}


def test_scores_of_a_long_take_the_price_the_other_way() -> None:
    # alice at 11,500: uPnL 1,000, equity 3,100.
    position = held(one_short("11500"), "alice")
    assert RANKINGS["price_leverage"](position) == SCORE * 11_500 * 11_500 // (10_500 * 3_100)
    assert RANKINGS["margin_price"](position) == SCORE * 5 * 11_500 // 10_500


def test_an_inverse_long_gains_as_its_value_falls() -> None:
    # Long 10,000 from 10,000 (1 BTC, M = 0.1): at 12,500 worth 0.8, equity 0.3. Its price and its value move apart.
    stage = CoinStage()
    for account in ("alice", "bob"):
        stage.deposit(account, "10")
    stage.mark("10000")
    stage.leverage("bob", "1")
    stage.open_position("alice", "buy", "10000", "10000", "10", against="bob")
    stage.mark("12500")
    found = scores(held(stage, "alice"))
    assert found["price_leverage"] == SCORE * 125 * 8 // (100 * 3)
    assert found["margin_price"] == SCORE * 10 * 125 // 100
    assert found["pnl_leverage"] == SCORE * 2 * 8 // (10 * 3)


def test_scores_of_a_cross_position_go_by_the_account_or_by_what_is_allotted() -> None:
    # zoe: wallet 4,000; short 1 BTC from 10,000 at 10 times, long 29.4 ETH. At 9,800: E = 4,200, MM 49 of 196, so
    # 1,050 are allotted to BTC, whose uPnL is 200.
    stage = CrossStage()
    stage.deposit("zoe", "4000")
    stage.trade("zoe", BTC, "sell", "1")
    stage.trade("zoe", ETH, "buy", "29.4")
    stage.mark_of(BTC, "9800")
    expected = {
        "pnl_leverage": (200 * 9_800, 10_000 * 1_050),
        "pnl_margin_ratio": (200 * 196, 4_000 * 4_200),
        "roi_mmr": (200 * 196, 10_000 * 4_200),
        "price_leverage": (10_000, 4_200),
        "margin_price": (10 * 10_000, 9_800),
    }
    assert scores(held(stage, "zoe", BTC)) == {name: SCORE * num // den for name, (num, den) in expected.items()}


def test_a_wallet_below_zero_counts_as_one_unit_and_no_equity_as_no_score() -> None:
    stage = CrossStage()
    stage.deposit("zoe", "4000")
    stage.trade("zoe", BTC, "sell", "1")
    stage.mark_of(BTC, "9800")
    position = held(stage, "zoe", BTC)
    stage.take_away("zoe", 4_100_000_000)  # W = −100, E = 100
    assert RANKINGS["pnl_margin_ratio"](position) == SCORE * 200_000_000 * 49_000_000 // 100_000_000
    stage.take_away("zoe", 100_000_000)  # E = 0
    assert RANKINGS["pnl_margin_ratio"](position) == 0
    assert RANKINGS["price_leverage"](position) == SCORE * 10_000_000_000


def test_every_ranking_tells_the_same_profit_ratio_and_leverage() -> None:
    for name in EXPECTED["winner"]:
        stage = Stage(market=f'adl_ranking = "{name}"')
        for account in ("alice", "bob"):
            stage.deposit(account, "10500")
        stage.mark("10500")
        stage.open_position("alice", "buy", "1", "10500", "1", against="bob")
        stage.mark("9000")
        standing = stand(held(stage, "bob"))
        assert standing.score == RANKINGS[name](held(stage, "bob"))
        assert ratio_text(*standing.profit_ratio) == ratio_text(1_500, 10_500)
        assert ratio_text(*standing.leverage) == ratio_text(9_000, 2_550)


FIRST = {
    "pnl_leverage": ("big", 3_000 * 9_000, 12_000 * 4_200),
    "pnl_margin_ratio": ("thin", 100 * 45, 91 * 191),
    "roi_mmr": ("big", 3_000 * 45, 12_000 * 4_200),
    "price_leverage": ("thin", 9_100, 191),
    "margin_price": ("thin", 100 * 9_100, 9_000),
}


@pytest.mark.parametrize("name", FIRST)
def test_the_ranking_of_the_market_decides_who_goes_first(name: str) -> None:
    # big is short from 12,000 at 10 times: uPnL 3,000, equity 4,200. thin is short from 9,100 at 100: 100 and 191.
    # alice, long from 9,100 at 100 times, is bankrupt at 9,009, where both still gain.
    stage = Stage(market=f'adl_ranking = "{name}"')
    for account in ("alice", "big", "fred", "thin"):
        stage.deposit(account, "100000")
    stage.mark("12000")
    stage.open_position("fred", "buy", "1", "12000", "1", against="big")
    stage.mark("9100")
    stage.leverage("thin", "100")
    stage.open_position("alice", "buy", "1", "9100", "100", against="thin")
    (executed,) = of_type(stage.mark("9000"), AdlExecuted)
    account, numerator, denominator = FIRST[name]
    assert (executed.account, executed.rank) == (account, 1)
    assert executed.score == ratio_text(SCORE * numerator // denominator, SCORE)
