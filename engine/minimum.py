"""The minimum of a fund: who fills it up when its balance falls below.

    needed = minimum − balance + deficits of its markets, which a credit repays first
    excess of a sister fund = withdrawable: available − minimum − deficits of its markets

Sister funds are those of the asset that say `rebalance`, as the fund itself must. They give in the order of the
config, each as far as its excess goes; what is still needed then comes from the fund's treasury, if it names one. A
fund that is still below is filled up further by later inputs, as soon as somebody has an excess.
"""

from engine.fixed import AMOUNT_LIMIT
from engine.fund import Fund
from engine.funds import Funds
from schemas.events import FundBelowMinimum


def check_minimums(funds: Funds) -> None:
    """Say of each fund, once per crossing, that it is below its minimum, and fill it up."""
    for fund in funds.by_name.values():
        if fund.purse.balance < fund.minimum:
            if not fund.is_below_minimum:
                _tell(funds, fund)
            if fund.spec.rebalance:
                _take_from_sisters(funds, fund)
            if fund.spec.treasury is not None:
                _inject(funds, fund, fund.spec.treasury)
        fund.is_below_minimum = fund.purse.balance < fund.minimum


def _tell(funds: Funds, fund: Fund) -> None:
    funds.outbox.emit(
        FundBelowMinimum(
            fund=fund.spec.name,
            balance=funds.asset.text(fund.purse.balance),
            minimum=funds.asset.text(fund.minimum),
        )
    )


def _take_from_sisters(funds: Funds, fund: Fund) -> None:
    for sister in funds.by_name.values():
        if sister is not fund and sister.spec.rebalance:
            amount = min(fund.needed, sister.withdrawable)
            if amount:
                funds.move(sister, fund, amount, "rebalance")


def _inject(funds: Funds, fund: Fund, treasury: str) -> None:
    """All that came from outside stays below 2^63 units, as with deposits."""
    amount = min(fund.needed, AMOUNT_LIMIT - 1 - funds.from_outside)
    funds.credit(fund, funds.treasuries[treasury], max(0, amount), "injection")
