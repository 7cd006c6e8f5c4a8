"""Validation against the schema documents as they are on disk, the way a client in another language would do it."""

from functools import cache
from typing import Any

import orjson
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from schemas.documents import FOLDER


@cache
def validator(name: str) -> Draft202012Validator:
    """The validator of one document; the document itself is checked against the dialect."""
    document = orjson.loads((FOLDER / f"{name}.schema.json").read_bytes())
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document)


def complaints(name: str, value: Any) -> list[str]:
    """What a document finds wrong with a value."""
    return [f"{error.json_path}: {error.message}" for error in validator(name).iter_errors(value)]
