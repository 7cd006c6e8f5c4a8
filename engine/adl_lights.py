"""How near positions are to their turn in ADL: lights at an interval of event time, and the place in the queue.

The light of a position is the fifth of its side that it stands in, 5 being the first to go:

    light = 5 − floor(5 × (rank − 1) ÷ positions ranked on that side)

A market's lights are due when event time reaches a multiple of `adl_lights`. They are reckoned at the end of the
command that brings it, longs before shorts, and published at most `limits.adl_lights_per_command` per command; the
others at the end of the commands that follow, as they were reckoned. A market whose lights are not out yet is not
ranked anew.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from engine.adl_queue import rank_anew
from engine.fixed import AMOUNT_LIMIT
from engine.margin import mark_value
from engine.market import Market
from engine.position import Position
from engine.state import POSITION_SIDES, ShardState
from schemas.events import AdlLight, AdlLights

LIGHTS: Final = 5


class Place(NamedTuple):
    """Where a position stands on its side; `ahead` is the mark value, in units, of all that go before it."""

    rank: int
    ranked: int
    light: int
    ahead: int


def places(market: Market) -> Iterator[tuple[Position, Place]]:
    """Everybody who is ranked, longs before shorts, in rank order. Before the first mark nobody is."""
    for sign in (1, -1) if market.mark else ():
        ahead = 0
        ranked = rank_anew(market, sign)
        for rank, position in enumerate(ranked, start=1):
            yield position, Place(rank, len(ranked), LIGHTS - LIGHTS * (rank - 1) // len(ranked), ahead)
            ahead += mark_value(position)


def run_lights(state: ShardState) -> None:
    """Reckon the lights that are due, and publish what the command's cap allows."""
    now = state.now
    for market in state.markets.values():
        interval = market.spec.adl_lights
        if interval is None or now < market.lights_at or market.lights:
            continue
        market.lights_at = now - now % interval + interval
        market.lights_of = now
        market.lights.extend(
            AdlLight(account=position.account.name, side=POSITION_SIDES[position.sign], light=place.light)
            for position, place in places(market)
        )
    left = state.spec.limits.adl_lights_per_command
    for market in state.markets.values():
        lights = market.lights[:left]
        if lights:
            left -= len(lights)
            del market.lights[: len(lights)]
            state.emit(AdlLights(market=market.spec.name, ranked_at=market.lights_of, lights=lights))
    schedule_lights(state)


def schedule_lights(state: ShardState) -> None:
    """Have lights run again when the next of any market are due."""
    state.lights_at = min(map(_next_at, state.markets.values()), default=AMOUNT_LIMIT)


def _next_at(market: Market) -> int:
    """When there is something to do for a market: at once while lights are not out yet."""
    if market.lights:
        return 0
    return AMOUNT_LIMIT if market.spec.adl_lights is None else market.lights_at
