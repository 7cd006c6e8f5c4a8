"""docs/settlement-examples.md, written from the examples and our answers."""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Final, NamedTuple

from tests.venues.page import note, table
from tests.venues.settlement.published import (
    AdlExample,
    Check,
    Example,
    FundExample,
    SocialisedExample,
    Stake,
    checks,
    examples,
    left_out,
)
from tests.venues.settlement.replayed import answers

DOCUMENT: Final = Path(__file__).parents[3] / "docs" / "settlement-examples.md"

QUANTITIES: Final = {
    "balance": "fund after it",
    "change": "change of the fund",
    "direction": "the fund's side of it",
    "wallet": "wallet",
    "bankruptcy_price": "bankruptcy price",
    "equity": "equity at the mark",
    "counterparties": "accounts deleveraged",
    "needed": "loss to be placed",
    "taken": "profit that was closed",
    "share": "loss ÷ profit",
    "rank": "rank",
    "closed": "quantity closed",
    "left": "quantity left",
    "price": "price",
    "realised": "realised profit",
    "profit_ratio": "profit ratio",
    "fund_pays": "paid by the fund",
    "socialised": "paid by the winners",
    "rate": "rate",
    "pays": "amount paid",
    "kept": "profit kept",
}


class Section(NamedTuple):
    """A table of the page: which examples, and the words above it."""

    title: str
    words: str
    kind: type[Example]
    of: str


SECTIONS: Final = (
    Section(
        "Insurance funds",
        "A position is liquidated at the printed liquidation price, and not one tick before it. A bid (or ask) waits\n"
        "at the printed price of the execution. If that is better than the bankruptcy price, the liquidation order\n"
        "fills there and the surplus goes to the fund; if it is worse, the fund takes the position over and closes it\n"
        "there when the mark has come to it. Where a page prints no amount, the side of the fund is compared.",
        FundExample,
        "fund deltas",
    ),
    Section(
        "Auto-deleveraging",
        "A fund with nothing in it, no bids, and a mark beyond the bankruptcy price. BitMEX's former profit\n"
        "equalisation, OKX and Qume tell of clawbacks between one winner and one loser; ours closes the winner at the\n"
        "loser's bankruptcy price at once, which leaves the winner the same.",
        AdlExample,
        "ADL",
    ),
    Section(
        "Socialised losses",
        "Winners realise their profits, a fund takes a position over and cannot bear what it loses, and nobody on the\n"
        "other side could be closed at the bankruptcy price. In our venue that takes a fund with something to lose.",
        SocialisedExample,
        "socialised losses",
    ),
)

HEAD: Final = """# Examples of fund deltas, ADL and clawbacks that are published

Written by `python -m tests.venues` from `tests/venues/settlement/examples/`;
`tests/venues/settlement/test_settlement_examples.py` checks every row. Each example becomes a venue config and a
command log, which go through `backstop replay` with every invariant checked after every command; what the events and
the report say is compared with what was printed. [venue-examples.md](venue-examples.md) is the same for liquidation and
bankruptcy prices.

{numbers} printed numbers ({kinds}) and {directions} directions,
from {examples} examples of {venues} venues, products and papers. {exact} of the numbers hold to the last digit; the
other {rounded} were rounded by their source and hold to one unit of its last place. Only what a source says comes out
is counted, not what it takes as given.

- No fees, and one contract or coin, unless the note says otherwise.
- What a page leaves open (an entry, a leverage, the size of a fund) is chosen so that what it does print follows.
- "Read in" names the text that was read where it was not the page itself. Stored texts are numbered as in the index
  they were found in. News reports and blogs are named as what they are.
- [What was left out](#left-out) is at the end, with the reasons."""


def page() -> str:
    """The whole document."""
    every = checks()
    numbers = [check for check in every if check.is_number]
    exact = sum(Fraction(_ours(check)) == Fraction(check.printed) for check in numbers)
    head = HEAD.format(
        numbers=len(numbers),
        directions=len(every) - len(numbers),
        examples=len(examples()),
        venues=len({example.venue for example in examples()}),
        kinds=", ".join(f"{_count(numbers, section)} of {section.of}" for section in SECTIONS),
        exact=exact,
        rounded=len(numbers) - exact,
    )
    return "\n\n".join([head, *map(_section, SECTIONS), _left_out()]) + "\n"


def _count(numbers: list[Check], section: Section) -> int:
    return sum(isinstance(check.example, section.kind) for check in numbers)


def _section(section: Section) -> str:
    rows = [check for check in checks() if isinstance(check.example, section.kind)]
    body = table(
        ("example", "given", "what", "printed", "ours"),
        (
            (
                f"[{check.example.venue}]({check.example.address}) `{check.example.id}`",
                _given(check.example) if next(iter(check.example.printed)) == check.quantity else "″",
                _what(check.quantity),
                check.printed,
                _digits(_ours(check)),
            )
            for check in rows
        ),
    )
    notes = dict.fromkeys(_note(check.example) for check in rows)
    return "\n\n".join([f"## {section.title}", section.words, body, "\n".join(notes)])


def _left_out() -> str:
    rows = ((f"[{entry.venue}]({entry.address})", entry.printed, entry.why) for entry in left_out())
    return f"## Left out\n\n{table(('source', 'printed', 'why it is not checked'), rows)}"


def _note(example: Example) -> str:
    return note(example.id, example.title, example.rule, example.mapping, example.read_in)


def _given(example: Example) -> str:
    if isinstance(example, FundExample):
        return ", ".join(_of_fund(example))
    if isinstance(example, AdlExample):
        opposing = "; ".join(f"{stake.account} {_stake(stake)}" for stake in example.opposing)
        marks = ", ".join(example.marks)
        return f"{example.side} {_stake(example.liquidated)} against {opposing}; mark {marks}"
    winners = ", ".join(f"{winner.account} {winner.profit}" for winner in example.winners)
    return f"loss {example.loss}, fund {example.opening}, profits: {winners}"


def _of_fund(example: FundExample) -> list[str]:
    parts = [example.side if example.qty == "1" else f"{example.side} {example.qty}"]
    named = (
        ("from", example.entry),
        ("margin", example.margin),
        ("liquidation", example.liquidation),
        ("bankruptcy", example.bankruptcy),
        ("closed at", example.fill),
    )
    parts.extend(f"{name} {value}" for name, value in named if value is not None)
    if example.leverage is not None:
        parts.append(f"{example.leverage}x")
    if example.opening != "0":
        parts.append(f"fund {example.opening}")
    return parts


def _stake(stake: Stake) -> str:
    carried = f"wallet {stake.wallet}" if stake.wallet is not None else f"{stake.leverage}x"
    return f"{stake.qty} from {stake.entry} ({carried})"


def _what(quantity: str) -> str:
    name, _, account = quantity.partition(".")
    return f"{QUANTITIES[name]} of {account}" if account else QUANTITIES[name]


def _ours(check: Check) -> str:
    return answers(check.example)[check.quantity]


def _digits(ours: str) -> str:
    """Without zeros at the end, at most eight decimals."""
    if not ours.lstrip("-")[:1].isdigit():
        return ours
    if "/" in ours:
        ours = str(Decimal(Fraction(ours).numerator) / Decimal(Fraction(ours).denominator))
    number = Decimal(ours)
    number = min(number, round(number, 8), key=lambda one: len(one.as_tuple().digits))
    return f"{number.normalize():f}"
