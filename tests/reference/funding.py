"""Funding: one side of a market pays the other, at the mark and with the quantities of the moment it begins.

A payer pays ceil(|r| × MV), a receiver receives floor(|r| × MV), of the exact mark value; the difference goes to the
fees held when all have paid. What an isolated margin cannot pay, and all of a residual's, goes into the entry value.
"""

from dataclasses import dataclass, field
from fractions import Fraction

from schemas.commands import PriceFunding
from schemas.events import FundingPaid, FundingSettled
from tests.reference.exact import LIMIT, ceil, floor, written
from tests.reference.state import SIDES, Market, Parcel, Position, Residual, Shard, find_market, refuse_halted
from tests.reference.stream import Refused


@dataclass
class Round:
    """A funding that is not over: who was open when it began, and who of them has not paid."""

    number: int
    rate: Fraction
    mark: int
    stakes: list[Position | Residual]
    owing: list[Position | Residual] = field(default_factory=list)
    paid: int = 0
    received: int = 0


def set_funding(shard: Shard, command: PriceFunding) -> None:
    """Begin a round: everything that is open owes, positions as they first appeared, then residuals."""
    market = find_market(shard, command.market)
    rate = Fraction(command.rate)
    if rate * 10**9 % 1 or abs(rate) > 1:
        raise Refused("bad_rate")
    refuse_halted(market)
    if not market.mark:
        raise Refused("no_mark")
    if market.name in shard.rounds:
        raise Refused("funding_running")
    stakes: list[Position | Residual] = []
    if rate:
        stakes.extend(p for p in shard.positions.values() if p.market == market.name and p.sign)
        stakes.extend(residual for residual in market.residuals if residual.parcel.lots)
    market.fundings += 1
    shard.rounds[market.name] = Round(market.fundings, rate, market.mark, stakes, list(stakes))
    if not stakes:
        _end(shard, market)
    continue_rounds(shard)


def continue_rounds(shard: Shard) -> None:
    """Who comes next pays while the command's cap lasts; the round that began first goes first."""
    while shard.rounds and shard.funding_left:
        name, running = next(iter(shard.rounds.items()))
        shard.funding_left -= 1
        _settle(shard, shard.markets[name], running.owing[0])


def pay_account(shard: Shard, account: str) -> bool:
    """All that an account owes, before anything changes its positions; whether it owed."""
    owed = [
        (shard.markets[name], stake)
        for name, running in shard.rounds.items()
        for stake in running.owing
        if isinstance(stake, Position) and stake.account == account
    ]
    for market, stake in owed:
        _settle(shard, market, stake)
    return bool(owed)


def pay_residual(shard: Shard, market: Market, residual: Residual) -> None:
    """What a residual owes."""
    if market.name in shard.rounds and residual in shard.rounds[market.name].owing:
        _settle(shard, market, residual)


def pay_side(shard: Shard, market: Market, side: int) -> None:
    """What one side of a market owes, and all that its accounts owe elsewhere."""
    if market.name not in shard.rounds:
        return
    for position in list(shard.positions.values()):
        if position.market == market.name and position.sign == side:
            pay_account(shard, position.account)
    for residual in market.residuals:
        if residual.side == side:
            pay_residual(shard, market, residual)


def _settle(shard: Shard, market: Market, stake: Position | Residual) -> None:
    running = shard.rounds[market.name]
    running.owing.remove(stake)
    rules, side, lots = market.rules, stake.sign if isinstance(stake, Position) else stake.side, stake.parcel.lots
    due = abs(running.rate) * rules.exact_value(running.mark, lots)
    if running.rate * side > 0:
        booked, capitalised = _book(shard, market, stake, side, -ceil(due))
        running.paid -= booked
    else:
        booked, capitalised = _book(shard, market, stake, side, floor(due))
        running.received += booked
    event = FundingPaid(
        market=market.name,
        round=running.number,
        side=SIDES[side],
        qty=rules.lots_text(lots),
        mark_price=rules.ticks_text(running.mark),
        rate=_trimmed(running.rate),
        amount=shard.rules.asset.text(booked),
        capitalised=shard.rules.asset.text(capitalised),
    )
    if isinstance(stake, Position):
        event.account = stake.account
        if booked:
            shard.touch(stake)
        if running.rate * side > 0 and due:
            shard.payers.append(stake)
    else:
        event.liquidation_id = stake.liquidation_id
    shard.stream.emit(event)
    if not running.owing:
        _end(shard, market)


def _book(shard: Shard, market: Market, stake: Position | Residual, side: int, due: int) -> tuple[int, int]:
    """Book what is received, or with a minus paid: the amount, and what of it went into the entry value."""
    purse, exposure = shard.purse("funding", market.name), side * market.rules.direction
    if isinstance(stake, Residual):
        amount = _capitalise(shard, market, stake.parcel, exposure, due)
        return amount, amount
    if stake.mode == "cross":
        shard.stream.move(purse, shard.purse("wallet", stake.account), due, "funding")
        return due, 0
    by_margin = max(due, -shard.margin(stake))
    shard.stream.move(purse, shard.purse("margin", market.name, stake.account), by_margin, "funding")
    rest = _capitalise(shard, market, stake.parcel, exposure, due - by_margin)
    return by_margin + rest, rest


def _capitalise(shard: Shard, market: Market, parcel: Parcel, exposure: int, due: int) -> int:
    """EV −= exposure × due, but not to less than a price of one tick is worth (inverse: one unit), nor to 2^63."""
    least = market.rules.value(1, parcel.lots) if market.rules.direction > 0 else 1
    wanted = parcel.value - exposure * due
    if wanted < parcel.value:
        wanted = max(wanted, min(least, parcel.value))
    else:
        wanted = min(wanted, max(LIMIT - 1, parcel.value))
    amount = exposure * (parcel.value - wanted)
    if amount:
        shard.stream.move(shard.purse("funding", market.name), shard.purse("clearing", market.name), amount, "funding")
        parcel.grow(0, wanted - parcel.value)
    return amount


def _end(shard: Shard, market: Market) -> None:
    """The dust goes to the fees held."""
    running, purse = shard.rounds.pop(market.name), shard.purse("funding", market.name)
    amount, dust = shard.rules.asset.text, shard.stream.balances[purse]
    shard.stream.move(purse, shard.purse("fees"), dust, "funding")
    shard.stream.emit(
        FundingSettled(
            market=market.name,
            round=running.number,
            rate=_trimmed(running.rate),
            mark_price=market.rules.ticks_text(running.mark),
            paid=amount(running.paid),
            received=amount(running.received),
            dust=amount(dust),
            positions=len(running.stakes),
        )
    )


def _trimmed(rate: Fraction) -> str:
    text = written(int(rate * 10**9), 9)
    return text.rstrip("0").rstrip(".")
