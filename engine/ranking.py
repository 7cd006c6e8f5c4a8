"""ADL rankings: the order in which opposing positions are deleveraged, as exact integer scores.

A ranking is a function of a position, at the current marks, that is due for no liquidation; the highest score goes
first, ties by account name. Scores are floor(num × 2^64 ÷ den). Symbols: e = ±1 the exposure, MV mark value, EV entry
value, uPnL = e (MV − EV), EQ the position's own equity: M + uPnL, or its allotment of a cross account's equity. W, E
and MM are those of the pool that carries it: M, M + uPnL and maintenance margin of an isolated position; wallet, equity
and Σ MM of a cross account.

A divisor (a value, margin, equity or allotment) that rounds to nothing, or lies below zero, counts as one unit, so that
the ratios exist. Nobody with E ≤ MM is ranked.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from engine.fixed import SCORE, divide_down
from engine.margin import mark_value, unrealised_pnl
from engine.pool import allotted_equity, equity, maintenance
from engine.position import Position

Ranking = Callable[[Position], int]


class Standing(NamedTuple):
    """Where a position stands and why. Ratios are exact: numerator and denominator, the latter positive.

    profit_ratio = uPnL ÷ EV and leverage = MV ÷ EQ tell the same under every ranking.
    """

    score: int
    profit_ratio: tuple[int, int]
    leverage: tuple[int, int]


def score(position: Position) -> int:
    """The score of a position under its market's ranking."""
    return RANKINGS[position.market.spec.adl_ranking](position)


def stand(position: Position) -> Standing:
    """The standing of a position under its market's ranking."""
    return Standing(
        score(position),
        (unrealised_pnl(position), max(1, position.parcel.value)),
        (max(1, mark_value(position)), max(1, allotted_equity(position))),
    )


def pnl_leverage(position: Position) -> int:
    """The BitMEX, OKX and Bybit family: profit ratio × leverage if profitable, else profit ratio ÷ leverage.

    profit ratio = uPnL ÷ EV, leverage = MV ÷ EQ. (They write MV ÷ |MV − BV|, which is the same, as BV = MV − e × EQ.)
    Without profit or loss the score is 0.
    """
    value = max(1, mark_value(position))
    entry = max(1, position.parcel.value)
    profit = unrealised_pnl(position)
    own = max(1, allotted_equity(position))
    if profit > 0:
        return divide_down(profit * value * SCORE, entry * own)
    return divide_down(profit * own * SCORE, entry * value)


def pnl_margin_ratio(position: Position) -> int:
    """Binance: (max(0, uPnL) ÷ max(1, W)) × (MM ÷ E).

    uPnL is the position's own; the margin ratio MM ÷ E is that of what would be liquidated together. The 1 guards
    against a division by zero and is taken for one unit of the asset. Whoever has no profit has the score 0 and is
    ranked by name; with E ≤ 0 the score is 0, too.
    """
    own = equity(position)
    if own <= 0:
        return 0
    profit = max(0, unrealised_pnl(position))
    return divide_down(profit * maintenance(position) * SCORE, max(1, position.collateral.balance) * own)


def roi_mmr(position: Position) -> int:
    """Bitget: ROI × maintenance margin rate if profitable, else ROI ÷ that rate.

    ROI = uPnL ÷ EV; the rate is MM ÷ E of the pool, at which 1 means liquidation. Without profit or loss the score is
    0, and so it is for a winner whose maintenance margin rounds to nothing.
    """
    entry = max(1, position.parcel.value)
    profit = unrealised_pnl(position)
    needed, own = maintenance(position), max(1, equity(position))
    if profit > 0:
        return divide_down(profit * needed * SCORE, entry * own)
    return divide_down(profit * own * SCORE, entry * max(1, needed))


def price_leverage(position: Position) -> int:
    """Hyperliquid: (mark ÷ entry for longs, entry ÷ mark for shorts) × MV ÷ E, E being the account's value.

    By value the price ratio is MV ÷ EV where a rising value is a gain, else EV ÷ MV: above 1 for winners. (As printed,
    mark ÷ entry for both sides, winning shorts would rank low.) It does not set winners before losers; that those who
    would realise a loss come last is a rule of ADL itself.
    """
    value, entry = max(1, mark_value(position)), max(1, position.parcel.value)
    own = max(1, equity(position))
    gained, paid = (value, entry) if position.exposure > 0 else (entry, value)
    return divide_down(gained * value * SCORE, paid * own)


def margin_price(position: Position) -> int:
    """CoinEx: (EV ÷ margin) × (mark ÷ entry for longs, entry ÷ mark for shorts).

    The margin of a cross position is its initial margin, ceil(EV ÷ leverage), so EV ÷ margin is the leverage that
    was chosen. As with `price_leverage`, winners are not set before losers.
    """
    value, entry = max(1, mark_value(position)), max(1, position.parcel.value)
    margin = position.initial_margin if position.is_cross else position.margin.balance
    gained, paid = (value, entry) if position.exposure > 0 else (entry, value)
    return divide_down(entry * gained * SCORE, max(1, margin) * paid)


def profit(position: Position) -> int:
    """Pro rata, in all its kinds: max(0, uPnL), in units. Whoever has no profit has no share."""
    return max(0, unrealised_pnl(position)) * SCORE


def profit_leverage(position: Position) -> int:
    """Risk-weighted: max(0, uPnL) × leverage, in units, with leverage = MV ÷ EQ."""
    value, own = max(1, mark_value(position)), max(1, allotted_equity(position))
    return divide_down(max(0, unrealised_pnl(position)) * value * SCORE, own)


def leverage(position: Position) -> int:
    """Least maximum leverage: MV ÷ EQ."""
    return divide_down(max(1, mark_value(position)) * SCORE, max(1, allotted_equity(position)))


RANKINGS: Final[dict[str, Ranking]] = {
    "pnl_leverage": pnl_leverage,
    "pnl_margin_ratio": pnl_margin_ratio,
    "roi_mmr": roi_mmr,
    "price_leverage": price_leverage,
    "margin_price": margin_price,
    "pro_rata": profit,
    "integer_pro_rata": profit,
    "capped_pro_rata": profit,
    "risk_weighted": profit_leverage,
    "min_leverage": leverage,
}
"""By the names of `adl_ranking`. Of the policies that close in shares (`engine.adl_shares`) the score is the weight."""
