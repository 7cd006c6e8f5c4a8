"""The pages that describe the wire and the config leave nothing out and describe nothing that is not there."""

import re
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from engine.reject import Code
from schemas import config
from schemas.documents import MESSAGE_TYPES, type_name
from schemas.wire import decode_command, decode_event

DOCS = Path(__file__).parents[2] / "docs"
WIRE = (DOCS / "wire.md").read_text("utf-8")
CONFIG = (DOCS / "config.md").read_text("utf-8")

TABLES = {
    "`[assets.<name>]`": config.AssetConfig,
    "`[limits]`": config.LimitsConfig,
    "`[funds.<name>]`": config.FundConfig,
    "`[shards.<name>]`": config.ShardConfig,
    "`[markets.<name>]`": config.MarketConfig,
    "`tiers`": config.TierConfig,
}


def _rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    below = re.split(rf"^#+ {re.escape(heading)}$", page, flags=re.MULTILINE)[1]
    section = re.split(r"^#+ ", below, flags=re.MULTILINE)[0]
    after_heading = dropwhile(lambda line: not line.startswith("|"), section.splitlines())
    lines = list(takewhile(lambda line: line.startswith("|"), after_heading))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_each_message_is_listed_under_its_topic() -> None:
    """A reader finds what a topic carries in one table: everything, and nothing else."""
    for topic in {message.topic for message in MESSAGE_TYPES}:
        listed = [row[0].strip("`") for row in _rows(WIRE, topic)]
        assert sorted(listed) == sorted(type_name(message) for message in MESSAGE_TYPES if message.topic == topic)


def test_each_rejection_code_is_listed() -> None:
    """The codes are stable, so they are written down; `wrong_round` is that of decision.rejected."""
    listed = re.findall(r"^\| `(\w+)` \|", WIRE, flags=re.MULTILINE)
    assert sorted(set(get_args(Code)) | {"wrong_round"}) == sorted(
        code for code in listed if code not in {"too_large", "malformed", "unknown_type", "invalid", "type", "ts"}
    )


def test_the_example_records_are_real() -> None:
    """What stands on the page decodes."""
    records = re.findall(r'^\{"type".*\}$', WIRE, flags=re.MULTILINE)
    assert len(records) == 4
    for record in records:
        decode = decode_event if '"stream"' in record else decode_command
        decode(record.encode())


@pytest.mark.parametrize(("heading", "table"), TABLES.items(), ids=TABLES.keys())
def test_each_setting_is_listed_with_its_default(heading: str, table: type[msgspec.Struct]) -> None:
    """Name and default as the type has them; `required` where there is none."""
    listed = {row[0].strip("`"): row[2].strip("`") for row in _rows(CONFIG, heading)}
    assert listed == {field.name: _default(field) for field in msgspec.structs.fields(table)}


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is msgspec.NODEFAULT:
        return "required"
    return f'"{field.default}"' if isinstance(field.default, str) else str(field.default).lower()
