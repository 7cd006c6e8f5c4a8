"""The page that describes journals shows real records and names every field."""

import re
from pathlib import Path

from consumers.service.journal import Entry, Header, decode_record

PAGE = (Path(__file__).parents[2] / "docs" / "journal.md").read_text("utf-8")


def test_the_example_records_are_real() -> None:
    lines = re.findall(r"^\{.*\}$", PAGE, flags=re.MULTILINE)
    assert len(lines) == 4
    genesis = decode_record(lines[0].encode() + b"\n", "page")
    assert genesis.header.genesis is not None
    batch = decode_record("\n".join(lines[1:]).encode() + b"\n", "page")
    assert [entry.trace is not None for entry in batch.entries] == [True, False]


def test_every_field_is_named() -> None:
    named = {
        name
        for row in re.findall(r"^\| (`[^|]+`) \|", PAGE, flags=re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert {*Header.__struct_fields__, *Entry.__struct_fields__} <= named
