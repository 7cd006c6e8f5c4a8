"""The commands about accounts: money in and out, leverage, margin mode, margin, dead-man switch."""

from fractions import Fraction

from schemas.commands import (
    AccountCancelAfter,
    AccountDeposit,
    AccountLeverage,
    AccountMargin,
    AccountMarginMode,
    AccountWithdraw,
)
from schemas.events import AccountUpdated, TransferKnown
from tests.reference.exact import LIMIT
from tests.reference.fills import end_pool
from tests.reference.margin import (
    counted_pnl,
    cross_positions,
    free_balance,
    initial_margin,
    is_due,
    maintenance,
    open_sums,
    order_cost,
    reserved,
    unrealised,
)
from tests.reference.rules import SECOND
from tests.reference.state import (
    Account,
    Position,
    Shard,
    find_account,
    find_market,
    refuse_other_shard,
    refuse_waiting,
)
from tests.reference.stream import Refused, parse_amount


def deposit(shard: Shard, command: AccountDeposit) -> None:
    """Money for a wallet; the first deposit opens the account."""
    amount = _new_amount(shard, command)
    if amount is None:
        return
    external = shard.purse("external")
    if command.account.startswith("fund:"):
        raise Refused("reserved_account")
    if amount - shard.stream.balances[external] >= LIMIT:
        raise Refused("amount_too_large")
    shard.accounts.setdefault(command.account, Account(command.account))
    shard.stream.move(external, shard.purse("wallet", command.account), amount, "deposit")
    shard.touch_account(command.account)
    shard.transfers.note(command.transfer_id, shard.stream.now, _contents(command, amount))


def withdraw(shard: Shard, command: AccountWithdraw) -> None:
    """Money out of the free balance, unless a loss is uncovered."""
    amount = _new_amount(shard, command)
    if amount is None:
        return
    find_account(shard, command.account)
    refuse_waiting(shard, command.account)
    for market in shard.markets.values():
        deficit = -shard.stream.balances[shard.purse("deficit", market.name)]
        asked_about = sum(max(0, -residual.balance) for residual in market.residuals)
        if deficit + asked_about > market.rules.deficit_hold:
            raise Refused("loss_uncovered")
    _check_free(shard, command.account, amount)
    shard.stream.move(shard.purse("wallet", command.account), shard.purse("external"), amount, "withdrawal")
    shard.touch_account(command.account)
    shard.transfers.note(command.transfer_id, shard.stream.now, _contents(command, amount))


def _new_amount(shard: Shard, command: AccountDeposit | AccountWithdraw) -> int | None:
    """The amount in units; None where the transfer was applied before, which is answered."""
    refuse_other_shard(shard, command.shard)
    amount = parse_amount(shard.rules.asset, command.amount)
    contents = _contents(command, amount)
    if shard.transfers.is_repetition(command.transfer_id, command.ts, shard.stream.now, contents):
        shard.stream.emit(TransferKnown(transfer_id=command.transfer_id, account=command.account))
        return None
    return amount


def _contents(command: AccountDeposit | AccountWithdraw, amount: int) -> object:
    return (type(command), command.account, amount)


def _check_free(shard: Shard, account: str, amount: int) -> None:
    if amount > free_balance(shard, account):
        raise Refused("insufficient_balance")


def set_leverage(shard: Shard, command: AccountLeverage) -> None:
    """Hold open orders at another leverage, which the wallet must carry; the margin of a position stays."""
    market = find_market(shard, command.market)
    find_account(shard, command.account)
    refuse_waiting(shard, command.account)
    leverage = Fraction(command.leverage)
    if leverage * 10**9 % 1 or leverage * 10**9 >= LIMIT:
        raise Refused("bad_leverage")
    position = shard.position(command.account, command.market)
    sums = open_sums(shard, position)
    worst = max(sign * position.sign * position.parcel.lots + sums[sign][0] for sign in (1, -1))
    limit = market.rules.notional_limit(leverage)
    reached = market.value_at_mark(worst) if market.mark else 0
    if not limit or (leverage > position.leverage and reached > limit):
        raise Refused("leverage_too_high")
    orders = [order for order in shard.orders_of(position) if not order.reduce_only]
    before = position.leverage, [order.cost for order in orders]
    held_before = reserved(shard, command.account)
    position.leverage = leverage
    for order in orders:
        order.cost = order_cost(shard, position, order.sign, order.price, order.lots)
    held = reserved(shard, command.account)
    carried = shard.wallet(command.account) + counted_pnl(shard, command.account)
    if held > max(carried, held_before):
        position.leverage = before[0]
        for order, cost in zip(orders, before[1], strict=True):
            order.cost = cost
        raise Refused("insufficient_margin")
    shard.register(position)
    shard.touch(position)


def set_margin_mode(shard: Shard, command: AccountMarginMode) -> None:
    """Isolated or cross; an open position moves its money."""
    find_market(shard, command.market)
    find_account(shard, command.account)
    refuse_waiting(shard, command.account)
    position = shard.position(command.account, command.market)
    shard.register(position)
    if command.mode != position.mode:
        if position.sign:
            _move_to_mode(shard, position, command.mode)
        position.mode, position.reduced_at = command.mode, -1
        end_pool(shard, command.account)
    shard.touch(position)


def _move_to_mode(shard: Shard, position: Position, mode: str) -> None:
    """Move the margin of an open position: all of it to the wallet, or what an isolated one needs from there."""
    wallet = shard.purse("wallet", position.account)
    margin = shard.purse("margin", position.market, position.account)
    if mode == "cross":
        moved = -shard.margin(position)
    else:
        moved = initial_margin(position.parcel.value, position.leverage) + max(0, -unrealised(shard, position))
    before = position.mode
    balances, lines = shard.stream.balances, list(shard.stream.lines)
    shard.stream.move(wallet, margin, moved, "margin")
    position.mode = mode
    crossed = cross_positions(shard, position.account)
    is_carried = not is_due(shard, crossed)
    if mode == "isolated":
        spare = shard.wallet(position.account) + counted_pnl(shard, position.account)
        is_carried &= spare >= reserved(shard, position.account) and not is_due(shard, [position])
    if not is_carried:
        position.mode = before
        balances[wallet] += moved
        balances[margin] -= moved
        shard.stream.lines = lines
        raise Refused("insufficient_margin")


def move_margin(shard: Shard, command: AccountMargin) -> None:
    """Add to an isolated position's margin, or take from it what initial and maintenance margin leave."""
    find_market(shard, command.market)
    find_account(shard, command.account)
    refuse_waiting(shard, command.account)
    position = shard.position(command.account, command.market)
    if not position.sign:
        raise Refused("no_position")
    if position.mode == "cross":
        raise Refused("not_isolated")
    amount = parse_amount(shard.rules.asset, command.amount)
    if amount > 0:
        _check_free(shard, command.account, amount)
    else:
        left = shard.margin(position) + amount
        keeps_initial = left + min(0, unrealised(shard, position)) >= initial_margin(
            position.parcel.value, position.leverage
        )
        stays_healthy = left + unrealised(shard, position) > maintenance(shard, position)
        if not (keeps_initial and stays_healthy):
            raise Refused("insufficient_margin")
    wallet = shard.purse("wallet", command.account)
    shard.stream.move(wallet, shard.purse("margin", command.market, command.account), amount, "margin")
    shard.touch(position)


def cancel_after(shard: Shard, command: AccountCancelAfter) -> None:
    """Set the dead-man switch, or switch it off."""
    refuse_other_shard(shard, command.shard)
    account = find_account(shard, command.account)
    refuse_waiting(shard, command.account)
    account.cancel_at = 0
    if command.seconds:
        account.cancel_at = min(shard.stream.now + command.seconds * SECOND, LIMIT - 1)
        shard.timers.append((account.cancel_at, account.name, "", ""))
    wallet = shard.rules.asset.text(shard.wallet(account.name))
    shard.stream.emit(
        AccountUpdated(shard=shard.rules.name, account=account.name, wallet=wallet, cancel_at=account.cancel_at)
    )
