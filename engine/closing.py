"""Closing a position by force: the liquidation order, what becomes of what it sold, and of what it did not.

The bankruptcy value BV bounds what the trader can lose: EV − e × M of an isolated position, MV − e × allotment of a
cross one (e the exposure). The liquidation order goes into the book with the price of BV as its limit, rounded so
that no fill can be worse (sell: up, buy: down):

    value of the fills V for f of q lots, share of BV = floor(BV × f ÷ q)
    surplus = e × (V − share), never negative
    residual: the other q − f lots leave the account at BV − share, and settlement decides about them

What fills settles into the margin pool that carries the position, M or the wallet, less the liquidation fee. What is
left there is the surplus once the pool has no position any more.
"""

from engine.fills import close_lots
from engine.fixed import share_down
from engine.margin import fee
from engine.market import Market
from engine.matching import Taken, Taker, take
from engine.pool import bankruptcy_value, equity, maintenance
from engine.position import Parcel, Position
from engine.residual import Residual
from engine.resting import after_change
from engine.state import POSITION_SIDES, ShardState
from schemas.claims import LiquidationResidual, LiquidationSettled
from schemas.events import LiquidationOrdered, LiquidationStarted


def close_part(state: ShardState, position: Position, lots: int) -> None:
    """Sell or buy back part of a position at its bankruptcy price or better. What does not fill stays as it is."""
    market = position.market
    spec = market.spec
    exposure, value = position.exposure, bankruptcy_value(position)
    whole = position.parcel.lots
    liquidation_id = _announce(state, position, value)
    taken = _send_order(state, position, liquidation_id, lots, value)
    charge = 0
    if taken.lots:
        collateral = position.collateral
        carried = position.parcel.part(taken.lots)
        close_lots(position, taken.lots, carried)
        realised = exposure * (taken.value - carried)
        state.ledger.move(market.clearing, collateral, realised, "realised_pnl")
        state.realise(position, realised)
        left = max(0, exposure * (taken.value - share_down(value, taken.lots, whole)))
        charge = min(fee(taken.value, spec.liquidation_fee), left)
        if not position.is_cross:
            charge = min(charge, collateral.balance)
        state.ledger.move(collateral, state.transit, charge, "liquidation_fee")
    _claim_settled(state, position, liquidation_id, taken, charge, 0, to_account=False)
    position.reduced_at = state.marks if position.is_cross else market.marks
    after_change(state, position)


def close_whole(state: ShardState, position: Position) -> None:
    """Close a whole position: send the liquidation order, settle what filled, pass on the rest."""
    market = position.market
    exposure, side, lots = position.exposure, position.sign, position.parcel.lots
    value = bankruptcy_value(position)
    liquidation_id = _announce(state, position, value)
    taken = _send_order(state, position, liquidation_id, lots, value)
    left = lots - taken.lots
    share = share_down(value, taken.lots, lots)
    residual_value = value - share
    realised = exposure * (taken.value + residual_value - position.parcel.value)
    state.ledger.move(market.clearing, position.collateral, realised, "realised_pnl")
    state.realise(position, realised)
    position.sign = 0
    position.parcel = Parcel()
    position.join_pool()
    if left and position.is_cross:
        position.account.pool.left_residual = True
    _settle(state, position, liquidation_id, taken, exposure * (taken.value - share), left_residual=left > 0)
    if left:
        residual = Residual(state.liquidations, liquidation_id, side, exposure, Parcel(left, residual_value))
        market.residuals[liquidation_id] = residual
        state.ask(residual)
        ask_settlement(state, market, residual)
    after_change(state, position)


def _announce(state: ShardState, position: Position, value: int) -> str:
    """Begin a liquidation and publish the numbers that decided it; its id."""
    state.liquidations += 1
    liquidation_id = f"{state.spec.name}:{state.liquidations}"
    market = position.market
    spec = market.spec
    amount = spec.asset.text
    state.emit(
        LiquidationStarted(
            liquidation_id=liquidation_id,
            market=spec.name,
            account=position.account.name,
            side=POSITION_SIDES[position.sign],
            qty=spec.lots.text(position.parcel.lots),
            mark_price=spec.ticks.text(market.mark),
            bankruptcy_price=spec.price_text(value, position.parcel.lots),
            bankruptcy_value=amount(value),
            mode=position.mode,
            equity=amount(equity(position)),
            maintenance_margin=amount(maintenance(position)),
        )
    )
    return liquidation_id


def _send_order(state: ShardState, position: Position, liquidation_id: str, lots: int, value: int) -> Taken:
    """Send the liquidation order for some of its lots into the book, bounded by the bankruptcy value of all of them.

    Where no price above zero is good enough, nothing is sent.
    """
    market = position.market
    spec = market.spec
    limit = spec.contract.limit_price(value, position.parcel.lots, position.sign)
    if limit is None:
        return Taken(0, 0, "")
    order_id = f"liquidation:{liquidation_id}"
    state.emit(
        LiquidationOrdered(
            liquidation_id=liquidation_id,
            order_id=order_id,
            market=spec.name,
            side="sell" if position.sign > 0 else "buy",
            qty=spec.lots.text(lots),
            price=spec.ticks.text(limit),
        )
    )
    taker = Taker(position.account.name, order_id, liquidation_id=liquidation_id)
    return take(state, market, taker, -position.sign, limit, lots)


def _settle(
    state: ShardState, position: Position, liquidation_id: str, taken: Taken, left_of_fills: int, *, left_residual: bool
) -> None:
    """Charge the liquidation fee from what the fills left, and send on the surplus of a pool that is empty now.

    An isolated pool is; that of an account once its last cross position is closed, and then the surplus is all
    that is left in the wallet.
    """
    spec = position.market.spec
    collateral = position.collateral
    surplus = 0
    to_account = False
    charge = fee(taken.value, spec.liquidation_fee)
    if position.is_cross and position.account.pool.positions:
        charge = min(charge, left_of_fills)
        state.ledger.move(collateral, state.transit, charge, "liquidation_fee")
    else:
        assert collateral.balance >= 0, "no fill is worse than bankruptcy"
        charge = min(charge, collateral.balance)
        state.ledger.move(collateral, state.transit, charge, "liquidation_fee")
        surplus = collateral.balance
        if position.is_cross:
            left_residual = position.account.pool.left_residual
        to_account = spec.surplus_to_account and not left_residual
        if not to_account:
            state.ledger.move(collateral, state.transit, surplus, "surplus")
        elif not position.is_cross:  # else it lies in the wallet already
            state.ledger.move(collateral, position.wallet, surplus, "surplus")
    _claim_settled(state, position, liquidation_id, taken, charge, surplus, to_account=to_account)


def _claim_settled(
    state: ShardState,
    position: Position,
    liquidation_id: str,
    taken: Taken,
    charge: int,
    surplus: int,
    *,
    to_account: bool,
) -> None:
    spec = position.market.spec
    amount = spec.asset.text
    state.claim(
        LiquidationSettled(
            liquidation_id=liquidation_id,
            market=spec.name,
            filled_qty=spec.lots.text(taken.lots),
            average_price=spec.price_text(taken.value, taken.lots),
            fee=amount(charge),
            surplus=amount(surplus),
            to="account" if to_account else "fund",
        )
    )


def ask_settlement(state: ShardState, market: Market, residual: Residual, part_of: str = "") -> None:
    """Put the question what to do with a residual, which is open already."""
    spec = market.spec
    parcel = residual.parcel
    amount = spec.asset.text
    claim = LiquidationResidual(
        liquidation_id=residual.liquidation_id,
        round=residual.round,
        market=spec.name,
        side=POSITION_SIDES[residual.side],
        qty=spec.lots.text(parcel.lots),
        bankruptcy_price=spec.price_text(parcel.value, parcel.lots),
        bankruptcy_value=amount(parcel.value),
        mark_price=spec.ticks.text(market.mark),
        expected_loss=amount(residual.expected_loss(spec.value(market.mark, parcel.lots))),
    )
    if part_of:
        claim.part_of = part_of
    state.claim(claim)


def split_off(state: ShardState, market: Market, residual: Residual, lots: int) -> None:
    """Leave `lots` of a residual to the fund that takes them over, and ask what to do with the rest.

    The rest is a residual of its own, under the next liquidation id: one question is open per id, and each question has
    one answer.
    """
    state.liquidations += 1
    number = state.liquidations
    rest = Residual(number, f"{state.spec.name}:{number}", residual.side, residual.exposure, residual.split(lots))
    market.residuals[rest.liquidation_id] = rest
    state.ask(rest)
    ask_settlement(state, market, rest, part_of=residual.liquidation_id)
