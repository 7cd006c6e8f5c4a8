"""A story as text for a terminal or a mail: numbered steps, and who paid in the end."""

import textwrap
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from consumers.explain.account import AccountStory
from consumers.explain.liquidation import ENDINGS, LiquidationStory
from consumers.explain.step import Step, amount, signed
from consumers.moments import moment
from consumers.printable import printable

_WIDTH: Final = 100
_RUN_MAX: Final = 4
"""Of more fills in a row than this, the first and the last are told; JSON has them all."""


def liquidation_text(story: LiquidationStory) -> str:
    """One liquidation."""
    started = story.started
    assert started is not None, "finished stories have begun"
    title = (
        f"Liquidation {story.liquidation_id}: {started.account}'s {started.mode} {started.side} of "
        f"{amount(started.qty)} {started.market}"
    )
    lines = [title, "=" * len(title), f"Ended: {ENDINGS[story.outcome]}.", ""]
    lines += _steps(story.steps)
    lines += _who_paid(story)
    return printable_lines(lines)


def account_text(story: AccountStory) -> str:
    """One account."""
    title = f"Account {story.account}"
    lines = [title, "=" * len(title)]
    if story.liquidations:
        count = len(story.liquidations)
        lines.append(f"Liquidated {'once' if count == 1 else f'{count} times'}: {', '.join(story.liquidations)}.")
        lines.append("`backstop explain --liquidation ID` tells what became of what the book did not take.")
    lines.append("")
    lines += _steps(story.steps)
    for shard, balance in story.balances.items():
        rows = [(kind.replace("_", " "), signed(sum_)) for kind, sum_ in sorted(balance.by_kind.items())]
        rows.append(("all of it", amount(balance.total)))
        rows.append(("  in the wallet", amount(balance.wallet)))
        rows += [(f"  margin of {market}", amount(sum_)) for market, sum_ in balance.margins.items() if sum_]
        title = f"Money of shard {shard}, {balance.asset}"
        lines += ["", title, "-" * len(title), *_table(rows)]
        if not balance.agrees:
            lines.append(f"The last event says {amount(balance.wallet_published)} in the wallet: the log is not whole.")
    return printable_lines(lines)


def printable_lines(lines: list[str]) -> str:
    """Text from outside is shown, never obeyed."""
    return "\n".join(printable(line).rstrip() for line in lines)


def _steps(steps: list[Step]) -> list[str]:
    lines: list[str] = []
    last_ts = None
    told: set[str] = set()
    number = 0
    for run in _runs(steps):
        for place, each in enumerate(run):
            number += 1
            if len(run) > _RUN_MAX and 0 < place < len(run) - 1:
                if place == 1:
                    qty = sum((Decimal(one.numbers["qty"]) for one in run[1:-1]), Decimal(0))
                    lines.append(f"      … {len(run) - 2} more fills, {amount(qty)} in all")
                continue
            if each.ts != last_ts:
                lines.append(f"{moment(each.ts)} UTC")
                last_ts = each.ts
            lines += textwrap.wrap(each.what, _WIDTH, initial_indent=f"{number:4}. ", subsequent_indent="      ")
            for formula in each.formulas:
                lines += textwrap.wrap(formula, _WIDTH, initial_indent="        = ", subsequent_indent="          ")
            # A rule is read once.
            if each.rule is not None and each.rule not in told:
                told.add(each.rule)
                lines += textwrap.wrap(
                    f"Rule: {each.rule}", _WIDTH, initial_indent="      ", subsequent_indent="      "
                )
    return lines


def _runs(steps: list[Step]) -> list[list[Step]]:
    """Fills in a row together, everything else alone."""
    runs: list[list[Step]] = []
    for each in steps:
        is_fill = each.event == "trade.executed"
        if is_fill and runs and runs[-1][-1].event == "trade.executed" and runs[-1][-1].cause == each.cause:
            runs[-1].append(each)
        else:
            runs.append([each])
    return runs


def _who_paid(story: LiquidationStory) -> list[str]:
    bill = story.bill
    account = story.started.account if story.started is not None else ""
    parts = [f"realised {signed(bill.trader_realised)}"]
    if Decimal(bill.liquidation_fee):
        parts.append(f"fee {amount(bill.liquidation_fee)}")
    if Decimal(bill.surplus_to_fund):
        parts.append(f"surplus {amount(bill.surplus_to_fund)} to the fund")
    if Decimal(bill.surplus_to_account):
        parts.append(f"surplus {amount(bill.surplus_to_account)} came back")
    rows = [
        (f"trader {account}", signed(bill.trader), ", ".join(parts)),
        ("insurance fund", signed(bill.fund), ""),
        ("winners, socialised", signed(bill.winners), _count(len(story.socialised), "payer")),
        ("deficit", signed(bill.deficit), "nobody paid it yet" if Decimal(bill.deficit) else ""),
        ("other side of the market", signed(bill.other_side), "has gained what these lost, or lost what they gained"),
        ("sum", signed(bill.total), "" if Decimal(bill.total) == 0 else "not over, or the log is not whole"),
    ]
    title = f"Who paid, {bill.asset}" if bill.asset else "Who paid"
    lines = ["", title, "-" * len(title), *_table(rows)]
    given = bill.counterparties
    if given.count:
        lines += textwrap.wrap(
            f"ADL closed {amount(given.qty)} against others {_count(given.count, 'time')}: they realised "
            f"{signed(given.realised)}, and gave up {amount(given.gave_up)} against closing at the mark.",
            _WIDTH,
        )
    missing = story.postings.missing
    if missing:
        lines.append(f"{_count(missing, 'amount')} not found in the ledger: the log is not whole.")
    else:
        count = len(story.postings.lines)
        lines.append(f"Booked by {_count(count, 'ledger line')}, listed in the JSON." if count else "No money moved.")
    return lines


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Names to the left, amounts to the right, remarks behind."""
    names = max(len(row[0]) for row in rows)
    sums = max(len(row[1]) for row in rows)
    return [f"  {row[0]:<{names}}  {row[1]:>{sums}}  {'  '.join(row[2:])}" for row in rows]


def _count(number: int, what: str) -> str:
    if not number:
        return ""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
