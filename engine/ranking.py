"""ADL rankings: the order in which opposing positions are deleveraged, as exact integer scores.

Symbols: e = ±1 the exposure, MV mark value, EV entry value, uPnL = e (MV − EV), EQ the position's own equity: M +
uPnL, or its allotment of a cross account's equity.
"""

from typing import NamedTuple

from engine.fixed import SCORE, divide_down
from engine.margin import mark_value, unrealised_pnl
from engine.pool import allotted_equity
from engine.position import Position


class Standing(NamedTuple):
    """Where a position stands and why. Ratios are exact: numerator and denominator, the latter positive."""

    score: int
    profit_ratio: tuple[int, int]
    leverage: tuple[int, int]


def pnl_leverage(position: Position) -> Standing:
    """The ranking of the BitMEX, OKX and Bybit family; for positions with equity above zero.

    profit_ratio = uPnL ÷ |EV|, leverage = MV ÷ EQ; score = profit_ratio × leverage if profitable, else
    profit_ratio ÷ leverage; as floor(num × 2^64 ÷ den). An allotment or a value that rounds to nothing counts as one
    unit, so that the ratios exist.
    """
    value = max(1, mark_value(position))
    entry = max(1, position.parcel.value)
    profit = unrealised_pnl(position)
    own = max(1, allotted_equity(position))
    if profit > 0:
        score = divide_down(profit * value * SCORE, entry * own)
    else:
        score = divide_down(profit * own * SCORE, entry * value)
    return Standing(score, (profit, entry), (value, own))
