"""The funds of one asset and the money that moves into, out of and between them.

Every movement is a line of the ledger and an event of the fund. A credit first repays what the fund's markets miss.
"""

from collections.abc import Iterator
from typing import TypeVar

from engine.digest import hash_rows
from engine.donations import usd_text
from engine.fund import Fund, Reservation
from engine.outbox import Outbox
from engine.purse import Ledger, Purse
from engine.remembered import Remembered
from engine.rows import Row, RowReader, check_config, reorder
from engine.sequence import BrokenStream, Incoming
from engine.spec import AssetSpec, MarketSpec, VenueSpec
from schemas.claims import Decision, DeficitRepaid
from schemas.events import AdlActivated, AdlDeactivated, FundCredited, FundDebited, FundPending
from schemas.fields import CauseKind

MovementT = TypeVar("MovementT", FundCredited, FundDebited)


class Counterpart:
    """What settlement knows of one shard: how far its claims and our decisions have come."""

    __slots__ = ("claims", "decisions", "name", "transit")

    def __init__(self, name: str) -> None:
        self.name = name
        self.claims = Incoming(f"claim of shard {name}:")
        self.decisions = 0
        self.transit = Purse(f"transit/{name}")


class Funds:
    """The state of one settlement, and what every part of it does to it: move money, publish, answer.

    `period_end` is when the next reconciliation period of a fund ends.
    """

    def __init__(self, spec: VenueSpec, asset: AssetSpec) -> None:
        self.asset = asset
        self.take_spec(spec)
        self.outbox = Outbox(f"settlement:{asset.name}")
        self.ledger = Ledger(asset)
        self.treasury = Purse(f"treasury/{asset.name}")
        self.by_name = {name: Fund(fund) for name, fund in spec.funds.items() if fund.asset.name == asset.name}
        self.treasuries = {
            fund.spec.treasury: Purse(f"treasury/{asset.name}/{fund.spec.treasury}")
            for fund in self.by_name.values()
            if fund.spec.treasury is not None
        }
        self.shards = {
            shard.name: Counterpart(shard.name) for shard in spec.shards.values() if shard.asset.name == asset.name
        }
        self.reservations: dict[str, Reservation] = {}
        self.transfers = Remembered(spec.limits.transfer_memory)
        self.period_end = 0

    def take_spec(self, spec: VenueSpec) -> None:
        """Go by these settings of the venue from now on; those of the funds are taken over one by one."""
        self.spec = spec
        self.asset = spec.assets[self.asset.name]
        self.limits = spec.limits
        self._markets: dict[str, MarketSpec] = {
            name: market
            for shard in spec.shards.values()
            if shard.asset.name == self.asset.name
            for name, market in shard.markets.items()
        }

    @property
    def now(self) -> int:
        """Event time in µs."""
        return self.outbox.event_time

    def state_hash(self) -> str:
        """SHA-256 over everything that can influence a later event."""
        return hash_rows(self.rows())

    def rows(self) -> Iterator[Row]:
        """What influences later events, as rows of plain values, each collection in the order of its use.

        `engine.restoration` reads them.
        """
        yield from self.outbox.rows()
        yield "config", self.spec.config_hash
        yield "settlement", self.treasury.balance, self.period_end
        for name, treasury in self.treasuries.items():
            yield "treasury", name, treasury.balance
        for shard in self.shards.values():
            yield "counterpart", shard.name, shard.claims.last, shard.decisions, shard.transit.balance
        for fund in self.by_name.values():
            yield from fund.rows()
        for liquidation_id, held in self.reservations.items():
            yield "reservation", liquidation_id, held.fund.spec.name, held.round, held.budget, held.loss, held.pending
        yield from self.transfers.rows("transfer")

    def report_rows(self) -> Iterator[Row]:
        """What only a report needs, as rows of plain values."""
        for fund in self.by_name.values():
            yield from fund.report_rows()

    def restore(self, rows: RowReader) -> None:
        """Be what `rows` and `report_rows`, one after the other, tell of."""
        self.outbox.restore(rows)
        check_config(self.spec.config_hash, rows)
        _, self.treasury.balance, self.period_end = rows.take("settlement")
        treasuries = {}
        for _, name, balance in rows.each("treasury"):
            # One that the config does not name any more still has what it gave.
            treasuries[name] = treasury = self.treasuries.get(name) or Purse(f"treasury/{self.asset.name}/{name}")
            treasury.balance = balance
        reorder(self.treasuries, treasuries, "treasury")
        shards = {}
        for _, name, claims, decisions, transit in rows.each("counterpart"):
            shards[name] = shard = self.shards[name]
            shard.claims.last, shard.decisions, shard.transit.balance = claims, decisions, transit
        reorder(self.shards, shards, "shard")
        funds = {}
        while rows.kind == "fund":
            row = rows.take("fund")
            fund = funds[row[1]] = self.by_name[row[1]]
            fund.restore(row, rows)
        reorder(self.by_name, funds, "fund")
        for _, liquidation_id, name, round_, budget, loss, pending in rows.each("reservation"):
            held = self.reservations[liquidation_id] = Reservation(self.by_name[name], round_, budget)
            held.loss, held.pending = loss, pending
        self.transfers.restore("transfer", rows)
        for fund in self.by_name.values():
            fund.restore_report(rows)

    @property
    def from_outside(self) -> int:
        """What ever came into the funds from outside, net, in units: opening balances, deposits, injections."""
        return -self.treasury.balance - sum(treasury.balance for treasury in self.treasuries.values())

    def market(self, name: str) -> MarketSpec:
        """The settings of a market that a claim is about. Raises BrokenStream where the config does not have it."""
        market = self._markets.get(name)
        if market is None:
            raise BrokenStream(f"a claim is about market {name}, which no config.set has brought here yet")
        return market

    def of_market(self, market: str) -> Fund:
        """The fund behind a market."""
        return self.by_name[self.market(market).fund.name]

    def units(self, text: str) -> int:
        """An amount that an engine wrote, in units."""
        amount = self.asset.parse(text)
        if amount is None:
            raise BrokenStream(f"a claim carries the amount {text}, finer than a unit of {self.asset.name}")
        return amount

    def watch(self) -> None:
        """Have the ADL triggers see what each fund is worth now, and say which of them began or ended."""
        for fund in self.by_name.values():
            trigger = fund.adl_trigger
            if trigger is not None and trigger.observe(self.now, fund.worth):
                changed = AdlActivated if trigger.is_active else AdlDeactivated
                text = self.asset.text
                self.outbox.emit(
                    changed(
                        fund=fund.spec.name,
                        kind=trigger.spec.kind,
                        worth=text(fund.worth),
                        level=text(trigger.level),
                    )
                )

    def end_trigger(self, fund: Fund) -> None:
        """Have the fund watched by no ADL trigger any more, and say so if it was active."""
        trigger, fund.adl_trigger = fund.adl_trigger, None
        if trigger is not None and trigger.is_active:
            worth, level = self.asset.text(fund.worth), self.asset.text(trigger.level)
            self.outbox.emit(AdlDeactivated(fund=fund.spec.name, kind=trigger.spec.kind, worth=worth, level=level))

    def answer(self, shard: Counterpart, decision: Decision) -> None:
        """Publish a decision under the shard's next number."""
        shard.decisions += 1
        decision.decision = shard.decisions
        self.outbox.emit(decision)

    def reserve(self, fund: Fund, liquidation_id: str, round_: int, budget: int) -> None:
        """Set aside what the answer to this round may lose, which the fund has."""
        self.reservations[liquidation_id] = Reservation(fund, round_, budget)
        fund.reserved += budget

    def release(self, liquidation_id: str) -> None:
        """End a reservation, if there is one. What it sets free repays deficits."""
        held = self.take_back(liquidation_id)
        if held is not None:
            self.repay_from_free(held.fund)

    def take_back(self, liquidation_id: str) -> Reservation | None:
        """End a reservation, if there is one, for a loss that comes before deficits."""
        held = self.reservations.pop(liquidation_id, None)
        if held is not None:
            held.fund.reserved -= held.budget - held.loss
        return held

    def repay_from_free(self, fund: Fund) -> None:
        """Repay deficits from what a reservation has set free."""
        if fund.deficits:
            self._repay_deficits(fund, fund.available)

    def credit(
        self,
        fund: Fund,
        source: Purse,
        amount: int,
        kind: CauseKind,
        market: str = "",
        liquidation_id: str = "",
    ) -> None:
        """Book money into a fund. A deficit of its markets is repaid first from it."""
        if not amount:
            return
        self.ledger.move(source, fund.purse, amount, kind)
        self._note_credit(fund, amount, kind, market, liquidation_id)

    def donate(self, fund: Fund, amount: int, cents: int | None) -> None:
        """Book a donation from outside, worth so many cents of USD; None: not known."""
        fund.donations.add(amount, cents)
        self.ledger.move(self.treasury, fund.purse, amount, "donation")
        self._note_credit(fund, amount, "donation", cents=cents)

    def _note_credit(
        self,
        fund: Fund,
        amount: int,
        kind: CauseKind,
        market: str = "",
        liquidation_id: str = "",
        cents: int | None = None,
    ) -> None:
        """Publish a credit that the ledger has booked, and repay deficits from it."""
        fund.credited[kind] = fund.credited.get(kind, 0) + amount
        event = self._movement(FundCredited, fund, amount, kind, market, liquidation_id)
        if cents is not None:
            event.usd_value = usd_text(cents)
        self.outbox.emit(event)
        if fund.deficits:
            self._repay_deficits(fund, amount)

    def debit(
        self,
        fund: Fund,
        target: Purse,
        amount: int,
        kind: CauseKind,
        market: str = "",
        liquidation_id: str = "",
    ) -> None:
        """Book money out of a fund, which has it."""
        self.ledger.move(fund.purse, target, amount, kind)
        assert fund.available >= 0 <= fund.reserved, "a fund is never below its reservations and pending losses"
        fund.debited[kind] = fund.debited.get(kind, 0) + amount
        self.outbox.emit(self._movement(FundDebited, fund, amount, kind, market, liquidation_id))

    def gain(self, fund: Fund, source: Purse, amount: int, kind: CauseKind, market: str, liquidation_id: str) -> None:
        """Book what a liquidation brings; of a `daily` fund it waits for the reconciliation."""
        if fund.spec.daily and amount:
            self.ledger.move(source, fund.gains, amount, kind)
            fund.pending_gains[kind] += amount
            self._publish_pending(fund, amount, kind, market, liquidation_id)
        else:
            self.credit(fund, source, amount, kind, market, liquidation_id)

    def lose(self, fund: Fund, target: Purse, amount: int, kind: CauseKind, market: str, liquidation_id: str) -> None:
        """Book what a liquidation costs, which the fund has; of a `daily` fund it waits for the reconciliation."""
        fund.losses.add(amount)
        if fund.spec.daily:
            self.ledger.move(fund.losses_due, target, amount, kind)
            fund.pending_losses[kind] += amount
            self._publish_pending(fund, -amount, kind, market, liquidation_id)
        else:
            self.debit(fund, target, amount, kind, market, liquidation_id)

    def unwound(self, held: Reservation, shard: Counterpart, pnl: int, market: str, liquidation_id: str) -> None:
        """Book the PnL of a takeover: a loss uses its budget up, and a gain gives back what was lost before.

        What a gain gives back is reserved again at once, so of a `daily` fund it takes back the pending loss or, if
        that has been booked, is credited; only what it brings beyond that waits.
        """
        fund = held.fund
        kind: CauseKind = "takeover_pnl"
        fund.reserved += min(pnl, held.loss)
        if pnl < 0:
            held.loss -= pnl
            if fund.spec.daily:
                held.pending -= pnl
            self.lose(fund, shard.transit, -pnl, kind, market, liquidation_id)
            return
        restored = min(pnl, held.loss)
        held.loss -= restored
        if fund.spec.daily:
            taken_back = min(restored, held.pending)
            if taken_back:
                held.pending -= taken_back
                self.ledger.move(shard.transit, fund.losses_due, taken_back, kind)
                fund.pending_losses[kind] -= taken_back
                self._publish_pending(fund, taken_back, kind, market, liquidation_id)
            self.credit(fund, shard.transit, restored - taken_back, kind, market, liquidation_id)
            pnl -= restored
        self.gain(fund, shard.transit, pnl, kind, market, liquidation_id)

    def book_pending(self, fund: Fund) -> None:
        """Move what was pending into and out of the fund: gains first, so that no deficit is repaid from lost money."""
        for kind, amount in fund.pending_gains.items():
            self.credit(fund, fund.gains, amount, kind)
            fund.pending_gains[kind] = 0
        for kind, amount in fund.pending_losses.items():
            if amount:
                self.debit(fund, fund.losses_due, amount, kind)
                fund.pending_losses[kind] = 0
        for held in self.reservations.values():
            if held.fund is fund:
                held.pending = 0

    def move(self, fund: Fund, to: Fund, amount: int, kind: CauseKind) -> None:
        """Book money from one fund into another."""
        self.debit(fund, to.purse, amount, kind)
        self._note_credit(to, amount, kind)

    def _movement(
        self,
        movement: type[MovementT],
        fund: Fund,
        amount: int,
        kind: CauseKind,
        market: str,
        liquidation_id: str,
    ) -> MovementT:
        event = movement(
            fund=fund.spec.name,
            amount=self.asset.text(amount),
            balance=self.asset.text(fund.purse.balance),
            cause_kind=kind,
        )
        if market:
            event.market = market
        if liquidation_id:
            event.liquidation_id = liquidation_id
        return event

    def _publish_pending(self, fund: Fund, amount: int, kind: CauseKind, market: str, liquidation_id: str) -> None:
        text = self.asset.text
        self.outbox.emit(
            FundPending(
                fund=fund.spec.name,
                amount=text(amount),
                pending_gains=text(fund.gains.balance),
                pending_losses=text(-fund.losses_due.balance),
                cause_kind=kind,
                market=market,
                liquidation_id=liquidation_id,
            )
        )

    def _repay_deficits(self, fund: Fund, credit: int) -> None:
        """Pay the fund's markets what they miss, the oldest deficit first, from this credit."""
        for market in list(fund.deficits):
            paid = min(fund.deficits[market], credit, fund.available)
            if paid <= 0:
                return
            credit -= paid
            fund.deficits[market] -= paid
            if not fund.deficits[market]:
                del fund.deficits[market]
            shard = self.shards[self.spec.shard_of_market[market]]
            self.debit(fund, shard.transit, paid, "deficit", market)
            self.answer(
                shard,
                DeficitRepaid(shard=shard.name, market=market, fund=fund.spec.name, amount=self.asset.text(paid)),
            )
