"""Partial liquidation of cross accounts by risk tier: how much goes, what stays, when the whole goes after all."""

from schemas.envelope import Event
from schemas.events import LiquidationOrdered
from tests.engine.crossed import BTC, ETH, SOL, CrossStage, started
from tests.engine.stage import codes, of_type
from tests.engine.test_cross_liquidation import bid, settled

UNIT = "0.000001"

TIERS = """[{ up_to = "50000", initial = "0.02", maintenance = "0.005" },
            { up_to = "500000", initial = "0.05", maintenance = "0.025" }]"""


def long_in_the_second_tier(btc: str = "", **settings: str) -> CrossStage:
    """alice is long 10 BTC and short 10 ETH with 5,500 and 20 times: MM is 2.5 % of MV − 1,000, and 50."""
    stage = CrossStage(btc=f'partial = "tier"\n{btc}', tiers=TIERS, **settings)
    stage.deposit("alice", "5500")
    stage.lever("alice", "20")
    stage.trade("alice", BTC, "buy", "10")
    stage.trade("alice", ETH, "sell", "10")
    return stage


def ordered(events: list[Event]) -> list[tuple[str, str]]:
    """Market and quantity of the liquidation orders."""
    return [(event.market, event.qty) for event in of_type(events, LiquidationOrdered)]


def test_a_position_above_the_first_tier_is_reduced_by_the_fewest_lots_that_heal_the_account() -> None:
    # At 9,590: E = 1,400 of 1,397.5 + 50. In the first tier up to 50,000: 5.213 × 9,590 = 49,992.67 needs 249.96.
    stage = long_in_the_second_tier()
    bid(stage, BTC, "10", "9590")
    events = stage.mark_of(BTC, "9590")
    assert ordered(events) == [(BTC, "4.787")]
    assert settled(events) == [(BTC, "4.787", "0.000000", "0.000000", "fund")]
    assert stage.open_in("alice") == {BTC: "5.213", ETH: "10.00"}
    assert stage.wallet("alice") == "3537.330000"  # 5,500 − 4.787 × 410
    assert started(stage.mark_of(SOL, "100")) == []


def test_what_does_not_fill_stays_and_the_whole_goes_at_the_shards_next_mark_if_still_due() -> None:
    stage = long_in_the_second_tier(opening="100000")
    assert ordered(stage.mark_of(BTC, "9590")) == [(BTC, "4.787")]
    assert stage.open_in("alice") == {BTC: "10.000", ETH: "10.00"}
    assert started(stage.send("clock.tick")) == []
    assert ordered(stage.mark_of(SOL, "100"))[0] == (BTC, "10.000")


def test_to_ask_for_the_mode_it_has_does_not_put_the_whole_off() -> None:
    stage = long_in_the_second_tier(opening="100000")
    assert ordered(stage.mark_of(BTC, "9590")) == [(BTC, "4.787")]
    assert codes(stage.mode("alice", BTC, "cross")) == []
    assert ordered(stage.mark_of(BTC, "9590"))[0] == (BTC, "10.000")


def test_a_mark_of_any_market_at_which_the_account_is_healthy_lets_it_be_reduced_again() -> None:
    stage = long_in_the_second_tier()
    assert ordered(stage.mark_of(BTC, "9590")) == [(BTC, "4.787")]
    assert ordered(stage.mark_of(ETH, "900")) == []
    assert ordered(stage.mark_of(ETH, "1000")) == [(BTC, "4.787")]


def test_what_the_other_positions_need_of_the_equity_does_not_carry_the_part_that_is_kept() -> None:
    # At 9,460: E = 100, of which ETH needs 50: the rest carries 0.5 % of 1.057 (49.9961), not of 1.058.
    stage = long_in_the_second_tier()
    assert ordered(stage.mark_of(BTC, "9460")) == [(BTC, "8.943")]


def test_the_fee_of_a_part_is_at_most_what_its_fills_brought_above_bankruptcy() -> None:
    stage = long_in_the_second_tier(btc='liquidation_fee = "0.002"')
    bid(stage, BTC, "10", "9590")
    assert settled(stage.mark_of(BTC, "9590")) == [(BTC, "4.787", "91.814660", "0.000000", "fund")]
    assert stage.wallet("alice") == "3445.515340"
    stage = long_in_the_second_tier(btc='liquidation_fee = "0.5"')
    bid(stage, BTC, "10", "9590")
    # BTC's allotment is floor(1,400 × 1,397.5 ÷ 1,447.5) = 1,351.640760 and an odd unit; of 10, 4.787 take their share.
    assert settled(stage.mark_of(BTC, "9590"))[0][2] == "647.030432"


def test_the_fee_of_a_part_is_charged_also_where_the_wallet_is_below_zero() -> None:
    """The profit of 5,000 of ETH carries 500 − 1,962.67 and the fee of 91.81466."""
    stage = long_in_the_second_tier(btc='liquidation_fee = "0.002"')
    stage.mark_of(ETH, "500")
    stage.take_away("alice", 5_000_000_001)
    stage.deposit("alice", UNIT)
    bid(stage, BTC, "10", "9590")
    assert settled(stage.mark_of(BTC, "9590")) == [(BTC, "4.787", "91.814660", "0.000000", "fund")]
    assert stage.wallet("alice") == "-1554.484660"


def test_a_position_that_became_isolated_was_not_reduced_at_a_mark_of_its_own_market() -> None:
    """Reduced at the shard's fourth mark; isolated, due at its market's fifth, which is not the next one after that."""
    stage = long_in_the_second_tier()
    assert ordered(stage.mark_of(BTC, "9590")) == [(BTC, "4.787")]
    stage.deposit("alice", "10000")
    stage.mode("alice", BTC, "isolated")  # M = 5,000 + 4,100
    for _ in range(2):
        assert ordered(stage.mark_of(BTC, "9590")) == []
    # At 9,220: 1,300 of 1,305; 5.422 of 50,000 may stay.
    assert ordered(stage.mark_of(BTC, "9220")) == [(BTC, "4.578")]
