"""Nothing is created and nothing is lost: the sums that hold after every command, computed from scratch.

Per shard, whatever the marks:

    Σ wallets + Σ isolated margins − Σ signed entry values (users, residuals) + fees held
      + net ever sent to settlement + suspense (gains and losses of residuals) + deficits (negative)
      = deposits − withdrawals

and the signed sizes of a market sum to zero. Settlement: Σ fund balances = net ever received from shards +
net ever received from outside.
"""

from collections.abc import Iterable

from engine.book import Order
from engine.market import Market
from engine.settlement import Settlement
from engine.shard import Shard


class InvariantBroken(AssertionError):  # noqa: N818 -- reads as what happened
    """The state contradicts a rule that never bends. Says which."""


def shard_residual(shard: Shard) -> int:
    """Left side minus right side of the shard's equation, in units."""
    state = shard.state
    held = sum(account.wallet.balance for account in state.accounts.values())
    for market in state.markets.values():
        held += sum(position.margin.balance - position.signed_entry_value for position in market.positions.values())
        held -= sum(residual.side * residual.parcel.value for residual in market.residuals.values())
        held += market.suspense.balance + market.deficit.balance
    return held + state.fees.balance + state.transit.balance + state.external.balance


def settlement_residual(settlement: Settlement) -> int:
    """What the funds hold beyond what settlement ever received, in units."""
    held = sum(fund.purse.balance for fund in settlement.funds.values())
    received = sum(shard.transit.balance for shard in settlement.shards.values())
    return held + received + settlement.treasury.balance


def check_shard(shard: Shard) -> None:
    """Scan the whole shard. Raises InvariantBroken."""
    _require(shard_residual(shard) == 0, f"{shard.stream}: conservation residual {shard_residual(shard)} units")
    for account in shard.state.accounts.values():
        _require(account.wallet.balance >= 0, f"wallet of {account.name} is {account.wallet.balance} units")
        reserved = sum(position.reserve for position in account.positions.values())
        _require(account.reserved == reserved, f"reserve of {account.name} is {account.reserved}, not {reserved}")
    for market in shard.state.markets.values():
        _check_market(market)


def check_settlement(settlement: Settlement) -> None:
    """Scan all funds. Raises InvariantBroken."""
    residual = settlement_residual(settlement)
    _require(residual == 0, f"{settlement.stream}: conservation residual {residual} units")
    for name, fund in settlement.funds.items():
        held = sum(r.budget - r.loss for r in settlement.reservations.values() if r.fund is fund)
        _require(fund.reserved == held, f"fund {name} reserves {fund.reserved} units, its reservations are {held}")
        _require(
            0 <= held <= fund.purse.balance,
            f"fund {name} reserves {held} units of a balance of {fund.purse.balance}",
        )


def _check_market(market: Market) -> None:
    name = market.spec.name
    lots = sum(position.signed_lots for position in market.positions.values())
    lots += sum(residual.side * residual.parcel.lots for residual in market.residuals.values())
    _require(lots == 0, f"signed sizes of {name} sum to {lots} lots")
    values = sum(position.signed_entry_value for position in market.positions.values())
    values += sum(residual.side * residual.parcel.value for residual in market.residuals.values())
    _require(
        market.clearing.balance == -values,
        f"clearing of {name} holds {market.clearing.balance}, owes {values}",
    )
    for position in market.positions.values():
        where = f"{name}/{position.account.name}"
        _require(position.margin.balance >= 0, f"margin of {where} is {position.margin.balance} units")
        flat = position.sign == 0
        _require(
            flat == (position.parcel.lots == 0),
            f"{where} has sign {position.sign}, lots {position.parcel.lots}",
        )
        _require(
            not flat or position.parcel.value == 0,
            f"{where} is flat with entry value {position.parcel.value}",
        )
        _require(not flat or position.margin.balance == 0, f"{where} is flat with margin {position.margin.balance}")
        orders = position.orders.values()
        for order in orders:
            _require(order.level is not None, f"order {order.order_id} of {where} is open but not in the book")
            _require(
                not order.reduce_only or (order.sign == -position.sign and order.lots <= position.parcel.lots),
                f"reduce-only order {order.order_id} of {where} exceeds the position",
            )
        _require(
            (position.buy_lots, position.buy_cost) == _sums(orders, 1)
            and (position.sell_lots, position.sell_cost) == _sums(orders, -1),
            f"sums over the open orders of {where} are off",
        )
    try:
        market.book.check()
        market.triggers.check()
    except AssertionError as error:
        raise InvariantBroken(f"{name}: {error}") from None
    resting = sum(1 for side in (market.book.bids, market.book.asks) for level in side for _ in level)
    known = sum(len(position.orders) for position in market.positions.values())
    _require(resting == known, f"{name}: {resting} orders rest in the book, accounts know of {known}")


def _sums(orders: Iterable[Order], sign: int) -> tuple[int, int]:
    """Lots and cost of the orders of one side that may increase a position."""
    lots = cost = 0
    for order in orders:
        if order.sign == sign and not order.reduce_only:
            lots += order.lots
            cost += order.cost
    return lots, cost


def _require(holds: bool, what: str) -> None:  # noqa: FBT001 -- an assertion with a message built by the caller
    if not holds:
        raise InvariantBroken(what)
