"""Who paid in the end: what a liquidation moved, party by party, from sources that know nothing of each other.

    trader        what it realised for the account, less fee and surplus given away          ledger of the engine
    fund          credits less debits that name the liquidation                             events of settlement
    winners       − what was socialised;   deficit  − what nobody could pay                 events of the engine
    other side    − what the trader, the fund's inventory and the residual realised         claims of the engine

Whoever is on the other side of the market (makers, ADL counterparties, a takeover it was netted with, all who hold the
opposite position) has what these have lost, so the five sum to zero when the liquidation is over. What ADL
counterparties gave up, against closing at the mark, is told beside: open profit never was anybody's money.
"""

from decimal import Decimal

from msgspec import Struct

from consumers.exact import ZERO, minus, plus, text
from schemas import claims
from schemas import events as wire
from schemas.envelope import Event


class Counterparties(Struct, frozen=True):
    """ADL: how many were closed, what they realised by it, what open profit was taken, and what of it was given up."""

    count: int
    qty: str
    realised: str
    taken: str
    gave_up: str


class Bill(Struct, frozen=True):
    """The sum of a liquidation. Amounts with a minus were lost. `total` is zero when it is over."""

    asset: str | None
    trader: str
    trader_realised: str
    liquidation_fee: str
    surplus_to_fund: str
    surplus_to_account: str
    fund: str
    winners: str
    deficit: str
    other_side: str
    total: str
    counterparties: Counterparties


class WhoPaid:
    """Adds up one liquidation. Feed it every event of it."""

    def __init__(self, places: int) -> None:
        zero = self._zero = ZERO.scaleb(-places)
        self.asset: str | None = None
        self.realised = self._fee = self._surplus = self._returned = zero
        self._fund = self._winners = self._deficit = zero
        self._inventory = self._residual = zero
        self._needed = self._taken = self._adl_realised = zero
        self._adl_qty = ZERO
        self._closings = 0
        self.socialised: dict[str, Decimal] = {}

    def hear(self, event: Event) -> None:
        """The next event of the liquidation."""
        match event:
            case claims.LiquidationSettled():
                self._fee = plus(self._fee, Decimal(event.fee))
                if event.to == "fund":
                    self._surplus = plus(self._surplus, Decimal(event.surplus))
                else:
                    self._returned = plus(self._returned, Decimal(event.surplus))
            case wire.FundCredited() if event.cause_kind != "deficit":
                self._fund = plus(self._fund, Decimal(event.amount))
            case wire.FundDebited() if event.cause_kind != "deficit":
                self._fund = minus(self._fund, Decimal(event.amount))
            case claims.TakeoverFilled():
                self._inventory = plus(self._inventory, Decimal(event.pnl))
            case claims.LiquidationClosed() | claims.LiquidationPartlyClosed():
                self._residual = plus(self._residual, Decimal(event.surplus))
            case claims.LiquidationUncovered():
                self._residual = minus(self._residual, Decimal(event.loss))
            case wire.LossSocialised():
                self._winners = minus(self._winners, Decimal(event.amount))
                before = self.socialised.get(event.account, self._zero)
                self.socialised[event.account] = plus(before, Decimal(event.amount))
            case wire.LossDeficit():
                self._deficit = minus(self._deficit, Decimal(event.amount))
            case wire.AdlExecuted():
                self._closings += 1
                self._adl_qty = plus(self._adl_qty, Decimal(event.qty))
                self._adl_realised = plus(self._adl_realised, Decimal(event.realised_pnl))
            case wire.AdlCompleted():
                self._needed = plus(self._needed, Decimal(event.needed))
                self._taken = plus(self._taken, Decimal(event.taken))
            case _:
                pass

    def bill(self) -> Bill:
        """The sum as it stands."""
        trader = minus(minus(self.realised, self._fee), self._surplus)
        other = minus(self._zero, plus(plus(self.realised, self._inventory), self._residual))
        total = plus(plus(plus(plus(trader, self._fund), self._winners), self._deficit), other)
        return Bill(
            asset=self.asset,
            trader=_amount(trader),
            trader_realised=_amount(self.realised),
            liquidation_fee=_amount(self._fee),
            surplus_to_fund=_amount(self._surplus),
            surplus_to_account=_amount(self._returned),
            fund=_amount(self._fund),
            winners=_amount(self._winners),
            deficit=_amount(self._deficit),
            other_side=_amount(other),
            total=_amount(total),
            counterparties=Counterparties(
                count=self._closings,
                qty=text(self._adl_qty),
                realised=_amount(self._adl_realised),
                taken=_amount(self._taken),
                gave_up=_amount(self._needed),
            ),
        )


def _amount(value: Decimal) -> str:
    """As the wire writes it; a zero has no sign."""
    return text(abs(value)) if not value else text(value)
