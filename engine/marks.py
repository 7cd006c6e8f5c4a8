"""What arrives about prices: marks, funding, time.

A mark does, in this order: exhausted takeovers, liquidations, unwinding, stop orders.

In a market that is halted it is only taken over, and cross accounts are judged by it: nothing that needs the book is
begun, as nobody could trade against it. So positions of the market are not liquidated, inventory is neither unwound
nor too old nor beyond its budget, stop orders are not triggered and no funding begins, until the first mark after it is
open again. What settlement has been asked before is answered and applied meanwhile.
"""

from engine.activation import trigger_by_mark
from engine.adl_queue import drop_queues
from engine.closing import ask_settlement
from engine.fixed import AMOUNT_LIMIT, RATE, RATE_PLACES, scaled
from engine.funding import begin_round
from engine.liquidation import index_stale, liquidate_triggered
from engine.market import Market
from engine.orders import find_market, parse_price, refuse_halted
from engine.reject import Refused
from engine.state import ShardState
from engine.takeover import raise_exhausted, unwind_all
from schemas.commands import ClockTick, PriceFunding, PriceMark


def set_mark(state: ShardState, command: PriceMark) -> None:
    """Take the mark price over and act on it. Raises Refused."""
    market = find_market(state, command.market)
    mark = parse_price(market, command.price)
    _check_amounts(market, mark)
    market.mark = mark
    if state.queued:
        drop_queues(state, market)
    market.marks += 1
    state.marks += 1
    if not market.cheapest_mark or (mark - market.cheapest_mark) * market.spec.direction < 0:
        market.cheapest_mark = mark
    due = index_stale(state, market)
    is_halted = market.spec.is_halted
    if market.residuals and not is_halted:
        raise_exhausted(state, market)
        _ask_again(state, market)
    liquidate_triggered(state, market, due)
    if is_halted:
        return
    if market.residuals:
        unwind_all(state, market)
    trigger_by_mark(state, market)


def _check_amounts(market: Market, mark: int) -> None:
    """Refuse a mark at which some position is worth 2^63 units or more. Raises Refused.

    Every position was opened within the last tier's notional at some mark, so at most it is worth that times what the
    mark has risen (inverse: fallen) from the one at which a lot was worth least; only when this bound is reached are
    positions looked at.
    """
    spec = market.spec
    cheapest = market.cheapest_mark or mark
    risen, fallen = (mark, cheapest) if spec.direction > 0 else (cheapest, mark)
    # An inverse position was worth up to a unit more than its value, which is rounded down.
    largest = max(spec.tiers[-1].up_to, market.largest_notional)
    if spec.value(mark, 1) < AMOUNT_LIMIT and (largest + 1) * risen <= AMOUNT_LIMIT * fallen:
        return
    lots = max(
        (
            *(position.parcel.lots for position in market.positions.values()),
            *(residual.parcel.lots for residual in market.residuals.values()),
        ),
        default=0,
    )
    if spec.value(mark, max(1, lots)) >= AMOUNT_LIMIT:
        raise Refused("amount_too_large", f"at {spec.ticks.text(mark)} a position would be worth 2^63 units or more")


def set_funding(state: ShardState, command: PriceFunding) -> None:
    """Have one side of a market pay the other by this rate. Raises Refused."""
    market = find_market(state, command.market)
    rate = scaled(command.rate, RATE_PLACES)
    if rate is None or abs(rate) > RATE:
        raise Refused("bad_rate", f"rate {command.rate}: expected -1 to 1 with at most {RATE_PLACES} decimals")
    refuse_halted(market)
    if not market.mark:
        raise Refused("no_mark", f"market {market.spec.name} has no mark price yet")
    if market.funding is not None:
        left, number = market.funding.owing, market.funding.number
        raise Refused("funding_running", f"{left} positions have not paid funding {number} of {market.spec.name} yet")
    begin_round(state, market, rate)


def pass_time(state: ShardState, command: ClockTick) -> None:
    """What time alone does: takeovers grow too old."""
    del command
    for market in state.markets.values():
        if market.residuals and not market.spec.is_halted:
            raise_exhausted(state, market)


def _ask_again(state: ShardState, market: Market) -> None:
    """What could not be placed at all at an earlier mark becomes a new question."""
    for residual in market.residuals.values():
        if residual.fund is None and not residual.is_open:
            state.ask(residual)
            ask_settlement(state, market, residual)
