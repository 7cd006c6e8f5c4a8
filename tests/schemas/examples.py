"""The hand-written examples of `schemas/examples/`, as the tests use them."""

from typing import Any

import orjson

from schemas.documents import EXAMPLES, MESSAGE_TYPES, type_name

NAMES = tuple(type_name(message) for message in MESSAGE_TYPES)


def example(name: str) -> dict[str, Any]:
    """The example of a message type, decoded."""
    decoded: dict[str, Any] = orjson.loads((EXAMPLES / f"{name}.json").read_bytes())
    return decoded


def changed(name: str, **changes: Any) -> dict[str, Any]:
    """The example of a message type with some fields put in other words."""
    return example(name) | changes


def without(name: str, *fields: str) -> dict[str, Any]:
    """The example of a message type with some fields left out."""
    return {key: value for key, value in example(name).items() if key not in fields}
