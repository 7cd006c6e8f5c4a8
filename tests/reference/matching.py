"""Matching: a quantity comes in and meets the other side of the book, best price first, oldest first."""

import copy
from dataclasses import dataclass
from fractions import Fraction

from schemas.events import TradeExecuted, TradeSide
from tests.reference.book import cancel_order, close_id, crosses, line_up, queue, take_off
from tests.reference.exact import floor
from tests.reference.fills import book_fill, in_forced_value, plan_fill, why_not
from tests.reference.funding import pay_account
from tests.reference.state import Market, Order, Position, Shard


@dataclass(frozen=True)
class Taker:
    """Who takes. A forced order (of a liquidation, or of a fund) has no position that is margined here."""

    account: str
    order_id: str
    position: Position | None = None
    stp: str = "cancel_taker"
    liquidation_id: str = ""


@dataclass
class Taken:
    """What was traded, and why it stopped before the quantity or the prices were used up."""

    lots: int = 0
    value: int = 0
    stop: str = ""


def take(shard: Shard, market: Market, taker: Taker, sign: int, limit: int | None, lots: int) -> Taken:
    """Trade up to `lots` at `limit` or better (None: at any price) against so many orders as one may meet."""
    rules = market.rules
    own = taker.position
    taken = Taken()
    for _ in range(shard.rules.limits.max_fills_per_order):
        resting = queue(market, -sign)
        if not resting or not crosses(resting[0], limit):
            return taken
        maker = resting[0]
        if own is not None and maker.account == own.account:
            if taker.stp in ("cancel_maker", "cancel_both"):
                cancel_order(shard, maker, "self_trade")
            if taker.stp in ("cancel_taker", "cancel_both"):
                taken.stop = "self_trade"
                return taken
            continue
        fill_lots = min(lots - taken.lots, maker.shown)
        if own is None:
            value = in_forced_value(market, sign, maker.price, fill_lots)
            taker_fill = None
        else:
            value = rules.value(maker.price, fill_lots)
            taker_fill = plan_fill(shard, own, sign, fill_lots, value, rules.taker_fee)
            if taker_fill is None:
                taken.stop = why_not(market, own, sign, fill_lots)
                return taken
        # A rebate comes out of the taker's fee, and a forced order pays none.
        maker_rate = rules.maker_fee if own is not None else max(Fraction(0), rules.maker_fee)
        making = shard.position(maker.account, market.name)
        shard.met.append(maker.account)
        pay_account(shard, maker.account)
        maker_fill = plan_fill(shard, making, -sign, fill_lots, value, maker_rate)
        if maker_fill is None:
            cancel_order(shard, maker, why_not(market, making, -sign, fill_lots))
            continue
        taken.lots += fill_lots
        taken.value += value
        _print(shard, market, taker, maker, sign, fill_lots, maker_fill.fee, taker_fill.fee if taker_fill else 0)
        maker.shown -= fill_lots
        take_off(market, maker, fill_lots)
        if maker.lots and not maker.shown:
            line_up(market, maker)
        if not maker.lots:
            close_id(shard, maker.account, market.name, maker.order_id)
        if own is not None and taker_fill is not None:
            book_fill(shard, own, taker_fill)
        book_fill(shard, making, maker_fill)
        if taken.lots == lots:
            return taken
    taken.stop = "max_fills"
    return taken


def can_fill_whole(
    shard: Shard, market: Market, position: Position, stp: str, sign: int, limit: int | None, lots: int
) -> bool:
    """Whether a fill-or-kill order would fill: it is tried on a copy of the whole shard."""
    trial = copy.deepcopy(shard)
    trial.met = []
    taker = Taker(position.account, "", trial.position(position.account, market.name), stp)
    taken = take(trial, trial.markets[market.name], taker, sign, limit, lots)
    # Whom it meets pays what he owes of a running funding, whether it fills or not.
    for name in trial.met:
        pay_account(shard, name)
    return taken.lots == lots


def _print(
    shard: Shard, market: Market, taker: Taker, maker: Order, sign: int, lots: int, maker_fee: int, taker_fee: int
) -> None:
    rules, amount = market.rules, shard.rules.asset.text
    market.trades += 1
    shard.prints.append((market.name, maker.price))
    share = floor(max(0, maker_fee + taker_fee) * rules.fund_fee_share)
    if share:
        shard.fee_shares[market.name] = shard.fee_shares.get(market.name, 0) + share
    event = TradeExecuted(
        trade_id=f"{market.name}:{market.trades}",
        market=market.name,
        price=rules.ticks_text(maker.price),
        qty=rules.lots_text(lots),
        taker_side="buy" if sign > 0 else "sell",
        maker=TradeSide(maker.account, maker.order_id, amount(maker_fee)),
        taker=TradeSide(taker.account, taker.order_id, amount(taker_fee)),
    )
    if taker.liquidation_id:
        event.liquidation_id = taker.liquidation_id
    shard.stream.emit(event)
