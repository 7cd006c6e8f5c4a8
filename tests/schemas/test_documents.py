"""The published schemas and examples: current, complete, and in agreement with the decoder."""

import tomllib
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from schemas import documents
from schemas.commands import COMMAND_TYPES
from schemas.documents import EXAMPLES, FOLDER, MESSAGE_TYPES, message_document, rewrite, stale, type_name
from schemas.envelope import Event
from schemas.events import EVENT_TYPES
from schemas.wire import decode_command, decode_event, encode
from tests.schemas.examples import NAMES, changed, example, without
from tests.schemas.refused import REFUSED, Refused
from tests.schemas.validation import complaints, validator

COMMANDS = tuple(map(type_name, COMMAND_TYPES))
EVENTS = tuple(map(type_name, EVENT_TYPES))
VENUE = Path(__file__).parents[2] / "deploy" / "venue.toml"


def test_the_documents_are_those_of_the_types() -> None:
    """`make schemas` has been run since the types changed."""
    assert stale(FOLDER) == []


def test_every_message_has_a_document_and_an_example() -> None:
    """None is missing and none is left over."""
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.schema.json" for name in (*NAMES, "venue")}
    assert {path.name for path in EXAMPLES.iterdir()} == {f"{name}.json" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_document_stands_alone(name: str) -> None:
    """Dialect, id, title, description and every definition are in the one file; nothing unknown is allowed."""
    document = validator(name).schema
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["$id"] == f"urn:backstop:{name}"
    assert document["title"] == name
    assert document["description"].endswith((".", "?"))
    assert document["properties"]["type"] == {"const": name}
    assert all("additionalProperties" in part for part in _walk(document) if part.get("type") == "object")
    assert all(reference.startswith("#/$defs/") for reference in _references(document))


@pytest.mark.parametrize("name", NAMES)
def test_decimals_and_identifiers_carry_their_pattern(name: str) -> None:
    """Wherever a field is described as decimal or identifier, optional ones included, the pattern stands with it."""
    for part in _walk(validator(name).schema):
        description = str(part.get("description", ""))
        if part.get("type") == "string" and ("decimal string" in description or "characters of" in description):
            assert "pattern" in part


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_valid(name: str) -> None:
    """Its own document accepts it, and no other does."""
    assert complaints(name, example(name)) == []
    assert [other for other in NAMES if other != name and not complaints(other, example(name))] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_command_decodes(name: str) -> None:
    """The decoder takes it for what it says it is."""
    assert type_name(type(decode_command(orjson.dumps(example(name))))) == name


@pytest.mark.parametrize("name", EVENTS)
def test_an_example_event_is_byte_for_byte_what_we_would_write(name: str) -> None:
    """Decoded and encoded again, the same bytes come out: field order, canonical decimals, nothing left out."""
    record = orjson.dumps(example(name))
    assert encode(decode_event(record)) == record


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_always_has_its_whole_header(name: str) -> None:
    """Readers rely on stream, seq, prev, ts and cause; claims and decisions on their number."""
    numbered = {"claim", "decision"} & set(example(name))
    for field in (*Event.__struct_fields__, *numbered):
        assert complaints(name, without(name, field)) == [f"$: '{field}' is a required property"]


@pytest.mark.parametrize("stream", ["engine:usdt", "settlement:USDT"])
def test_the_examples_tell_one_story(stream: str) -> None:
    """Read by seq, the events of a stream go forward in time and cause, and prev stays below seq."""
    told = sorted((e for e in map(example, EVENTS) if e["stream"] == stream), key=lambda e: e["seq"])
    assert len(told) >= 8
    assert len({event["seq"] for event in told}) == len(told)
    assert [event["ts"] for event in told] == sorted(event["ts"] for event in told)
    assert [event["cause"] for event in told] == sorted(event["cause"] for event in told)
    assert all(event["prev"] < event["seq"] for event in told)


def test_a_document_names_its_topic() -> None:
    """A reader of the documents alone finds the topic."""
    assert {type_name(m): message_document(m)["x-topic"] for m in MESSAGE_TYPES} == {
        type_name(m): m.topic for m in MESSAGE_TYPES
    }


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_what_the_decoder_refuses_the_schema_refuses(case: Refused) -> None:
    """But for what JSON Schema cannot say: equal fields, depth, 1.0 as no integer, a newline at the very end."""
    name = case.record.get("type") if isinstance(case.record, dict) else "order.new"
    found = complaints(name if name in COMMANDS else "order.new", case.record)
    assert bool(found) == case.schema_knows


ACCEPTED: dict[str, dict[str, Any]] = {
    "limit order with nothing optional": without("order.new", "tif", "post_only", "reduce_only", "stp"),
    "market order": without("order.new", "price") | {"kind": "market"},
    "market order with price null": changed("order.new", kind="market", price=None),
    "market order, ioc": changed("order.new", kind="market", price=None, tif="ioc"),
    "post-only order": changed("order.new", post_only=True),
    "post-only order with the default tif": without("order.new", "tif") | {"post_only": True},
    "fill-or-kill": changed("order.new", tif="fok"),
    "leading zeros": changed("order.new", qty="0001.50"),
    "smallest qty": changed("order.new", qty="0.000000000000000001"),
    "longest qty": changed("order.new", qty=f"{'9' * 24}.{'9' * 18}"),
    "longest id": changed("order.new", account="a" * 64),
    "every kind of character in an id": changed("order.new", order_id="Az09._:-"),
    "first ts": changed("order.new", ts=0),
    "last ts": changed("order.new", ts=(1 << 63) - 1),
    "iceberg": changed("order.new", display_qty="0.1"),
    "iceberg without tif": without("order.new", "tif") | {"display_qty": "1"},
    "iceberg good till time, post-only": changed(
        "order.new", display_qty="0.1", tif="gtt", expire_at=5, post_only=True, reduce_only=True
    ),
    "iceberg that waits": changed("order.new", display_qty="1", trigger_price="5", trigger_when="rises_to"),
    "iceberg that shows more than it has": changed("order.new", qty="1", display_qty="2"),
    "market order with display_qty null": without("order.new", "price") | {"kind": "market", "display_qty": None},
    "amend of the price": without("order.amend", "qty"),
    "amend of the quantity": without("order.amend", "price"),
    "amend with a null": changed("order.amend", price=None),
    "cancel in all markets": without("order.cancel_all", "market"),
    "cancel in market null": changed("order.cancel_all", market=None),
    "mark without index": without("price.mark", "index"),
    "negative rate": changed("price.funding", rate="-0.000125"),
    "rate of zero": changed("price.funding", rate="0"),
    "margin added": changed("account.margin", amount="25.5"),
    "injection with index null": changed("fund.deposit", index=None),
    "donation without index": changed("fund.deposit", kind="donation"),
    "donation with index": changed("fund.deposit", kind="donation", index="43210.5"),
    "minimum of zero": changed("fund.minimum", amount="0"),
    "no changes": changed("config.set", changes={}),
    "a setting back to its default": changed("config.set", changes={"a": {"b": None}}),
    "widest integers": changed("config.set", changes={"a": [-(1 << 63), (1 << 63) - 1]}),
}


@pytest.mark.parametrize("record", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_the_decoder_accepts_the_schema_accepts(record: dict[str, Any]) -> None:
    """Neither is stricter at the edges of the domains."""
    decode_command(orjson.dumps(record))
    assert complaints(record["type"], record) == []


def test_the_example_venue_is_valid() -> None:
    """deploy/venue.toml, read as JSON, keeps to the document of the config."""
    assert complaints("venue", tomllib.loads(VENUE.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    ("found", "there"),
    [
        ('tick = "0.1"', "tick = 0.1"),
        ('tick = "0.1"', 'tick = "1e-1"'),
        ('tick = "0.1"', ""),
        ('tick = "0.1"', 'tick = "0.1"\ncolour = "red"'),
        ("[markets.BTC-USDT]", '[markets."BTC/USDT"]'),
        ('contract = "linear"', 'contract = "quanto"'),
        ("decimals = 6", "decimals = 19"),
    ],
)
def test_a_bad_venue_is_not_valid(found: str, there: str) -> None:
    """An editor that knows the document marks these before the service refuses them."""
    assert complaints("venue", tomllib.loads(VENUE.read_text("utf-8").replace(found, there, 1))) != []


def test_rewriting_leaves_exactly_the_current_documents(tmp_path: Path) -> None:
    """Missing, old and foreign files are found, and put right."""
    rewrite(tmp_path)
    assert stale(tmp_path) == []
    (tmp_path / "order.new.schema.json").unlink()
    (tmp_path / "price.mark.schema.json").write_text("{}")
    (tmp_path / "order.old.schema.json").write_text("{}")
    assert stale(tmp_path) == [
        "order.new.schema.json: missing",
        "price.mark.schema.json: out of date",
        "order.old.schema.json: no such message",
    ]
    rewrite(tmp_path)
    assert stale(tmp_path) == []


def test_check_names_what_is_stale_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In continuous integration a forgotten `make schemas` fails, and says which files."""
    monkeypatch.setattr(documents, "FOLDER", tmp_path)
    result = CliRunner().invoke(documents.main, ["--check"])
    assert result.exit_code == 1
    assert "schemas/json/order.new.schema.json: missing (make schemas)" in result.output
    assert list(tmp_path.iterdir()) == []
    assert CliRunner().invoke(documents.main, []).exit_code == 0
    assert CliRunner().invoke(documents.main, ["--check"]).exit_code == 0


def _walk(part: Any) -> list[dict[str, Any]]:
    if isinstance(part, dict):
        return [part, *(inner for value in part.values() for inner in _walk(value))]
    if isinstance(part, list):
        return [inner for value in part for inner in _walk(value)]
    return []


def _references(document: dict[str, Any]) -> list[str]:
    return [part["$ref"] for part in _walk(document) if isinstance(part.get("$ref"), str)]
