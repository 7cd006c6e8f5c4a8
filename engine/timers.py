"""What happens by itself when event time reaches it: orders that expire, dead-man switches that go off.

Timers stand in a heap by time, then account, market and order id, so that their order does not depend on when they were
set. One that was moved or is over stays in the heap until its time and is then passed over.
"""

from heapq import heappop, heappush

from engine.account import Account
from engine.position import Position
from engine.resting import cancel_everything, cancel_order, cancel_stop
from engine.state import ShardState


def expire_at(state: ShardState, position: Position, order_id: str, due: int) -> None:
    """Have an order that rests, or a stop order that waits, leave at `due`."""
    heappush(state.timers, (due, position.account.name, position.market.spec.name, order_id))


def set_switch(state: ShardState, account: Account, due: int) -> None:
    """Have all orders of an account leave at `due`; zero switches the dead-man switch off."""
    account.cancel_at = due
    if due:
        heappush(state.timers, (due, account.name, "", ""))


def run_timers(state: ShardState) -> None:
    """Do what is due, at most `limits.timers_per_command` of it; the rest is done before the next command."""
    timers = state.timers
    for _ in range(state.spec.limits.timers_per_command):
        if not timers or timers[0][0] > state.outbox.event_time:
            return
        due, account_name, market_name, order_id = heappop(timers)
        account = state.accounts[account_name]
        if not order_id:
            if account.cancel_at == due:
                account.cancel_at = 0
                for name in state.markets:
                    if name in account.positions:
                        cancel_everything(state, account.positions[name], "disconnected")
            continue
        position = account.positions[market_name]
        order = position.orders.get(order_id)
        stop = position.stops.get(order_id)
        if order is not None and order.expire_at == due:
            cancel_order(state, order, "expired")
        elif stop is not None and stop.command.expire_at == due:
            cancel_stop(state, stop, "expired")
