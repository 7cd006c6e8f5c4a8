"""What `report.json` says of funds beyond their flows: totals per asset, donations, past reconciliation periods."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

PERIODS_MAX: Final = 50
"""How many reconciliation periods the page shows, of all funds together; report.json has more."""


class DonationRow(Struct, frozen=True):
    """What one fund, or all of an asset together, were given."""

    name: str
    asset: str
    count: int
    amount: str
    usd_value: str
    unpriced: str


class PeriodRow(Struct, frozen=True):
    """A reconciliation period of a fund, with the fields of `fund.reconciled`."""

    fund: str
    asset: str
    period: Mapping[str, Any]


class Periods(Struct, frozen=True):
    """The latest periods, the latest first, and how many older ones there are."""

    rows: list[PeriodRow]
    cut: int


def totals(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Totals of the assets with more than one fund, by name: of the others they are the fund."""
    return {name: total for name, total in sorted(report.get("totals", {}).items()) if total["funds"] > 1}


def donations(report: Mapping[str, Any]) -> list[DonationRow]:
    """Funds that were given something, and the sums over the assets where several were."""
    funds = {name: fund for name, fund in sorted(report.get("funds", {}).items()) if fund["donations"]["count"]}
    rows = [DonationRow(name, fund["asset"], **fund["donations"]) for name, fund in funds.items()]
    for asset, total in totals(report).items():
        if sum(fund["asset"] == asset for fund in funds.values()) > 1:
            rows.append(DonationRow("all", asset, **total["donations"]))
    return rows


def periods(report: Mapping[str, Any]) -> Periods:
    """The latest reconciliation periods, of one moment by fund."""
    rows = [
        PeriodRow(name, fund["asset"], period)
        for name, fund in sorted(report.get("funds", {}).items())
        for period in fund["history"]
    ]
    rows.sort(key=lambda row: -row.period["period_end"])
    return Periods(rows[:PERIODS_MAX], len(rows[PERIODS_MAX:]))
