"""What one trade does to one position: whether it may, what it realises, what margin moves.

Margin is checked at every fill at the current mark, so that a print far from the mark cannot create money: an
increase puts ceil(fill value ÷ leverage) plus the open loss into the margin, a reduction must not print beyond
the bankruptcy price, and the wallet must not go below zero. For one fill:

    carried  = the share of EV that the closed lots take along        (Parcel: floor, the last lot takes the rest)
    realised = s × d × (closing value − carried)                      (d = −1 for an inverse contract, else +1)
    released = floor(M × closed ÷ lots), all of M with the last lot
    required = ceil(opening value ÷ leverage) + max(0, side × d × (opening value − opening lots at the mark))

In a market whose status is `reduce_only` no increase is allowed: an order from before that is left when it is met.

An increase that would leave the position due for liquidation at the mark is forbidden, too. It takes a print far
below the mark (of which initial margin is a share) or a mark that has lifted the position to a higher tier than that
in which the order was accepted; where initial margin exceeds the highest maintenance rate nobody needs to look. (By
more than a unit, as the values of two inverse quantities may round to a unit less than that of both together.)

A cross position has no margin of its own: nothing is released and what is required stays in the wallet, which must
carry it beside all other cross positions (`engine.pool.carries_fill`).
"""

from typing import Literal, NamedTuple

from engine.account import Account
from engine.fixed import RATE, divide_up, share_down
from engine.margin import maintenance_margin
from engine.market import Market
from engine.pool import Stake, carries_fill
from engine.position import Position
from engine.resting import after_change
from engine.state import ShardState


class Fill(NamedTuple):
    """The effect of one trade on one position, in lots and units. `required` is what moves into the margin."""

    closed_lots: int
    carried: int
    realised: int
    released: int
    opened_lots: int
    opened_value: int
    required: int
    fee: int


class Trial:
    """A copy of what trades would change of a position: for fill-or-kill, which must not change anything yet."""

    __slots__ = ("account", "is_cross", "leverage", "margin", "market", "parcel", "sign", "wallet")

    def __init__(self, position: Position) -> None:
        self.account: Account = position.account
        self.market: Market = position.market
        self.is_cross = position.is_cross
        self.leverage = position.leverage
        self.sign = position.sign
        self.parcel = position.parcel.copy()
        self.margin = position.margin.copy()
        self.wallet = position.wallet.copy()

    def trade(self, sign: int, fill: Fill) -> None:
        """What `book_fill` does to size and money."""
        _change_size(self, sign, fill)
        self.margin.balance += fill.required - fill.released
        self.wallet.balance += fill.released + fill.realised - fill.fee - fill.required


def plan_fill(stake: Stake, sign: int, lots: int, value: int, fee_rate: int) -> Fill | None:
    """The effect of a trade of `lots` for `value` on a stake, or None when it may not be. Changes nothing."""
    closed = carried = realised = released = closing_value = required = 0
    market = stake.market
    spec = market.spec
    is_cross = stake.is_cross
    if stake.sign == -sign:
        parcel = stake.parcel
        closed = min(lots, parcel.lots)
        closing_value = value if closed == lots else share_down(value, closed, lots)
        carried = parcel.part(closed)
        realised = stake.sign * spec.direction * (closing_value - carried)
        if not is_cross:
            released = share_down(stake.margin.balance, closed, parcel.lots)
            if released + realised < 0:
                return None
    opened = lots - closed
    opened_value = value - closing_value
    if opened:
        if spec.is_reduce_only:
            return None
        mark_value = spec.value(market.mark, opened)
        required = divide_up(opened_value * RATE, stake.leverage)
        # A new position is healthy where its initial margin exceeds the highest rate, by more than a unit of rounding;
        # one that grows may be due.
        is_thin = not is_cross and (
            stake.sign == sign or (required - 1) * RATE <= (mark_value + 1) * spec.tiers[-1].maintenance
        )
        open_loss = (opened_value - mark_value) * sign * spec.direction
        if open_loss > 0:
            required += open_loss
        if is_thin and _is_due(stake, sign, closed, carried, opened, opened_value, required - released):
            return None
    fee = divide_up(value * fee_rate, RATE)
    moved = 0 if is_cross else required
    wallet_change = released + realised - moved - fee
    if is_cross or stake.account.pool.positions:
        if not carries_fill(stake, sign, (closed, carried), (opened, opened_value, required), wallet_change):
            return None
    elif stake.wallet.balance + wallet_change < 0:
        return None
    return Fill(closed, carried, realised, released, opened, opened_value, moved, fee)


def why_forbidden(stake: Stake, sign: int, lots: int) -> Literal["margin", "reduce_only"]:
    """Why a fill that was planned and may not be is forbidden."""
    increases = stake.sign != -sign or lots > stake.parcel.lots
    return "reduce_only" if increases and stake.market.spec.is_reduce_only else "margin"


def _is_due(
    stake: Stake, sign: int, closed: int, carried: int, opened: int, opened_value: int, margin_moved: int
) -> bool:
    """Whether a fill would leave the isolated position due for liquidation at the mark."""
    spec = stake.market.spec
    value = spec.value(stake.market.mark, stake.parcel.lots - closed + opened)
    entry_value = stake.parcel.value - carried + opened_value
    equity = stake.margin.balance + margin_moved + sign * spec.direction * (value - entry_value)
    return equity <= maintenance_margin(spec, value)


def book_fill(state: ShardState, position: Position, sign: int, fill: Fill) -> None:
    """Apply a planned fill: size and entry value, the money, and what follows from the new size."""
    wallet, margin = position.wallet, position.margin
    move = state.ledger.move
    _change_size(position, sign, fill)
    if fill.closed_lots:
        move(margin, wallet, fill.released, "margin")
        move(position.market.clearing, wallet, fill.realised, "realised_pnl")
        state.realise(position, fill.realised)
    if fill.fee:
        move(wallet, state.fees, fill.fee, "trading_fee")
    if fill.opened_lots:
        move(wallet, margin, fill.required, "margin")
    after_change(state, position)


def close_lots(stake: Stake, lots: int, carried: int) -> None:
    """Take lots and the entry value they carry off a stake; without lots it is flat."""
    parcel = stake.parcel
    parcel.lots -= lots
    parcel.value -= carried
    if not parcel.lots:
        stake.sign = 0


def _change_size(stake: Stake, sign: int, fill: Fill) -> None:
    if fill.closed_lots:
        close_lots(stake, fill.closed_lots, fill.carried)
    if fill.opened_lots:
        stake.sign = sign
        stake.parcel.grow(fill.opened_lots, fill.opened_value)
