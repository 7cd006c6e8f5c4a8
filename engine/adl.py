"""Auto-deleveraging: a residual that no fund takes over is closed against the best-ranked opposing positions.

It is closed at its bankruptcy price or at the mark, whichever is worse for the counterparty; at a better mark the
residual gains, and the gain is the fund's surplus. Where the fund has reserved a budget for the difference it is closed
at the mark as long as the loss is within it. A counterparty that would fall to its maintenance margin is
passed over or gives fewer lots; one that would realise a loss comes after all who would not.
"""

from collections.abc import Iterator

from engine.adl_queue import AdlQueue, queue_of, rank_anew
from engine.adl_shares import ROUNDINGS, SHARED, flatten, water_fill
from engine.fills import close_lots
from engine.fixed import RATE, SCORE, divide_down, ratio_text, share_down
from engine.funding import pay_account, pay_side
from engine.margin import maintenance_margin
from engine.market import Market
from engine.pool import is_due, sum_pool
from engine.position import Position
from engine.ranking import Standing, stand
from engine.residual import Residual
from engine.resting import after_change, cancel_unaffordable
from engine.state import POSITION_SIDES, ShardState
from schemas.events import AdlCompleted, AdlExecuted


def deleverage(state: ShardState, market: Market, residual: Residual, loss_budget: int) -> None:
    """Close the residual against counterparties in rank order, as far as they can carry it.

    A fund has reserved `loss_budget` units for closing it at a mark that is worse than bankruptcy.
    """
    spec = market.spec
    start_lots = residual.parcel.lots
    needed = residual.expected_loss(spec.value(market.mark, start_lots))
    gain = residual.exposure * (spec.value(market.mark, start_lots) - residual.parcel.value)
    at_mark = gain > 0 or 0 < needed <= loss_budget
    close = _close_in_shares if spec.adl_ranking in SHARED else _close_in_order
    profits = close(state, market, residual, at_mark=at_mark)
    left = residual.parcel.lots
    state.emit(
        AdlCompleted(
            liquidation_id=residual.liquidation_id,
            market=spec.name,
            qty=spec.lots.text(start_lots - left),
            counterparties=len(profits),
            remaining=spec.lots.text(left),
            needed=spec.asset.text(needed - residual.expected_loss(spec.value(market.mark, left))),
            taken=spec.asset.text(sum(profits)),
        )
    )


def _close_in_order(state: ShardState, market: Market, residual: Residual, *, at_mark: bool) -> list[int]:
    """Close all that the first can give, then the next, until the residual is gone; the profit that each gave up."""
    queue = queue_of(state, market, -residual.side)
    profits: list[int] = []
    for rank, position, standing in _candidates(state, market, residual, queue, at_mark=at_mark):
        most = min(residual.parcel.lots, position.parcel.lots)
        if not most:
            break
        profits.extend(_close_against(state, market, residual, position, rank, standing, most, at_mark=at_mark))
    queue.put_back()
    return profits


def _close_in_shares(state: ShardState, market: Market, residual: Residual, *, at_mark: bool) -> list[int]:
    """Close a share of each, first of those who would realise no loss, then of the others; the profit each gave up.

    Whoever owes funding pays before. What goes by the price, who would realise a loss and how much each can give, is
    judged for as many lots as the residual has left.
    """
    if market.funding is not None:
        pay_side(state, market, -residual.side)
    spec = market.spec
    groups: dict[bool, list[tuple[int, Position]]] = {False: [], True: []}
    for rank, position in enumerate(rank_anew(market, -residual.side), start=1):
        most = min(residual.parcel.lots, position.parcel.lots)
        value = _closing_value(market, residual, most, at_mark=at_mark)
        groups[position.exposure * (value - position.parcel.part(most)) < 0].append((rank, position))
    profits: list[int] = []
    for group in groups.values():
        if not residual.parcel.lots:
            break
        limits = []
        for _, position in group:
            most = min(residual.parcel.lots, divide_down(position.parcel.lots * spec.adl_cap, RATE))
            limits.append(_lots_carried(market, residual, position, most, at_mark=at_mark))
        standings = [stand(position) for _, position in group]
        if spec.adl_ranking in ROUNDINGS:
            weights = [standing.score for standing in standings]
            shares = water_fill(residual.parcel.lots, weights, limits, ROUNDINGS[spec.adl_ranking])
        else:
            leverages = [
                (*standing.leverage, position.parcel.lots)
                for standing, (_, position) in zip(standings, group, strict=True)
            ]
            shares = flatten(residual.parcel.lots, leverages, limits)
        for (rank, position), standing, share in zip(group, standings, shares, strict=True):
            profits.extend(_close_against(state, market, residual, position, rank, standing, share, at_mark=at_mark))
    return profits


def close_counterparty(
    state: ShardState,
    residual: Residual,
    position: Position,
    lots: int,
    value: int,
    rank: int,
    standing: Standing,
) -> None:
    """Close lots of a counterparty for `value`: its margin share and PnL go to the wallet.

    Where an isolated position's PnL is worse than the margin share, the margin that stays pays the difference and
    none is released.
    """
    market = position.market
    spec = market.spec
    carried = position.parcel.part(lots)
    realised = position.exposure * (value - carried)
    released = share_down(position.margin.balance, lots, position.parcel.lots)
    side = position.sign
    close_lots(position, lots, carried)
    if position.is_cross:
        state.ledger.move(market.clearing, position.wallet, realised, "realised_pnl")
    elif released + realised >= 0:
        state.ledger.move(position.margin, position.wallet, released, "margin")
        state.ledger.move(market.clearing, position.wallet, realised, "realised_pnl")
    else:
        state.ledger.move(market.clearing, position.margin, realised, "realised_pnl")
        assert position.margin.balance >= 0, "a counterparty pays no more than its margin"
    state.realise(position, realised)
    after_change(state, position)
    state.emit(
        AdlExecuted(
            liquidation_id=residual.liquidation_id,
            market=spec.name,
            account=position.account.name,
            side=POSITION_SIDES[side],
            qty=spec.lots.text(lots),
            price=spec.price_text(value, lots) or "0",
            rank=rank,
            score=ratio_text(standing.score, SCORE),
            leverage=ratio_text(*standing.leverage),
            profit_ratio=ratio_text(*standing.profit_ratio),
            realised_pnl=spec.asset.text(realised),
        )
    )
    cancel_unaffordable(state, position.account, position)


def take_out(state: ShardState, market: Market, residual: Residual, lots: int, value: int) -> None:
    """Take lots that were closed for `value` off a residual; what that gains or loses stays in suspense."""
    gain = residual.take_out(lots, value, within_budget=False)
    residual.adl_lots += lots
    residual.balance += gain
    state.ledger.move(market.clearing, market.suspense, gain, "residual_pnl")


def _candidates(
    state: ShardState, market: Market, residual: Residual, queue: AdlQueue, *, at_mark: bool
) -> Iterator[tuple[int, Position, Standing]]:
    """Who is asked, with their ranks: in rank order, but those who would realise a loss after all the others.

    Who owes funding is ranked before he pays it and pays when his turn comes.
    """
    losing: list[tuple[int, Position, Standing]] = []
    # Who owes funding has to be asked for it, and may stand elsewhere afterwards.
    all_lose = not state.funding and _nobody_gains(market, residual, queue, at_mark=at_mark)
    rank = 0
    while residual.parcel.lots:
        position = queue.take()
        if position is None:
            break
        if state.funding and pay_account(state, position.account.name) and is_due(position):
            continue
        standing = stand(position)
        rank += 1
        if all_lose:
            yield rank, position, standing
            continue
        lots = min(residual.parcel.lots, position.parcel.lots)
        value = _closing_value(market, residual, lots, at_mark=at_mark)
        if position.exposure * (value - position.parcel.part(lots)) < 0:
            losing.append((rank, position, standing))
        else:
            yield rank, position, standing
    yield from losing


def _nobody_gains(market: Market, residual: Residual, queue: AdlQueue, *, at_mark: bool) -> bool:
    """Whether everybody in the queue is sure to realise a loss, whatever part of the residual closes him."""
    parcel = residual.parcel
    if at_mark:
        value, lots = market.spec.contract.worth(market.mark, 1)
    elif abs(parcel.value * parcel.start_lots - parcel.start_value * parcel.lots) < 2 * parcel.start_lots:
        value, lots = parcel.start_value, parcel.start_lots
    else:
        return False  # its parts carry more than the rounding of the whole
    return queue.nobody_gains(-residual.exposure, value, lots)


def _close_against(
    state: ShardState,
    market: Market,
    residual: Residual,
    position: Position,
    rank: int,
    standing: Standing,
    most: int,
    *,
    at_mark: bool,
) -> list[int]:
    """Close up to `most` lots, as many as the counterparty can carry; the unrealised profit that went with them."""
    lots = _lots_carried(market, residual, position, most, at_mark=at_mark)
    if not lots:
        return []
    value = _closing_value(market, residual, lots, at_mark=at_mark)
    profit = max(0, position.exposure * (market.spec.value(market.mark, lots) - position.parcel.part(lots)))
    take_out(state, market, residual, lots, value)
    close_counterparty(state, residual, position, lots, value, rank, standing)
    return [profit]


def _closing_value(market: Market, residual: Residual, lots: int, *, at_mark: bool) -> int:
    """At the mark rounded in favour of the residual, so that no part of it leaves below its share of BV."""
    if at_mark:
        return market.spec.contract.forced_value(market.mark, lots, residual.side)
    return residual.parcel.part(lots)


def _lots_carried(market: Market, residual: Residual, position: Position, most: int, *, at_mark: bool) -> int:
    """How many lots, up to `most`, the counterparty can give and stay above maintenance margin.

    What it can carry shrinks as it gives more at a price worse than the mark, so the bound is found by bisection.
    """
    if not most or _carries(position, most, _closing_value(market, residual, most, at_mark=at_mark)):
        return most
    fewest = 0
    while most - fewest > 1:
        middle = (fewest + most) // 2
        if _carries(position, middle, _closing_value(market, residual, middle, at_mark=at_mark)):
            fewest = middle
        else:
            most = middle
    return fewest


def _carries(position: Position, lots: int, value: int) -> bool:
    """Whether its pool stands above maintenance margin after `close_counterparty` or, if empty, owes nothing."""
    parcel, margin = position.parcel, position.margin.balance
    spec, mark = position.market.spec, position.market.mark
    carried = parcel.part(lots)
    realised = position.exposure * (value - carried)
    left = parcel.lots - lots
    value_after = spec.value(mark, left)
    unrealised_after = position.exposure * (value_after - (parcel.value - carried))
    maintenance_after = maintenance_margin(spec, value_after)
    if position.is_cross:
        beside = sum_pool(position.account.pool, without=spec.name)
        wallet_after = position.wallet.balance + realised
        if not left and not beside.positions:
            return wallet_after >= 0
        return wallet_after + beside.unrealised + unrealised_after > beside.maintenance + maintenance_after
    released = share_down(margin, lots, parcel.lots)
    if not left:
        return released + realised >= 0
    margin_after = margin - released if released + realised >= 0 else margin + realised
    return margin_after >= 0 and margin_after + unrealised_after > maintenance_after
