"""What happens by itself when event time reaches it: orders that expire, dead-man switches that go off.

Timers stand in a heap by time, then account, market and order id, so that their order does not depend on when they were
set. One that was moved or is over stays in the heap until its time and is then passed over.
"""

from heapq import heappop, heappush

from engine.account import Account
from engine.book import Order
from engine.resting import cancel_order
from engine.state import ShardState


def expire_order_at(state: ShardState, order: Order) -> None:
    """Have an order that rests leave at its `expire_at`."""
    position = order.position
    heappush(state.timers, (order.expire_at, position.account.name, position.market.spec.name, order.order_id))


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
                for position in account.positions.values():
                    for order in list(position.orders.values()):
                        cancel_order(state, order, "disconnected")
            continue
        found = account.positions[market_name].orders.get(order_id)
        if found is not None and found.expire_at == due:
            cancel_order(state, found, "expired")
