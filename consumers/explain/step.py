"""One step of a story, and how its numbers are written."""

from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import Struct

from consumers.numbers import amount
from schemas.envelope import Event

__all__ = ["Step", "amount", "ratio", "signed", "step"]

_HEADER: Final = frozenset(("type", "stream", "seq", "prev", "ts", "cause"))


class Step(Struct, kw_only=True):
    """What happened, by which rule, and the rule with its numbers put in; `numbers` are the fields of the event."""

    ts: int
    stream: str
    seq: int
    cause: int
    event: str
    what: str
    rule: str | None = None
    formulas: list[str] = []
    numbers: dict[str, Any] = {}


def step(event: Event, what: str, rule: str | None = None, *formulas: str | None) -> Step:
    """A step that tells an event. A formula that could not be shown to hold is None and left out."""
    fields = msgspec.to_builtins(event)
    return Step(
        ts=event.ts,
        stream=event.stream,
        seq=event.seq,
        cause=event.cause,
        event=fields["type"],
        what=what,
        rule=rule,
        formulas=[formula for formula in formulas if formula is not None],
        numbers={name: value for name, value in fields.items() if name not in _HEADER},
    )


def signed(value: Decimal | str) -> str:
    """An amount that says in words' place whether it came in or went out: +5, −5, 0."""
    number = Decimal(value)
    return ("+" if number > 0 else "") + amount(number)


def ratio(value: str) -> str:
    """A ratio of 18 places, cut to 6 for print; JSON has them all."""
    whole, point, places = value.partition(".")
    return amount(f"{whole}{point}{places[:6]}")
