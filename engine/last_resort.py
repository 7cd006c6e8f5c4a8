"""The last resort: a residual that neither a fund nor ADL could place.

It is closed at the mark against the remaining opposing positions pro rata, which costs nobody anything at the
mark, and then against inventory of the other side. The loss, exposure × (BV − MV), is paid by the fund as far as it
can; the rest is socialised over the positive PnL realised in the market since the last reconciliation:

    rate = min(1, loss ÷ Σ profits);  each winner pays min(profit × rate, free balance)

exact by largest remainders, ties by account name. What is still missing stands as the market's deficit.
"""

from engine.adl import close_counterparty, take_out
from engine.fixed import largest_remainders, ratio_text
from engine.funding import pay_side
from engine.market import Market
from engine.pool import equity, free_balance
from engine.ranking import stand
from engine.residual import Residual
from engine.state import ShardState
from engine.takeover import book_unwound
from schemas.claims import LiquidationClosed, LiquidationPartlyClosed, LiquidationUncovered
from schemas.events import LossDeficit, LossSocialised


def close_at_mark(state: ShardState, market: Market, residual: Residual) -> None:
    """Close what is left of a residual at the mark, users first, then what others left on the other side.

    Whoever has no equity at the mark is passed over, and so is what settlement is being asked about. What finds
    nobody stays and is asked about again at the next mark.
    """
    if market.funding is not None:
        pay_side(state, market, -residual.side)
    users = sorted(
        (position for position in market.opposing(residual.side) if equity(position) > 0),
        key=lambda position: position.account.name,
    )
    shares = _pro_rata(residual.parcel.lots, [position.parcel.lots for position in users])
    for position, lots in zip(users, shares, strict=True):
        if lots:
            # Rounded in favour of the counterparty, which is closed by force: else a unit could exceed its margin.
            value = market.spec.contract.forced_value(market.mark, lots, position.sign)
            take_out(state, market, residual, lots, value)
            close_counterparty(state, residual, position, lots, value, 0, stand(position))
    others = [other for other in market.residuals.values() if _can_close_against(market, residual, other)]
    shares = _pro_rata(residual.parcel.lots, [other.parcel.lots for other in others])
    for other, lots in zip(others, shares, strict=True):
        if lots:
            value = market.spec.value(market.mark, lots)
            take_out(state, market, residual, lots, value)
            if other.fund is not None:
                book_unwound(state, market, other, lots, value, against=residual)
            else:
                take_out(state, market, other, lots, value)
                conclude(state, market, other)


def _can_close_against(market: Market, residual: Residual, other: Residual) -> bool:
    """Whether `other` lies on the opposite side, settlement is not being asked about it, and its fund can bear it.

    A takeover that was approved at an earlier mark may be beyond its budget at this one until the next mark asks anew.
    """
    if other.side != -residual.side or other.is_open or not other.parcel.lots:
        return False
    return other.fund is None or other.is_covered(market.spec.value(market.mark, other.parcel.lots))


def conclude(state: ShardState, market: Market, residual: Residual) -> None:
    """Settle what closing a residual gained or lost: claim a surplus, or ask the fund to cover a loss.

    Also where some of it found nobody, as nothing may be left in suspense when that is taken over later.
    """
    if residual.balance >= 0:
        _claim_outcome(state, market, residual, deficit=0)
        return
    state.ask(residual)
    state.claim(
        LiquidationUncovered(
            liquidation_id=residual.liquidation_id,
            round=residual.round,
            market=market.spec.name,
            loss=market.spec.asset.text(-residual.balance),
        )
    )


def cover(state: ShardState, market: Market, residual: Residual, paid_by_fund: int) -> None:
    """Book what the fund pays of a loss, socialise the rest, leave what is missing as the market's deficit."""
    state.ledger.move(state.transit, market.suspense, paid_by_fund, "loss")
    residual.balance += paid_by_fund
    _socialise(state, market, residual)
    missing = -residual.balance
    if missing:
        residual.balance = 0
        state.ledger.move(market.deficit, market.suspense, missing, "deficit")
        amount = market.spec.asset.text
        state.emit(
            LossDeficit(
                liquidation_id=residual.liquidation_id,
                market=market.spec.name,
                amount=amount(missing),
                deficit=amount(-market.deficit.balance),
            )
        )
    _claim_outcome(state, market, residual, missing)


def _claim_outcome(state: ShardState, market: Market, residual: Residual, deficit: int) -> None:
    """Tell settlement what became of a residual, or of a part of it, and send on what that gained."""
    spec = market.spec
    amount = spec.asset.text
    if residual.parcel.lots and not residual.adl_lots:
        return
    closed = LiquidationPartlyClosed if residual.parcel.lots else LiquidationClosed
    state.ledger.move(market.suspense, state.transit, residual.balance, "surplus")
    state.claim(
        closed(
            liquidation_id=residual.liquidation_id,
            round=residual.round,
            market=spec.name,
            adl_qty=spec.lots.text(residual.adl_lots),
            surplus=amount(residual.balance),
            socialised=amount(residual.socialised),
            deficit=amount(deficit),
        )
    )
    residual.balance = residual.adl_lots = residual.socialised = 0
    if not residual.parcel.lots:
        del market.residuals[residual.liquidation_id]


def _pro_rata(lots: int, weights: list[int]) -> list[int]:
    return largest_remainders(min(lots, sum(weights)), weights) if lots and weights else [0] * len(weights)


def _socialise(state: ShardState, market: Market, residual: Residual) -> None:
    loss = -residual.balance
    profits = sorted((name, profit) for name, profit in market.realised.items() if profit > 0)
    whole = sum(profit for _, profit in profits)
    if not loss or not whole:
        return
    amount = market.spec.asset.text
    rate = ratio_text(min(loss, whole), whole)
    shares = largest_remainders(min(loss, whole), [profit for _, profit in profits])
    for (name, _), share in zip(profits, shares, strict=True):
        account = state.accounts[name]
        paid = min(share, free_balance(account))
        if not paid:
            continue
        state.ledger.move(account.wallet, market.suspense, paid, "socialised_loss")
        residual.balance += paid
        residual.socialised += paid
        market.realised[name] -= paid
        state.touch_account(account)
        state.emit(
            LossSocialised(
                liquidation_id=residual.liquidation_id,
                market=market.spec.name,
                account=name,
                amount=amount(paid),
                rate=rate,
            )
        )
