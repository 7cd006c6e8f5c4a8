"""Liquidation: which margin pools a mark price makes due, in which order they go, and how far.

A pool is an isolated position or all cross positions of an account. Due ones queue: lowest E ÷ MM first, then account,
then market. Each is looked at again when its turn comes, and let go if it is healthy. Every order of it that could
increase risk is cancelled, an isolated position's in its market, a cross account's in the whole shard. Then

    isolated   the position is closed
    cross      the position with the largest MM, then by market name; E is allotted anew and the account looked at again
               before each, until it is healthy

Where a market says `partial = "tier"`, a position above the first risk tier is reduced first, by the fewest lots that
leave its pool healthy with the position in a lower tier. What that realises stays in the pool, and what does not fill
stays open; the pool is left alone then, and if it is due again at the next mark, the whole position goes.

A position in a market that is halted is not closed. An isolated one waits for the first mark after the market is open
again; of a cross account only positions in other markets are closed until then.
"""

from engine.account import Pool
from engine.bands import place_pool, remove_pool
from engine.closing import close_part, close_whole
from engine.funding import pay_account
from engine.margin import maintenance_margin, mark_value, tier_of, trigger_price
from engine.market import Market
from engine.pool import equity, health, is_due, maintenance
from engine.position import Position
from engine.resting import cancel_risk_increasing
from engine.state import ShardState


def index_stale(state: ShardState, market: Market) -> list[Pool]:
    """Place every pool that changed since it was last looked at where its triggers are now; return those that are due.

    Isolated positions are judged at marks of their own market, cross accounts at those of any.
    """
    for position in market.stale:
        position.stale = False
        if position.is_cross:
            if not position.sign:
                market.triggers.discard(position)
        elif not position.waiting:
            market.triggers.place(position, trigger_price(position, position.margin.balance))
    market.stale.clear()
    due: list[Pool] = []
    for pool in state.stale_pools:
        pool.stale = False
        if not pool.positions or pool.waiting:
            continue
        if place_pool(pool):
            pool.left_residual = False
        else:
            due.append(pool)
    state.stale_pools.clear()
    return due


def liquidate_triggered(state: ShardState, market: Market, due: list[Pool]) -> None:
    """Queue the pools that are due, those whose trigger the mark has reached included; run what the cap allows."""
    triggered = market.triggers.take(market.mark)
    if not (triggered or due or state.waiting):
        return
    queue: list[Position | Pool] = list(due)
    looked_at: dict[Pool, None] = {}
    for position in triggered:
        if position.is_cross:
            looked_at[position.account.pool] = None
        else:
            queue.append(position)
    queue.extend(pool for pool in looked_at if not place_pool(pool))
    _queue(state, queue)
    run_waiting(state)


def queue_payers(state: ShardState) -> None:
    """Queue those whom paying funding has made due at the current marks, in the same order."""
    # A pool that paid several times is looked at once.
    payers = dict.fromkeys(position.account.pool if position.is_cross else position for position in state.payers)
    state.payers.clear()
    due = [pool for pool in payers if not pool.waiting and is_due(pool)]
    for pool in due:
        if isinstance(pool, Position):
            pool.market.triggers.discard(pool)
        else:
            remove_pool(pool)
    _queue(state, due)


def _can_liquidate(pool: Position | Pool) -> bool:
    """Whether something of a pool could be closed: its market, or one of its markets, is not halted."""
    if isinstance(pool, Position):
        return not pool.market.spec.is_halted
    return any(not position.market.spec.is_halted for position in pool.positions.values())


def _look_again(state: ShardState, pool: Position | Pool) -> None:
    """Have a pool judged and indexed anew at the next mark."""
    if isinstance(pool, Position):
        state.make_stale(pool)
    else:
        state.make_pool_stale(pool)


def _queue(state: ShardState, pools: list[Position | Pool]) -> None:
    due: list[Position | Pool] = []
    for pool in pools:
        if _can_liquidate(pool):
            due.append(pool)
        else:
            _look_again(state, pool)
    due.sort(key=lambda pool: (health(pool), *pool_name(pool)))
    for pool in due:
        pool.waiting = True
        pool.account.waiting += 1
    state.waiting.extend(due)


def run_waiting(state: ShardState) -> None:
    """Liquidate from the head of the queue while the command's cap lasts; who is healthy again is let go."""
    done = 0
    for pool in state.waiting:
        if not state.liquidations_left:
            break
        has_paid = bool(state.funding) and pay_account(state, pool.account.name)
        if not is_due(pool) or not _can_liquidate(pool):
            # To let somebody go costs nothing, but the funding that was booked for it is bounded, too.
            state.liquidations_left -= has_paid
        elif isinstance(pool, Position):
            _liquidate_isolated(state, pool)
        elif not _liquidate_cross(state, pool):
            break
        done += 1
        pool.waiting = False
        pool.account.waiting -= 1
        if isinstance(pool, Pool):
            pool.left_residual = pool.left_residual and is_due(pool)
        _look_again(state, pool)
    del state.waiting[:done]


def _liquidate_isolated(state: ShardState, position: Position) -> None:
    state.liquidations_left -= 1
    cancel_risk_increasing(state, position)
    part = lots_to_reduce(position, position.market.marks)
    if part is None:
        close_whole(state, position)
    else:
        close_part(state, position, part)


def _liquidate_cross(state: ShardState, pool: Pool) -> bool:
    """Close positions of an account until it is healthy or none can be; False if the command's cap ran out before."""
    for name in state.markets:
        if name in pool.account.positions:
            cancel_risk_increasing(state, pool.account.positions[name])
    while is_due(pool):
        if not state.liquidations_left:
            return False
        tradable = [position for position in pool.positions.values() if not position.market.spec.is_halted]
        if not tradable:
            break
        state.liquidations_left -= 1
        position = min(tradable, key=_by_maintenance_margin)
        part = lots_to_reduce(position, state.marks)
        if part is not None:
            close_part(state, position, part)
            break
        close_whole(state, position)
    return True


def lots_to_reduce(position: Position, marks: int) -> int | None:
    """The fewest lots that, closed at the mark, leave the pool healthy and the position in a lower tier.

    None if no part does, if its market does not ask for it, or if it was reduced at this one or the last of `marks`
    before this one. Closing at the mark leaves equity as it is, and maintenance margin falls with what is left.
    """
    market = position.market
    spec = market.spec
    if not spec.partial_by_tier or position.reduced_at >= marks - 1:
        return None
    value = mark_value(position)
    tier = spec.tiers.index(tier_of(spec, value))
    if tier == 0:
        return None
    # What the pool's other positions do not need of its equity.
    own = equity(position) - maintenance(position) + maintenance_margin(spec, value)
    ceiling = spec.tiers[tier - 1].up_to
    kept, too_many = 0, position.parcel.lots
    while too_many - kept > 1:
        middle = (kept + too_many) // 2
        value = spec.value(market.mark, middle)
        if value <= ceiling and maintenance_margin(spec, value) < own:
            kept = middle
        else:
            too_many = middle
    return position.parcel.lots - kept if kept else None


def _by_maintenance_margin(position: Position) -> tuple[int, str]:
    spec = position.market.spec
    return -maintenance_margin(spec, mark_value(position)), spec.name


def pool_name(pool: Position | Pool) -> tuple[str, str]:
    """Account and market of a pool; the market of a cross account's is empty, so that it comes first."""
    return pool.account.name, pool.market.spec.name if isinstance(pool, Position) else ""
