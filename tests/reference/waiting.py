"""What waits for a price or a time: stop orders, orders good till time, dead-man switches."""

from tests.reference.book import cancel_everything, cancel_order, cancel_stop
from tests.reference.funding import pay_account
from tests.reference.orders import activate
from tests.reference.state import Market, Shard, Stop


def trigger_by_mark(shard: Shard, market: Market) -> None:
    """Queue the stop orders that a mark price triggers."""
    _queue(shard, market, "mark", market.mark, market.mark)


def trigger_by_prints(shard: Shard) -> None:
    """Queue the stop orders that the trades since the last look trigger, market by market as they traded."""
    prints, shard.prints = shard.prints, []
    for name in dict.fromkeys(name for name, _ in prints):
        prices = [price for market, price in prints if market == name]
        _queue(shard, shard.markets[name], "last", max(prices), min(prices))


def _queue(shard: Shard, market: Market, source: str, high: int, low: int) -> None:
    """Rising ones first, the lowest trigger price first; then falling ones, the highest first; then the oldest."""
    waiting = [stop for stop in market.stops if stop.command.trigger_by == source and not stop.has_come]
    rising = sorted((stop for stop in waiting if stop.rises > 0 and stop.trigger <= high), key=_passed)
    falling = sorted((stop for stop in waiting if stop.rises < 0 and stop.trigger >= low), key=_passed)
    for stop in (*rising, *falling):
        stop.has_come = True
        shard.triggered.append((stop, high if stop.rises > 0 else low))


def _passed(stop: Stop) -> int:
    return stop.trigger * stop.rises


def run_triggered(shard: Shard) -> None:
    """Activate what is queued, and what the trades of that trigger, while the command's cap lasts."""
    trigger_by_prints(shard)
    while shard.triggered and shard.stops_left:
        stop, price = shard.triggered.pop(0)
        shard.stops_left -= 1
        if stop in shard.market_of(stop).stops:
            pay_account(shard, stop.account)
            activate(shard, stop, price)
            trigger_by_prints(shard)


def run_timers(shard: Shard) -> None:
    """What event time has reached, by time, account, market and order id; as many as one command may run."""
    shard.timers.sort()
    for _ in range(shard.rules.limits.timers_per_command):
        if shard.timers and shard.timers[0][0] <= shard.stream.now:
            _go_off(shard, *shard.timers.pop(0))


def _go_off(shard: Shard, due: int, account: str, market: str, order_id: str) -> None:
    if not market:
        if shard.accounts[account].cancel_at == due:
            shard.accounts[account].cancel_at = 0
            for name in shard.markets:
                cancel_everything(shard, shard.position(account, name), "disconnected")
        return
    position = shard.position(account, market)
    for order in shard.orders_of(position):
        if order.order_id == order_id and order.expire_at == due:
            cancel_order(shard, order, "expired")
    for stop in shard.stops_of(position):
        if stop.order_id == order_id and stop.command.expire_at == due:
            cancel_stop(shard, stop, "expired")
