"""Funding: at a moment that `price.funding` names, one side of a market pays the other a share of what it holds.

Symbols: s = ±1 the side, e the exposure of a position (+1 where a rising value is a gain; of a linear contract e = s),
MV the value at the mark of that moment, EV the entry value, r the rate. One funding of a market is a round:

    s × r > 0   pays        ceil(|r| × MV)
    s × r < 0   receives    floor(|r| × MV)
    dust = Σ paid − Σ received, to the fees held, when the last one has paid

Everything that is open takes part, users and residuals alike: only so do the values of the payers sum to those of the
receivers. Each amount is rounded once, against whom it is about, so the dust is less than a unit per position.

A cross position pays from the wallet and receives into it. An isolated one pays from its margin as far as that goes;
the rest is **capitalised**: EV += e × rest, as if it had been opened at a worse price. It receives into its margin. A
residual has no money, so all of its funding is capitalised, what it receives as EV −= e × amount: an open question to
settlement, a budget and the loss so far stay what they are, and whoever closes the residual realises its funding.

An entry value stays at or above the value at one tick (inverse: one unit), which the limit prices of forced orders
rely on, and below 2^63 units. What cannot be capitalised for that is not paid, or not received, and the dust is less,
or more, by it: the fees held bear it, the other side is paid in full. It takes a payer who is bankrupt many times
over, or a residual that receives more than it is carried at: rates near 1, or positions near one tick.

Between begin and end all money of a round is in the market's funding purse, which is zero outside of rounds.

A round is bounded: `limits.funding_payments_per_command` positions pay per command, in the order of their first
appearance, residuals after them; the others before the next command, markets in the order in which their rounds
began. Until then a position `owes_funding`, and nothing may change it before it has paid: who sends a command pays
first, all that the account owes in the shard, and so does who is met in the book, is liquidated or deleveraged. So
its size is that of the begin, and what it pays is the same whenever it does. A position that was opened later does
not owe.
"""

from typing import Any, Final, NamedTuple

from engine.fixed import AMOUNT_LIMIT, RATE, RATE_PLACES, divide_down, divide_up, trimmed_text
from engine.market import Market
from engine.position import Parcel, Position
from engine.residual import Residual
from engine.rows import Row, RowReader
from engine.spec import MarketSpec
from engine.state import POSITION_SIDES, ShardState
from schemas.events import FundingPaid, FundingSettled

_POSITION_OWES: Final = "owes_funding"
_RESIDUAL_OWES: Final = "residual_owes_funding"


class FundingRound:
    """A funding that has begun and is not over.

    `rate` is in 10^-9 and `mark` in ticks; `number` counts the rounds of the market. `stakes` are the positions and
    residuals that were open when it began, `took_part` many: those before `next` have paid, of the others `owing` have
    not.
    """

    __slots__ = ("mark", "next", "number", "owing", "paid", "rate", "received", "stakes", "took_part")

    def __init__(self, number: int, rate: int, mark: int, stakes: list[Position | Residual]) -> None:
        self.number = number
        self.rate = rate
        self.mark = mark
        self.stakes = stakes
        self.took_part = len(stakes)
        self.next = 0
        self.owing = len(stakes)
        self.paid = 0
        self.received = 0

    def rows(self, market: str) -> list[Row]:
        """The state as rows of plain values. Who has paid is counted only, and is not in the restored `stakes`."""
        return [
            ("funding", market, self.number, self.rate, self.mark, self.took_part, self.paid, self.received),
            *(_row(stake) for stake in self.stakes[self.next :] if stake.owes_funding),
        ]

    @classmethod
    def restore(cls, market: Market, row: tuple[Any, ...], rows: RowReader) -> "FundingRound":
        """The round of a market that a row tells of, and the next of `rows`, of those who owe."""
        _, _, number, rate, mark, took_part, paid, received = row
        stakes: list[Position | Residual] = [market.positions[account] for _, account in rows.each(_POSITION_OWES)]
        stakes.extend(market.residuals[liquidation_id] for _, liquidation_id in rows.each(_RESIDUAL_OWES))
        for stake in stakes:
            stake.owes_funding = True
        restored = cls(number, rate, mark, stakes)
        restored.took_part, restored.paid, restored.received = took_part, paid, received
        return restored


class _Booked(NamedTuple):
    """What was received, in units, or with a minus paid; `capitalised` is the part that went into the entry value."""

    amount: int
    capitalised: int


def begin_round(state: ShardState, market: Market, rate: int) -> None:
    """Have everything that is open now owe funding at the current mark, and pay what the command's cap allows."""
    stakes: list[Position | Residual] = []
    if rate:
        stakes.extend(position for position in market.positions.values() if position.sign)
        stakes.extend(residual for residual in market.residuals.values() if residual.parcel.lots)
    for stake in stakes:
        stake.owes_funding = True
    market.fundings += 1
    market.funding = FundingRound(market.fundings, rate, market.mark, stakes)
    state.funding.append(market)
    if not stakes:
        _end(state, market, market.funding)
    continue_rounds(state)


def continue_rounds(state: ShardState) -> None:
    """Have those pay who come next, while the command's cap lasts; the round that began first goes first."""
    while state.funding and state.funding_left:
        market = state.funding[0]
        funding = market.funding
        assert funding is not None, "a market that is listed has a round"
        stake = funding.stakes[funding.next]
        funding.next += 1
        if stake.owes_funding:
            state.funding_left -= 1
            _settle(state, market, stake)


def pay_account(state: ShardState, name: str) -> bool:
    """An account that is about to act, to be filled or to be judged pays what it owes in the shard; whether it owed."""
    owed = False
    for market in state.funding.copy():
        position = market.positions.get(name)
        if position is not None and position.owes_funding:
            _settle(state, market, position)
            owed = True
    return owed


def pay_residual(state: ShardState, market: Market, residual: Residual) -> None:
    """A residual that is about to be closed, or asked about, pays what it owes before."""
    if residual.owes_funding:
        _settle(state, market, residual)


def pay_residuals(state: ShardState, market: Market) -> None:
    """As `pay_residual`, all residuals of a market."""
    for residual in market.residuals.values():
        pay_residual(state, market, residual)


def pay_side(state: ShardState, market: Market, side: int) -> None:
    """All of one side of a market that is about to be closed pro rata pays before."""
    for position in market.positions.values():
        if position.sign == side:
            pay_account(state, position.account.name)
    for residual in market.residuals.values():
        if residual.side == side:
            pay_residual(state, market, residual)


def _settle(state: ShardState, market: Market, stake: Position | Residual) -> None:
    """Pay or receive what one position or residual owes of the running round, and end that with the last one."""
    funding = market.funding
    assert funding is not None, "who owes funding owes it to a running round"
    stake.owes_funding = False
    side = stake.sign if isinstance(stake, Position) else stake.side
    lots = stake.parcel.lots
    due = _due(market.spec, funding, side, lots)
    if isinstance(stake, Position):
        booked = _pay(state, stake, due)
        if booked.amount:
            state.make_stale(stake)
            state.touch(stake)
        if due < 0:
            state.payers.append(stake)
    else:
        booked = _capitalise(state, market, stake.exposure, stake.parcel, due)
    if due < 0:
        funding.paid -= booked.amount
    else:
        funding.received += booked.amount
    amount = market.spec.asset.text
    event = FundingPaid(
        market=market.spec.name,
        round=funding.number,
        side=POSITION_SIDES[side],
        qty=market.spec.lots.text(lots),
        mark_price=market.spec.ticks.text(funding.mark),
        rate=trimmed_text(funding.rate, RATE_PLACES),
        amount=amount(booked.amount),
        capitalised=amount(booked.capitalised),
    )
    if isinstance(stake, Position):
        event.account = stake.account.name
    else:
        event.liquidation_id = stake.liquidation_id
    state.emit(event)
    funding.owing -= 1
    if not funding.owing:
        _end(state, market, funding)


def _due(spec: MarketSpec, funding: FundingRound, side: int, lots: int) -> int:
    """What is to be received, in units, or with a minus paid: rounded once, against whom it is about."""
    # Exact, as values that are rounded would not sum to the same on both sides.
    worth, parts = spec.contract.worth(funding.mark, lots)
    if funding.rate * side > 0:
        return -divide_up(abs(funding.rate) * worth, RATE * parts)
    return divide_down(abs(funding.rate) * worth, RATE * parts)


def _pay(state: ShardState, position: Position, due: int) -> _Booked:
    """Book the funding of a position: the only place that knows from which pool it is paid and into which it goes."""
    market, margin = position.market, position.margin
    if position.is_cross:
        state.ledger.move(market.funding_purse, position.wallet, due, "funding")
        return _Booked(due, 0)
    from_margin = max(due, -margin.balance)
    state.ledger.move(market.funding_purse, margin, from_margin, "funding")
    rest = _capitalise(state, market, position.exposure, position.parcel, due - from_margin)
    return _Booked(from_margin + rest.amount, rest.capitalised)


def _capitalise(state: ShardState, market: Market, exposure: int, parcel: Parcel, due: int) -> _Booked:
    """Book funding into an entry value, EV −= e × due, as far as the bounds of entry values allow.

    The clearing purse holds minus the signed entry values, so it pays or receives the same.
    """
    least = market.spec.value(1, parcel.lots) if market.spec.direction > 0 else 1
    most = AMOUNT_LIMIT - 1
    before = parcel.value
    # What lies beyond a bound already (a bankruptcy value may be less than a tick) is not moved further.
    after = max(min(least, before), min(max(most, before), before - exposure * due))
    amount = exposure * (before - after)
    if amount:
        state.ledger.move(market.funding_purse, market.clearing, amount, "funding")
        parcel.grow(0, after - before)
    return _Booked(amount, amount)


def _end(state: ShardState, market: Market, funding: FundingRound) -> None:
    """Give the dust to the fees held, and say what the round came to."""
    spec = market.spec
    amount = spec.asset.text
    dust = market.funding_purse.balance
    assert dust == funding.paid - funding.received, "the purse holds what was paid and not received"
    state.ledger.move(market.funding_purse, state.fees, dust, "funding")
    market.funding = None
    state.funding.remove(market)
    state.emit(
        FundingSettled(
            market=spec.name,
            round=funding.number,
            rate=trimmed_text(funding.rate, RATE_PLACES),
            mark_price=spec.ticks.text(funding.mark),
            paid=amount(funding.paid),
            received=amount(funding.received),
            dust=amount(dust),
            positions=funding.took_part,
        )
    )


def _row(stake: Position | Residual) -> Row:
    if isinstance(stake, Position):
        return _POSITION_OWES, stake.account.name
    return _RESIDUAL_OWES, stake.liquidation_id
