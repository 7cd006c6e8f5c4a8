"""What a mark price does, in this order: exhausted takeovers, liquidations, unwinding."""

from engine.liquidation import ask_settlement, index_stale, liquidate_triggered
from engine.market import Market
from engine.orders import check_size, find_market, parse_price
from engine.state import ShardState
from engine.takeover import raise_exhausted, unwind_all
from schemas.commands import ClockTick, PriceMark


def set_mark(state: ShardState, command: PriceMark) -> None:
    """Take the mark price over and act on it. Raises Refused."""
    market = find_market(state, command.market)
    mark = parse_price(market, command.price)
    check_size(market, mark, 1)
    market.mark = mark
    index_stale(market)
    if market.residuals:
        raise_exhausted(state, market)
        _ask_again(state, market)
    liquidate_triggered(state, market)
    if market.residuals:
        unwind_all(state, market)


def pass_time(state: ShardState, command: ClockTick) -> None:
    """What time alone does: takeovers grow too old."""
    del command
    for market in state.markets.values():
        if market.residuals:
            raise_exhausted(state, market)


def _ask_again(state: ShardState, market: Market) -> None:
    """What could not be placed at all at an earlier mark becomes a new question."""
    for residual in market.residuals.values():
        if residual.fund is None and not residual.is_open:
            residual.round += 1
            residual.is_open = True
            state.open_residuals += 1
            ask_settlement(state, market, residual)
