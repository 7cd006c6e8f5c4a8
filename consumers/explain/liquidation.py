"""The story of one liquidation: the events that are its own, and what its commands did to its account before."""

from decimal import Decimal
from typing import Any, Final

import msgspec

from consumers.errors import UsageFailure
from consumers.explain.postings import Booked, Postings, Realised, Trader
from consumers.explain.step import Step
from consumers.explain.steps import Teller
from consumers.explain.terms import Terms
from consumers.explain.who_paid import Bill, WhoPaid
from schemas import claims
from schemas import events as wire
from schemas.envelope import Event

_OF_THE_SAME_COMMAND: Final = frozenset(
    (b"ledger.posted", b"adl.executed", b"fund.debited", b"deficit.repaid", b"fund.below_minimum")
)
"""What does not name the liquidation, and may follow from it, or tell what else its command did to the account."""

ENDINGS: Final = {
    "book": "the book took all of it",
    "partial": "reduced to a lower risk tier",
    "takeover": "a fund took over what the book did not",
    "adl": "counterparties were deleveraged for what the book did not take",
    "last_resort": "the last resort: what ADL could not place was closed at the mark",
    "open": "not over when the log ends",
}


class LiquidationStory:
    """Follows one liquidation through the events of a run."""

    def __init__(self, liquidation_id: str, terms: Terms) -> None:
        self.liquidation_id = liquidation_id
        self.started: wire.LiquidationStarted | None = None
        self.steps: list[Step] = []
        self.postings = Postings()
        self.trader: Trader | None = None
        self._needle = f'"{liquidation_id}"'.encode()
        self._teller = Teller(terms)
        self._paid: WhoPaid | None = None
        self._realised: Realised | None = None
        self._closing = ("", 0)
        self._cancelled: list[wire.OrderCancelled] = []
        self._reached: set[str] = set()
        self._has_budget = False
        self._is_settled = False
        self._left = Decimal(0)
        self._known: dict[str, tuple[str, str, int]] = {}

    # --- which events -------------------------------------------------------------------------------------------

    def wants(self, tag: bytes, raw: bytes) -> bool:
        """See `Listener`."""
        if self._needle in raw:
            return True
        if tag in _OF_THE_SAME_COMMAND:
            return self.postings.may_concern(raw)
        if tag == b"order.cancelled":
            return self.started is None and b'"reason":"liquidation"' in raw
        # Looked at whoever they are about: they are few, and an unknown id is answered by what there is.
        return tag == b"liquidation.started"

    def hear(self, event: Event) -> None:
        """See `Listener`."""
        if getattr(event, "liquidation_id", None) == self.liquidation_id:
            self._own(event)
            return
        match event:
            case wire.OrderCancelled():
                if self._cancelled and (event.stream, event.cause) != _command(self._cancelled[0]):
                    self._cancelled.clear()
                self._cancelled.append(event)
            case wire.LiquidationStarted():
                _, first, count = self._known.get(event.stream, ("", event.liquidation_id, 0))
                self._known[event.stream] = (event.liquidation_id, first, count + 1)
                # What it cancelled is its own, not that of a later one of the same command.
                self._cancelled = [order for order in self._cancelled if order.account != event.account]
                self._beside(event)
            case wire.LedgerPosted():
                self.postings.post(event)
                self._beside(event)
            case wire.AdlExecuted():
                self._beside(event)
            case wire.FundDebited() | claims.DeficitRepaid() | wire.FundBelowMinimum():
                # Named by no liquidation: it followed from one where the same input of settlement credited the fund.
                if self.steps and (self.steps[-1].stream, self.steps[-1].cause) == _command(event):
                    self.steps.append(self._teller.tell(event))
            case _:
                pass

    def _beside(self, event: Event) -> None:
        """What else the command did that closed the position."""
        if self._realised is not None and self._paid is not None and _command(event) == self._closing:
            self._realised.hear(event)
            if isinstance(event, wire.LedgerPosted):
                self._paid.asset = event.asset

    def _own(self, event: Event) -> None:
        if isinstance(event, wire.LiquidationStarted):
            self._begin(event)
        if self._realised is not None:
            self._beside(event)
        self.steps.append(self._teller.tell(event))
        self.postings.expect(event, self.trader)
        if self._paid is not None:
            self._paid.hear(event)
        self._follow(event)

    def _begin(self, event: wire.LiquidationStarted) -> None:
        self.started = event
        shard = event.stream.partition(":")[2]
        self.trader = Trader(shard, event.market, event.account, event.mode == "cross", event.cause)
        self._realised = Realised(self.trader, self.liquidation_id)
        self._closing = _command(event)
        self._paid = WhoPaid(len(event.equity.partition(".")[2]))
        for order in self._cancelled:
            if order.account == event.account and _command(order) == _command(event):
                self.steps.append(self._teller.tell(order))
        self._cancelled.clear()

    def _follow(self, event: Event) -> None:
        """How far it has come, and how much of it is still somebody's question or inventory."""
        match event:
            case claims.LiquidationSettled():
                self._is_settled = True
                self._reached.add("book")
            case claims.LiquidationResidual() if event.round == 1:
                self._left += Decimal(event.qty)
                self._reached.add("residual")
            case claims.TakeoverApproved():
                self._reached.add("takeover")
            case claims.TakeoverFilled():
                self._left -= Decimal(event.qty)
            case wire.AdlExecuted():
                self._reached.add("adl" if event.rank else "last_resort")
            case claims.AdlTriggered():
                self._has_budget = bool(event.loss_budget)
            case wire.LossSocialised() | wire.LossDeficit():
                self._reached.add("last_resort")
            case claims.LiquidationUncovered():
                self._reached.add("asked")
                if not self._has_budget:  # else ADL at the mark may lose without a last resort
                    self._reached.add("last_resort")
            case claims.LiquidationClosed() | claims.LiquidationPartlyClosed():
                self._left -= Decimal(event.adl_qty)
                self._reached.discard("asked")
            case _:
                pass

    # --- what is told -------------------------------------------------------------------------------------------

    def finish(self, path: str) -> None:
        """The log has ended. Raises UsageFailure if it has no such liquidation."""
        self.postings.finish()
        if self.started is None or self._realised is None or self._paid is None:
            raise UsageFailure(f"{path}: no liquidation '{self.liquidation_id}'; {self._what_there_is()}")
        line = self._realised.line()
        if line is not None:
            self._paid.realised, booked = line
            self.postings.lines.insert(0, booked)

    def _what_there_is(self) -> str:
        if not self._known:
            return "nobody was liquidated in it"
        found = [f"{count} from {first} to {last}" for last, first, count in self._known.values()]
        return f"it has {', '.join(found)}"

    @property
    def outcome(self) -> str:
        """The furthest instance that it went to; `ENDINGS` says it in words."""
        if not self._is_settled or self._left or "asked" in self._reached:
            return "open"
        for instance in ("last_resort", "adl", "takeover"):
            if instance in self._reached:
                return instance
        filled = next(step.numbers["filled_qty"] for step in self.steps if step.event == "liquidation.settled")
        assert self.started is not None, "settled after it has started"
        return "book" if Decimal(filled) == Decimal(self.started.qty) else "partial"

    @property
    def bill(self) -> Bill:
        assert self._paid is not None, "finished stories have begun"
        return self._paid.bill()

    @property
    def socialised(self) -> dict[str, str]:
        """Who paid a share of the loss, and how much in all."""
        assert self._paid is not None, "finished stories have begun"
        return {account: str(paid) for account, paid in self._paid.socialised.items()}

    def document(self) -> dict[str, Any]:
        """The story as one JSON object, documented in docs/explain.md."""
        assert self.started is not None, "finished stories have begun"
        lines: list[Booked] = self.postings.lines
        return {
            "explains": "liquidation",
            "liquidation_id": self.liquidation_id,
            "market": self.started.market,
            "account": self.started.account,
            "side": self.started.side,
            "qty": self.started.qty,
            "mode": self.started.mode,
            "ts": self.started.ts,
            "outcome": self.outcome,
            "steps": msgspec.to_builtins(self.steps),
            "who_paid": msgspec.to_builtins(self.bill),
            "socialised": self.socialised,
            "ledger": {"missing": self.postings.missing, "lines": msgspec.to_builtins(lines)},
        }


def _command(event: Event) -> tuple[str, int]:
    return event.stream, event.cause
