"""What a change of the config does to a shard. Everything that is read from the settings is read anew from then on.

What was decided under the old settings stays: the cost of open orders, leverage and mode of positions that are known,
the slices of a takeover that runs, the end of the reconciliation period. New tiers hold from the next mark on: all
positions of the market, and all cross accounts that have one, are judged and indexed anew then, which costs O(their
number) once. A leverage above what the new tiers allow stays; nothing can be opened at it.
"""

from engine.adl_queue import drop_queues
from engine.config_change import accept
from engine.market import Market
from engine.spec import MarketSpec, ShardSpec, next_boundary
from engine.state import ShardState
from schemas.commands import ConfigSet


def set_config(state: ShardState, command: ConfigSet) -> None:
    """Check a change, then take it over; also where nothing in it is about this shard. Raises Refused."""
    before = state.spec
    accepted = accept(before.config, before.config_hash, command)
    state.emit(accepted.event)
    state.spec = spec = accepted.spec.shards[before.name]
    for name, market_spec in spec.markets.items():
        market = state.markets.get(name)
        if market is None:
            _add_market(state, market_spec)
        else:
            _respecify(state, market, market_spec, is_changed=before.config.markets[name] != spec.config.markets[name])
    if spec.free_profit != before.free_profit:
        for account in state.accounts.values():
            account.pool.free_profit = spec.free_profit
    _remember(state, spec)
    state.lights_at = 0


def _add_market(state: ShardState, spec: MarketSpec) -> None:
    market = state.markets[spec.name] = Market(state.spec.name, spec)
    market.period_end = next_boundary(state.now, spec.fund.reconcile_phase)
    state.period_end = min(state.period_end, market.period_end)


def _respecify(state: ShardState, market: Market, spec: MarketSpec, *, is_changed: bool) -> None:
    """Have a market go by other settings; those of its fund may be others, too."""
    before, market.spec = market.spec, spec
    if not is_changed:
        return
    if state.queued:
        drop_queues(state, market)
    if spec.adl_lights != before.adl_lights:
        market.lights_at = 0
    if spec.tiers != before.tiers:
        market.largest_notional = max(market.largest_notional, before.tiers[-1].up_to)
        for position in market.positions.values():
            position.notional_limit = spec.notional_limit(position.leverage)
            if position.sign and position.is_cross:
                state.make_pool_stale(position.account.pool)
            elif position.sign:
                state.make_stale(position)


def _remember(state: ShardState, spec: ShardSpec) -> None:
    state.transfers.keep_for(spec.limits.transfer_memory, state.now)
    state.closed_orders.keep_for(spec.limits.closed_order_memory, state.now)
