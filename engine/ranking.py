"""ADL rankings: the order in which opposing positions are deleveraged, as exact integer scores.

Symbols: s = ±1, MV mark value, EV entry value, uPnL = s (MV − EV), EQ = M + uPnL.
"""

from typing import NamedTuple

from engine.fixed import SCORE, divide_down
from engine.margin import mark_value
from engine.position import Position


class Standing(NamedTuple):
    """Where a position stands and why. Ratios are exact: numerator and denominator, the latter positive."""

    score: int
    profit_ratio: tuple[int, int]
    leverage: tuple[int, int]


def pnl_leverage(position: Position) -> Standing:
    """The ranking of the BitMEX, OKX and Bybit family; for positions with equity above zero.

    profit_ratio = uPnL ÷ |EV|, leverage = MV ÷ EQ; score = profit_ratio × leverage if profitable, else
    profit_ratio ÷ leverage; as floor(num × 2^64 ÷ den).
    """
    value = mark_value(position)
    entry = position.parcel.value
    profit = position.sign * (value - entry)
    own = position.margin.balance + profit
    assert own > 0, "only positions with equity are ranked"
    if profit > 0:
        score = divide_down(profit * value * SCORE, entry * own)
    else:
        score = divide_down(profit * own * SCORE, entry * value)
    return Standing(score, (profit, entry), (value, own))
