"""The AsyncAPI document holds together, and says what the code does."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import orjson
import pytest

from consumers.kafka.asyncapi import FILE, document, written
from consumers.kafka.settings import TOPICS
from consumers.service.stream import WRITTEN, open_stream
from schemas.config import parse_config
from schemas.documents import EXAMPLES, MESSAGE_TYPES, type_name
from tests.kafka.test_topics import VENUE

DOCUMENT = document()
MESSAGES = DOCUMENT["components"]["messages"]


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for item in part:
            yield from _references(item)


def _resolved(pointer: str) -> Any:
    part: Any = DOCUMENT
    assert pointer.startswith("#/")
    for step in pointer[2:].split("/"):
        part = part[step]
    return part


def test_the_file_is_what_the_code_says() -> None:
    """`make schemas` writes it."""
    assert FILE.read_bytes() == written()


def test_every_reference_leads_somewhere() -> None:
    """Nothing points out of the document."""
    references = set(_references(DOCUMENT))
    assert len(references) > 200
    for reference in references:
        assert _resolved(reference)


def test_every_topic_and_message_is_there() -> None:
    """Each message in the channel of its topic; journal and dead letters have one of their own."""
    assert list(DOCUMENT["channels"]) == list(TOPICS)
    there = {name: set(channel["messages"]) for name, channel in DOCUMENT["channels"].items()}
    assert there.pop("journal") == {"journal.batch"}
    assert there.pop("dead-letters") == {"dead-letter"}
    for topic, names in there.items():
        assert names == {type_name(message) for message in MESSAGE_TYPES if message.topic == topic}


def test_operations_are_what_the_services_do() -> None:
    """What a stream reads and writes, and the journal that it is restored from."""
    streams = [open_stream(parse_config(VENUE.read_text()), name) for name in ("engine:usdt", "settlement:USDT")]
    expected = {f"{stream.kind}-send-{topic}" for stream in streams for topic in WRITTEN[stream.kind]}
    expected |= {f"{stream.kind}-receive-{source.topic}" for stream in streams for source in stream.inputs}
    expected |= {f"{stream.kind}-receive-journal" for stream in streams}
    assert set(DOCUMENT["operations"]) == expected


@pytest.mark.parametrize("message", MESSAGE_TYPES, ids=type_name)
def test_the_example_of_each_message_is_valid(message: type) -> None:
    """By the schema that the document gives it, as AsyncAPI reads it (JSON Schema draft 07)."""
    name = type_name(message)
    schema = {"$ref": MESSAGES[name]["payload"]["$ref"], "components": DOCUMENT["components"]}
    jsonschema.Draft7Validator.check_schema(_resolved(MESSAGES[name]["payload"]["$ref"]))
    example = orjson.loads((EXAMPLES / f"{name}.json").read_bytes())
    jsonschema.Draft7Validator(schema).validate(example)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate(example | {"type": "another"})
