"""docs/venue-examples.md, written from the examples and our answers."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple

from tests.venues.account import answers
from tests.venues.published import Check, Example, Stake, checks, examples, left_out, percent

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "venue-examples.md"

QUANTITIES: Final = {
    "liquidation_price": "liquidation",
    "bankruptcy_price": "bankruptcy",
    "maintenance_margin": "maintenance margin",
    "equity": "equity",
}


class Section(NamedTuple):
    """A table of the page: which checks, and the words above it."""

    title: str
    words: str
    holds: Callable[[Check], bool]


def _prices(contract: str, mode: str) -> Callable[[Check], bool]:
    return lambda check: (
        check.quantity.endswith("_price") and (check.example.contract, check.example.mode) == (contract, mode)
    )


SECTIONS: Final = (
    Section(
        "Linear, isolated",
        "Margin in the quote currency, each position a pool of its own. Tiers: the answer lies in one of that many.",
        _prices("linear", "isolated"),
    ),
    Section(
        "Linear, cross",
        "One wallet for all positions. The liquidation price of a position is that at which the account reaches its\n"
        "maintenance margin while the other marks stay; its bankruptcy price follows from its share of the equity.",
        _prices("linear", "cross"),
    ),
    Section(
        "Inverse, isolated",
        "Settled in the coin, the quantity in contracts of the quote currency.",
        _prices("inverse", "isolated"),
    ),
    Section("Inverse, cross", "The same with one wallet.", _prices("inverse", "cross")),
    Section(
        "Maintenance margins",
        "At the mark of the example, which is the entry price where none is named.",
        lambda check: check.quantity == "maintenance_margin",
    ),
    Section(
        "Equity at a published liquidation price",
        "Most of these venues keep the maintenance margin that the position had at its entry, or include fees in it.\n"
        "Ours breathes with the mark, so our own liquidation price differs a little. What can be compared is the\n"
        "equity: at the price that the venue prints, what is left must be the amount that the venue prints. Where our\n"
        "position is liquidated at that mark already, this is the equity of `liquidation.started`.",
        lambda check: check.quantity == "equity",
    ),
)


HEAD: Final = """# Examples that venues publish

Written by `python -m tests.venues` from `tests/venues/examples/`; `tests/venues/test_published_examples.py` checks
every row. A venue is set up as in the example (contract, mode, tiers), the account deposits, trades, adds margin and
sees marks, as commands, and what the report then says is compared with what the venue printed. Where a liquidation
price is printed, the mark is also moved there: one tick before it nothing happens, at it the liquidation starts.

{printed} printed numbers from {examples} examples of {venues} venues and products; {prices} of them are liquidation and
bankruptcy prices. A row holds if ours is the printed number to one unit of its last place; {nearest} are ours rounded
to nearest. The other {directed} were rounded in one direction, to the venue's tick or by cutting off, or are printed
with more places than the example's own inputs carry:
{names}.

- A fee to close that a venue counts in its maintenance margin is put into the maintenance rate. We charge none on
  forced orders; a bankruptcy price that leaves room for such a fee is compared after the fee is put on ours.
- Where an example does not print the margin or the mark, they are taken from what it does print, as noted.
- "Read in" names the text that was read where it was not the venue's page itself: a copy of it, its source, or somebody
  who quotes it. Stored texts are numbered as in the index they were found in.
- Responses printed in API documentation are counted as examples: they are positions with their prices.
- [What was left out](#left-out) is at the end, with the reasons."""


def page() -> str:
    """The whole document."""
    every = checks()
    directed = [check for check in every if not check.is_ours_rounded(_ours(check))]
    head = HEAD.format(
        printed=len(every),
        examples=len(examples()),
        venues=len({example.venue for example in examples()}),
        prices=sum(check.quantity.endswith("_price") for check in every),
        nearest=len(every) - len(directed),
        directed=len(directed),
        names=", ".join(dict.fromkeys(f"`{check.example.id}`" for check in directed)),
    )
    noted: set[str] = set()
    parts = [_section(section, [check for check in every if section.holds(check)], noted) for section in SECTIONS]
    return "\n\n".join([head, *parts, _left_out()]) + "\n"


def _section(section: Section, rows: list[Check], noted: set[str]) -> str:
    """A table, and a note on each example that has none yet."""
    body = table(
        ("example", "given", "what", "printed", "ours"),
        (
            (
                f"[{check.example.venue}]({check.example.address}) `{check.example.id}`",
                _given(check),
                _what(check),
                check.printed,
                _eight(_ours(check)),
            )
            for check in rows
        ),
    )
    new = {check.example.id: check.example for check in rows if check.example.id not in noted}
    noted.update(new)
    return "\n\n".join([f"## {section.title}", section.words, body, "\n".join(map(_note, new.values()))])


def _left_out() -> str:
    rows = ((f"[{entry.venue}]({entry.address})", entry.printed, entry.why) for entry in left_out())
    return f"## Left out\n\n{table(('venue', 'printed', 'why it is not checked'), rows)}"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def note(name: str, title: str, theirs: str, mapping: str, read_in: str) -> str:
    """What stands below a table about one example."""
    parts = [f"*{title}*. Theirs: {theirs}."]
    if mapping:
        parts.append(f"Here: {mapping}.")
    if read_in:
        parts.append(f"Read in {read_in}.")
    return f"- `{name}`: {' '.join(parts)}"


def _note(example: Example) -> str:
    return note(example.id, example.title, example.formula, example.mapping, example.read_in)


def _given(check: Check) -> str:
    others = [stake for stake in check.example.positions if stake is not check.stake]
    parts = [_stake(check.stake, check.example)]
    if check.example.wallet is not None:
        parts.append(f"wallet {check.example.wallet}")
    parts.extend(f"with {_stake(other, check.example)}" for other in others)
    return "; ".join(parts)


def _stake(stake: Stake, example: Example) -> str:
    times = f" × {stake.multiplier}" if stake.multiplier != "1" else ""
    unit = stake.market if example.contract == "linear" else "contracts"
    parts = [f"{stake.side} {stake.qty}{times} {unit} at {stake.entry}"]
    if stake.mark is not None:
        parts.append(f"mark {stake.mark}")
    if example.mode == "isolated":
        parts.append(f"margin {stake.margin}" if stake.margin is not None else f"{stake.leverage}x")
    if stake.added is not None:
        parts.append(f"plus {stake.added}")
    parts.append(f"{len(stake.tiers)} tiers" if stake.tiers else f"maintenance {percent(stake.maintenance or '')}")
    return ", ".join(parts)


def _what(check: Check) -> str:
    at = f" at {check.stake.printed.equity_at}" if check.quantity == "equity" else ""
    return QUANTITIES[check.quantity] + at


def _ours(check: Check) -> str | None:
    return answers(check.example)[check.position][check.quantity]


def _eight(ours: str | None) -> str:
    return "none" if ours is None else f"{Decimal(ours):.8f}"
