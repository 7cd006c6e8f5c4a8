"""Why a record or a setting was refused, in a reader's words: the field first, then what was expected.

msgspec reports the first thing it cannot accept in one English line with the path last and without the values
that an enumeration allows. `read_refusal` takes that line apart and completes it from the JSON Schema of the
type. It runs for refused input only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import msgspec

QUOTED_LENGTH_MAX: Final = 64
"""How much of an offending value a reason repeats: reasons end up in logs and dead letters."""

_PATH: Final = re.compile(r"(?P<text>.*) - at `(?:key` in `)?\$(?P<path>[^`]*)`", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>.*)`")
_NOT_AMONG: Final = re.compile(r"Invalid (?:enum )?value (?:'(?P<text>.*)'|(?P<bare>[^']+))", re.DOTALL)
_WRONG_TYPE: Final = re.compile(r"Expected `object`, got `(?P<got>\w+)`")
_OWN_CHECK: Final = re.compile(r"(?P<name>[a-z_][A-Za-z0-9_.:\[\]-]*(?:, [a-z_]+)*): (?P<reason>.*)", re.DOTALL)
_STEP: Final = re.compile(r"\.(?P<name>[A-Za-z0-9_]+)|\[(?P<index>[0-9.]+)\]")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was refused: `field` is the path to it (empty: the record), `reason` says what was expected."""

    field: str
    reason: str


def read_refusal(error: msgspec.ValidationError, expected: type[msgspec.Struct] | None) -> Refusal:
    """Read msgspec's message about a value that should have been of type `expected` (None: not known)."""
    message = str(error)
    at = _PATH.fullmatch(message)
    text, path = (at["text"], at["path"].lstrip(".")) if at else (message, "")
    document = _document(expected) if expected is not None else {}
    if found := _UNKNOWN.fullmatch(text):
        name, known = found["name"], ", ".join(_names(document, path))
        shown = name if name.isascii() and name.isidentifier() else repr(name)
        return Refusal(_join(path, quote(shown)), f"unknown; expected one of {known}" if known else "unknown")
    if found := _MISSING.fullmatch(text):
        field = _join(path, found["name"])
        wanted = _wanted(document, field)
        return Refusal(field, f"missing; expected {wanted}" if wanted else "missing")
    if found := _NOT_AMONG.fullmatch(text):
        wanted = _wanted(document, path) or "another value"
        got = (found["bare"] or "").lower() or repr(quote(found["text"]))
        return Refusal(path, f"expected {wanted}, got {got}")
    if not path and (found := _WRONG_TYPE.fullmatch(text)):
        return Refusal("", f"expected one JSON object, got {found['got']}")
    if found := _OWN_CHECK.fullmatch(text):
        return Refusal(_join(path, found["name"]), found["reason"])
    wanted = _wanted(document, path)
    if wanted and " matching regex " in text:
        return Refusal(path, f"expected a {wanted}")
    return Refusal(path, f"{text[:1].lower()}{text[1:]}" + (f" ({wanted})" if wanted else ""))


def quote(value: str) -> str:
    """As much of an offending value as a reason may repeat."""
    return value if len(value) <= QUOTED_LENGTH_MAX else f"{value[:QUOTED_LENGTH_MAX]}…"


def choice(values: list[str]) -> str:
    """Values that are allowed, as a phrase: `a, b or c`."""
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} or {values[-1]}"


@cache
def _document(expected: type[msgspec.Struct]) -> Mapping[str, Any]:
    return msgspec.json.schema(expected, schema_hook=_own_type)


def _own_type(_: type) -> dict[str, Any]:
    """Types that msgspec does not know are written as text."""
    return {"type": "string"}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _wanted(document: Mapping[str, Any], path: str) -> str:
    """What the schema says about the value at `path`: its choices or its description."""
    part = _part(document, path)
    for candidate in (part, *part.get("anyOf", ())):
        if "enum" in candidate:
            return choice([v if isinstance(v, str) else repr(v).lower() for v in candidate["enum"]])
        if "pattern" in candidate or "description" in candidate:
            return str(candidate.get("description", ""))
    return ""


def _names(document: Mapping[str, Any], path: str) -> list[str]:
    return [name for name in _part(document, path).get("properties", {}) if name != "type"]


def _part(document: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """The subschema at a msgspec path like `markets[...].tiers[1].initial`; empty where there is none."""
    part: Mapping[str, Any] = _resolve(document, document)
    for step in _STEP.finditer(path if path.startswith("[") else f".{path}"):
        if step["name"] is not None:
            part = part.get("properties", {}).get(step["name"], {})
        elif step["index"] == "...":
            part = part.get("additionalProperties", {})
        else:
            part = part.get("items", {})
        part = _resolve(document, part)
    return part


def _resolve(document: Mapping[str, Any], part: Any) -> Mapping[str, Any]:
    if not isinstance(part, Mapping):
        return {}
    if "$ref" in part:
        resolved: Mapping[str, Any] = document["$defs"][part["$ref"].removeprefix("#/$defs/")]
        return resolved
    return part
