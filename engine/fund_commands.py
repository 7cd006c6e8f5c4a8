"""What operators do to a fund: inject, donate, withdraw, move, set the minimum. Only what is in excess may leave."""

from engine.amounts import parse_amount
from engine.donations import parse_index, value_in_cents
from engine.fixed import AMOUNT_LIMIT
from engine.fund import Fund
from engine.funds import Funds
from engine.reject import Refused
from schemas.commands import FundDeposit, FundMinimum, FundTransfer, FundWithdraw
from schemas.events import FundRejected, FundUpdated

FundCommand = FundDeposit | FundWithdraw | FundMinimum | FundTransfer


def apply_command(funds: Funds, command: FundCommand) -> None:
    """Apply one command. What makes no sense for the state is answered by `fund.rejected`."""
    transfer_id = None if isinstance(command, FundMinimum) else command.transfer_id
    try:
        _execute(funds, command, transfer_id)
    except Refused as refusal:
        event = FundRejected(fund=command.fund, code=refusal.code, reason=refusal.reason)
        if transfer_id is not None:
            event.transfer_id = transfer_id
        funds.outbox.emit(event)


def _execute(funds: Funds, command: FundCommand, transfer_id: str | None) -> None:
    fund = _find_fund(funds, command.fund)
    amount = parse_amount(funds.asset, command.amount)
    now, note = funds.outbox.event_time, _transfer_note(command, amount)
    if transfer_id is not None and funds.transfers.is_repetition(transfer_id, command.ts, now, note):
        emit_updated(funds, fund, transfer_id)
        return
    if isinstance(command, FundDeposit):
        if funds.from_outside + amount >= AMOUNT_LIMIT:
            raise Refused("amount_too_large", f"the funds of {funds.asset.name} would reach 2^63 units")
        if command.kind == "donation":
            funds.donate(fund, amount, value_in_cents(funds.asset, amount, parse_index(command.index)))
        else:
            funds.credit(fund, funds.treasury, amount, command.kind)
    elif isinstance(command, FundWithdraw):
        _check_withdrawable(funds, fund, amount)
        funds.debit(fund, funds.treasury, amount, "withdrawal")
    elif isinstance(command, FundTransfer):
        to = _find_fund(funds, command.to)
        _check_withdrawable(funds, fund, amount)
        funds.move(fund, to, amount, "transfer")
    else:
        fund.minimum = amount
        emit_updated(funds, fund)
    if transfer_id is not None:
        funds.transfers.note((transfer_id,), now, note)


def emit_updated(funds: Funds, fund: Fund, transfer_id: str | None = None) -> None:
    """Say what a fund has and must keep; of a transfer that was known, which."""
    event = FundUpdated(
        fund=fund.spec.name,
        balance=funds.asset.text(fund.purse.balance),
        minimum=funds.asset.text(fund.minimum),
    )
    if transfer_id is not None:
        event.transfer_id = transfer_id
    funds.outbox.emit(event)


def _find_fund(funds: Funds, name: str) -> Fund:
    fund = funds.by_name.get(name)
    if fund is None:
        other = funds.spec.funds.get(name)
        if other is not None:
            raise Refused("wrong_asset", f"fund {name} is in {other.asset.name}, not in {funds.asset.name}")
        raise Refused("unknown_fund", f"{funds.asset.name} has no fund {name}")
    return fund


def _check_withdrawable(funds: Funds, fund: Fund, amount: int) -> None:
    if amount > fund.withdrawable:
        text = funds.asset.text
        raise Refused(
            "insufficient_balance",
            f"{text(amount)} asked for, {text(fund.withdrawable)} stands above reservations and minimum",
        )


def _transfer_note(command: FundCommand, amount: int) -> str:
    """What a repetition of a transfer must agree with."""
    detail = command.to if isinstance(command, FundTransfer) else ""
    if isinstance(command, FundDeposit):
        detail = command.kind if command.index is None else f"{command.kind} {parse_index(command.index)}"
    return f"{type(command).__name__} {command.fund} {detail} {amount}"
