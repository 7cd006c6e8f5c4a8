"""ADL lights and places: how near a position is to its turn, before it comes."""

from schemas.envelope import Event
from schemas.events import AdlLights
from tests.engine.stage import SECOND, Stage, of_type, second_market


def shown(events: list[Event]) -> list[list[tuple[str, str, int]]]:
    """Account, side and light of every `adl.lights`."""
    return [
        [(light.account, light.side, light.light) for light in event.lights] for event in of_type(events, AdlLights)
    ]


def crowd(shorts: int, **settings: str) -> Stage:
    """s0, s1, … are short 1 from 10,500, each at less leverage than the one before; house is long all of it."""
    stage = Stage(**settings)
    stage.deposit("house", "10000000")
    for i in range(shorts):
        stage.deposit(f"s{i}", "100000")
    stage.mark("10500")
    stage.leverage("house", "1")
    for i in range(shorts):
        stage.leverage(f"s{i}", f"{20 - i}")
        stage.buy("house", "1", "10500")
        stage.sell(f"s{i}", "1", "10500")
    stage.mark("10000")
    return stage


EVERY_MINUTE = 'adl_lights = "1m"'


def to_next_minute(stage: Stage) -> list[Event]:
    """Time passes to the next minute of event time, and to no second after it."""
    stage.now = stage.now // (60 * SECOND) * 60 * SECOND + 59 * SECOND
    return stage.send("clock.tick")


def test_a_light_is_the_fifth_of_its_side() -> None:
    stage = crowd(7, market=EVERY_MINUTE)
    (lights,) = shown(to_next_minute(stage))
    assert lights == [
        ("house", "long", 5),
        *(("s0", "short", 5), ("s1", "short", 5), ("s2", "short", 4), ("s3", "short", 3), ("s4", "short", 3)),
        *(("s5", "short", 2), ("s6", "short", 1)),
    ]


def test_lights_come_at_the_interval_and_not_in_between() -> None:
    stage = crowd(2, market=EVERY_MINUTE)
    (event,) = of_type(to_next_minute(stage), AdlLights)
    assert event.ranked_at == event.ts == stage.now
    assert shown(stage.send("clock.tick")) == []
    stage.now += 57 * SECOND
    assert shown(stage.send("clock.tick")) == []
    assert len(shown(stage.send("clock.tick"))) == 1
    # A long silence is one interval.
    stage.now += 3_600 * SECOND
    assert len(shown(stage.send("clock.tick"))) == 1
    assert shown(stage.send("clock.tick")) == []


def test_lights_show_what_the_command_that_brings_them_has_done() -> None:
    stage = crowd(2, market=EVERY_MINUTE)
    stage.buy("s0", "0.5", "9990", order_id="b")
    stage.now = stage.now // (60 * SECOND) * 60 * SECOND + 59 * SECOND
    events = stage.sell("house", "1", "9990")  # s0 keeps 0.5, new stands nobody: its rank stays
    assert shown(events) == [[("house", "long", 5), ("s0", "short", 5), ("s1", "short", 3)]]
    stage.leverage("s0", "1")
    stage.margin("s0", "50000")
    assert shown(to_next_minute(stage)) == [[("house", "long", 5), ("s1", "short", 5), ("s0", "short", 3)]]


def test_what_exceeds_the_cap_follows_with_the_next_commands_as_it_was() -> None:
    stage = crowd(4, market=EVERY_MINUTE, limits="adl_lights_per_command = 2")
    assert shown(to_next_minute(stage)) == [[("house", "long", 5), ("s0", "short", 5)]]
    reckoned = stage.now
    events = stage.margin("s1", "50000")
    assert shown(events) == [[("s1", "short", 4), ("s2", "short", 3)]]
    (event,) = of_type(events, AdlLights)
    assert (event.ranked_at, event.ts) == (reckoned, stage.now)
    assert shown(stage.send("clock.tick")) == [[("s3", "short", 2)]]
    assert shown(stage.send("clock.tick")) == []
    # Only what is published again tells of the margin.
    (first, *_) = shown(to_next_minute(stage))
    assert first == [("house", "long", 5), ("s0", "short", 5)]


def test_lights_that_are_not_out_when_the_next_are_due_come_first() -> None:
    stage = crowd(4, market='adl_lights = "1s"', limits="adl_lights_per_command = 2")
    # Three commands for five lights, whatever the interval says.
    seen = [len(shown(stage.send("clock.tick"))[0]) for _ in range(9)]
    assert seen[seen.index(1) + 1 :][:6] == [2, 2, 1, 2, 2, 1]


def test_without_the_setting_there_are_none() -> None:
    stage = crowd(2)
    to_next_minute(stage)
    assert of_type(stage.events, AdlLights) == []


def test_lights_to_come_are_in_the_state_hash() -> None:
    stage = crowd(4, market=EVERY_MINUTE, limits="adl_lights_per_command = 2")
    to_next_minute(stage)
    market = stage.venue.shards["usdt"].state.markets[stage.market]
    seen = {stage.venue.state_hash()}
    market.lights_at += 1
    seen.add(stage.venue.state_hash())
    market.lights_of += 1
    seen.add(stage.venue.state_hash())
    market.lights.pop()
    seen.add(stage.venue.state_hash())
    assert len(seen) == 4


def test_the_report_tells_the_place_in_the_queue_and_what_goes_before() -> None:
    stage = crowd(3)
    assert stage.position("s0")["adl"] == {"rank": 1, "ranked": 3, "light": 5, "notional_ahead": "0.000000"}
    assert stage.position("s2")["adl"] == {"rank": 3, "ranked": 3, "light": 2, "notional_ahead": "20000.000000"}
    assert stage.position("house")["adl"] == {"rank": 1, "ranked": 1, "light": 5, "notional_ahead": "0.000000"}


def test_who_waits_for_liquidation_has_no_place() -> None:
    stage = crowd(3, limits="liquidations_per_command = 1")
    stage.deposit("rich", "10000000")
    stage.buy("s2", "0.1", "9000")
    state = stage.venue.shards["usdt"].state
    state.markets[stage.market].mark = 120_000  # all three are due and nobody has acted on it
    assert [stage.position(f"s{i}")["adl"] for i in range(3)] == [None, None, None]


def test_the_cap_is_one_for_all_markets() -> None:
    stage = crowd(1, market=EVERY_MINUTE + second_market(settings=EVERY_MINUTE), limits="adl_lights_per_command = 3")
    stage.send("price.mark", market="ETH-USDT", price="1000")
    for account, side in (("house", "buy"), ("s0", "sell")):
        order = {"market": "ETH-USDT", "account": account, "order_id": account, "side": side, "kind": "limit"}
        stage.send("order.new", **order, qty="1", price="1000")
    events = to_next_minute(stage)
    assert shown(events) == [[("house", "long", 5), ("s0", "short", 5)], [("house", "long", 5)]]
    assert [event.market for event in of_type(events, AdlLights)] == ["BTC-USDT", "ETH-USDT"]
    assert shown(stage.send("clock.tick")) == [[("s0", "short", 5)]]
