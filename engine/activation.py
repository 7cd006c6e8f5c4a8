"""Turning stop orders whose price has come into orders, in order and within bounds."""

from engine.funding import pay_account
from engine.market import Market
from engine.orders import activate
from engine.state import ShardState
from engine.stops import RISING


def trigger_by_mark(state: ShardState, market: Market) -> None:
    """Queue what a new mark price triggers."""
    state.triggered.extend((stop, market.mark) for stop in market.stops.take_by_mark(market.mark))


def run_triggered(state: ShardState) -> None:
    """Activate what waits in the queue, and what the trades of that trigger, while the command's cap lasts."""
    _trigger_by_last(state)
    while state.triggered and state.stops_left:
        state.stops_left -= 1
        stop, price = state.triggered.pop(0)
        # A command in between may have cancelled it.
        if stop.position.stops.get(stop.command.order_id) is stop:
            if state.funding:
                pay_account(state, stop.position.account.name)
            activate(state, stop, price)
            _trigger_by_last(state)


def _trigger_by_last(state: ShardState) -> None:
    for market in state.printed:
        high, low = market.stops.high, market.stops.low
        taken = market.stops.take_by_last()
        state.triggered.extend((stop, high if stop.direction == RISING else low) for stop in taken)
    state.printed.clear()
