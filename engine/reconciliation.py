"""Reconciliation: the periods of a fund, from boundary to boundary of event time."""

from engine.fixed import AMOUNT_LIMIT
from engine.fund import Fund
from engine.funds import Funds
from engine.spec import last_boundary, next_boundary
from schemas.events import FundReconciled


def reconcile(funds: Funds) -> None:
    """Close the periods of all funds whose boundaries event time has reached."""
    if funds.now >= funds.period_end:
        for fund in funds.by_name.values():
            _reconcile(funds, fund)
        funds.period_end = min((fund.period_end for fund in funds.by_name.values()), default=AMOUNT_LIMIT)


def _reconcile(funds: Funds, fund: Fund) -> None:
    """Close every period whose boundary event time has reached; the first input begins the first period.

    `limits.reconciliations_per_command` bounds the events; beyond it the last one spans all idle periods.
    """
    now = funds.now
    if not fund.period_end:
        fund.period_start = now
        fund.period_end = next_boundary(now, fund.spec.reconcile_phase)
    if now >= fund.period_end:
        funds.book_pending(fund)
    closed = 0
    while now >= fund.period_end:
        closed += 1
        if closed == funds.limits.reconciliations_per_command:
            # After so many boundaries nothing has happened since the first: the last event tells of all of them.
            # Where `reconcile_at` has become earlier, that boundary may lie before the end of the period that runs.
            fund.period_end = max(fund.period_end, last_boundary(now, fund.spec.reconcile_phase))
        _close_period(funds, fund)


def _close_period(funds: Funds, fund: Fund) -> None:
    text = funds.asset.text
    period = FundReconciled(
        fund=fund.spec.name,
        period_start=fund.period_start,
        period_end=fund.period_end,
        opening_balance=text(fund.period_opening),
        closing_balance=text(fund.purse.balance),
        surplus_count=fund.surpluses.count,
        surplus_sum=text(fund.surpluses.total),
        loss_count=fund.losses.count,
        loss_sum=text(fund.losses.total),
        adl_count=fund.deleveraged.count,
        adl_sum=text(fund.deleveraged.total),
    )
    funds.outbox.emit(period)
    fund.history.append(period)
    del fund.history[: -funds.limits.fund_history]
    fund.period_start = fund.period_end
    fund.period_end = next_boundary(fund.period_start, fund.spec.reconcile_phase)
    fund.period_opening = fund.purse.balance
    for tally in (fund.surpluses, fund.losses, fund.deleveraged):
        tally.clear()
