"""Liquidation: who is due at the marks, found by looking at everybody, and how a position is closed."""

from fractions import Fraction

from schemas.claims import LiquidationResidual, LiquidationSettled
from schemas.events import LiquidationOrdered, LiquidationStarted
from tests.reference.book import cancel_risk_increasing
from tests.reference.exact import LIMIT, ceil, floor
from tests.reference.fills import after_change, close_lots
from tests.reference.funding import pay_account
from tests.reference.margin import (
    bankruptcy_value,
    cross_positions,
    equity,
    exposure,
    health,
    is_due,
    maintenance,
    maintenance_of,
    mark_value,
    pool,
)
from tests.reference.matching import Taken, Taker, take
from tests.reference.state import SIDES, Market, Parcel, Position, Residual, Shard, mode_of


def queue_due(shard: Shard, market: Market) -> None:
    """Queue every isolated position of the market, and every cross account, that is due: the least healthy first."""
    pools = {
        (position.account, market.name): [position]
        for position in shard.open_positions(market=market.name)
        if position.mode == "isolated"
    }
    pools |= {(name, ""): cross_positions(shard, name) for name in shard.accounts}
    due = [key for key, positions in pools.items() if key not in shard.queue and is_due(shard, positions)]
    for name in shard.accounts:
        if (name, "") not in (*due, *shard.queue):
            shard.accounts[name].left_residual = False
    due = [key for key in due if _can_close(shard, pools[key])]
    shard.queue.extend(sorted(due, key=lambda key: (health(shard, pools[key]), key)))


def _can_close(shard: Shard, positions: list[Position]) -> bool:
    """Whether some position of a pool is in a market that is not halted."""
    return any(not shard.market_of(position).rules.is_halted for position in positions)


def run_queue(shard: Shard) -> None:
    """Liquidate from the head of the queue while the command's cap lasts; who is healthy again is let go."""
    while shard.queue and shard.liquidations_left:
        account, market = shard.queue[0]
        has_paid = pay_account(shard, account)
        positions = _pool_named(shard, account, market)
        if not is_due(shard, positions) or not _can_close(shard, positions):
            # To let somebody go costs nothing, but for the funding that was booked for it.
            shard.liquidations_left -= has_paid
        elif market:
            shard.liquidations_left -= 1
            _liquidate_isolated(shard, positions[0])
        elif not _liquidate_account(shard, account):
            return
        shard.queue.remove((account, market))
        if not market and not is_due(shard, cross_positions(shard, account)):
            shard.accounts[account].left_residual = False


def queue_payers(shard: Shard) -> None:
    """Queue those whom paying funding has made due, in the same order."""
    payers, shard.payers = shard.payers, []
    keys = dict.fromkeys((p.account, p.market if p.mode == "isolated" else "") for p in payers)
    pools = {key: _pool_named(shard, *key) for key in keys if key not in shard.queue}
    due = [key for key, positions in pools.items() if is_due(shard, positions) and _can_close(shard, positions)]
    shard.queue.extend(sorted(due, key=lambda key: (health(shard, pools[key]), key)))


def liquidate_payers(shard: Shard) -> None:
    """Until nobody is left to be looked at: a liquidation may meet others who pay."""
    while shard.payers:
        queue_payers(shard)
        run_queue(shard)


def _pool_named(shard: Shard, account: str, market: str) -> list[Position]:
    if not market:
        return cross_positions(shard, account)
    position = shard.position(account, market)
    return [position] if position.sign else []


def _liquidate_isolated(shard: Shard, position: Position) -> None:
    cancel_risk_increasing(shard, position)
    market = shard.market_of(position)
    part = None
    if market.rules.partial and position.reduced_at < market.marks - 1:
        part = lots_to_reduce(shard, position)
    if part is None:
        liquidate(shard, position)
    else:
        reduce(shard, position, part)
        position.reduced_at = market.marks


def _liquidate_account(shard: Shard, account: str) -> bool:
    """Close cross positions until the account is healthy; False where the cap ends before it is."""
    for name in shard.markets:
        cancel_risk_increasing(shard, shard.position(account, name))
    while is_due(shard, cross_positions(shard, account)):
        if not shard.liquidations_left:
            return False
        positions = cross_positions(shard, account)
        positions = [position for position in positions if not shard.market_of(position).rules.is_halted]
        if not positions:
            break
        shard.liquidations_left -= 1
        position = min(positions, key=lambda each: (-maintenance(shard, each), each.market))
        part = None
        if shard.market_of(position).rules.partial and position.reduced_at < shard.marks - 1:
            part = lots_to_reduce(shard, position)
        if part is not None:
            reduce(shard, position, part)
            position.reduced_at = shard.marks
            break
        liquidate(shard, position)
    return True


def lots_to_reduce(shard: Shard, position: Position) -> int | None:
    """The fewest lots that, closed at the mark, leave the pool healthy and the position in a lower tier."""
    market = shard.market_of(position)
    tiers = market.rules.tiers
    tier = tiers.index(market.rules.tier(mark_value(shard, position)))
    if tier == 0:
        return None
    positions = pool(shard, position)
    own = equity(shard, positions)
    others = maintenance_of(shard, positions) - maintenance(shard, position)
    for kept in range(position.parcel.lots - 1, 0, -1):
        value = market.value_at_mark(kept)
        if value <= tiers[tier - 1].up_to and others + market.rules.maintenance(value) < own:
            return position.parcel.lots - kept
    return None


def reduce(shard: Shard, position: Position, lots: int) -> None:
    """Close a part at the bankruptcy price or better. What does not fill stays open."""
    market, side, value = shard.market_of(position), exposure(shard, position), bankruptcy_value(shard, position)
    whole = position.parcel.lots
    liquidation_id = _start(shard, position, value)
    taken = _send(shard, position, liquidation_id, lots, value)
    charge = 0
    own = _own_purse(shard, position)
    if taken.lots:
        carried = position.parcel.share(taken.lots)
        close_lots(position, taken.lots, carried)
        realised = side * (taken.value - carried)
        shard.stream.move(shard.purse("clearing", market.name), own, realised, "realised_pnl")
        shard.realise(position, realised)
        above = max(0, side * (taken.value - _share(value, taken.lots, whole)))
        charge = min(_fee(market, taken), above)
        if position.mode == "isolated":
            charge = min(charge, shard.stream.balances[own])
        shard.stream.move(own, shard.transit, charge, "liquidation_fee")
    _claim_settled(shard, market, liquidation_id, taken, charge, 0, to_account=False)
    after_change(shard, position)


def liquidate(shard: Shard, position: Position) -> None:
    """Close the whole position; what the book does not take becomes a residual at its share of bankruptcy value."""
    market, side, value = shard.market_of(position), exposure(shard, position), bankruptcy_value(shard, position)
    held, lots = position.sign, position.parcel.lots
    liquidation_id = _start(shard, position, value)
    taken = _send(shard, position, liquidation_id, lots, value)
    left, share = lots - taken.lots, _share(value, taken.lots, lots)
    realised = side * (taken.value + value - share - position.parcel.value)
    own = _own_purse(shard, position)
    shard.stream.move(shard.purse("clearing", market.name), own, realised, "realised_pnl")
    shard.realise(position, realised)
    position.sign, position.parcel = 0, Parcel()
    account = shard.accounts[position.account]
    if position.mode == "cross":
        account.left_residual |= left > 0
    is_last = position.mode == "isolated" or not cross_positions(shard, position.account)
    balance = shard.stream.balances[own]
    charge = min(_fee(market, taken), balance if is_last else side * (taken.value - share))
    shard.stream.move(own, shard.transit, charge, "liquidation_fee")
    surplus = balance - charge if is_last else 0
    left_residual = left > 0 if position.mode == "isolated" else account.left_residual
    to_account = is_last and market.rules.surplus_to_account and not left_residual
    receiver = shard.purse("wallet", position.account) if to_account else shard.transit
    if receiver != own:
        shard.stream.move(own, receiver, surplus, "surplus")
    _claim_settled(shard, market, liquidation_id, taken, charge, surplus, to_account=to_account)
    if left:
        value -= share
        residual = Residual(liquidation_id, held, Parcel(left, value, left, value))
        market.residuals.append(residual)
        ask(shard, market, residual)
    after_change(shard, position)


def ask(shard: Shard, market: Market, residual: Residual, part_of: str | None = None) -> None:
    """Ask settlement what to do with a residual: the next round."""
    rules, amount, parcel = market.rules, shard.rules.asset.text, residual.parcel
    residual.round += 1
    residual.is_open = True
    claim = LiquidationResidual(
        liquidation_id=residual.liquidation_id,
        round=residual.round,
        market=market.name,
        side=SIDES[residual.side],
        qty=rules.lots_text(parcel.lots),
        bankruptcy_price=rules.price_text(parcel.value, parcel.lots),
        bankruptcy_value=amount(parcel.value),
        mark_price=rules.ticks_text(market.mark),
        expected_loss=amount(expected_loss(market, residual)),
    )
    if part_of is not None:
        claim.part_of = part_of
    shard.claim(claim)


def split_off(shard: Shard, market: Market, residual: Residual, lots: int) -> None:
    """The fund takes some lots; the others are a residual with an id and a question of their own."""
    whole, value = residual.parcel.lots, residual.parcel.value
    share = Fraction(value * lots, whole)
    kept = floor(share) if residual.side * market.rules.direction > 0 else ceil(share)
    residual.parcel = Parcel(lots, kept, lots, kept)
    shard.liquidations += 1
    rest = Parcel(whole - lots, value - kept, whole - lots, value - kept)
    market.residuals.append(Residual(f"{shard.rules.name}:{shard.liquidations}", residual.side, rest))
    ask(shard, market, market.residuals[-1], residual.liquidation_id)


def expected_loss(market: Market, residual: Residual) -> int:
    """What is left of a residual, carried at bankruptcy value, would lose at the mark."""
    side = residual.side * market.rules.direction
    return max(0, side * (residual.parcel.value - market.value_at_mark(residual.parcel.lots)))


def worst_price(market: Market, side: int, lots: int, value: int) -> int | None:
    """The price in ticks at which lots of that side are closed for `value`, rounded so that no fill is worse.

    None where no price above zero is good enough. Where all are, the lowest or the highest there is.
    """
    gains = side * market.rules.direction > 0
    if value <= 0:
        return (1 if side > 0 else LIMIT) if gains else None
    exact = market.rules.exact_price(value, lots)
    return max(1, ceil(exact)) if side > 0 else floor(exact) or None


def _share(value: int, lots: int, whole: int) -> int:
    return floor(Fraction(value * lots, whole))


def _fee(market: Market, taken: Taken) -> int:
    return ceil(taken.value * market.rules.liquidation_fee)


def _own_purse(shard: Shard, position: Position) -> str:
    """Where the pool's money is."""
    if position.mode == "cross":
        return shard.purse("wallet", position.account)
    return shard.purse("margin", position.market, position.account)


def _start(shard: Shard, position: Position, value: int) -> str:
    """Publish what decided the liquidation; its id."""
    shard.liquidations += 1
    liquidation_id = f"{shard.rules.name}:{shard.liquidations}"
    market, amount, positions = shard.market_of(position), shard.rules.asset.text, pool(shard, position)
    shard.stream.emit(
        LiquidationStarted(
            liquidation_id=liquidation_id,
            market=market.name,
            account=position.account,
            side=SIDES[position.sign],
            qty=market.rules.lots_text(position.parcel.lots),
            mark_price=market.rules.ticks_text(market.mark),
            bankruptcy_price=market.rules.price_text(value, position.parcel.lots),
            bankruptcy_value=amount(value),
            mode=mode_of(position),
            equity=amount(equity(shard, positions)),
            maintenance_margin=amount(maintenance_of(shard, positions)),
        )
    )
    return liquidation_id


def _send(shard: Shard, position: Position, liquidation_id: str, lots: int, value: int) -> Taken:
    """The liquidation order, at a price no worse than bankruptcy."""
    market = shard.market_of(position)
    limit = worst_price(market, position.sign, position.parcel.lots, value)
    if limit is None:
        return Taken()
    order_id = f"liquidation:{liquidation_id}"
    shard.stream.emit(
        LiquidationOrdered(
            liquidation_id=liquidation_id,
            order_id=order_id,
            market=market.name,
            side="sell" if position.sign > 0 else "buy",
            qty=market.rules.lots_text(lots),
            price=market.rules.ticks_text(limit),
        )
    )
    taker = Taker(position.account, order_id, liquidation_id=liquidation_id)
    return take(shard, market, taker, -position.sign, limit, lots)


def _claim_settled(
    shard: Shard, market: Market, liquidation_id: str, taken: Taken, charge: int, surplus: int, *, to_account: bool
) -> None:
    amount = shard.rules.asset.text
    shard.claim(
        LiquidationSettled(
            liquidation_id=liquidation_id,
            market=market.name,
            filled_qty=market.rules.lots_text(taken.lots),
            average_price=market.rules.price_text(taken.value, taken.lots),
            fee=amount(charge),
            surplus=amount(surplus),
            to="account" if to_account else "fund",
        )
    )
