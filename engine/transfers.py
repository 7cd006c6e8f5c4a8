"""The commands about accounts: deposit, withdraw, leverage, margin mode, isolated margin, dead-man switch."""

from engine.account import Account
from engine.amounts import parse_amount
from engine.fixed import AMOUNT_LIMIT, RATE_PLACES, scaled, trimmed_text
from engine.margin import initial_margin, maintenance_margin, mark_value, order_cost, unrealised_pnl, worst_notional
from engine.orders import find_account, find_market, refuse_other_shard, refuse_waiting
from engine.pool import can_spare, free_balance, sum_pool, unreserved
from engine.position import NEVER, Position
from engine.reject import Refused
from engine.spec import SECOND
from engine.state import ShardState
from engine.timers import set_switch
from schemas.commands import (
    AccountCancelAfter,
    AccountDeposit,
    AccountLeverage,
    AccountMargin,
    AccountMarginMode,
    AccountWithdraw,
)
from schemas.events import AccountUpdated, TransferKnown


def deposit(state: ShardState, command: AccountDeposit) -> None:
    """Credit a wallet; the first deposit opens the account. Raises Refused.

    Also while the account is being liquidated: the money has arrived and must be booked.
    """
    amount = _parse_transfer(state, command)
    if amount is None:
        return
    if command.account.startswith("fund:"):
        raise Refused("reserved_account", "account names that begin with fund: are those of funds in trades")
    if amount - state.external.balance >= AMOUNT_LIMIT:
        raise Refused("amount_too_large", "the shard's deposits would reach 2^63 units")
    account = state.accounts.get(command.account)
    if account is None:
        state.accounts[command.account] = account = Account(
            state.spec.name, command.account, free_profit=state.spec.free_profit
        )
    state.ledger.move(state.external, account.wallet, amount, "deposit")
    state.touch_account(account)
    _note_transfer(state, command, amount)


def withdraw(state: ShardState, command: AccountWithdraw) -> None:
    """Debit the free balance. Raises Refused."""
    amount = _parse_transfer(state, command)
    if amount is None:
        return
    account = find_account(state, command.account)
    refuse_waiting(account)
    for market in state.markets.values():
        missing = -market.deficit.balance - min(0, market.suspense.balance)
        if missing > market.spec.deficit_hold:
            raise Refused("loss_uncovered", f"withdrawals are held: {market.spec.name} has an uncovered loss")
    _check_free(state, account, amount)
    state.ledger.move(account.wallet, state.external, amount, "withdrawal")
    state.touch_account(account)
    _note_transfer(state, command, amount)


def set_leverage(state: ShardState, command: AccountLeverage) -> None:
    """Margin the account's orders in a market by another leverage. Raises Refused.

    Open orders, and the initial margin of a cross position, are held at the new leverage, which the wallet must carry;
    the margin of an isolated position stays (`account.margin` moves it).
    """
    market = find_market(state, command.market)
    account = find_account(state, command.account)
    refuse_waiting(account)
    leverage = scaled(command.leverage, RATE_PLACES)
    if leverage is None or leverage >= AMOUNT_LIMIT:
        raise Refused("bad_leverage", f"leverage {command.leverage}: expected at most {RATE_PLACES} decimals")
    position = account.positions.get(market.spec.name) or Position(account, market)
    limit = market.spec.notional_limit(leverage)
    reached = worst_notional(position, position.buy_lots, position.sell_lots)
    if not limit or (leverage > position.leverage and reached > limit):
        raise Refused(
            "leverage_too_high",
            f"leverage {command.leverage} exceeds 1/initial of the tier of position and orders",
        )
    _hold_orders_at(position, leverage)
    if not position.is_known:
        state.register(position)
    position.leverage_text = trimmed_text(leverage, RATE_PLACES)
    position.notional_limit = limit
    state.touch(position)


def set_margin_mode(state: ShardState, command: AccountMarginMode) -> None:
    """Carry a position, open or to come, by a margin of its own or by the wallet. Raises Refused.

    An open one that becomes cross gives its margin to the wallet, and the account must then stand above maintenance
    margin. One that becomes isolated gets what it would need if it were opened now, ceil(EV ÷ leverage) and its open
    loss; the wallet must carry that beside all that stays, and neither side may be due for liquidation.
    """
    market = find_market(state, command.market)
    account = find_account(state, command.account)
    refuse_waiting(account)
    position = state.position(account, market)
    if command.mode != position.mode:
        if command.mode == "cross":
            _make_cross(state, position)
        else:
            _make_isolated(state, position)
        position.reduced_at = NEVER  # marks are counted otherwise in the other mode
        state.make_stale(position)
    state.touch(position)


def _make_cross(state: ShardState, position: Position) -> None:
    account, margin = position.account, position.margin.balance
    if position.sign:
        sums = sum_pool(account.pool)
        own = account.wallet.balance + sums.unrealised + margin + unrealised_pnl(position)
        needed = sums.maintenance + maintenance_margin(position.market.spec, mark_value(position))
        if own <= needed:
            text = state.spec.asset.text
            raise Refused(
                "insufficient_margin", f"equity {text(own)} would not exceed the maintenance margin {text(needed)}"
            )
    state.ledger.move(position.margin, account.wallet, margin, "margin")
    _change_mode(position, is_cross=True)


def _make_isolated(state: ShardState, position: Position) -> None:
    account = position.account
    if not position.sign:
        _change_mode(position, is_cross=False)
        return
    profit = unrealised_pnl(position)
    margin = position.initial_margin + max(0, -profit)
    _change_mode(position, is_cross=False)
    if unreserved(account) < margin:
        reason = f"{state.spec.asset.text(margin)} needed, {state.spec.asset.text(free_balance(account))} would be free"
    elif margin + profit <= maintenance_margin(position.market.spec, mark_value(position)):
        reason = "the position would be due for liquidation"
    elif not can_spare(account, margin):
        reason = "the other cross positions would be due for liquidation"
    else:
        state.ledger.move(account.wallet, position.margin, margin, "margin")
        return
    _change_mode(position, is_cross=True)
    raise Refused("insufficient_margin", reason)


def _change_mode(position: Position, *, is_cross: bool) -> None:
    position.is_cross = is_cross
    position.join_pool()
    position.refresh_reserve()


def move_margin(state: ShardState, command: AccountMargin) -> None:
    """Add to an isolated position's margin from the free balance, or take from it. Raises Refused.

    What is taken must leave M + min(0, uPnL) at the initial margin of the entry value, and equity above
    maintenance margin: unrealised profit does not free margin, and nobody takes himself into liquidation.
    """
    market = find_market(state, command.market)
    account = find_account(state, command.account)
    refuse_waiting(account)
    position = account.positions.get(market.spec.name)
    if position is None or not position.sign:
        raise Refused("no_position", f"account {account.name} has no position in {market.spec.name}")
    if position.is_cross:
        raise Refused("not_isolated", f"the position in {market.spec.name} is cross: the wallet is its margin")
    amount = parse_amount(state.spec.asset, command.amount)
    if amount > 0:
        _check_free(state, account, amount)
    else:
        value = mark_value(position)
        above_initial = min(0, unrealised_pnl(position)) - initial_margin(position.parcel.value, position.leverage)
        above_maintenance = unrealised_pnl(position) - maintenance_margin(market.spec, value) - 1
        spare = position.margin.balance + min(above_initial, above_maintenance)
        if -amount > spare:
            text = state.spec.asset.text
            raise Refused(
                "insufficient_margin",
                f"{text(-amount)} asked for, {text(max(0, spare))} can be taken",
            )
    state.ledger.move(account.wallet, position.margin, amount, "margin")
    state.make_stale(position)
    state.touch(position)


def cancel_after(state: ShardState, command: AccountCancelAfter) -> None:
    """Set the dead-man switch, anew each time, or switch it off. Raises Refused."""
    refuse_other_shard(state, command.shard)
    account = find_account(state, command.account)
    refuse_waiting(account)
    due = min(state.now + command.seconds * SECOND, AMOUNT_LIMIT - 1)  # event time ends there
    set_switch(state, account, due if command.seconds else 0)
    wallet = state.spec.asset.text(account.wallet.balance)
    state.emit(AccountUpdated(shard=state.spec.name, account=account.name, wallet=wallet, cancel_at=account.cancel_at))


def _hold_orders_at(position: Position, leverage: int) -> None:
    """Recompute what orders and a cross position need at another leverage; put all back if it is more than is there."""
    before, reserved = position.leverage, position.account.reserved
    costs = {order_id: order.cost for order_id, order in position.orders.items()}
    position.leverage = leverage
    for order in position.orders.values():
        order.cost = 0 if order.reduce_only else order_cost(position, order.sign, order.price, order.lots)
    _sum_costs(position)
    account = position.account
    if account.reserved > reserved and unreserved(account) < 0:
        position.leverage = before
        for order_id, cost in costs.items():
            position.orders[order_id].cost = cost
        _sum_costs(position)
        raise Refused(
            "insufficient_margin",
            f"at leverage {trimmed_text(leverage, RATE_PLACES)} the account would need more than the wallet carries",
        )


def _sum_costs(position: Position) -> None:
    position.buy_cost = sum(order.cost for order in position.orders.values() if order.sign > 0)
    position.sell_cost = sum(order.cost for order in position.orders.values() if order.sign < 0)
    position.refresh_reserve()


def _check_free(state: ShardState, account: Account, amount: int) -> None:
    """Refuse to take out of the wallet what is not free."""
    free = free_balance(account)
    if amount > free:
        text = state.spec.asset.text
        raise Refused("insufficient_balance", f"{text(amount)} asked for, {text(free)} is free")


def _transfer_note(command: AccountDeposit | AccountWithdraw, amount: int) -> str:
    return f"{type(command).__name__} {command.account} {amount}"


def _parse_transfer(state: ShardState, command: AccountDeposit | AccountWithdraw) -> int | None:
    """The amount in units; None when the transfer was applied before, which is answered here."""
    refuse_other_shard(state, command.shard)
    amount = parse_amount(state.spec.asset, command.amount)
    if state.transfers.is_repetition(command.transfer_id, command.ts, state.now, _transfer_note(command, amount)):
        state.emit(TransferKnown(transfer_id=command.transfer_id, account=command.account))
        return None
    return amount


def _note_transfer(state: ShardState, command: AccountDeposit | AccountWithdraw, amount: int) -> None:
    state.transfers.note((command.transfer_id,), state.now, _transfer_note(command, amount))
