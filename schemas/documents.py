"""JSON Schema (2020-12) documents of every command, every event and the venue config, written from the types.

`python -m schemas.documents` rewrites `schemas/json/`; with `--check` it writes nothing, names what is stale
and exits 1. The examples in `schemas/examples/` are written by hand.

A document says what a producer may send and what a reader will get. For commands it says what the decoder
says, as far as JSON Schema can. For events it says more: what we publish has its whole header and keeps to
the patterns of identifiers and decimals, which the decoder of our own topics does not look at again.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import click
import msgspec
import orjson

from schemas.commands import COMMAND_TYPES, Command
from schemas.config import VenueConfig
from schemas.envelope import Event
from schemas.events import EVENT_TYPES
from schemas.fields import ID_PATTERN, INT64_MAX

FOLDER: Final = Path(__file__).parent / "json"
EXAMPLES: Final = Path(__file__).parent / "examples"
MESSAGE_TYPES: Final[tuple[type[Command | Event], ...]] = (*COMMAND_TYPES, *EVENT_TYPES)

Document = dict[str, Any]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_ABSENT_OR_NULL: Final = {"type": "null"}
_GIVEN: Final = {"type": "string"}

# What `__post_init__` of these commands demands of several fields at once.
_CROSS_FIELD_RULES: Final[Mapping[str, Document]] = MappingProxyType(
    {
        "order.new": {
            "allOf": [
                {
                    "if": {"properties": {"kind": {"const": "limit"}}},
                    "then": {"required": ["price"], "properties": {"price": _GIVEN}},
                    "else": {"properties": {"price": _ABSENT_OR_NULL, "post_only": {"const": False}}},
                },
                {
                    "if": {"required": ["post_only"], "properties": {"post_only": {"const": True}}},
                    "then": {"properties": {"tif": {"enum": ["gtc", "gtt"]}}},
                },
                {
                    "if": {"required": ["tif"], "properties": {"tif": {"const": "gtt"}}},
                    "then": {
                        "required": ["expire_at"],
                        "properties": {"expire_at": {"type": "integer"}, "kind": {"const": "limit"}},
                    },
                    "else": {"properties": {"expire_at": _ABSENT_OR_NULL}},
                },
                {
                    "if": {"required": ["trigger_price"], "properties": {"trigger_price": _GIVEN}},
                    "then": {"required": ["trigger_when"], "properties": {"trigger_when": _GIVEN}},
                    "else": {"properties": {"trigger_when": _ABSENT_OR_NULL}},
                },
                {
                    "if": {"required": ["display_qty"], "properties": {"display_qty": _GIVEN}},
                    "then": {"properties": {"kind": {"const": "limit"}, "tif": {"enum": ["gtc", "gtt"]}}},
                },
            ]
        },
        "order.amend": {
            "anyOf": [
                {"required": ["price"], "properties": {"price": _GIVEN}},
                {"required": ["qty"], "properties": {"qty": _GIVEN}},
            ]
        },
        "fund.deposit": {
            "if": {"required": ["index"], "properties": {"index": _GIVEN}},
            "then": {"properties": {"kind": {"const": "donation"}}},
        },
        "fund.transfer": {"$comment": "`fund` and `to` must differ, which JSON Schema cannot say."},
    }
)

# What `schemas.fields.check_settings` accepts, but for its bound on the depth.
_SETTING: Final[Document] = {
    "description": "what a config file can say, or null for the default; decimals are strings; at most 8 levels",
    "anyOf": [
        {"type": ["string", "boolean", "null"]},
        {"type": "integer", "minimum": -INT64_MAX - 1, "maximum": INT64_MAX},
        {"type": "array", "items": {"$ref": "#/$defs/Setting"}},
        {"$ref": "#/$defs/Settings"},
    ],
}
_SETTINGS: Final[Document] = {
    "type": "object",
    "propertyNames": {"pattern": ID_PATTERN},
    "additionalProperties": {"$ref": "#/$defs/Setting"},
}


def type_name(message: type[Command | Event]) -> str:
    """The `type` that a message of this class carries on the wire."""
    return str(message.__struct_config__.tag)


def message_document(message: type[Command | Event]) -> Document:
    """The self-contained document of one command or event."""
    name = type_name(message)
    body, definitions = _generate(message)
    properties = body["properties"]
    properties["type"] = {"const": name}
    if issubclass(message, Event):
        body["required"] = _published(message)
        for field in (*Event.__struct_fields__, "claim", "decision"):
            properties.get(field, {}).pop("default", None)
    if name == "config.set":
        properties["changes"] = {"$ref": "#/$defs/Settings"}
        definitions |= {"Setting": _SETTING, "Settings": _SETTINGS}
    head = _head(name, description=body["description"])
    head["x-topic"] = message.topic
    return head | _rest(body) | _CROSS_FIELD_RULES.get(name, {}) | _defined(definitions)


def venue_document() -> Document:
    """The self-contained document of the venue config, for editors that check TOML against JSON Schema."""
    body, definitions = _generate(VenueConfig)
    for table in body["properties"].values():
        if "additionalProperties" in table:
            table["propertyNames"] = {"pattern": ID_PATTERN}
    return _head("venue", description=body["description"]) | _rest(body) | _defined(definitions)


def documents() -> dict[str, bytes]:
    """Every document as file name and content."""
    by_name = {f"{type_name(message)}.schema.json": message_document(message) for message in MESSAGE_TYPES}
    by_name["venue.schema.json"] = venue_document()
    return {name: _written(document) for name, document in sorted(by_name.items())}


def stale(folder: Path) -> list[str]:
    """What has to be rewritten, added or removed in a folder of documents, one line each."""
    wanted = documents()
    there = {path.name: path.read_bytes() for path in folder.glob("*")} if folder.is_dir() else {}
    return [
        *(f"{name}: missing" for name in wanted if name not in there),
        *(f"{name}: out of date" for name in wanted if name in there and there[name] != wanted[name]),
        *(f"{name}: no such message" for name in sorted(there) if name not in wanted),
    ]


def rewrite(folder: Path) -> None:
    """Make a folder hold exactly the current documents."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = documents()
    for path in folder.glob("*"):
        if path.name not in wanted:
            path.unlink()
    for name, content in wanted.items():
        (folder / name).write_bytes(content)


def _generate(struct: type[msgspec.Struct]) -> tuple[Document, Document]:
    """msgspec's schema of a struct, taken apart: the struct itself, and what it refers to."""
    generated = msgspec.json.schema(struct)
    definitions = generated["$defs"]
    return definitions.pop(struct.__name__), definitions


def _published(message: type[Event]) -> list[str]:
    """The fields that an event always carries: all but those that are left out when they do not apply."""
    fields = zip(message.__struct_encode_fields__, message.__struct_defaults__, strict=True)
    return ["type", *(name for name, default in fields if default is not msgspec.UNSET)]


def _head(name: str, *, description: str) -> Document:
    return {
        "$schema": _DIALECT,
        "$id": f"urn:backstop:{name}",
        "title": name,
        "description": " ".join(description.split()),
    }


def _rest(body: Document) -> Document:
    return {key: part for key, part in body.items() if key not in {"title", "description"}}


def _defined(definitions: Document) -> Document:
    return {"$defs": definitions} if definitions else {}


def _written(document: Document) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 and name the files that are stale.")
def main(*, check: bool) -> None:
    """Write the JSON Schema documents from the message types."""
    if not check:
        rewrite(FOLDER)
        return
    lines = stale(FOLDER)
    for line in lines:
        click.echo(f"schemas/json/{line} (make schemas)", err=True)
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()
