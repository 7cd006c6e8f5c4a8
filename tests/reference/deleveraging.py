"""Auto-deleveraging and the last resort: who pays when neither book nor fund does."""

import math
from dataclasses import dataclass
from fractions import Fraction

from schemas.claims import LiquidationClosed, LiquidationPartlyClosed, LiquidationUncovered
from schemas.events import AdlCompleted, AdlExecuted, AdlLight, AdlLights, LossDeficit, LossSocialised
from tests.reference.book import cancel_unaffordable
from tests.reference.exact import floor, largest_remainders, ratio18
from tests.reference.fills import after_change, close_lots, in_forced_value
from tests.reference.funding import pay_account, pay_side
from tests.reference.inventory import book_unwound
from tests.reference.liquidation import expected_loss
from tests.reference.margin import (
    allotment,
    cross_positions,
    equity,
    exposure,
    free_balance,
    initial_margin,
    is_due,
    maintenance,
    maintenance_of,
    mark_value,
    pool,
    unrealised,
)
from tests.reference.policies import flatten, split
from tests.reference.state import SIDES, Market, Position, Residual, Shard


@dataclass(frozen=True)
class Standing:
    """Where a position stands in the ranking, and why."""

    score: int
    profit_ratio: Fraction
    leverage: Fraction


def standing_of(shard: Shard, position: Position) -> Standing:
    """Its score under the market's ranking, in steps of 2^-64, with the two ratios that are always told."""
    if position.mode == "isolated":
        own = equity(shard, [position])
    else:
        own = allotment(shard, position.account)[position.market]
    # What rounds to nothing counts as one unit, so that the ratios exist.
    ratio = Fraction(unrealised(shard, position), max(1, position.parcel.value))
    leverage = Fraction(max(1, mark_value(shard, position)), max(1, own))
    score = _SCORES[shard.market_of(position).rules.adl_ranking](shard, position, ratio, leverage)
    return Standing(floor(score * 2**64), ratio, leverage)


def _pnl_leverage(shard: Shard, position: Position, ratio: Fraction, leverage: Fraction) -> Fraction:
    return ratio * leverage if ratio > 0 else ratio / leverage


def _pnl_margin_ratio(shard: Shard, position: Position, ratio: Fraction, leverage: Fraction) -> Fraction:
    positions = pool(shard, position)
    own = equity(shard, positions)
    if own <= 0:
        return Fraction(0)
    balance = shard.margin(position) if position.mode == "isolated" else shard.wallet(position.account)
    profit = Fraction(max(0, unrealised(shard, position)), max(1, balance))
    return profit * Fraction(maintenance_of(shard, positions), own)


def _roi_mmr(shard: Shard, position: Position, ratio: Fraction, leverage: Fraction) -> Fraction:
    positions = pool(shard, position)
    own, needed = max(1, equity(shard, positions)), maintenance_of(shard, positions)
    return ratio * Fraction(needed, own) if ratio > 0 else ratio / Fraction(max(1, needed), own)


def _price_leverage(shard: Shard, position: Position, ratio: Fraction, leverage: Fraction) -> Fraction:
    own = max(1, equity(shard, pool(shard, position)))
    return _price_ratio(shard, position) * max(1, mark_value(shard, position)) / own


def _margin_price(shard: Shard, position: Position, ratio: Fraction, leverage: Fraction) -> Fraction:
    entry = max(1, position.parcel.value)
    isolated = position.mode == "isolated"
    margin = shard.margin(position) if isolated else initial_margin(position.parcel.value, position.leverage)
    return Fraction(entry, max(1, margin)) * _price_ratio(shard, position)


def _profit(shard: Shard, position: Position, ratio: Fraction, leverage: Fraction) -> Fraction:
    return Fraction(max(0, unrealised(shard, position)))


def _profit_leverage(shard: Shard, position: Position, ratio: Fraction, leverage: Fraction) -> Fraction:
    return max(0, unrealised(shard, position)) * leverage


def _leverage(shard: Shard, position: Position, ratio: Fraction, leverage: Fraction) -> Fraction:
    return leverage


def _price_ratio(shard: Shard, position: Position) -> Fraction:
    """By how much its value has changed in its favour."""
    ratio = Fraction(max(1, mark_value(shard, position)), max(1, position.parcel.value))
    return ratio if exposure(shard, position) > 0 else 1 / ratio


_SCORES = {
    "pnl_leverage": _pnl_leverage,
    "pnl_margin_ratio": _pnl_margin_ratio,
    "roi_mmr": _roi_mmr,
    "price_leverage": _price_leverage,
    "margin_price": _margin_price,
    "pro_rata": _profit,
    "integer_pro_rata": _profit,
    "capped_pro_rata": _profit,
    "risk_weighted": _profit_leverage,
    "min_leverage": _leverage,
}
ORDERED = ("pnl_leverage", "pnl_margin_ratio", "roi_mmr", "price_leverage", "margin_price")
"""The rankings that close one after the other; the others close in shares."""


def opposing(shard: Shard, market: Market, residual: Residual) -> list[Position]:
    """The open positions on the other side, by account name."""
    return [position for position in shard.open_positions(market=market.name) if position.sign == -residual.side]


# --- ADL -----------------------------------------------------------------------------------------------------


def deleverage(shard: Shard, market: Market, residual: Residual, budget: int) -> None:
    """Close the residual against the others by rank: first those who realise no loss by it, then those who do."""
    rules, amount = market.rules, shard.rules.asset.text
    before, needed = residual.parcel.lots, expected_loss(market, residual)
    side = residual.side * rules.direction
    at_mark = side * (market.value_at_mark(before) - residual.parcel.value) > 0 or 0 < needed <= budget
    profits: list[int] = []
    close = _close_in_order if rules.adl_ranking in ORDERED else _close_in_shares
    close(shard, market, residual, profits, at_mark=at_mark)
    shard.stream.emit(
        AdlCompleted(
            liquidation_id=residual.liquidation_id,
            market=market.name,
            qty=rules.lots_text(before - residual.parcel.lots),
            counterparties=len(profits),
            remaining=rules.lots_text(residual.parcel.lots),
            needed=amount(needed - expected_loss(market, residual)),
            taken=amount(sum(profits)),
        )
    )


def ranking(shard: Shard, market: Market, side: int) -> list[tuple[Position, Standing]]:
    """Who is healthy on one side, the highest score first."""
    ranked = [
        (position, standing_of(shard, position))
        for position in shard.open_positions(market=market.name)
        if position.sign == side and not is_due(shard, pool(shard, position))
    ]
    return sorted(ranked, key=lambda pair: -pair[1].score)


def publish_lights(shard: Shard) -> None:
    """The fifth of its side in which everybody stands, when it is due; as many at a time as the limit says."""
    for market in shard.markets.values():
        interval = market.rules.adl_lights
        if interval is None or shard.stream.now < market.lights_at or market.lights:
            continue
        market.lights_at = (shard.stream.now // interval + 1) * interval
        market.lights_of = shard.stream.now
        for side in (1, -1) if market.mark else ():
            ranked = ranking(shard, market, side)
            for behind, (position, _) in enumerate(reversed(ranked), start=1):
                fifth = math.ceil(Fraction(5 * behind, len(ranked)))
                light = AdlLight(account=position.account, side=SIDES[side], light=fifth)
                market.lights.insert(len(market.lights) - behind + 1, light)
    left = shard.rules.limits.adl_lights_per_command
    for market in shard.markets.values():
        lights, market.lights = market.lights[:left], market.lights[left:]
        left -= len(lights)
        if lights:
            shard.stream.emit(AdlLights(market=market.name, ranked_at=market.lights_of, lights=lights))


def _close_in_shares(shard: Shard, market: Market, residual: Residual, profits: list[int], *, at_mark: bool) -> None:
    """A share of each who realises no loss by it, then of each who does."""
    pay_side(shard, market, -residual.side)
    policy, cap = market.rules.adl_ranking, market.rules.adl_cap
    groups: list[list[tuple[int, Position, Standing]]] = [[], []]
    for rank, (position, standing) in enumerate(ranking(shard, market, -residual.side), start=1):
        lots = min(residual.parcel.lots, position.parcel.lots)
        value = _closing_value(market, residual, lots, at_mark=at_mark)
        loses = exposure(shard, position) * (value - position.parcel.share(lots)) < 0
        groups[loses].append((rank, position, standing))
    for group in groups:
        total = residual.parcel.lots
        limits = [
            _lots_carried(
                shard, market, residual, position, min(total, floor(position.parcel.lots * cap)), at_mark=at_mark
            )
            for _, position, _ in group
        ]
        if policy == "min_leverage":
            sizes = [(standing.leverage, position.parcel.lots) for _, position, standing in group]
            shares = flatten(total, sizes, limits)
        else:
            shares = split(policy, total, [standing.score for _, _, standing in group], limits)
        for (rank, position, standing), share in zip(group, shares, strict=True):
            _ask_to_close(shard, market, residual, position, rank, standing, share, profits, at_mark=at_mark)


def _close_in_order(shard: Shard, market: Market, residual: Residual, profits: list[int], *, at_mark: bool) -> None:
    """All that the first can give, then the next: first those who realise no loss by it, then those who do."""
    losing: list[tuple[int, Position, Standing]] = []
    rank = 0
    for position, standing in ranking(shard, market, -residual.side):
        if not residual.parcel.lots:
            break
        if pay_account(shard, position.account):
            if is_due(shard, pool(shard, position)):
                continue
            standing = standing_of(shard, position)
        rank += 1
        lots = min(residual.parcel.lots, position.parcel.lots)
        value = _closing_value(market, residual, lots, at_mark=at_mark)
        if exposure(shard, position) * (value - position.parcel.share(lots)) < 0:
            losing.append((rank, position, standing))
        else:
            _ask_to_close(shard, market, residual, position, rank, standing, lots, profits, at_mark=at_mark)
    for rank, position, standing in losing:
        lots = min(residual.parcel.lots, position.parcel.lots)
        _ask_to_close(shard, market, residual, position, rank, standing, lots, profits, at_mark=at_mark)


def _closing_value(market: Market, residual: Residual, lots: int, *, at_mark: bool) -> int:
    """At the mark rounded in favour of the residual, else its share of bankruptcy value."""
    return in_forced_value(market, -residual.side, market.mark, lots) if at_mark else residual.parcel.share(lots)


def _ask_to_close(
    shard: Shard,
    market: Market,
    residual: Residual,
    position: Position,
    rank: int,
    standing: Standing,
    most: int,
    profits: list[int],
    *,
    at_mark: bool,
) -> None:
    """Close as many lots, up to `most`, as the counterparty can give and stay above maintenance margin."""
    lots = _lots_carried(shard, market, residual, position, most, at_mark=at_mark)
    if lots:
        value = _closing_value(market, residual, lots, at_mark=at_mark)
        profit = exposure(shard, position) * (market.value_at_mark(lots) - position.parcel.share(lots))
        profits.append(max(0, profit))
        take_out(shard, market, residual, lots, value)
        close_counterparty(shard, market, residual, position, lots, value, rank, standing)


def _lots_carried(
    shard: Shard, market: Market, residual: Residual, position: Position, most: int, *, at_mark: bool
) -> int:
    for lots in range(most, 0, -1):
        if _carries(shard, position, lots, _closing_value(market, residual, lots, at_mark=at_mark)):
            return lots
    return 0


def _carries(shard: Shard, position: Position, lots: int, value: int) -> bool:
    """Whether the pool stands above maintenance margin afterwards or, closed whole, owes nothing."""
    market = shard.market_of(position)
    side = exposure(shard, position)
    carried = position.parcel.share(lots)
    realised = side * (value - carried)
    left = position.parcel.lots - lots
    left_value = market.value_at_mark(left)
    profit = side * (left_value - (position.parcel.value - carried)) if left else 0
    if position.mode == "cross":
        others = [other for other in cross_positions(shard, position.account) if other is not position]
        wallet = shard.wallet(position.account) + realised
        if not left and not others:
            return wallet >= 0
        own = wallet + profit + sum(unrealised(shard, other) for other in others)
        bound = sum(maintenance(shard, other) for other in others)
        return own > bound + (market.rules.maintenance(left_value) if left else 0)
    margin = shard.margin(position)
    released = floor(Fraction(margin * lots, position.parcel.lots))
    if not left:
        return released + realised >= 0
    margin += -released if released + realised >= 0 else realised
    return margin >= 0 and margin + profit > market.rules.maintenance(left_value)


def take_out(shard: Shard, market: Market, residual: Residual, lots: int, value: int) -> None:
    """Lots of a residual that were closed for `value`; what that gains or loses stays in suspense."""
    carried = residual.parcel.share(lots)
    gain = residual.side * market.rules.direction * (value - carried)
    residual.parcel.lots -= lots
    residual.parcel.value -= carried
    residual.loss = max(0, residual.loss - gain)
    residual.adl_lots += lots
    residual.balance += gain
    shard.stream.move(shard.purse("clearing", market.name), shard.purse("suspense", market.name), gain, "residual_pnl")


def close_counterparty(
    shard: Shard,
    market: Market,
    residual: Residual,
    position: Position,
    lots: int,
    value: int,
    rank: int,
    standing: Standing,
) -> None:
    """Close lots of a counterparty; where the PnL is worse than their margin share, the margin that stays pays."""
    held, carried = position.sign, position.parcel.share(lots)
    realised = exposure(shard, position) * (value - carried)
    clearing, wallet = shard.purse("clearing", market.name), shard.purse("wallet", position.account)
    margin = shard.purse("margin", market.name, position.account)
    released = floor(Fraction(shard.margin(position) * lots, position.parcel.lots))
    close_lots(position, lots, carried)
    if position.mode == "cross" or released + realised >= 0:
        shard.stream.move(margin, wallet, released, "margin")
        shard.stream.move(clearing, wallet, realised, "realised_pnl")
    else:
        shard.stream.move(clearing, margin, realised, "realised_pnl")
    shard.realise(position, realised)
    after_change(shard, position)
    shard.stream.emit(
        AdlExecuted(
            liquidation_id=residual.liquidation_id,
            market=market.name,
            account=position.account,
            side=SIDES[held],
            qty=market.rules.lots_text(lots),
            price=market.rules.price_text(value, lots) or "0",
            rank=rank,
            score=ratio18(Fraction(standing.score, 2**64)),
            leverage=ratio18(standing.leverage),
            profit_ratio=ratio18(standing.profit_ratio),
            realised_pnl=shard.rules.asset.text(realised),
        )
    )
    cancel_unaffordable(shard, position)


# --- last resort ---------------------------------------------------------------------------------------------


def close_at_mark(shard: Shard, market: Market, residual: Residual) -> None:
    """Close what is left at the mark, pro rata: against users with equity, then against other residuals."""
    pay_side(shard, market, -residual.side)
    users = [p for p in opposing(shard, market, residual) if equity(shard, pool(shard, p)) > 0]
    for position, lots in zip(users, _pro_rata(residual, [p.parcel.lots for p in users]), strict=True):
        if lots:
            # Rounded in favour of the counterparty, which is closed by force.
            value = in_forced_value(market, -position.sign, market.mark, lots)
            standing = standing_of(shard, position)
            take_out(shard, market, residual, lots, value)
            close_counterparty(shard, market, residual, position, lots, value, 0, standing)
    others = [other for other in market.residuals if _can_bear(market, residual, other)]
    for other, lots in zip(others, _pro_rata(residual, [other.parcel.lots for other in others]), strict=True):
        if lots:
            value = market.value_at_mark(lots)
            take_out(shard, market, residual, lots, value)
            if other.fund is not None:
                book_unwound(shard, market, other, lots, value, against=residual.liquidation_id)
            else:
                take_out(shard, market, other, lots, value)
                conclude(shard, market, other)


def _pro_rata(residual: Residual, weights: list[int]) -> list[int]:
    lots = min(residual.parcel.lots, sum(weights))
    return largest_remainders(lots, weights) if lots else [0] * len(weights)


def _can_bear(market: Market, residual: Residual, other: Residual) -> bool:
    """Another liquidation's residual of the other side that nobody is being asked about; a fund within its budget."""
    if other.side == residual.side or other.is_open or not other.parcel.lots:
        return False
    return other.fund is None or expected_loss(market, other) <= other.budget - other.loss


def conclude(shard: Shard, market: Market, residual: Residual) -> None:
    """Settle what closing a residual gained, or ask the fund to cover what it lost."""
    if residual.balance >= 0:
        _claim_outcome(shard, market, residual, 0)
        return
    residual.round += 1
    residual.is_open = True
    shard.claim(
        LiquidationUncovered(
            liquidation_id=residual.liquidation_id,
            round=residual.round,
            market=market.name,
            loss=shard.rules.asset.text(-residual.balance),
        )
    )


def cover(shard: Shard, market: Market, residual: Residual, paid: int) -> None:
    """The fund pays, the winners of the period pay, and what is missing then is the market's deficit."""
    amount = shard.rules.asset.text
    suspense, deficit = shard.purse("suspense", market.name), shard.purse("deficit", market.name)
    shard.stream.move(shard.transit, suspense, paid, "loss")
    residual.balance += paid
    _socialise(shard, market, residual)
    missing = -residual.balance
    if missing:
        residual.balance = 0
        shard.stream.move(deficit, suspense, missing, "deficit")
        shard.stream.emit(
            LossDeficit(
                liquidation_id=residual.liquidation_id,
                market=market.name,
                amount=amount(missing),
                deficit=amount(-shard.stream.balances[deficit]),
            )
        )
    _claim_outcome(shard, market, residual, missing)


def _socialise(shard: Shard, market: Market, residual: Residual) -> None:
    """rate = min(1, loss ÷ Σ profits); each pays min(profit × rate, free balance)."""
    loss = -residual.balance
    winners = sorted((name, profit) for name, profit in market.realised.items() if profit > 0)
    profits = [profit for _, profit in winners]
    total = min(loss, sum(profits))
    if not total:
        return
    for (name, _), share in zip(winners, largest_remainders(total, profits), strict=True):
        paid = min(share, free_balance(shard, name))
        if not paid:
            continue
        wallet = shard.purse("wallet", name)
        shard.stream.move(wallet, shard.purse("suspense", market.name), paid, "socialised_loss")
        residual.balance += paid
        residual.socialised += paid
        market.realised[name] -= paid
        shard.touch_account(name)
        shard.stream.emit(
            LossSocialised(
                liquidation_id=residual.liquidation_id,
                market=market.name,
                account=name,
                amount=shard.rules.asset.text(paid),
                rate=ratio18(Fraction(total, sum(profits))),
            )
        )


def _claim_outcome(shard: Shard, market: Market, residual: Residual, deficit: int) -> None:
    """Say what became of a residual or of a part of it; silent where nothing was placed."""
    rules, amount, left = market.rules, shard.rules.asset.text, residual.parcel.lots
    if left and not residual.adl_lots:
        return
    shard.stream.move(shard.purse("suspense", market.name), shard.transit, residual.balance, "surplus")
    outcome = LiquidationPartlyClosed if left else LiquidationClosed
    shard.claim(
        outcome(
            liquidation_id=residual.liquidation_id,
            round=residual.round,
            market=market.name,
            adl_qty=rules.lots_text(residual.adl_lots),
            surplus=amount(residual.balance),
            socialised=amount(residual.socialised),
            deficit=amount(deficit),
        )
    )
    residual.balance = residual.adl_lots = residual.socialised = 0
    if not left:
        market.residuals.remove(residual)
