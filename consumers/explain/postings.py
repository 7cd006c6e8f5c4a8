"""The ledger lines behind a story: every amount that an event names is looked for in the postings of its command.

A line does not say which liquidation it is about, but the events do: each implies the lines that its command must have
posted. What a liquidation realised for its trader is named by no event; that is read from the ledger.
"""

from decimal import Decimal
from typing import NamedTuple

from msgspec import Struct

from schemas import claims
from schemas import events as wire
from schemas.envelope import Event


class Booked(Struct):
    """One ledger line with its idempotent id."""

    id: str
    debit: str
    credit: str
    amount: str
    cause_kind: str


class Expected(NamedTuple):
    """A line that must be there. Of several debits or credits, one: which pool a position has is not always said."""

    debits: tuple[str, ...]
    credits: tuple[str, ...]
    amount: Decimal
    cause_kind: str

    def is_met_by(self, line: wire.LedgerLine) -> bool:
        """Whether a line moves just this."""
        return (
            line.cause_kind == self.cause_kind
            and line.debit in self.debits
            and line.credit in self.credits
            and Decimal(line.amount) == self.amount
        )


class Trader(NamedTuple):
    """Whose position a liquidation closed, and in which command of which shard."""

    shard: str
    market: str
    account: str
    is_cross: bool
    cause: int

    @property
    def collateral(self) -> str:
        """The purse that carried the position."""
        return self.wallet if self.is_cross else f"{self.shard}/margin/{self.market}/{self.account}"

    @property
    def wallet(self) -> str:
        return f"{self.shard}/wallet/{self.account}"

    @property
    def clearing(self) -> str:
        return f"{self.shard}/clearing/{self.market}"


class Postings:
    """Collects the lines of one liquidation. `missing` counts amounts that no line has: the log is not whole then."""

    def __init__(self) -> None:
        self.lines: list[Booked] = []
        self.missing = 0
        self._open: dict[str, tuple[int, list[Expected]]] = {}
        self._covered: Decimal | None = None

    def expect(self, event: Event, trader: Trader | None) -> None:
        """Note what an event of the story says must have been posted."""
        expected = self._begin(event.stream, event.cause)

        def add(debit: str, credit: str, amount: Decimal | str, kind: str) -> None:
            units = Decimal(amount)
            if units < 0:
                debit, credit, units = credit, debit, -units
            if units:
                expected.append(Expected((debit,), (credit,), units, kind))

        if self._covered is not None and event.stream.startswith("engine:"):
            # What the fund covers is booked by the engine when it hears of it, which is the command of this event.
            shard, market = event.stream.partition(":")[2], getattr(event, "market", "")
            add(f"transit/{shard}", f"{shard}/suspense/{market}", self._covered, "loss")
            self._covered = None
        match event:
            case claims.LiquidationSettled() if trader is not None:
                add(trader.collateral, f"transit/{trader.shard}", event.fee, "liquidation_fee")
                if event.to == "fund":
                    add(trader.collateral, f"transit/{trader.shard}", event.surplus, "surplus")
                elif not trader.is_cross:  # that of a cross account lies in the wallet already
                    add(trader.collateral, trader.wallet, event.surplus, "surplus")
            case claims.TakeoverFilled():
                shard = event.stream.partition(":")[2]
                add(f"{shard}/clearing/{event.market}", f"transit/{shard}", event.pnl, "takeover_pnl")
            case claims.LiquidationClosed() | claims.LiquidationPartlyClosed():
                shard = event.stream.partition(":")[2]
                add(f"{shard}/suspense/{event.market}", f"transit/{shard}", event.surplus, "surplus")
            case claims.LossCovered():
                self._covered = Decimal(event.amount)
            case wire.AdlExecuted():
                shard = event.stream.partition(":")[2]
                clearing = (f"{shard}/clearing/{event.market}",)
                pool = (f"{shard}/wallet/{event.account}", f"{shard}/margin/{event.market}/{event.account}")
                realised = Decimal(event.realised_pnl)
                sides = (clearing, pool) if realised > 0 else (pool, clearing)
                if realised:
                    expected.append(Expected(sides[0], sides[1], abs(realised), "realised_pnl"))
            case wire.LossSocialised():
                shard = event.stream.partition(":")[2]
                add(
                    f"{shard}/wallet/{event.account}",
                    f"{shard}/suspense/{event.market}",
                    event.amount,
                    "socialised_loss",
                )
            case wire.LossDeficit():
                shard = event.stream.partition(":")[2]
                add(f"{shard}/deficit/{event.market}", f"{shard}/suspense/{event.market}", event.amount, "deficit")
            case wire.FundCredited() | wire.FundDebited() if trader is not None:
                purses = (f"transit/{trader.shard}", f"fund/{event.fund}")
                debit, credit = purses if isinstance(event, wire.FundCredited) else purses[::-1]
                add(debit, credit, event.amount, event.cause_kind)
            case _:
                pass

    def may_concern(self, raw: bytes) -> bool:
        """Whether an event may be of a command that had events of the story, judged by its bytes."""
        return any(b'"cause":%d,' % cause in raw for cause, _ in self._open.values())

    def post(self, event: wire.LedgerPosted) -> None:
        """Take what is expected from a posting."""
        cause, expected = self._open.get(event.stream, (0, []))
        if cause != event.cause:
            return
        for number, line in enumerate(event.lines, 1):
            for i, each in enumerate(expected):
                if each.is_met_by(line):
                    del expected[i]
                    self.lines.append(booked(event, number, line))
                    break

    def finish(self) -> None:
        """No more events: what is still expected is missing."""
        self.missing += sum(len(expected) for _, expected in self._open.values()) + bool(self._covered)
        self._open.clear()

    def _begin(self, stream: str, cause: int) -> list[Expected]:
        """What is expected of a command; its postings come before the next command of its stream."""
        before, expected = self._open.get(stream, (cause, []))
        if before != cause:
            self.missing += len(expected)
            expected = []
        self._open[stream] = (cause, expected)
        return expected


def booked(event: wire.LedgerPosted, number: int, line: wire.LedgerLine) -> Booked:
    """A line with its id; lines are counted from 1."""
    return Booked(f"{event.posting_id}/{number}", line.debit, line.credit, line.amount, line.cause_kind)


class Realised:
    """What one liquidation realised for its trader: the line between the market's clearing and what carried it.

    A command may close a position in two steps, and an order of a cross account may be filled in the same command:
    then there are several such lines. Liquidations come last, so they are paired with the lines from the end.
    """

    def __init__(self, trader: Trader, liquidation_id: str) -> None:
        self._trader = trader
        self._id = liquidation_id
        self._liquidations: list[str] = []
        self._deleveraged: list[Decimal] = []
        self._candidates: list[tuple[Decimal, Booked]] = []

    def hear(self, event: Event) -> None:
        """An event of the same command."""
        trader = self._trader
        match event:
            case wire.LiquidationStarted() if (event.account, event.market) == (trader.account, trader.market):
                self._liquidations.append(event.liquidation_id)
            case wire.AdlExecuted() if (event.account, event.market) == (trader.account, trader.market):
                self._deleveraged.append(Decimal(event.realised_pnl))
            case wire.LedgerPosted():
                for number, line in enumerate(event.lines, 1):
                    if line.cause_kind != "realised_pnl":
                        continue
                    if (line.debit, line.credit) == (trader.clearing, trader.collateral):
                        self._candidates.append((Decimal(line.amount), booked(event, number, line)))
                    elif (line.debit, line.credit) == (trader.collateral, trader.clearing):
                        self._candidates.append((-Decimal(line.amount), booked(event, number, line)))
            case _:
                pass

    def line(self) -> tuple[Decimal, Booked] | None:
        """The line, with the amount as the trader sees it; None where nothing was gained or lost."""
        lines = list(self._candidates)
        for amount in self._deleveraged:  # ADL of the same position, which its event names
            for i in range(len(lines) - 1, -1, -1):
                if lines[i][0] == amount:
                    del lines[i]
                    break
        place = len(self._liquidations) - self._liquidations.index(self._id)
        return lines[-place] if place <= len(lines) else None
