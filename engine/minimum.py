"""The minimum of a fund, and what happens when its balance falls below."""

from engine.fund import Fund
from engine.funds import Funds
from schemas.events import FundBelowMinimum


def check_minimum(funds: Funds, fund: Fund) -> None:
    """Say once per crossing that a fund is below its minimum."""
    below = fund.purse.balance < fund.minimum
    if below and not fund.is_below_minimum:
        funds.outbox.emit(
            FundBelowMinimum(
                fund=fund.spec.name,
                balance=funds.asset.text(fund.purse.balance),
                minimum=funds.asset.text(fund.minimum),
            )
        )
    fund.is_below_minimum = below
