"""Margin pools: what money carries a position, and whether it still does.

An isolated position is a pool of its own: its margin M, its equity M + uPnL. All open cross positions of an account are
one pool, carried by its wallet W, which may be below zero while they are open:

    E = W + Σ uPnL, due for liquidation when E ≤ Σ MM
    initial margin of a cross position = ceil(EV ÷ leverage), which does not breathe with the mark
    losses = Σ min(0, uPnL)
    free balance = max(0, min(W + losses − what orders and initial margins hold back, E − Σ MM − 1 unit))

Unrealised profit is equity, but never free balance, unless the shard's `free_profit` says so: then Σ uPnL stands in the
place of the losses. A cross position's share of E is its allotment, and its
bankruptcy value is BV = MV − e × allotment: closed there, it takes exactly its share along. E ≥ 0 is allotted by
share of MM; E < 0 to losing positions by their loss, at most their loss, any excess by share of MM. Odd units go by
market name.
"""

from typing import NamedTuple, Protocol

from engine.account import Account, Pool
from engine.fixed import RATE, SCORE, divide_down, divide_up, shares_in_order
from engine.margin import liquidation_price_text, maintenance_margin, mark_value, reckon, unrealised_pnl
from engine.market import Market
from engine.position import Parcel, Position
from engine.purse import Purse


class Stake(Protocol):
    """What a fill is judged on and changes: a position, or a trial copy of one."""

    account: Account
    market: Market
    is_cross: bool
    leverage: int
    sign: int
    parcel: Parcel
    margin: Purse
    wallet: Purse


class Sums(NamedTuple):
    """Over `positions` cross positions, in units: Σ uPnL, what of it is free, Σ initial and Σ maintenance margin."""

    unrealised: int
    counted: int
    initial: int
    maintenance: int
    positions: int


def sum_pool(pool: Pool, without: str | None = None) -> Sums:
    """Add up the open cross positions of an account, at the current marks, but for the one in market `without`."""
    unrealised = counted = initial = maintenance = positions = 0
    for name, position in pool.positions.items():
        if name == without:
            continue
        reckoning = reckon(position)
        unrealised += reckoning.profit
        counted += pool.counted(reckoning.profit)
        initial += position.initial_margin
        maintenance += reckoning.maintenance
        positions += 1
    return Sums(unrealised, counted, initial, maintenance, positions)


def counted_pnl(account: Account) -> int:
    """What of the uPnL of the open cross positions the free balance counts: the losses, unless profit is free, too."""
    pool = account.pool
    return sum(pool.counted(unrealised_pnl(position)) for position in pool.positions.values())


def unreserved(account: Account) -> int:
    """W + counted uPnL − what is held back, in units; negative when the account no longer carries what it has open."""
    balance = account.wallet.balance - account.reserved
    return balance + counted_pnl(account) if account.pool.positions else balance


def free_balance(account: Account) -> int:
    """What can be withdrawn, moved or taken for a loss of others, in units; never below zero.

    What leaves the wallet must not have the cross positions liquidated: a short whose price has risen may need more
    maintenance margin than the initial margin that it holds back.
    """
    free = unreserved(account)
    if account.pool.positions:
        free = min(free, _above_maintenance(account) - 1)
    return max(0, free)


def can_spare(account: Account, amount: int) -> bool:
    """Whether what is left after `amount` leaves the wallet keeps the cross positions above maintenance margin."""
    return not account.pool.positions or _above_maintenance(account) > amount


def _above_maintenance(account: Account) -> int:
    sums = sum_pool(account.pool)
    return account.wallet.balance + sums.unrealised - sums.maintenance


def equity(position: Position) -> int:
    """Equity of the pool that carries a position, at the current marks: M + uPnL, or E of the account."""
    if position.is_cross:
        return position.wallet.balance + sum_pool(position.account.pool).unrealised
    return position.margin.balance + unrealised_pnl(position)


def maintenance(position: Position) -> int:
    """Maintenance margin of the pool that carries a position, at the current marks."""
    if position.is_cross:
        return sum_pool(position.account.pool).maintenance
    return maintenance_margin(position.market.spec, mark_value(position))


def is_due(pool: Position | Pool) -> bool:
    """Whether an isolated position or an account's cross positions must be liquidated at the current marks."""
    if isinstance(pool, Pool):
        if not pool.positions:
            return False
        sums = sum_pool(pool)
        return pool.account.wallet.balance + sums.unrealised <= sums.maintenance
    if pool.is_cross:
        return is_due(pool.account.pool)
    return pool.sign != 0 and equity(pool) <= maintenance(pool)


def health(pool: Position | Pool) -> int:
    """Equity ÷ maintenance margin as a score of 2^-64, rounded down: the lowest is liquidated first."""
    if isinstance(pool, Pool):
        sums = sum_pool(pool)
        return divide_down((pool.account.wallet.balance + sums.unrealised) * SCORE, max(1, sums.maintenance))
    return divide_down(equity(pool) * SCORE, max(1, maintenance(pool)))


def liquidation_price(position: Position) -> str | None:
    """The mark at which the pool of a position is due, the other marks unchanged, to 8 decimals; None if none is."""
    margin = position.margin.balance
    if position.is_cross and position.sign:
        beside = sum_pool(position.account.pool, without=position.market.spec.name)
        margin = position.wallet.balance + beside.unrealised - beside.maintenance
    return liquidation_price_text(position, margin)


# --- allotment ----------------------------------------------------------------------------------------------


def allotted_equity(position: Position) -> int:
    """The equity that is a position's own: M + uPnL, or its allotment of the account's equity."""
    if position.is_cross and position.sign:
        return allot(position.account.pool)[position]
    return equity(position)


def bankruptcy_value(position: Position) -> int:
    """The value at which a position takes exactly its own equity along.

    Isolated, EV − e × M; cross, MV − e × allotment, and for a linear long not below the value at one tick.
    """
    if not position.is_cross or not position.sign:
        return position.parcel.value - position.exposure * position.margin.balance
    value = mark_value(position) - position.exposure * allotted_equity(position)
    if position.sign > 0 and position.exposure > 0:
        return max(value, position.market.spec.value(1, position.parcel.lots))
    return value


def allot(pool: Pool) -> dict[Position, int]:
    """Split the equity of an account over its open cross positions; the shares sum to it exactly."""
    positions = [pool.positions[name] for name in sorted(pool.positions)]
    reckonings = [reckon(position) for position in positions]
    margins = [reckoning.maintenance for reckoning in reckonings]
    by_margin = margins if any(margins) else [reckoning.value + 1 for reckoning in reckonings]
    own = pool.account.wallet.balance + sum(reckoning.profit for reckoning in reckonings)
    if own >= 0:
        return dict(zip(positions, shares_in_order(own, by_margin), strict=True))
    lost = [max(0, -reckoning.profit) for reckoning in reckonings]
    if -own <= sum(lost):
        shares = shares_in_order(-own, lost)
    else:
        excess = shares_in_order(-own - sum(lost), by_margin)
        shares = [loss + more for loss, more in zip(lost, excess, strict=True)]
    return {position: -share for position, share in zip(positions, shares, strict=True)}


# --- checks -------------------------------------------------------------------------------------------------


def carries_fill(
    stake: Stake, sign: int, closed: tuple[int, int], opened: tuple[int, int, int], wallet_change: int
) -> bool:
    """Whether an account with cross positions may make a fill, judged at the current marks.

    `closed` is lots and the value they carry along; `opened` is lots, value and the margin they require, which for an
    isolated stake is part of `wallet_change` already. What increases risk needs the initial margin of everything,
    without counting unrealised profit unless it is free, and equity above maintenance margin; what reduces it must
    leave equity at maintenance margin or above. An isolated reduction that adds to the wallet is always carried.

    A cross reduction that loses more against the mark, its fee included, than the maintenance margin it frees must
    leave W + losses at zero or above. Otherwise profit that nobody has realised could be handed to a friend by
    closing far from the mark, and withdrawn by him; when it is gone later, somebody else would have to pay.
    """
    closed_lots, carried = closed
    opened_lots, opened_value, required = opened
    wallet = stake.wallet.balance + wallet_change
    spec, mark = stake.market.spec, stake.market.mark
    beside = sum_pool(stake.account.pool, without=spec.name if stake.is_cross else None)
    if not stake.is_cross:
        own = wallet + beside.unrealised
        if opened_lots:
            return wallet + beside.counted >= beside.initial and own > beside.maintenance
        return wallet_change >= 0 or own >= beside.maintenance
    left_lots, left_value = stake.parcel.lots - closed_lots, stake.parcel.value - carried
    left_profit = stake.sign * spec.direction * (spec.value(mark, left_lots) - left_value)
    counted = wallet + stake.account.pool.counted(left_profit) + beside.counted
    if not opened_lots:
        spare = wallet + left_profit - maintenance_margin(spec, spec.value(mark, left_lots))
        if spare + beside.unrealised < beside.maintenance:
            return False
        value = spec.value(mark, stake.parcel.lots)
        profit = stake.sign * spec.direction * (value - stake.parcel.value)
        return counted >= 0 or spare >= stake.wallet.balance + profit - maintenance_margin(spec, value)
    left_initial = divide_up(left_value * RATE, stake.leverage)
    if counted < left_initial + beside.initial + required:
        return False
    value = spec.value(mark, left_lots + opened_lots)
    profit = sign * spec.direction * (value - left_value - opened_value)
    return wallet + profit + beside.unrealised > beside.maintenance + maintenance_margin(spec, value)
