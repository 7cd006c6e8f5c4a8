"""The balances of the ledger against those of a replay's `report.json`, to the unit.

The report is what the state machines say they hold; the ledger has only their postings. Where the two agree, nothing
moved that was not posted, and nothing was posted that did not move.
"""

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from consumers.errors import UsageFailure
from consumers.exact import ZERO, minus
from consumers.ledger.balances import Balance
from consumers.printable import display_name, printable

CHECKED: Final = frozenset(
    {
        "wallet",
        "margin",
        "fees",
        "deficit",
        "transit",
        "fund",
        "pending_gains",
        "pending_losses",
        "treasury",
        "fund_treasury",
    }
)
"""The kinds of account that a report says the balance of. `transit` is zero whenever both sides have seen all."""


class _Position(Struct):
    margin: str


class _Account(Struct):
    wallet: str
    positions: dict[str, _Position]


class _Market(Struct):
    shard: str
    deficit: str
    fees_held_by_shard: str


class _Fund(Struct):
    balance: str
    pending_gains: str
    pending_losses: str


class _Report(Struct):
    funds: dict[str, _Fund]
    treasuries: dict[str, str]
    accounts: dict[str, dict[str, _Account]]
    markets: dict[str, _Market]


class Difference(Struct, frozen=True):
    """An account of which ledger and report do not say the same."""

    account: str
    ledger: str
    report: str


class Comparison(Struct, frozen=True):
    """How many balances were compared, and which differ."""

    compared: int
    differences: list[Difference]


def expected_balances(path: Path) -> dict[str, Decimal]:
    """What a report says, by the names of the ledger's accounts. Raises UsageFailure where it is no such report."""
    name = display_name(path)
    try:
        report = msgspec.json.decode(path.read_bytes(), type=_Report)
        return dict(_balances(report))
    except OSError as error:
        raise UsageFailure(f"{name}: cannot be read: {error.strerror}") from None
    except msgspec.ValidationError as error:
        raise UsageFailure(f"{name}: not the report of a replay that ended: {printable(str(error))}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageFailure(f"{name}: not a report, not even JSON: {printable(str(error))}") from None
    except (ArithmeticError, ValueError):
        raise UsageFailure(f"{name}: not a report: an amount is no decimal") from None


def compare(expected: dict[str, Decimal], balances: Iterable[Balance]) -> Comparison:
    """The ledger against the report. An account that one of them does not have is at zero there."""
    held = {balance.name: balance for balance in balances if balance.kind in CHECKED}
    names = sorted(expected.keys() | held.keys())
    differences = []
    for name in names:
        ledger = held[name].amount if name in held else "0"
        report = expected.get(name, ZERO)
        if Decimal(ledger) != report:
            differences.append(Difference(name, ledger, format(report, "f")))
    return Comparison(len(names), differences)


def _balances(report: _Report) -> Iterable[tuple[str, Decimal]]:
    for shard, accounts in report.accounts.items():
        for account, stated in accounts.items():
            yield f"{shard}/wallet/{account}", Decimal(stated.wallet)
            for market, position in stated.positions.items():
                yield f"{shard}/margin/{market}/{account}", Decimal(position.margin)
    for market, said in report.markets.items():
        yield f"{said.shard}/deficit/{market}", minus(ZERO, Decimal(said.deficit))
        yield f"{said.shard}/fees", Decimal(said.fees_held_by_shard)
    for name, fund in report.funds.items():
        yield f"fund/{name}", Decimal(fund.balance)
        yield f"pending_gains/{name}", Decimal(fund.pending_gains)
        yield f"pending_losses/{name}", minus(ZERO, Decimal(fund.pending_losses))
    for name, balance in report.treasuries.items():
        yield name, Decimal(balance)
