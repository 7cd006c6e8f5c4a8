"""Hypothesis strategies for every command and event, read off the types."""

from typing import Any

import hypothesis.strategies as st
import msgspec
from msgspec import inspect

from schemas.commands import Command
from schemas.documents import type_name
from schemas.envelope import Event
from schemas.fields import ID_PATTERN, INT64_MAX, NON_ZERO_PATTERN, POSITIVE_PATTERN

_PLAIN = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_IDS = st.from_regex(f"{ID_PATTERN[:-1]}\\Z")
_POSITIVE = st.from_regex(r"\A[0-9]{1,24}(\.[0-9]{1,18})?\Z").filter(lambda text: text.strip("0."))
_SETTINGS = st.recursive(
    st.one_of(_PLAIN, st.none(), st.booleans(), st.integers(-INT64_MAX - 1, INT64_MAX)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_IDS, inner, max_size=3)),
    max_leaves=8,
)

_AT_ONCE: dict[str, st.SearchStrategy[Any]] = {"trigger_price": st.none(), "trigger_when": st.none()}
_WITHOUT_TIME: dict[str, st.SearchStrategy[Any]] = {
    "tif": st.sampled_from(["gtc", "ioc", "fok"]),
    "expire_at": st.none(),
}
_SHOWN_WHOLE: dict[str, st.SearchStrategy[Any]] = {"display_qty": st.none()}

# The fields that go together, as alternatives; `fund.transfer` takes two funds that cannot be the same.
_RULES: dict[str, list[dict[str, st.SearchStrategy[Any]]]] = {
    "order.new": [
        rule | trigger
        for rule in (
            {"kind": st.just("limit"), "price": _POSITIVE, "post_only": st.just(False)} | _WITHOUT_TIME | _SHOWN_WHOLE,
            {"kind": st.just("limit"), "price": _POSITIVE, "tif": st.just("gtc"), "expire_at": st.none()},
            {
                "kind": st.just("limit"),
                "price": _POSITIVE,
                "tif": st.just("gtt"),
                "expire_at": st.integers(0, 2**63 - 1),
            },
            {"kind": st.just("market"), "price": st.none(), "post_only": st.just(False)} | _WITHOUT_TIME | _SHOWN_WHOLE,
        )
        for trigger in (
            _AT_ONCE,
            {"trigger_price": _POSITIVE, "trigger_when": st.sampled_from(["rises_to", "falls_to"])},
        )
    ],
    "account.cancel_after": [{"seconds": st.integers(0, 604_800)}],
    "order.amend": [{"price": _POSITIVE}, {"qty": _POSITIVE}],
    "fund.deposit": [{"kind": st.just("donation")}, {"index": st.none()}],
    "fund.transfer": [{"fund": st.just("from"), "to": _IDS.filter("from".__ne__)}],
    "config.set": [{"changes": st.dictionaries(_IDS, _SETTINGS, max_size=3)}],
}
_PATTERNS = {
    POSITIVE_PATTERN: _POSITIVE,
    NON_ZERO_PATTERN: st.tuples(st.sampled_from(["", "-"]), _POSITIVE).map("".join),
}


def messages(message: type[Command | Event]) -> st.SearchStrategy[Any]:
    """Valid messages of one type, with every combination of optional fields that the type allows."""
    described = inspect.type_info(message)
    assert isinstance(described, inspect.StructType)
    fields = {field.name: _field(field) for field in described.fields}
    return st.one_of([st.builds(message, **fields | rule) for rule in _RULES.get(type_name(message), [{}])])


def _field(field: inspect.Field) -> st.SearchStrategy[Any]:
    values = _values(field.type)
    no_default = field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT
    may_be_left_out = no_default and not field.required
    return st.just(msgspec.UNSET) | values if may_be_left_out else values


def _values(described: inspect.Type) -> st.SearchStrategy[Any]:
    match described:
        case inspect.Metadata(type=inner, extra_json_schema=extra):
            pattern = (extra or {}).get("pattern")
            if pattern is None:
                return _values(inner)
            return _PATTERNS.get(pattern, st.from_regex(f"{pattern[:-1]}\\Z"))
        case inspect.StrType():
            return _PLAIN
        case inspect.IntType(ge=least, le=most):
            return st.integers(least or 0, INT64_MAX if most is None else most)
        case inspect.BoolType():
            return st.booleans()
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case inspect.NoneType():
            return st.none()
        case inspect.UnionType(types=types):
            return st.one_of([_values(inner) for inner in types])
        case inspect.ListType(item_type=inner):
            return st.lists(_values(inner), max_size=3)
        case inspect.StructType(cls=struct, fields=fields):
            return st.builds(struct, **{field.name: _field(field) for field in fields})
        case inspect.DictType():
            return st.just({})
    raise AssertionError(f"no strategy for {described}")
