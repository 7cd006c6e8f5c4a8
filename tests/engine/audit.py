"""Follows every lot and every unit of a loss through what machines publish, knowing nothing of how they decide.

Of each residual, from the events and the ledger alone:

    lots that were asked about = lots a fund closed + lots ADL and last resort closed + lots that are left
    loss that was asked about = what the fund covers + what winners pay + what stands as a deficit
    loss of each approved budget, as it goes down and up again ≤ the budget

and of accounts: no winner pays more of losses than the profit that it realised in the market and what it has free; who
is liquidated or deleveraged with isolated margin pays nothing from the wallet.
"""

from collections import Counter, defaultdict
from decimal import Decimal

from engine.shard import Shard
from schemas.claims import (
    AdlTriggered,
    DecisionRejected,
    LiquidationPartlyClosed,
    LiquidationResidual,
    LiquidationUncovered,
    LossCovered,
    Outcome,
    TakeoverApproved,
    TakeoverExhausted,
    TakeoverFilled,
)
from schemas.envelope import Event
from schemas.events import (
    AdlExecuted,
    FundingPaid,
    LedgerPosted,
    LiquidationStarted,
    LossDeficit,
    LossSocialised,
    TradeExecuted,
)

ZERO = Decimal(0)
Wallets = dict[str, int]


class Audit:
    """Hears the events of all machines, each machine's in order."""

    def __init__(self) -> None:
        self.asked: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.taken_over: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.deleveraged: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.reached: Counter[str] = Counter()
        self._questions: Counter[tuple[str, int]] = Counter()
        self._answers: Counter[tuple[str, int]] = Counter()
        self._executed: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._budgets: dict[str, tuple[Decimal, Decimal]] = {}
        self._losses: dict[str, Decimal] = {}
        self._covered: dict[str, Decimal] = {}
        self._socialised: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._missing: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._profits: defaultdict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
        self._periods: dict[tuple[str, str], int] = {}

    # --- one input of one machine -------------------------------------------------------------------------------

    def hear(self, events: list[Event]) -> None:
        """What one input of a machine led to."""
        for event in events:
            self._hear(event)

    def _hear(self, event: Event) -> None:
        match event:
            case LiquidationResidual():
                self._ask(event.liquidation_id, event.round)
                if event.round == 1:
                    self.asked[event.liquidation_id] += Decimal(event.qty)
                    if event.part_of:
                        self.asked[event.part_of] -= Decimal(event.qty)
                        self.reached["split"] += 1
            case TakeoverExhausted():
                self._ask(event.liquidation_id, event.round)
                left = self._left(event.liquidation_id)
                assert Decimal(event.qty) == left, f"{event.liquidation_id} is asked about with {event.qty} of {left}"
            case TakeoverApproved():
                self._answer(event.liquidation_id, event.round)
                self._budgets[event.liquidation_id] = (Decimal(event.loss_budget), ZERO)
                self.reached["takeover"] += 1
            case AdlTriggered() | LossCovered():
                self._answer(event.liquidation_id, event.round)
                if isinstance(event, LossCovered):
                    assert ZERO <= Decimal(event.amount) <= self._losses[event.liquidation_id]
                    self._covered[event.liquidation_id] = Decimal(event.amount)
            case TakeoverFilled():
                self._fill(event)
            case AdlExecuted():
                self._executed[event.liquidation_id] += Decimal(event.qty)
                self.reached["adl" if event.rank else "last resort"] += 1
            case LiquidationUncovered():
                self._ask(event.liquidation_id, event.round)
                assert Decimal(event.loss) > 0
                assert event.liquidation_id not in self._losses, "a loss is asked about once"
                self._losses[event.liquidation_id] = Decimal(event.loss)
            case LossSocialised():
                self._socialised[event.liquidation_id] += Decimal(event.amount)
                self.reached["socialised"] += 1
            case LossDeficit():
                self._missing[event.liquidation_id] += Decimal(event.amount)
                self.reached["deficit"] += 1
            case Outcome():
                self._end(event)
            case DecisionRejected():
                raise AssertionError(f"{event.liquidation_id}: a decision answered no question")
            case _:
                pass

    def _ask(self, liquidation_id: str, round_: int) -> None:
        self._questions[liquidation_id, round_] += 1
        assert self._questions[liquidation_id, round_] == 1, "each round is one question"

    def _answer(self, liquidation_id: str, round_: int) -> None:
        self._answers[liquidation_id, round_] += 1
        assert self._answers[liquidation_id, round_] == 1, "each question has one answer"

    def _left(self, liquidation_id: str) -> Decimal:
        closed = self.taken_over[liquidation_id] + self.deleveraged[liquidation_id]
        return self.asked[liquidation_id] - closed

    def _fill(self, event: TakeoverFilled) -> None:
        self.taken_over[event.liquidation_id] += Decimal(event.qty)
        assert self._left(event.liquidation_id) >= 0, f"more of {event.liquidation_id} was closed than there was"
        budget, lost = self._budgets[event.liquidation_id]
        lost = max(ZERO, lost - Decimal(event.pnl))
        assert lost <= budget, f"{event.liquidation_id} lost {lost} of a budget of {budget}"
        self._budgets[event.liquidation_id] = (budget, lost)
        if event.against:
            self.reached["netted"] += 1

    def _end(self, event: Outcome) -> None:
        """A residual, or a part of it, is over: whatever it lost has been paid by somebody or is missing."""
        name = event.liquidation_id
        self.deleveraged[name] += Decimal(event.adl_qty)
        assert self._executed.pop(name, ZERO) <= Decimal(event.adl_qty), "of it, the rest against other residuals"
        left = self._left(name)
        assert left > 0 if isinstance(event, LiquidationPartlyClosed) else left == 0
        socialised, missing = self._socialised.pop(name, ZERO), self._missing.pop(name, ZERO)
        assert (socialised, missing) == (Decimal(event.socialised), Decimal(event.deficit))
        loss, covered = self._losses.pop(name, ZERO), self._covered.pop(name, ZERO)
        assert loss == covered + socialised + missing, f"{name} lost {loss}, of which {covered} were covered"
        assert not loss or not Decimal(event.surplus)

    # --- accounts -----------------------------------------------------------------------------------------------

    def hear_money(self, shard: Shard, before: Wallets, events: list[Event]) -> None:
        """What one input moved for the accounts of a shard, whose wallets stood so before."""
        name = shard.state.spec.name
        for market in shard.state.markets.values():
            place = (name, market.spec.name)
            if self._periods.setdefault(place, market.period_end) != market.period_end:
                self._periods[place] = market.period_end
                for key in [key for key in self._profits if key[:2] == place]:
                    del self._profits[key]
        for event in events:
            if isinstance(event, LedgerPosted):
                for line in event.lines:
                    self._follow_profit(line.debit, line.credit, Decimal(line.amount), line.cause_kind)
        self._check_wallets(shard, before, events)

    def _follow_profit(self, debit: str, credit: str, amount: Decimal, cause: str) -> None:
        """Realised PnL moves between a market's clearing and a wallet or margin; socialised losses use profit up."""
        for clearing, purse, sign in ((debit, credit, 1), (credit, debit, -1)):
            shard, _, rest = clearing.partition("/")
            kind, _, market = rest.partition("/")
            if cause == "realised_pnl" and kind == "clearing":
                self._profits[shard, market, purse.rpartition("/")[2]] += sign * amount
        if cause == "socialised_loss":
            shard, _, rest = credit.partition("/")
            key = (shard, rest.partition("/")[2], debit.rpartition("/")[2])
            assert amount <= self._profits[key], f"{key} pays {amount} of a profit of {self._profits[key]}"
            self._profits[key] -= amount

    def _check_wallets(self, shard: Shard, before: Wallets, events: list[Event]) -> None:
        """Closing an isolated position by force takes nothing from the wallet, and others' losses overdraw none."""
        forced: set[str] = set()
        excused: set[str] = set()
        for event in events:
            match event:
                case LiquidationStarted() | AdlExecuted():
                    forced.add(event.account)
                case TradeExecuted():
                    excused |= {event.maker.account, event.taker.account} - (
                        {event.taker.account} if event.liquidation_id else set()
                    )
                case FundingPaid() if event.account:
                    excused.add(event.account)
                case LossSocialised():
                    account = shard.state.accounts[event.account]
                    assert account.wallet.balance >= 0 or account.pool.positions
                    excused.add(event.account)
                case LedgerPosted():  # of the command itself, before which those who waited were liquidated
                    own = [line.debit for line in event.lines if line.cause_kind in ("withdrawal", "margin")]
                    excused |= {debit.rpartition("/")[2] for debit in own if "/wallet/" in debit}
                case _:
                    pass
        for name in forced - excused:
            account = shard.state.accounts[name]
            if not any(position.is_cross for position in account.positions.values()):
                assert account.wallet.balance >= before.get(name, 0), f"{name} paid from the wallet"
                self.reached["closed from margin alone"] += 1

    # --- at rest ------------------------------------------------------------------------------------------------

    def check_at_rest(self, shards: list[Shard]) -> None:
        """Nothing is under way: every question is answered, and every lot is closed in one way or still there."""
        assert self._questions == self._answers
        assert not self._losses
        assert not self._covered
        assert not self._socialised
        assert not self._missing
        held = {
            name: residual
            for shard in shards
            for market in shard.state.markets.values()
            for name, residual in market.residuals.items()
        }
        lots = {
            name: market.spec.lots
            for shard in shards
            for market in shard.state.markets.values()
            for name in market.residuals
        }
        assert held.keys() <= self.asked.keys()
        for name in self.asked:
            left = Decimal(lots[name].text(held[name].parcel.lots)) if name in held else ZERO
            assert self._left(name) == left, f"{name}: {self._left(name)} of it went nowhere, {left} is there"
