"""What of a machine's state is shown: a few integers, read at the end of a batch so that they belong together."""

from typing import NamedTuple

from engine.fund import Fund
from engine.settlement import Settlement
from engine.shard import Shard


class FundFigures(NamedTuple):
    """An insurance fund, in units of its asset."""

    name: str
    balance: int
    reserved: int
    minimum: int
    pending: int


class Figures(NamedTuple):
    """The state after one batch: `number` is that of its last input, `event_time` in µs, deficits in units by market.

    An engine has accounts, waiting liquidations, open residuals; settlement has funds and reservations. What a machine
    does not have is None or empty.
    """

    number: int
    seq: int
    event_time: int
    decimals: int
    asset: str
    accounts: int | None = None
    waiting: int | None = None
    open_residuals: int | None = None
    reservations: int | None = None
    deficits: tuple[tuple[str, int], ...] = ()
    funds: tuple[FundFigures, ...] = ()


def read_figures(machine: object) -> Figures:
    """The figures of a machine as it is now. Costs as much as there are markets and funds, not accounts."""
    if isinstance(machine, Shard):
        state = machine.state
        return Figures(
            number=state.outbox.cause,
            seq=state.outbox.seq,
            event_time=state.outbox.event_time,
            decimals=state.spec.asset.decimals,
            asset=state.spec.asset.name,
            accounts=len(state.accounts),
            waiting=len(state.waiting),
            open_residuals=state.open_residuals,
            # The purse holds what is missing, so it is below zero.
            deficits=tuple([(name, -market.deficit.balance) for name, market in state.markets.items()]),
        )
    if isinstance(machine, Settlement):
        outbox = machine.outbox
        return Figures(
            number=outbox.cause,
            seq=outbox.seq,
            event_time=outbox.event_time,
            decimals=machine.asset.decimals,
            asset=machine.asset.name,
            reservations=len(machine.reservations),
            funds=tuple([_fund(name, fund) for name, fund in machine.funds.items()]),
        )
    raise TypeError(f"{type(machine).__name__} is no machine that has figures")


def _fund(name: str, fund: Fund) -> FundFigures:
    return FundFigures(
        name,
        balance=fund.purse.balance,
        reserved=fund.reserved,
        minimum=fund.minimum,
        pending=fund.gains.balance + fund.losses_due.balance,
    )


def size(machine: object) -> int:
    """How many accounts, positions and funds adding a machine up has to look at."""
    if isinstance(machine, Shard):
        state = machine.state
        return len(state.accounts) + sum(len(market.positions) for market in state.markets.values())
    return len(machine.funds) if isinstance(machine, Settlement) else 0
