"""What one trade does to one isolated position: whether it may, what it realises, what margin moves.

Margin is checked at every fill at the current mark, so that a print far from the mark cannot create money: an
increase puts ceil(fill value ÷ leverage) plus the open loss into the margin, a reduction must not print beyond
the bankruptcy price, and the wallet must not go below zero. For one fill:

    carried  = the share of EV that the closed lots take along        (Parcel: floor, the last lot takes the rest)
    realised = s × (closing value − carried)
    released = floor(M × closed ÷ lots), all of M with the last lot
    required = ceil(opening value ÷ leverage) + max(0, side × (opening value − opening lots at the mark))
"""

from typing import NamedTuple

from engine.fixed import RATE, divide_up, share_down
from engine.position import Parcel, Position
from engine.resting import after_change
from engine.spec import MarketSpec
from engine.state import ShardState


class Fill(NamedTuple):
    """The effect of one trade on one position, in lots and units."""

    closed_lots: int
    carried: int
    realised: int
    released: int
    opened_lots: int
    opened_value: int
    required: int
    fee: int


class Stake:
    """What a fill is judged on: the real position, or a trial copy of it for fill-or-kill."""

    __slots__ = ("margin", "parcel", "sign", "wallet")

    def __init__(self, sign: int, parcel: Parcel, margin: int, wallet: int) -> None:
        self.sign = sign
        self.parcel = parcel
        self.margin = margin
        self.wallet = wallet


def plan_fill(
    spec: MarketSpec, mark: int, leverage: int, stake: Stake, sign: int, lots: int, value: int, fee: int
) -> Fill | None:
    """The effect of a trade of `lots` for `value` on a stake, or None when margin forbids it. Changes nothing."""
    closed = carried = realised = released = closing_value = required = 0
    if stake.sign == -sign:
        parcel = stake.parcel
        closed = min(lots, parcel.lots)
        closing_value = value if closed == lots else share_down(value, closed, lots)
        carried = parcel.part(closed)
        realised = stake.sign * (closing_value - carried)
        released = share_down(stake.margin, closed, parcel.lots)
        if released + realised < 0:
            return None
    opened = lots - closed
    opened_value = value - closing_value
    if opened:
        required = divide_up(opened_value * RATE, leverage)
        open_loss = (opened_value - mark * opened * spec.lot_value) * sign
        if open_loss > 0:
            required += open_loss
    if stake.wallet + released + realised - required - fee < 0:
        return None
    return Fill(closed, carried, realised, released, opened, opened_value, required, fee)


def book_fill(state: ShardState, position: Position, sign: int, fill: Fill) -> None:
    """Apply a planned fill: size and entry value, then the money."""
    market = position.market
    wallet = position.account.wallet
    move = state.ledger.move
    if fill.closed_lots:
        close_lots(position, fill.closed_lots, fill.carried)
        move(position.margin, wallet, fill.released, "margin")
        move(market.clearing, wallet, fill.realised, "realised_pnl")
        state.realise(position, fill.realised)
    if fill.fee:
        move(wallet, state.fees, fill.fee, "trading_fee")
    if fill.opened_lots:
        position.sign = sign
        position.parcel.grow(fill.opened_lots, fill.opened_value)
        move(wallet, position.margin, fill.required, "margin")
    after_change(state, position)


def close_lots(position: Position, lots: int, carried: int) -> None:
    """Take lots and the entry value they carry off a position; without lots it is flat."""
    parcel = position.parcel
    parcel.lots -= lots
    parcel.value -= carried
    if not parcel.lots:
        position.sign = 0
