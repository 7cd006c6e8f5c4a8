"""What one trade does to one position, and whether its margin allows it."""

from dataclasses import dataclass
from fractions import Fraction

from schemas.fields import CancelReason
from tests.reference.book import fit_reduce_only
from tests.reference.exact import ceil, floor
from tests.reference.margin import (
    counted,
    counted_pnl,
    cross_positions,
    equity,
    exposure,
    initial_margin,
    maintenance_of,
    open_loss,
    unrealised,
)
from tests.reference.state import Market, Position, Shard


@dataclass(frozen=True)
class Fill:
    """The effect of one trade on one position: first it closes, then it opens."""

    sign: int
    closed_lots: int
    carried: int
    realised: int
    released: int
    opened_lots: int
    opened_value: int
    required: int
    fee: int

    @property
    def wallet_gain(self) -> int:
        """What the wallet of an isolated position gains."""
        return self.released + self.realised - self.required - self.fee


def plan_fill(shard: Shard, position: Position, sign: int, lots: int, value: int, fee_rate: Fraction) -> Fill | None:
    """The effect of a trade, or None where margin forbids it."""
    market = shard.market_of(position)
    closed = min(lots, position.parcel.lots) if position.sign == -sign else 0
    closing_value = floor(Fraction(value * closed, lots))
    carried = realised = released = 0
    if closed:
        carried = position.parcel.share(closed)
        realised = exposure(shard, position) * (closing_value - carried)
        if position.mode == "isolated":
            released = floor(Fraction(shard.margin(position) * closed, position.parcel.lots))
    opened, opened_value = lots - closed, value - closing_value
    required = 0
    if opened:
        required = initial_margin(opened_value, position.leverage) + open_loss(market, sign, opened_value, opened)
    fill = Fill(sign, closed, carried, realised, released, opened, opened_value, required, ceil(value * fee_rate))
    if opened and market.rules.is_reduce_only:
        return None
    is_allowed = _isolated_allows if position.mode == "isolated" else _cross_allows
    return fill if is_allowed(shard, position, fill) else None


def why_not(market: Market, position: Position, sign: int, lots: int) -> CancelReason:
    """Why an order goes whose fill is not allowed."""
    reduces = position.sign == -sign and lots <= position.parcel.lots
    return "reduce_only" if market.rules.is_reduce_only and not reduces else "margin"


def _isolated_allows(shard: Shard, position: Position, fill: Fill) -> bool:
    """No print beyond bankruptcy, no increase that leaves the position due, no wallet below what it must keep."""
    if fill.released + fill.realised < 0:
        return False
    if fill.opened_lots and _leaves_due(shard, position, fill):
        return False
    others = cross_positions(shard, position.account)
    if not others:
        return shard.wallet(position.account) + fill.wallet_gain >= 0
    surplus = equity(shard, others) + fill.wallet_gain - maintenance_of(shard, others)
    if not fill.opened_lots:
        return fill.wallet_gain >= 0 or surplus >= 0
    spare = shard.wallet(position.account) + fill.wallet_gain + counted_pnl(shard, position.account)
    return spare - _initial_margins(others) >= 0 and surplus > 0


def _leaves_due(shard: Shard, position: Position, fill: Fill) -> bool:
    """Whether the isolated position would be due for liquidation at the mark."""
    market = shard.market_of(position)
    lots = position.parcel.lots - fill.closed_lots + fill.opened_lots
    entry = position.parcel.value - fill.carried + fill.opened_value
    value = market.value_at_mark(lots)
    margin = shard.margin(position) - fill.released + fill.required
    return margin + fill.sign * market.rules.direction * (value - entry) <= market.rules.maintenance(value)


def _cross_allows(shard: Shard, position: Position, fill: Fill) -> bool:
    """The wallet after it must carry every loss and initial margin (increase), the pool maintenance margin (both)."""
    market = shard.market_of(position)
    others = [other for other in cross_positions(shard, position.account) if other is not position]
    wallet = shard.wallet(position.account) + fill.realised - fill.fee
    left_lots, left_value = position.parcel.lots - fill.closed_lots, position.parcel.value - fill.carried
    left_profit = exposure(shard, position) * (market.value_at_mark(left_lots) - left_value)
    lots = left_lots + fill.opened_lots
    direction = (fill.sign if fill.opened_lots else position.sign) * market.rules.direction
    value = market.value_at_mark(lots)
    profit = direction * (value - left_value - fill.opened_value)
    profits_elsewhere = [unrealised(shard, other) for other in others]
    equity_after = wallet + profit + sum(profits_elsewhere)
    maintenance_after = market.rules.maintenance(value) + (maintenance_of(shard, others) if others else 0)
    spare = wallet + counted(shard, left_profit) + sum(counted(shard, each) for each in profits_elsewhere)
    if not fill.opened_lots:
        everything = [position, *others]
        before = equity(shard, everything) - maintenance_of(shard, everything)
        above = equity_after - maintenance_after
        # Profit that is not realised must not leave by a print far from the mark.
        return above >= 0 and (spare >= 0 or above >= before)
    bound = initial_margin(left_value, position.leverage) + _initial_margins(others) + fill.required
    return spare >= bound and equity_after > maintenance_after


def _initial_margins(positions: list[Position]) -> int:
    return sum(initial_margin(position.parcel.value, position.leverage) for position in positions)


def close_lots(position: Position, lots: int, carried: int) -> None:
    """Take lots and the entry value they carry off a position."""
    position.parcel.lots -= lots
    position.parcel.value -= carried
    if not position.parcel.lots:
        position.sign = 0


def book_fill(shard: Shard, position: Position, fill: Fill) -> None:
    """Apply a planned fill."""
    market, stream = shard.market_of(position), shard.stream
    wallet = shard.purse("wallet", position.account)
    margin = shard.purse("margin", position.market, position.account)
    if fill.closed_lots:
        close_lots(position, fill.closed_lots, fill.carried)
        stream.move(margin, wallet, fill.released, "margin")
        stream.move(shard.purse("clearing", market.name), wallet, fill.realised, "realised_pnl")
        shard.realise(position, fill.realised)
    stream.move(wallet, shard.purse("fees"), fill.fee, "trading_fee")
    if fill.opened_lots:
        position.sign = fill.sign
        position.parcel.grow(fill.opened_lots, fill.opened_value)
        if position.mode == "isolated":
            stream.move(wallet, margin, fill.required, "margin")
    after_change(shard, position)


def after_change(shard: Shard, position: Position) -> None:
    """What follows from a new size: reduce-only orders fit it, and it is published."""
    end_pool(shard, position.account)
    fit_reduce_only(shard, position)
    shard.touch(position)


def end_pool(shard: Shard, account: str) -> None:
    """Without cross positions, what a liquidation of some left behind is forgotten."""
    if not cross_positions(shard, account):
        shard.accounts[account].left_residual = False


def in_forced_value(market: Market, sign: int, price: int, lots: int) -> int:
    """The value of a forced trade: rounded in favour of the liquidated side, which sells (down) or buys back (up)."""
    exact = market.rules.exact_value(price, lots)
    return floor(exact) if sign < 0 else ceil(exact)
