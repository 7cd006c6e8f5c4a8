"""Margin by the formulas of the contract, computed from scratch each time.

`exposure` is side × direction of the market: +1 gains when its value rises. A pool is what can be liquidated as one:
an isolated position with its margin, or all cross positions of an account with its wallet.
"""

from fractions import Fraction

from tests.reference.exact import ceil, floor
from tests.reference.state import Market, Position, Shard


def exposure(shard: Shard, position: Position) -> int:
    """+1 where the position gains when its value rises, −1 where it loses, 0 where it is flat."""
    return position.sign * shard.market_of(position).rules.direction


def mark_value(shard: Shard, position: Position) -> int:
    """MV."""
    return shard.market_of(position).value_at_mark(position.parcel.lots)


def unrealised(shard: Shard, position: Position) -> int:
    """uPnL = exposure × (MV − EV)."""
    return exposure(shard, position) * (mark_value(shard, position) - position.parcel.value)


def maintenance(shard: Shard, position: Position) -> int:
    """MM."""
    return shard.market_of(position).rules.maintenance(mark_value(shard, position))


def initial_margin(value: int, leverage: Fraction) -> int:
    """Value ÷ leverage, rounded up."""
    return ceil(value / leverage)


def cross_positions(shard: Shard, account: str) -> list[Position]:
    """The open cross positions of an account, by market name."""
    return [position for position in shard.open_positions(account) if position.mode == "cross"]


def pool(shard: Shard, position: Position) -> list[Position]:
    """Who shares the position's fate."""
    return [position] if position.mode == "isolated" else cross_positions(shard, position.account)


def equity(shard: Shard, positions: list[Position]) -> int:
    """E of a pool: its margin or wallet, and the unrealised profits and losses."""
    first = positions[0]
    own = shard.margin(first) if first.mode == "isolated" else shard.wallet(first.account)
    return own + sum(unrealised(shard, position) for position in positions)


def maintenance_of(shard: Shard, positions: list[Position]) -> int:
    """ΣMM of a pool."""
    return sum(maintenance(shard, position) for position in positions)


def is_due(shard: Shard, positions: list[Position]) -> bool:
    """Whether a pool is to be liquidated at the marks as they are."""
    return bool(positions) and equity(shard, positions) <= maintenance_of(shard, positions)


def health(shard: Shard, positions: list[Position]) -> Fraction:
    """E ÷ ΣMM: the lowest is liquidated first."""
    return Fraction(equity(shard, positions), max(1, maintenance_of(shard, positions)))


def counted(shard: Shard, profit: int) -> int:
    """What of a cross position's uPnL the free balance counts: losses, and profits only where the shard says so."""
    return profit if shard.rules.free_profit else min(0, profit)


def counted_pnl(shard: Shard, account: str) -> int:
    """What of the uPnL of an account's cross positions its free balance counts."""
    return sum(counted(shard, unrealised(shard, position)) for position in cross_positions(shard, account))


def allotment(shard: Shard, account: str) -> dict[str, int]:
    """E of an account's cross positions, allotted to them by market name."""
    positions = cross_positions(shard, account)
    shared = equity(shard, positions)
    lost = [max(0, -unrealised(shard, position)) for position in positions]
    if shared < 0 and -shared <= sum(lost):
        shares = [-share for share in _by_weight(-shared, lost)]
    else:
        base = [0] * len(positions) if shared >= 0 else [-loss for loss in lost]
        rest = abs(shared) if shared >= 0 else -shared - sum(lost)
        weights = [maintenance(shard, position) for position in positions]
        if not any(weights):
            weights = [mark_value(shard, position) + 1 for position in positions]
        more = _by_weight(rest, weights)
        sign = 1 if shared >= 0 else -1
        shares = [part + sign * extra for part, extra in zip(base, more, strict=True)]
    return {position.market: share for position, share in zip(positions, shares, strict=True)}


def _by_weight(total: int, weights: list[int]) -> list[int]:
    """Shares rounded down; the odd units go one each to the first that have a weight."""
    whole = sum(weights)
    shares = [floor(Fraction(total * weight, whole)) if whole else 0 for weight in weights]
    for i, weight in enumerate(weights):
        if weight and sum(shares) < total:
            shares[i] += 1
    return shares


def bankruptcy_value(shard: Shard, position: Position) -> int:
    """Closed at this value, a position takes exactly its own equity along: EV − exposure × M, or by its allotment.

    Of a cross position, MV − exposure × allotment; of a linear long, which has a price of one tick at least, no less.
    """
    side = exposure(shard, position)
    if position.mode == "isolated" or not position.sign:
        return position.parcel.value - side * shard.margin(position)
    value = mark_value(shard, position) - side * allotment(shard, position.account)[position.market]
    rules = shard.market_of(position).rules
    return max(value, rules.value(1, position.parcel.lots)) if side > 0 and rules.direction > 0 else value


def liquidation_price_text(shard: Shard, position: Position) -> str | None:
    """The mark at which E = ΣMM of its pool, the other marks as they are, in the tier in which it lies; for print."""
    if not position.sign:
        return None
    rules = shard.market_of(position).rules
    side, entry = exposure(shard, position), position.parcel.value
    # What carries it: all of the pool's equity that the others do not need, less its own unrealised PnL.
    positions = pool(shard, position)
    margin = equity(shard, positions) - unrealised(shard, position)
    margin -= sum(maintenance(shard, other) for other in positions if other is not position)
    lowest = Fraction(0)
    for tier in rules.tiers:
        value = (entry - side * (margin + tier.deduction)) / (1 - side * tier.maintenance)
        if lowest < value <= tier.up_to or (value > lowest and tier is rules.tiers[-1]):
            return rules.price_text(value, position.parcel.lots)
        lowest = Fraction(tier.up_to)
    return None


# --- open orders ---------------------------------------------------------------------------------------------


def open_loss(market: Market, sign: int, value: int, lots: int) -> int:
    """What lots traded for `value` lose at once against the mark."""
    return max(0, sign * market.rules.direction * (value - market.value_at_mark(lots)))


def order_cost(shard: Shard, position: Position, sign: int, price: int, lots: int) -> int:
    """What an order needs: initial margin, the dearer fee and the open loss, at its price."""
    market = shard.market_of(position)
    value = market.rules.value(price, lots)
    dearer = max(market.rules.maker_fee, market.rules.taker_fee, Fraction(0))
    return initial_margin(value, position.leverage) + ceil(value * dearer) + open_loss(market, sign, value, lots)


def open_sums(shard: Shard, position: Position) -> dict[int, tuple[int, int]]:
    """Lots and cost of the orders that may increase a position: buys (+1) and sells (−1)."""
    orders = [order for order in shard.orders_of(position) if not order.reduce_only]
    return {
        sign: (
            sum(order.lots for order in orders if order.sign == sign),
            sum(order.cost for order in orders if order.sign == sign),
        )
        for sign in (1, -1)
    }


def need(position: Position, sums: dict[int, tuple[int, int]]) -> int:
    """What the worse side of a position with these open orders needs from the wallet.

    Orders against the position close it first; of what exceeds it, the exceeding share of the cost is needed. A cross
    position needs its own initial margin as well, by entry value.
    """
    if not position.sign:
        return max(sums[1][1], sums[-1][1])
    own = initial_margin(position.parcel.value, position.leverage) if position.mode == "cross" else 0
    lots, cost = sums[-position.sign]
    excess = max(0, lots - position.parcel.lots)
    against = ceil(Fraction(cost * excess, lots)) if excess else 0
    return max(own + sums[position.sign][1], against)


def reserve(shard: Shard, position: Position) -> int:
    """What the position and its open orders hold back of the wallet."""
    return need(position, open_sums(shard, position))


def reserved(shard: Shard, account: str) -> int:
    """What all positions of the account hold back."""
    return sum(reserve(shard, position) for (name, _), position in shard.positions.items() if name == account)


def free_balance(shard: Shard, account: str) -> int:
    """What can be withdrawn, moved or taken: not what is held back, and not what keeps cross positions healthy."""
    free = shard.wallet(account) + counted_pnl(shard, account) - reserved(shard, account)
    positions = cross_positions(shard, account)
    if positions:
        free = min(free, equity(shard, positions) - maintenance_of(shard, positions) - 1)
    return max(0, free)


def can_part_with(shard: Shard, account: str, amount: int) -> bool:
    """Whether the cross positions of an account stay above maintenance margin without so much of the wallet."""
    positions = cross_positions(shard, account)
    return not positions or equity(shard, positions) - amount > maintenance_of(shard, positions)
