"""Nothing is created and nothing is lost: the sums that hold after every command, computed from scratch.

Per shard, whatever the marks:

    Σ wallets + Σ isolated margins − Σ signed entry values (users, residuals) + fees held
      + net ever sent to settlement + suspense (gains and losses of residuals) + deficits (negative)
      + funding that was paid and not received yet
      = deposits − withdrawals

and the signed sizes of a market sum to zero. An entry value is negative where a rising value is a loss: short linear,
long inverse. Settlement: Σ fund balances + what is pending = net ever received from shards + net ever received from
outside. No margin or fund is negative, no wallet but one that open cross positions secure, and no fund has reserved
and lost more than it has.
"""

from typing import NamedTuple

from engine.market import Market
from engine.settlement import Settlement
from engine.shard import Shard


class InvariantBroken(AssertionError):
    """The state contradicts a rule that never bends. Says which."""


class MarketSums(NamedTuple):
    """Signed lots, signed entry values and margins of everything in a market, in lots and units."""

    lots: int
    entry_value: int
    margin: int


def sum_market(market: Market) -> MarketSums:
    """Add up all positions and residuals of a market. Raises InvariantBroken for a negative margin."""
    lots = entry_value = margins = 0
    for position in market.positions.values():
        margin = position.margin.balance
        if margin < 0:
            raise InvariantBroken(f"{position.margin.name} is {margin} units")
        margins += margin
        if position.sign:
            parcel = position.parcel
            lots += position.sign * parcel.lots
            entry_value += position.signed_entry_value
    for residual in market.residuals.values():
        lots += residual.side * residual.parcel.lots
        entry_value += residual.exposure * residual.parcel.value
    return MarketSums(lots, entry_value, margins)


def shard_residual(shard: Shard) -> int:
    """Left side minus right side of the shard's equation, in units. Raises InvariantBroken for a negative balance."""
    state = shard.state
    held = 0
    for account in state.accounts.values():
        wallet = account.wallet.balance
        if wallet < 0 and not account.pool.positions:
            raise InvariantBroken(f"{account.wallet.name} is {wallet} units")
        held += wallet
    for market in state.markets.values():
        sums = sum_market(market)
        if sums.lots:
            raise InvariantBroken(f"signed sizes of {market.spec.name} sum to {sums.lots} lots")
        held += sums.margin - sums.entry_value + market.suspense.balance + market.deficit.balance
        held += market.funding_purse.balance
    return held + state.fees.balance + state.transit.balance + state.external.balance


def settlement_residual(settlement: Settlement) -> int:
    """What the funds hold beyond what settlement ever received, in units."""
    held = sum(
        purse.balance for fund in settlement.funds.values() for purse in (fund.purse, fund.gains, fund.losses_due)
    )
    received = sum(shard.transit.balance for shard in settlement.shards.values())
    return held + received - settlement.from_outside


def check_shard(shard: Shard) -> None:
    """Add up the whole shard. Raises InvariantBroken."""
    residual = shard_residual(shard)
    if residual:
        raise InvariantBroken(f"{shard.stream}: conservation residual {residual} units")


def check_settlement(settlement: Settlement) -> None:
    """Add up all funds and reservations. Raises InvariantBroken."""
    residual = settlement_residual(settlement)
    if residual:
        raise InvariantBroken(f"{settlement.stream}: conservation residual {residual} units")
    for name, fund in settlement.funds.items():
        held = sum(r.budget - r.loss for r in settlement.reservations.values() if r.fund is fund)
        if fund.reserved != held:
            raise InvariantBroken(f"fund {name} reserves {fund.reserved} units, its reservations are {held}")
        lost = sum(fund.pending_losses.values())
        if fund.gains.balance != sum(fund.pending_gains.values()) or fund.losses_due.balance != -lost:
            raise InvariantBroken(f"fund {name} has {fund.gains.balance} and {fund.losses_due.balance} units pending")
        if held < 0 or lost < 0 or fund.gains.balance < 0 or held + lost > fund.purse.balance:
            raise InvariantBroken(f"fund {name} reserves {held} and lost {lost} units of {fund.purse.balance}")
