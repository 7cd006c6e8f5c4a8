"""The last resort: a residual that neither a fund nor ADL could place.

It is closed at the mark against the remaining opposing positions pro rata, which costs nobody anything at the
mark, and then against inventory of the other side. The loss, side × (BV − MV), is paid by the fund as far as it
can; the rest is socialised over the positive PnL realised in the market since the last reconciliation:

    rate = min(1, loss ÷ Σ profits);  each winner pays min(profit × rate, free balance)

exact by largest remainders, ties by account name. What is still missing stands as the market's deficit.
"""

from engine.adl import close_counterparty
from engine.fixed import largest_remainders, ratio_text
from engine.margin import equity
from engine.market import Market
from engine.ranking import pnl_leverage
from engine.residual import Residual
from engine.state import ShardState
from engine.takeover import book_unwound, inventory
from schemas.events import LiquidationClosed, LiquidationUncovered, LossDeficit, LossSocialised


def close_at_mark(state: ShardState, market: Market, residual: Residual) -> None:
    """Close what is left of a residual at the mark, users first, then inventory of the other side."""
    users = [position for position in market.opposing(residual.side) if equity(position) > 0]
    shares = _pro_rata(residual.parcel.lots, [position.parcel.lots for position in users])
    for position, lots in zip(users, shares, strict=True):
        if lots:
            value = _take_out(state, market, residual, lots)
            close_counterparty(state, residual, position, lots, value, 0, pnl_leverage(position))
    others = [other for other in inventory(market) if other.side == -residual.side]
    shares = _pro_rata(residual.parcel.lots, [other.parcel.lots for other in others])
    for other, lots in zip(others, shares, strict=True):
        if lots:
            book_unwound(state, market, other, lots, _take_out(state, market, residual, lots))
    if residual.uncovered:
        residual.round += 1
        residual.is_open = True
        state.open_residuals += 1
        state.claim(
            LiquidationUncovered(
                liquidation_id=residual.liquidation_id,
                round=residual.round,
                market=market.spec.name,
                loss=market.spec.asset.text(residual.uncovered),
            )
        )


def cover(state: ShardState, market: Market, residual: Residual, paid_by_fund: int) -> int:
    """Book what the fund pays of an uncovered loss and socialise the rest. Returns the new deficit, in units."""
    state.ledger.move(state.transit, market.uncovered, paid_by_fund, "loss")
    residual.uncovered -= paid_by_fund
    _socialise(state, market, residual)
    missing = residual.uncovered
    if missing:
        residual.uncovered = 0
        state.ledger.move(market.deficit, market.uncovered, missing, "deficit")
        amount = market.spec.asset.text
        state.emit(
            LossDeficit(
                liquidation_id=residual.liquidation_id,
                market=market.spec.name,
                amount=amount(missing),
                deficit=amount(-market.deficit.balance),
            )
        )
    return missing


def finish(state: ShardState, market: Market, residual: Residual, deficit: int = 0) -> None:
    """Tell settlement that a residual is gone, once nothing of it is left or open."""
    if residual.parcel.lots or residual.is_open:
        return
    del market.residuals[residual.liquidation_id]
    spec = market.spec
    amount = spec.asset.text
    state.claim(
        LiquidationClosed(
            liquidation_id=residual.liquidation_id,
            round=residual.round,
            market=spec.name,
            adl_qty=spec.lots.text(residual.adl_lots),
            surplus=amount(residual.surplus),
            socialised=amount(residual.socialised),
            deficit=amount(deficit),
        )
    )


def _pro_rata(lots: int, weights: list[int]) -> list[int]:
    return largest_remainders(min(lots, sum(weights)), weights) if lots and weights else [0] * len(weights)


def _take_out(state: ShardState, market: Market, residual: Residual, lots: int) -> int:
    """Remove lots from the residual at the mark and book the difference to what they were carried at."""
    value = market.spec.value(market.mark, lots)
    gain = residual.take_out(lots, value, within_budget=False)
    if gain < 0:
        residual.uncovered -= gain
        state.ledger.move(market.clearing, market.uncovered, gain, "loss")
    else:
        residual.surplus += gain
        state.ledger.move(market.clearing, state.transit, gain, "surplus")
    return value


def _socialise(state: ShardState, market: Market, residual: Residual) -> None:
    loss = residual.uncovered
    profits = sorted((name, profit) for name, profit in market.realised.items() if profit > 0)
    whole = sum(profit for _, profit in profits)
    if not loss or not whole:
        return
    amount = market.spec.asset.text
    rate = ratio_text(min(loss, whole), whole)
    shares = largest_remainders(min(loss, whole), [profit for _, profit in profits])
    for (name, _), share in zip(profits, shares, strict=True):
        account = state.accounts[name]
        paid = min(share, account.free_balance)
        if not paid:
            continue
        state.ledger.move(account.wallet, market.uncovered, paid, "socialised_loss")
        residual.uncovered -= paid
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
