"""The AsyncAPI 3.0 document of the Kafka services, written from the code: topics, messages, who sends and receives.

`python -m consumers.kafka.asyncapi` rewrites `docs/asyncapi.json`; with `--check` it writes nothing and exits 1 when
the file is stale. Partitions are those of the example venue, the other settings of topics those of an empty service
config: what `backstop topics` makes of the two.
"""

import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import click
import msgspec
import orjson

from consumers.kafka.settings import ServiceConfig
from consumers.kafka.topics import CATALOGUE, Topic, partition_count, topic_settings
from consumers.service.journal import Header
from consumers.service.publication import key_field
from schemas.commands import Command
from schemas.config import load_config
from schemas.documents import MESSAGE_TYPES, message_document, type_name
from schemas.envelope import Event

_ROOT: Final = Path(__file__).parents[2]
FILE: Final = _ROOT / "docs" / "asyncapi.json"
VENUE: Final = _ROOT / "deploy" / "venue.toml"

Document = dict[str, Any]

_BINDING: Final = "0.5.0"
_SERVICES: Final = ("engine", "settlement")
_TRACE: Final = {
    "type": "string",
    "description": "W3C trace context of the command; where there was one, that of what it caused",
    "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
}
_NUMBERS: Final = {
    "shard": "The partition is that of the shard.",
    "asset": "The partition is that of the asset.",
    "stream": "The partition is that of the stream (shard or asset).",
}


def document() -> Document:
    """The whole document. It has no dates and no hosts: the same code gives the same bytes."""
    schemas: Document = {}
    messages = {type_name(message): _message(message, schemas) for message in MESSAGE_TYPES}
    messages["journal.batch"] = _journal_message(schemas)
    messages["dead-letter"] = _dead_letter_message()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Backstop",
            "version": tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"],
            "description": (
                "A liquidation engine for futures venues. An engine per shard and a settlement per asset read commands "
                "and publish events, each batch in one transaction: read with isolation.level=read_committed. Each "
                "stream writes to partitions of its own; producers set the partition of a command explicitly. Names "
                "of topics can have a prefix (kafka.topic_prefix)."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in CATALOGUE},
        "operations": dict(sorted(_operations())),
        "components": {"messages": dict(sorted(messages.items())), "schemas": dict(sorted(schemas.items()))},
    }


def written() -> bytes:
    """The document as the bytes of its file."""
    return orjson.dumps(document(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _names(topic: Topic) -> list[str]:
    special = {"journal": ["journal.batch"], "dead-letters": ["dead-letter"]}
    return special.get(topic.name) or sorted(type_name(each) for each in MESSAGE_TYPES if each.topic == topic.name)


def _channel(topic: Topic) -> Document:
    kafka = topic_settings(topic, ServiceConfig())
    return {
        "address": topic.name,
        "title": topic.name,
        "description": f"{topic.says[0].upper()}{topic.says[1:]}. {_NUMBERS[topic.numbers]}",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _names(topic)},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": partition_count(load_config(VENUE)),
                "replicas": ServiceConfig().topics.replication,
                "topicConfiguration": {
                    "cleanup.policy": [kafka["cleanup.policy"]],
                    "retention.ms": int(kafka["retention.ms"]),
                    "retention.bytes": int(kafka["retention.bytes"]),
                    "max.message.bytes": int(kafka["max.message.bytes"]),
                },
                "bindingVersion": _BINDING,
            }
        },
        "x-topic-settings": dict(kafka),
        "x-writers": list(topic.writers),
        "x-readers": list(topic.readers),
    }


def _operations() -> list[tuple[str, Document]]:
    """What each service does; `outside` is whoever else there is, and has no operations here."""
    found = []
    for topic in CATALOGUE:
        for service in _SERVICES:
            for action, others in (("send", topic.writers), ("receive", topic.readers)):
                if service in others:
                    name = f"{service}-{action}-{topic.name}"
                    found.append((name, _operation(topic, service, action)))
    return found


def _operation(topic: Topic, service: str, action: str) -> Document:
    names = _names(topic)
    return {
        "action": action,
        "title": f"{service} {action}s {topic.name}",
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "messages": [{"$ref": f"#/channels/{topic.name}/messages/{name}"} for name in names],
        "tags": [{"name": service}],
    }


def _message(message: type[Command | Event], schemas: Document) -> Document:
    name = type_name(message)
    schema = message_document(message)
    for shared, definition in schema.pop("$defs", {}).items():
        hoisted = _pointing_at_components(definition)
        if schemas.setdefault(shared, hoisted) != hoisted:
            raise ValueError(f"two different schemas are called {shared}")
    for key in ("$schema", "$id", "x-topic"):
        del schema[key]
    schemas[name] = _pointing_at_components(schema)
    headers: Document = {"ce_type": {"const": name}, "traceparent": _TRACE}
    required = ["ce_type"] if issubclass(message, Event) else []
    return {
        "name": name,
        "title": name,
        "summary": schema["description"],
        "contentType": "application/json",
        "headers": {"type": "object", "properties": headers, "required": required},
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "bindings": {"kafka": {"key": _key(message), "bindingVersion": _BINDING}},
    }


def _key(message: type[Command | Event]) -> Document:
    if issubclass(message, Event):
        field = key_field(message)
        said = f"`{field}` of the message; the stream where it is null" if field else "the stream"
        return {"type": "string", "description": said}
    return {"type": "string", "description": "as the producer likes; the partition is what counts"}


def _journal_message(schemas: Document) -> Document:
    generated = msgspec.json.schema(Header)
    header = generated["$defs"].pop("Header")
    schemas["journal.batch"] = header | {
        "title": "journal.batch",
        "description": " ".join(header["description"].split()),
    }
    return {
        "name": "journal.batch",
        "title": "journal.batch",
        "summary": "The numbered inputs of one batch, as JSON lines; with none, a heartbeat.",
        "contentType": "application/jsonl",
        "payload": {
            "type": "string",
            "description": "JSON lines, each ended by a line feed. The first is x-first-line, then one line per input: "
            '{"at": "<topic>/<partition>/<offset>", "trace": "<traceparent>"?, "input": <the command>}.',
            "x-first-line": {"$ref": "#/components/schemas/journal.batch"},
        },
        "bindings": {"kafka": {"key": {"type": "null"}, "bindingVersion": _BINDING}},
    }


def _dead_letter_message() -> Document:
    texts = {
        "code": "stable code of the reason",
        "reason": "what is wrong, in words",
        "stream": "which stream refused it",
        "topic": "where it stood: topic, without prefix",
        "partition": "where it stood: partition",
        "offset": "where it stood: offset",
        "appended_ms": "when the broker appended it, in milliseconds since 1970",
    }
    cut = {"bytes": "length of the whole, where only its beginning is kept", "sha256": "hash of the whole, as hex"}
    properties = {name: {"type": "string", "description": said} for name, said in (texts | cut).items()}
    return {
        "name": "dead-letter",
        "title": "dead-letter",
        "summary": "The bytes of a record that is no command, with the reason in its headers.",
        "contentType": "application/octet-stream",
        "headers": {"type": "object", "properties": properties | {"traceparent": _TRACE}, "required": list(texts)},
        "payload": {"type": "string", "format": "binary", "description": "the value of the record as it was written"},
        "bindings": {"kafka": {"key": {"type": "string", "description": "the key it had"}, "bindingVersion": _BINDING}},
    }


def _pointing_at_components(part: Any) -> Any:
    """A schema that is no longer a document of its own: its references lead to the shared schemas."""
    if isinstance(part, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/") if key == "$ref" else _pointing_at_components(value)
            for key, value in part.items()
        }
    return [_pointing_at_components(item) for item in part] if isinstance(part, list) else part


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when the file is stale.")
def main(*, check: bool) -> None:
    """Write docs/asyncapi.json from the topics and the message types."""
    if not check:
        FILE.write_bytes(written())
    elif not FILE.exists() or FILE.read_bytes() != written():
        click.echo("docs/asyncapi.json: out of date (make schemas)", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
