"""The story of one account: everything that was done to it, in order, and what each kind of thing came to.

Its own orders are told where they traded, were refused, or were cancelled by something else than a request. Of its
liquidations it has what concerns it, to the moment where it is done with them; what became of the rest is the story of
the liquidation.
"""

from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from consumers.errors import UsageFailure
from consumers.exact import ZERO, minus, plus, text
from consumers.explain.postings import Booked, booked
from consumers.explain.step import Step, amount, signed, step
from consumers.explain.steps import Teller, tell_completed, tell_deleveraged, tell_socialised
from consumers.explain.terms import Terms
from schemas import claims
from schemas import events as wire
from schemas.envelope import Event

_NAMES_MAX: Final = 10_000
"""How many other accounts are remembered, until this one appears, to name those that are spelled alike."""

_OWN_DOING: Final = frozenset(("requested", "ioc", "fok"))

_TOLD: Final = (
    wire.LiquidationStarted,
    wire.LiquidationOrdered,
    wire.TradeExecuted,
    claims.LiquidationSettled,
    claims.LiquidationResidual,
)
"""What a trader sees of a liquidation of his own; with the residual he is out of it."""

_REASONS: Final = {
    "self_trade": "it would have traded with an order of the same account",
    "reduce_only": "there is no position any more that it would reduce",
    "margin": "the account could not carry its fill, at the mark of that moment",
    "liquidation": "the account is liquidated, and it could have increased the risk",
    "adl": "after ADL the wallet no longer carries it",
    "book_full": "the book has no room for another price level",
    "max_fills": "it met as many orders as one order may",
    "expired": "its time is over",
    "disconnected": "the account's dead-man switch went off",
    "refused": "it failed a check when it was triggered",
}


class Balance(Struct):
    """The money of the account in one shard, from the ledger: by kind, and where it lies now.

    `wallet_published` is the wallet as the last event of the account says it; it must be `wallet`.
    """

    asset: str
    by_kind: dict[str, Decimal] = field(default_factory=dict)
    wallet: Decimal = ZERO
    margins: dict[str, Decimal] = field(default_factory=dict)
    wallet_published: Decimal | None = None

    @property
    def total(self) -> Decimal:
        """Wallet and margins, which is what all kinds come to."""
        total = self.wallet
        for margin in self.margins.values():
            total = plus(total, margin)
        return total

    @property
    def agrees(self) -> bool:
        """Whether the ledger gives the wallet that was published."""
        return self.wallet_published is None or self.wallet == self.wallet_published


class AccountStory:
    """Follows one account through the events of a run."""

    def __init__(self, account: str, terms: Terms) -> None:
        self.account = account
        self.steps: list[Step] = []
        self.balances: dict[str, Balance] = {}
        self.liquidations: list[str] = []
        self._terms = terms
        self._needle = f'{account}"'.encode()
        self._tellers: dict[str, Teller] = {}
        self._triggers: dict[str, claims.AdlTriggered] = {}
        self._deleveraged: set[str] = set()
        self._published: dict[tuple[str, str], tuple[str, ...]] = {}
        self._names: dict[str, None] = {}

    # --- which events -------------------------------------------------------------------------------------------

    def wants(self, tag: bytes, raw: bytes) -> bool:
        """See `Listener`."""
        if self._needle in raw or tag in (b"adl.triggered", b"adl.completed"):
            return True
        if tag.startswith(b"liquidation.") and self.liquidations:
            return True
        # The first that is heard of an account is its deposit.
        return tag == b"account.updated" and not self.steps and len(self._names) < _NAMES_MAX

    def hear(self, event: Event) -> None:
        """See `Listener`."""
        match event:
            case wire.LedgerPosted():
                self._posted(event)
            case wire.TradeExecuted():
                self._traded(event)
            case claims.AdlTriggered():
                self._triggers[event.liquidation_id] = event
            case wire.AdlCompleted():
                self._triggers.pop(event.liquidation_id, None)
                if event.liquidation_id in self._deleveraged:
                    self._deleveraged.discard(event.liquidation_id)
                    self.steps.append(tell_completed(event))
            case wire.LiquidationOrdered() | claims.LiquidationSettled() | claims.LiquidationResidual():
                self._liquidated(event)
            case _ if getattr(event, "account", None) == self.account:
                self._own(event)
            case wire.AccountUpdated() if not self.steps and len(self._names) < _NAMES_MAX:
                self._names[event.account] = None
            case _:
                pass

    def _own(self, event: Event) -> None:
        told: Step | None = None
        match event:
            case wire.LiquidationStarted():
                self.liquidations.append(event.liquidation_id)
                self._tellers[event.liquidation_id] = Teller(self._terms)
                self._liquidated(event)
            case wire.AdlExecuted():
                if event.rank:
                    self._deleveraged.add(event.liquidation_id)
                told = tell_deleveraged(event, self._triggers.get(event.liquidation_id))
            case wire.LossSocialised():
                told = tell_socialised(event)
            case wire.FundingPaid():
                told = _funding(event)
            case wire.OrderRejected() | wire.AccountRejected():
                told = step(event, f"Refused, {event.code}: {event.reason}.")
            case wire.OrderCancelled() if event.reason not in _OWN_DOING:
                told = _cancelled(event)
            case wire.OrderTriggered():
                told = step(
                    event,
                    f"Stop order {event.order_id} was triggered: {amount(event.price)} reached "
                    f"{amount(event.trigger_price)}.",
                )
            case wire.PositionUpdated():
                told = self._position(event)
            case wire.AccountUpdated():
                self._wallet_is(event.shard, event.wallet)
            case wire.TransferKnown():
                told = step(event, f"Transfer {event.transfer_id} had been booked before and was not booked again.")
            case _:
                pass
        if told is not None:
            self.steps.append(told)

    def _liquidated(self, event: Event) -> None:
        teller = self._tellers.get(getattr(event, "liquidation_id", ""))
        if teller is None or not isinstance(event, _TOLD):
            return
        if isinstance(event, claims.LiquidationResidual) and event.round > 1:
            return
        self.steps.append(teller.tell(event))

    def _traded(self, event: wire.TradeExecuted) -> None:
        if event.liquidation_id and event.taker.account == self.account:
            self._liquidated(event)
            return
        for role, side, other in (("taker", event.taker, event.maker), ("maker", event.maker, event.taker)):
            if side.account != self.account:
                continue
            bought = (event.taker_side == "buy") == (role == "taker")
            verb, way = ("bought", "from") if bought else ("sold", "to")
            fee = f", fee {amount(side.fee)}" if Decimal(side.fee) else ""
            whose = (
                f"liquidation {event.liquidation_id} of {other.account}"
                if event.liquidation_id and role == "maker"
                else other.account
            )
            self.steps.append(
                step(
                    event,
                    f"Order {side.order_id} {verb} {amount(event.qty)} {event.market} at {amount(event.price)} {way} "
                    f"{whose} as {role}{fee}.",
                )
            )

    def _position(self, event: wire.PositionUpdated) -> Step | None:
        """A position as it stands now; that another one of the same command changed the wallet is not worth a step."""
        shard = event.stream.partition(":")[2]
        self._wallet_is(shard, event.wallet)
        now = (event.side, event.qty, event.entry_value, event.margin, event.mode, event.leverage)
        if self._published.get((shard, event.market)) == now:
            return None
        self._published[shard, event.market] = now
        if event.side == "flat":
            what = f"{event.market}: no position"
        else:
            carried = "carried by the wallet" if event.mode == "cross" else f"margin {amount(event.margin)}"
            what = (
                f"{event.market}: {event.side} {amount(event.qty)}, entry value {amount(event.entry_value)}, {carried}"
            )
        price = ""
        if isinstance(event.liquidation_price, str):
            price = f"; liquidation price {amount(event.liquidation_price)}"
        return step(event, f"{what} ({event.mode}, leverage {amount(event.leverage)}){price}.")

    def _wallet_is(self, shard: str, wallet: str) -> None:
        balance = self.balances.get(shard)
        if balance is None:
            balance = self.balances[shard] = Balance(asset="")
        balance.wallet_published = Decimal(wallet)

    def _posted(self, event: wire.LedgerPosted) -> None:
        """What a command moved for the account, from the lines of its wallet and its margins."""
        shard = event.stream.partition(":")[2]
        wallet, margin = f"{shard}/wallet/{self.account}", f"{shard}/margin/"
        parts: list[str] = []
        lines: list[Booked] = []
        for number, line in enumerate(event.lines, 1):
            moved = ZERO
            sum_ = Decimal(line.amount)
            for purse, sign in ((line.debit, -1), (line.credit, 1)):
                if purse != wallet and not (purse.startswith(margin) and purse.endswith("/" + self.account)):
                    continue
                balance = self._balance(shard, event.asset)
                change = sum_ if sign > 0 else minus(ZERO, sum_)
                if purse == wallet:
                    balance.wallet = plus(balance.wallet, change)
                else:
                    market = purse[len(margin) : -len(self.account) - 1]
                    balance.margins[market] = plus(balance.margins.get(market, ZERO), change)
                moved = plus(moved, change)
                if not lines or lines[-1].id != f"{event.posting_id}/{number}":
                    lines.append(booked(event, number, line))
                    kind = line.cause_kind.replace("_", " ")
                    parts.append(f"{kind} {signed(change)}")
                else:  # from the wallet into a margin, or back
                    parts[-1] = f"{amount(sum_)} from {_place(line.debit, wallet)} to {_place(line.credit, wallet)}"
            if moved:
                balance = self.balances[shard]
                before = balance.by_kind.get(line.cause_kind, ZERO)
                balance.by_kind[line.cause_kind] = plus(before, moved)
        if parts:
            told = step(event, f"Money: {'; '.join(parts)}. Wallet {amount(self.balances[shard].wallet)}.")
            told.numbers = {"asset": event.asset, "lines": msgspec.to_builtins(lines)}
            self.steps.append(told)

    def _balance(self, shard: str, asset: str) -> Balance:
        balance = self.balances.get(shard)
        if balance is None:
            balance = self.balances[shard] = Balance(asset=asset)
        balance.asset = asset
        return balance

    # --- what is told -------------------------------------------------------------------------------------------

    def finish(self, path: str) -> None:
        """The log has ended. Raises UsageFailure if nothing was heard of the account."""
        if self.steps or self.balances:
            return
        alike = get_close_matches(self.account, self._names, n=3)
        if alike:
            known = f"is it {' or '.join(alike)}?"
        elif self._names:
            known = f"it has accounts like {', '.join(list(self._names)[:3])}"
        else:
            known = "it has no accounts"
        raise UsageFailure(f"{path}: no account '{self.account}'; {known}")

    def document(self) -> dict[str, Any]:
        """The story as one JSON object, documented in docs/explain.md."""
        return {
            "explains": "account",
            "account": self.account,
            "liquidations": self.liquidations,
            "steps": msgspec.to_builtins(self.steps),
            "balances": {
                shard: {
                    "asset": balance.asset,
                    "by_kind": {kind: text(sum_) for kind, sum_ in balance.by_kind.items()},
                    "wallet": text(balance.wallet),
                    "margins": {market: text(margin) for market, margin in balance.margins.items() if margin},
                    "total": text(balance.total),
                    "agrees": balance.agrees,
                }
                for shard, balance in self.balances.items()
            },
        }


def _place(purse: str, wallet: str) -> str:
    if purse == wallet:
        return "the wallet"
    return f"the margin of {purse.split('/')[2]}"


def _cancelled(event: wire.OrderCancelled) -> Step:
    why = _REASONS.get(event.reason, event.reason)
    code = f" ({event.code})" if isinstance(event.code, str) else ""
    return step(
        event,
        f"Order {event.order_id} in {event.market} was cancelled with {amount(event.remaining)} left: {why}{code}.",
    )


def _funding(event: wire.FundingPaid) -> Step:
    received = Decimal(event.amount)
    verb = "Received" if received >= 0 else "Paid"
    capitalised = ""
    if Decimal(event.capitalised):
        capitalised = f" Of it, {amount(event.capitalised)} went into the entry value."
    return step(
        event,
        f"{verb} funding of {amount(abs(received))} at a rate of {amount(event.rate)} "
        f"on the {event.side} of {amount(event.qty)} {event.market} at the "
        f"mark {amount(event.mark_price)}.{capitalised}",
        "Longs pay shorts |rate| × value at the mark, with a negative rate shorts pay longs. What the margin of an "
        "isolated position cannot pay worsens its entry value.",
    )
