"""Matching: an incoming quantity meets the resting orders of the other side, best price first, oldest first.

Trades print at the maker's price. There are three kinds of takers: an account's order, whose margin is checked
at every fill; a liquidation order and a fund that unwinds its inventory, which are not margined here (their
limit price bounds what they can lose) and are settled by their callers from the totals.

Of an iceberg order the taker meets what shows. Each part is a meeting of its own, as a small order would be: one trade,
one check of margin, one of the meetings that a command may have.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from engine.book import BookSide, Level, Order
from engine.fills import Fill, Trial, book_fill, plan_fill, why_forbidden
from engine.fixed import RATE, share_down
from engine.funding import pay_account
from engine.market import Market
from engine.position import Position
from engine.resting import cancel_order, close_order_id
from engine.state import ShardState
from schemas.events import TradeExecuted, TradeSide
from schemas.fields import SelfTradePrevention

Stop = Literal["", "margin", "reduce_only", "self_trade", "max_fills"]


class Taker(NamedTuple):
    """Who takes, as the trade names it. `position` is None for a forced order."""

    account: str
    order_id: str
    position: Position | None = None
    stp: SelfTradePrevention = "cancel_taker"
    liquidation_id: str | None = None


class Taken(NamedTuple):
    """What was traded, in lots and units, and why it stopped early, if it did."""

    lots: int
    value: int
    stop: Stop


def take(state: ShardState, market: Market, taker: Taker, sign: int, limit: int | None, lots: int) -> Taken:
    """Trade up to `lots` against the book, at `limit` or better (None: at any price).

    Meets at most `limits.max_fills_per_order` resting orders or parts of them, so that the events of one command are
    bounded.
    """
    side = market.book.asks if sign > 0 else market.book.bids
    limit_key = None if limit is None else limit * sign
    # A rebate comes out of the taker's fee, and a forced order pays none.
    maker_fee = market.spec.maker_fee if taker.position is not None else max(0, market.spec.maker_fee)
    taken_lots = taken_value = 0
    for _ in range(state.spec.limits.max_fills_per_order):
        level = side.best
        if level is None or (limit_key is not None and level.key > limit_key):
            break
        maker = level.first
        assert maker is not None
        if taker.position is not None and maker.position is taker.position:
            if taker.stp != "cancel_taker":
                cancel_order(state, maker, "self_trade")
            if taker.stp != "cancel_maker":
                return Taken(taken_lots, taken_value, "self_trade")
            continue
        fill_lots = min(lots - taken_lots, maker.lots - maker.hidden)
        taker_fill: Fill | None = None
        if taker.position is None:
            value = market.spec.contract.forced_value(level.price, fill_lots, -sign)
        else:
            value = market.spec.value(level.price, fill_lots)
            taker_fill = plan_fill(taker.position, sign, fill_lots, value, market.spec.taker_fee)
            if taker_fill is None:
                return Taken(taken_lots, taken_value, why_forbidden(taker.position, sign, fill_lots))
        if state.funding:
            pay_account(state, maker.position.account.name)
        maker_fill = plan_fill(maker.position, -sign, fill_lots, value, maker_fee)
        if maker_fill is None:
            cancel_order(state, maker, why_forbidden(maker.position, -sign, fill_lots))
            continue
        taken_lots += fill_lots
        taken_value += value
        _print_trade(state, market, taker, maker, sign, fill_lots, maker_fill.fee, taker_fill.fee if taker_fill else 0)
        _reduce_maker(state, side, level, maker, fill_lots)
        if taker_fill is not None and taker.position is not None:
            book_fill(state, taker.position, sign, taker_fill)
        book_fill(state, maker.position, -sign, maker_fill)
        if taken_lots == lots:
            break
    else:
        return Taken(taken_lots, taken_value, "max_fills")
    return Taken(taken_lots, taken_value, "")


def can_fill_whole(
    state: ShardState,
    market: Market,
    taker: Position,
    stp: SelfTradePrevention,
    sign: int,
    limit: int | None,
    lots: int,
) -> bool:
    """Whether `take` would trade all of `lots`: the same walk on copies of what it would change.

    Only for fill-or-kill, which must not change anything when it fails. A maker whose margin fails or who would
    be cancelled for self-trade is passed over, as `take` would; orders of one maker are judged one after another. A
    reduce-only order whose position is used up is cancelled before `take` comes to it, so it is no meeting.
    """
    side = market.book.asks if sign > 0 else market.book.bids
    spec = market.spec
    limit_key = None if limit is None else limit * sign
    taking = Trial(taker)
    trials = {taker: taking}
    filled = 0
    meetings_left = state.spec.limits.max_fills_per_order
    for level in side:
        if limit_key is not None and level.key > limit_key:
            return False
        again: list[tuple[Order, int]] = []
        for maker, remaining, shown in _queue(level, again):
            making = trials.get(maker.position)
            if maker.reduce_only:
                stake = making or maker.position
                remaining = min(remaining, stake.parcel.lots) if stake.sign == sign else 0
                if not remaining:
                    continue
            if not meetings_left:
                return False
            meetings_left -= 1
            if maker.position is taker:
                if stp != "cancel_maker":
                    return False
                continue
            fill_lots = min(lots - filled, remaining, shown)
            value = spec.value(level.price, fill_lots)
            taker_fill = plan_fill(taking, sign, fill_lots, value, spec.taker_fee)
            if taker_fill is None:
                return False
            if making is None:
                if state.funding:
                    pay_account(state, maker.position.account.name)  # as `take` would have it; that may be now
                trials[maker.position] = making = Trial(maker.position)
            maker_fill = plan_fill(making, -sign, fill_lots, value, spec.maker_fee)
            if maker_fill is None:
                continue
            taking.trade(sign, taker_fill)
            making.trade(-sign, maker_fill)
            filled += fill_lots
            if filled == lots:
                return True
            if fill_lots < remaining:
                again.append((maker, remaining - fill_lots))
    return False


def _queue(level: Level, again: list[tuple[Order, int]]) -> Iterator[tuple[Order, int, int]]:
    """The orders of a level as a taker would meet them: each with what remains of it and what of that may show.

    The caller puts an iceberg order into `again` with what remains when a part of it is used up.
    """
    for order in level:
        yield order, order.lots, order.lots - order.hidden
    for order, remaining in again:  # grows meanwhile
        yield order, remaining, order.display


def _reduce_maker(state: ShardState, side: BookSide, level: Level, maker: Order, lots: int) -> None:
    if lots == maker.lots:
        side.remove(maker)
        close_order_id(state, maker.position, maker.order_id)
    maker.position.shrink_order(maker, lots)
    if maker.hidden and maker.hidden == maker.lots:
        level.show_next_part()


def _print_trade(
    state: ShardState,
    market: Market,
    taker: Taker,
    maker: Order,
    sign: int,
    lots: int,
    maker_fee: int,
    taker_fee: int,
) -> None:
    spec = market.spec
    amount = spec.asset.text
    market.trades += 1
    if market.stops.count_by_last:
        if not market.stops.high:
            state.printed.append(market)
        market.stops.note_print(maker.price)
    if spec.fund_fee_share and maker_fee + taker_fee > 0:
        share = share_down(maker_fee + taker_fee, spec.fund_fee_share, RATE)
        if share:
            state.fee_shares[spec.name] = state.fee_shares.get(spec.name, 0) + share
    event = TradeExecuted(
        trade_id=f"{spec.name}:{market.trades}",
        market=spec.name,
        price=spec.ticks.text(maker.price),
        qty=spec.lots.text(lots),
        taker_side="buy" if sign > 0 else "sell",
        maker=TradeSide(maker.position.account.name, maker.order_id, amount(maker_fee)),
        taker=TradeSide(taker.account, taker.order_id, amount(taker_fee)),
    )
    if taker.liquidation_id is not None:
        event.liquidation_id = taker.liquidation_id
    state.emit(event)
