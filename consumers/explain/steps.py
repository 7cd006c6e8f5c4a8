"""The steps of a liquidation, each with its rule and the rule's formula with the numbers of the event put in.

Told in the order in which they were published; what an event leaves to be known from an earlier one of the same
liquidation (the budget, what was expected, the fills) is remembered here.
"""

from decimal import Decimal

from consumers.exact import ZERO, minus, plus
from consumers.explain.step import Step, amount, ratio, signed, step
from consumers.explain.terms import Question, Terms
from schemas import claims
from schemas import events as wire
from schemas.envelope import Event


class Teller:
    """Tells one liquidation. Use it once."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._started: wire.LiquidationStarted | None = None
        self._question: Question | None = None
        self._has_order = False
        self._fills: list[wire.TradeExecuted] = []
        self._budget = ZERO
        self._lost = ZERO
        self._uncovered = ZERO

    def tell(self, event: Event) -> Step:
        """The next step."""
        match event:
            case wire.LiquidationStarted():
                return self._tell_started(event)
            case wire.LiquidationOrdered():
                return self._ordered(event)
            case wire.TradeExecuted():
                return self._traded(event)
            case claims.LiquidationSettled():
                return self._settled(event)
            case claims.LiquidationResidual() | claims.TakeoverExhausted():
                return self._asked(event)
            case claims.TakeoverApproved():
                return self._approved(event)
            case claims.TakeoverFilled():
                return self._unwound(event)
            case claims.LiquidationUncovered() | claims.LossCovered():
                return self._covered(event)
            case wire.AdlExecuted():
                return step(event, _deleveraged(event), *_place(event))
            case wire.FundCredited() | wire.FundDebited():
                return _fund_moved(event)
            case _:
                return _plain(event)

    def _tell_started(self, event: wire.LiquidationStarted) -> Step:
        self._started = event
        self._terms.check(event)
        pool = "all cross positions of the account" if event.mode == "cross" else "the position"
        price = "none" if event.bankruptcy_price is None else amount(event.bankruptcy_price)
        return step(
            event,
            f"{event.account}'s {event.mode} {event.side} of {amount(event.qty)} {event.market} was due at the mark "
            f"{amount(event.mark_price)} (bankruptcy price: {price}).",
            f"A position is liquidated when the equity of {pool} is not above the maintenance margin.",
            f"equity {amount(event.equity)} ≤ maintenance margin {amount(event.maintenance_margin)}: due",
            self._terms.equity(event),
            self._terms.maintenance(event),
        )

    def _ordered(self, event: wire.LiquidationOrdered) -> Step:
        self._has_order = True
        is_part = self._started is not None and self._started.qty != event.qty
        part = f" of {amount(self._started.qty)}" if is_part and self._started is not None else ""
        verb, way = ("sell", "up") if event.side == "sell" else ("buy back", "down")
        return step(
            event,
            f"An order to {verb} {amount(event.qty)}{part} at {amount(event.price)} or better went into the book.",
            f"The limit is the bankruptcy price rounded {way} to a tick: no fill can cost more than the margin. What "
            "does not fill at once is cancelled (IOC), and no taker fee is charged."
            + (" Only so much goes as makes the account healthy in a lower risk tier." if part else ""),
        )

    def _traded(self, event: wire.TradeExecuted) -> Step:
        fund = event.taker.account.startswith("fund:")
        if not fund:
            self._fills.append(event)
        who = f"The fund {event.taker.account.removeprefix('fund:')}" if fund else "The liquidation order"
        verb = "bought" if event.taker_side == "buy" else "sold"
        way = "from" if event.taker_side == "buy" else "to"
        return step(
            event,
            f"{who} {verb} {amount(event.qty)} at {amount(event.price)} {way} {event.maker.account}.",
        )

    def _settled(self, event: claims.LiquidationSettled) -> Step:
        if not Decimal(event.filled_qty):
            if not self._has_order:
                return step(event, "No order was sent: no price above zero would have been good enough.")
            return step(event, "Nothing was filled: the book had no price at the limit or better.")
        whole = "" if self._started is None else f" of {amount(self._started.qty)}"
        left = None if self._started is None else self._terms.left_of_fills(self._started, event, self._fills)
        if Decimal(event.surplus):
            surplus = f"surplus {amount(event.surplus)}, to the {'insurance fund' if event.to == 'fund' else 'account'}"
        else:
            surplus = "no surplus"
        return step(
            event,
            f"{amount(event.filled_qty)}{whole} {_was(event.filled_qty)} filled at {amount(event.average_price)} on "
            f"average: liquidation fee {amount(event.fee)}, {surplus}.",
            "The fee is taken from what the fills left above bankruptcy and is never more. The rest stays in the "
            "margin or, of a cross account, in the wallet; when no position is left there, it is the surplus.",
            left,
        )

    def _asked(self, event: Question) -> Step:
        self._question = event
        loss = f"expected loss {amount(event.expected_loss)}"
        formula = self._terms.expected_loss(event) or loss
        if isinstance(event, claims.LiquidationResidual):
            again = "" if event.round == 1 else f" (asked again, round {event.round})"
            return step(
                event,
                f"{amount(event.qty)} {_was(event.qty)} not filled and left the account at bankruptcy value "
                f"{amount(event.bankruptcy_value)}{again}. The mark is {amount(event.mark_price)}.",
                "The trader is done with it, at exactly zero. Settlement decides: the fund takes it over if it can "
                "afford the expected loss, else ADL.",
                formula,
            )
        left = minus(self._budget, self._lost)
        if event.reason == "max_age":
            why, held = "is older than the fund keeps inventory", None
        else:
            why, held = "would lose more than is left of its budget", f"{loss} > {amount(left)} left of the budget"
        return step(
            event,
            f"At the mark {amount(event.mark_price)} the fund's {event.side} of {amount(event.qty)} {why}.",
            "A takeover that is out of budget, or too old, is decided anew: a new budget, or ADL.",
            formula,
            held,
        )

    def _approved(self, event: claims.TakeoverApproved) -> Step:
        self._budget, self._lost = Decimal(event.loss_budget), ZERO
        formula = slippage = None
        if self._question is not None:
            expected = Decimal(self._question.expected_loss)
            extra = minus(self._budget, expected)
            formula = f"budget {amount(event.loss_budget)} = expected loss {amount(expected)} + {amount(extra)}"
            slippage = self._terms.slippage(event, self._question)
        return step(
            event,
            f"The fund {event.fund} took {amount(event.qty)} over and may lose {amount(event.loss_budget)} on it.",
            "Expected loss ≤ what the fund has free: takeover. The budget is the expected loss and the slippage "
            "allowed, at most what is free; it is reserved.",
            formula,
            slippage,
        )

    def _unwound(self, event: claims.TakeoverFilled) -> Step:
        pnl = Decimal(event.pnl)
        lost = self._lost
        self._lost = max(ZERO, minus(self._lost, pnl))
        rule = "What the fund gains or loses is the difference to the bankruptcy value it carried this quantity at."
        how = f"unwound at {amount(event.price)} on average"
        if event.against:
            how = (
                f"closed against the opposite quantity that liquidation {event.against} left, at the mark "
                f"{amount(event.price)} and without a trade"
            )
            rule = (
                "Takeovers of opposite sides are closed against each other before either goes into the book, and so is "
                f"in the end what ADL finds nobody for; each takeover on its own budget. {rule}"
            )
        return step(
            event,
            f"{amount(event.qty)} {_was(event.qty)} {how}: {signed(pnl)} for the fund {event.fund}.",
            rule,
            f"used of the budget of {amount(self._budget)}: max(0, {amount(lost)} − ({amount(pnl)})) = "
            f"{amount(self._lost)}",
        )

    def _covered(self, event: claims.LiquidationUncovered | claims.LossCovered) -> Step:
        if isinstance(event, claims.LiquidationUncovered):
            self._uncovered = Decimal(event.loss)
            return step(
                event,
                f"What was closed at the mark left a loss of {amount(event.loss)}.",
                "The fund pays what it has free; the rest is shared by those who realised profits in the market since "
                "the last reconciliation.",
            )
        rest = minus(self._uncovered, Decimal(event.amount))
        return step(
            event,
            f"So {amount(event.amount)} of the loss are covered by the fund {event.fund}.",
            None,
            f"to be socialised: {amount(self._uncovered)} − {amount(event.amount)} = {amount(rest)}",
        )


def _deleveraged(event: wire.AdlExecuted) -> str:
    return (
        f"{event.account}'s {event.side} was closed by {amount(event.qty)} at {amount(event.price)}, which realised "
        f"{signed(event.realised_pnl)} for {event.account}."
    )


def _place(event: wire.AdlExecuted) -> tuple[str, str | None]:
    """Why this counterparty: the rule and the score, worked out."""
    if not event.rank:
        return (
            "Last resort: what ADL could not place is closed at the mark against all opposing positions that have "
            "equity, pro rata. At the mark that costs nobody anything.",
            None,
        )
    sign = "×" if Decimal(event.profit_ratio) > 0 else "÷"
    return (
        "Opposing positions are closed by rank, the highest score first: profit ratio × leverage of winners, ÷ "
        "leverage of losers. The price is the bankruptcy price or the mark, whichever is worse for them, or the mark "
        "where the fund has reserved the difference.",
        f"rank {event.rank}: score {ratio(event.score)} = profit ratio {ratio(event.profit_ratio)} {sign} leverage "
        f"{ratio(event.leverage)}",
    )


def tell_deleveraged(event: wire.AdlExecuted, trigger: claims.AdlTriggered | None) -> Step:
    """ADL as its counterparty sees it: why it was needed, and why this account."""
    why = ""
    if trigger is not None:
        why = (
            f" It was for liquidation {event.liquidation_id}: {amount(trigger.qty)} that the fund {trigger.fund} "
            f"(balance {amount(trigger.fund_balance)}) did not take over at an expected loss of "
            f"{amount(trigger.expected_loss)}."
        )
    return step(event, "Auto-deleveraged: " + _deleveraged(event) + why, *_place(event))


def tell_completed(event: wire.AdlCompleted) -> Step:
    """What one round of ADL needed and took."""
    over = minus(Decimal(event.taken), Decimal(event.needed))
    left = f"; {amount(event.remaining)} left to the last resort" if Decimal(event.remaining) else ""
    return step(
        event,
        f"ADL closed {amount(event.qty)} against {event.counterparties} "
        f"{'counterparty' if event.counterparties == 1 else 'counterparties'}{left}.",
        "Needed is the loss at the mark that was placed, which counterparties gave up or, of ADL at the mark, the fund "
        "is asked for; taken is the open profit that "
        "was closed to place it. What of it was not needed they have realised.",
        f"overshoot {amount(over)} = taken {amount(event.taken)} − needed {amount(event.needed)}"
        if over >= 0
        else f"needed {amount(event.needed)} − taken {amount(event.taken)} = {amount(-over)}, out of their own money",
    )


def tell_socialised(event: wire.LossSocialised) -> Step:
    """One winner's share of a loss."""
    return step(
        event,
        f"{event.account} paid {amount(event.amount)} of the loss.",
        "Each pays min(profit × rate, free balance), of the profit realised in the market since the last "
        "reconciliation; rate = min(1, loss ÷ Σ profits).",
        f"rate {ratio(event.rate)}",
    )


def _fund_moved(event: wire.FundCredited | wire.FundDebited) -> Step:
    is_credit = isinstance(event, wire.FundCredited)
    moved, after = Decimal(event.amount), Decimal(event.balance)
    before = minus(after, moved) if is_credit else plus(after, moved)
    verb, sign = ("received", "+") if is_credit else ("paid", "−")
    kind = event.cause_kind.replace("_", " ")
    return step(
        event,
        f"The fund {event.fund} {verb} {amount(event.amount)} ({kind}).",
        None,
        f"balance {amount(before)} {sign} {amount(moved)} = {amount(after)}",
    )


def _plain(event: Event) -> Step:
    """What needs nothing from earlier events."""
    match event:
        case wire.OrderCancelled():
            return step(
                event,
                f"{event.account}'s order {event.order_id} ({amount(event.remaining)} left) was cancelled.",
                "Before a position is closed, the account's orders that could increase its risk go, and its stop "
                "orders: of an isolated position those of its market, of a cross account those of the shard.",
            )
        case claims.AdlTriggered():
            why = (
                f"expected loss {amount(event.expected_loss)} > what is free of the balance of "
                f"{amount(event.fund_balance)}"
                if event.reason == "fund_insufficient"
                else "the fund's ADL trigger is active"
                if event.reason == "trigger_active"
                else "the fund has held it for as long as it may"
            )
            if event.loss_budget:
                why += f"; {amount(event.loss_budget)} are reserved to close it at the mark"
            return step(
                event,
                f"The fund {event.fund} does not take {amount(event.qty)} over: auto-deleveraging (ADL).",
                "What a fund does not take is closed against the best-ranked opposing positions.",
                why,
            )
        case wire.AdlCompleted():
            return tell_completed(event)
        case wire.LossSocialised():
            return tell_socialised(event)
        case wire.LossDeficit():
            return step(
                event,
                f"Nobody could pay {amount(event.amount)}: it stands as the market's deficit, "
                f"{amount(event.deficit)} in all.",
                "A deficit is repaid first from any later credit of the market's fund.",
            )
        case claims.TakeoverClosed():
            return step(
                event,
                f"The takeover is over: {amount(event.qty)} unwound at {amount(event.price)} on average, "
                f"{signed(event.pnl)} in all for the fund {event.fund}.",
                "What is left of the budget is free again.",
            )
        case claims.LiquidationClosed() | claims.LiquidationPartlyClosed():
            rest = ""
            if isinstance(event, claims.LiquidationPartlyClosed):
                rest = " The rest found nobody and is asked about again at the next mark."
            return step(
                event,
                f"{amount(event.adl_qty)} closed by ADL and last resort: surplus {amount(event.surplus)}, socialised "
                f"{amount(event.socialised)}, deficit {amount(event.deficit)}.{rest}",
            )
        case wire.FundingPaid():
            return step(
                event,
                f"Funding round {event.round}: what was not filled was open, and {_funding(event)}, which went into "
                "the value it is carried at.",
                "A residual has no money: whoever closes it realises its funding.",
            )
        case claims.DecisionRejected():
            return step(event, f"A decision for round {event.round} came too late: {event.reason}.")
        case claims.DeficitRepaid():
            return step(event, f"The fund {event.fund} repaid {amount(event.amount)} of the deficit of {event.market}.")
        case wire.FundBelowMinimum():
            return step(
                event,
                f"The fund {event.fund} fell below its minimum: {amount(event.balance)} < {amount(event.minimum)}.",
            )
        case _:
            return step(event, "")


def _was(qty: str) -> str:
    return "was" if Decimal(qty) == 1 else "were"


def _funding(event: wire.FundingPaid) -> str:
    """Paid or received, and how that was computed, in words."""
    sum_ = Decimal(event.amount)
    verb = "received" if sum_ >= 0 else "paid"
    return f"{verb} {amount(abs(sum_))} at a rate of {amount(event.rate)} on {amount(event.qty)}"
