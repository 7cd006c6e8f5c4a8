"""Settlement's answers, as an engine applies them: takeover, ADL, cover of a loss, repayment of a deficit."""

from engine.adl import deleverage
from engine.closing import split_off
from engine.funding import pay_residual
from engine.last_resort import close_at_mark, conclude, cover
from engine.market import Market
from engine.residual import Residual
from engine.sequence import BrokenStream
from engine.state import ShardState
from engine.takeover import take_over, unwind
from schemas.claims import AdlTriggered, AnyDecision, DecisionRejected, DeficitRepaid, LossCovered, TakeoverApproved


def decide(state: ShardState, decision: AnyDecision) -> None:
    """Apply one decision. What does not answer the open question is refused by a claim, which frees its money."""
    if isinstance(decision, DeficitRepaid):
        market = state.markets[decision.market]
        state.ledger.move(state.transit, market.deficit, units(state, decision.amount), "deficit")
        return
    found = _find_question(state, decision.liquidation_id, decision.round)
    if found is None:
        state.claim(
            DecisionRejected(
                liquidation_id=decision.liquidation_id,
                round=decision.round,
                code="wrong_round",
                reason="no question of this liquidation and round is open",
            )
        )
        return
    market, residual = found
    pay_residual(state, market, residual)
    lots = residual.parcel.lots
    if isinstance(decision, LossCovered):
        fits = residual.balance < 0
    else:
        asked, lots = lots, market.spec.lots.parse(decision.qty) or 0
        may_split = isinstance(decision, TakeoverApproved)
        fits = not residual.balance and (0 < lots <= asked if may_split else lots == asked)
    if not fits:
        raise BrokenStream(f"decision {decision.decision} does not answer what was asked of {residual.liquidation_id}")
    residual.is_open = False
    state.open_residuals -= 1
    if isinstance(decision, TakeoverApproved):
        residual.budget = units(state, decision.loss_budget)
        residual.loss = 0
        if lots < residual.parcel.lots:
            split_off(state, market, residual, lots)
        if residual.fund is None:
            take_over(state, market, residual, decision.fund)
        unwind(state, market, residual)
    elif isinstance(decision, AdlTriggered):
        residual.fund = None
        residual.budget = residual.loss = 0
        deleverage(state, market, residual, units(state, decision.loss_budget or "0"))
        if residual.parcel.lots:
            close_at_mark(state, market, residual)
        conclude(state, market, residual)
    else:
        cover(state, market, residual, units(state, decision.amount))


def units(state: ShardState, text: str) -> int:
    """An amount that the other side wrote, in units."""
    amount = state.spec.asset.parse(text)
    if amount is None:
        raise BrokenStream(f"a decision carries the amount {text}, finer than a unit of {state.spec.asset.name}")
    return amount


def _find_question(state: ShardState, liquidation_id: str, round_: int) -> tuple[Market, Residual] | None:
    """The market and residual of an open question; None when another round is open, or none at all."""
    for market in state.markets.values():
        residual = market.residuals.get(liquidation_id)
        if residual is not None and residual.is_open and residual.round == round_:
            return market, residual
    return None
