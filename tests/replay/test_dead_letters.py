"""Dead letters: nothing that came in is lost, whatever bytes it is made of."""

import base64
import hashlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.command_log import Line
from consumers.dead_letters.line import DeadLetter
from schemas.wire import WireError, decode_command


def malformed(raw: bytes, **cut: str) -> DeadLetter:
    return DeadLetter(Line("log.gz", 7, raw, len(raw), **cut), "malformed", "record: because")


def test_text_is_kept_as_text() -> None:
    encoded = malformed('{"type": "größer"'.encode()).encode()
    assert orjson.loads(encoded) == {
        "source": "log.gz",
        "line": 7,
        "code": "malformed",
        "reason": "record: because",
        "raw": '{"type": "größer"',
    }


@given(st.binary())
def test_every_line_can_be_got_back_to_the_byte(raw: bytes) -> None:
    """Text as text, anything else in base64."""
    document = orjson.loads(malformed(raw).encode())
    if "raw" in document:
        assert document["raw"].encode() == raw
        assert "raw_base64" not in document
    else:
        assert base64.b64decode(document["raw_base64"]) == raw


@given(st.text(alphabet="aä€😀", min_size=10, max_size=10), st.integers(1, 39))
def test_a_cut_within_a_character_leaves_text(text: str, length: int) -> None:
    """Where a long line is cut, half a character at the end must not turn all of it into base64."""
    whole = text.encode()
    cut = whole[:length]
    document = orjson.loads(malformed(cut, sha256=hashlib.sha256(whole).hexdigest()).encode())
    assert whole.startswith(document["raw"].encode())
    assert len(cut) - len(document["raw"].encode()) < 4
    assert document["truncated"] is True


@given(st.binary(min_size=1, max_size=200))
def test_any_bytes_at_all_become_a_command_or_a_dead_letter(raw: bytes) -> None:
    """The decoder has no other way to fail, and whatever it says can be written down."""
    try:
        decode_command(raw)
        return
    except WireError as refused:
        letter = DeadLetter.of(Line("x", 1, raw, len(raw)), refused)
    assert orjson.loads(letter.encode())["code"]


@pytest.mark.parametrize(
    "raw",
    [
        b'{"type":"\\ud800","ts":1}',
        b'{"type":"clock.tick","ts":1,"\\ud800":1}',
        b'{"type":"clock.tick","ts":1e400}',
        b"[" * 60_000,
        b'{"type":"clock.tick","ts":' + b"9" * 5_000 + b"}",
        b'{"type":"clock.tick","type":"clock.tick","ts":1,"x":"\x00"}',
    ],
)
def test_treacherous_json_becomes_a_dead_letter(raw: bytes) -> None:
    with pytest.raises(WireError) as error:
        decode_command(raw)
    assert DeadLetter.of(Line("x", 1, raw, len(raw)), error.value).encode()
