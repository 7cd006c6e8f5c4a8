"""The file of a snapshot: what was written is read, and nothing else is."""

import gc
import json
from collections.abc import Callable
from hashlib import sha256

import msgspec
import pytest
import zstandard

from consumers.snapshots.errors import DamagedSnapshot
from consumers.snapshots.packing import ROWS_PER_CHUNK, pack, unpack
from consumers.snapshots.snapshot import FORMAT, Snapshot, decode_snapshot, encode_snapshot, restore
from engine.rows import Row
from engine.spec import compile_venue
from schemas.config import config_document, parse_config
from tests.engine.restored import Machine, report
from tests.engine.stage import venue_toml
from tests.snapshots.conftest import SPEC, header

VALUES: list[object] = [
    *(0, -1, 1, True, False, None, "", "a", "a:b~c"),
    *(2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**100, -(2**63), -(2**63) - 1, -(2**64), -(10**40)),
]


@pytest.mark.parametrize("value", VALUES)
def test_every_value_comes_back_as_it_was(value: object) -> None:
    (row,) = unpack(pack([("kind", value, 1)])[0])
    assert row == ("kind", value, 1)
    assert [type(item) for item in row] == [str, type(value), int]


def test_rows_come_back_in_order_over_many_chunks_and_rows_of_large_numbers_among_them() -> None:
    rows: list[Row] = [("kind", i, 2**70 if i % 5_000 == 4_999 else "x") for i in range(3 * ROWS_PER_CHUNK + 1)]
    packed, count = pack(iter(rows))
    assert count == len(rows)
    assert list(unpack(packed)) == rows
    assert pack([]) == (packed_empty := pack([])[0], 0)
    assert list(unpack(packed_empty)) == []


@pytest.mark.parametrize("name", ["shard", "settlement"])
def test_a_machine_comes_back_with_its_header(name: str, request: pytest.FixtureRequest) -> None:
    machine: Machine = request.getfixturevalue(name)
    snapshot = decode_snapshot(encode_snapshot(header(machine), machine))
    expected = msgspec.structs.replace(
        header(machine),
        event_time=machine.event_time,
        state_hash=machine.state_hash(),
        rows=sum(1 for _ in machine.rows()) + sum(1 for _ in machine.report_rows()),
        venue=config_document(machine.config),
    )
    assert snapshot.header == expected
    back = restore(SPEC, snapshot)
    assert type(back) is type(machine)
    assert back.stream == machine.stream
    assert back.state_hash() == machine.state_hash()
    assert report(back) == report(machine)


def test_format_and_header_can_be_read_by_eye(shard: Machine) -> None:
    first, second, _ = encode_snapshot(header(shard), shard).split(b"\n", 2)
    assert first == b"backstop-snapshot 1"
    assert json.loads(second)["stream"] == shard.stream
    assert json.loads(second)["seen"] == {"orders/0": [122, "f00d"]}


def test_the_same_state_makes_the_same_file(shard: Machine) -> None:
    assert encode_snapshot(header(shard), shard) == encode_snapshot(header(shard), shard)


def test_a_header_of_another_stream_is_refused(shard: Machine, settlement: Machine) -> None:
    with pytest.raises(ValueError, match=f"header of {settlement.stream} for a snapshot of {shard.stream}"):
        encode_snapshot(header(settlement), shard)


def test_a_file_cut_off_anywhere_is_refused(shard: Machine) -> None:
    file = encode_snapshot(header(shard), shard)
    for length in (*range(700), *range(700, len(file), 997), len(file) - 1):
        with pytest.raises(DamagedSnapshot):
            decode_snapshot(file[:length])


def test_a_file_with_one_bit_changed_anywhere_is_refused(shard: Machine) -> None:
    file = encode_snapshot(header(shard), shard)
    for place in (*range(700), *range(700, len(file), 997), *range(len(file) - 40, len(file))):
        changed = bytearray(file)
        changed[place] ^= 1 << place % 8
        with pytest.raises(DamagedSnapshot):
            decode_snapshot(bytes(changed))


def test_a_file_with_something_behind_it_is_refused(shard: Machine) -> None:
    with pytest.raises(DamagedSnapshot, match="its checksum is wrong"):
        decode_snapshot(encode_snapshot(header(shard), shard) + b"\n")


def sealed(content: bytes) -> bytes:
    """With the checksum that it should have."""
    return content + sha256(content).digest()


def _split(file: bytes) -> tuple[bytes, bytes]:
    first, second, body = file[:-32].split(b"\n", 2)
    assert first + b"\n" == FORMAT
    return second, body


def packed(*chunks: bytes) -> bytes:
    """Chunks in the form of rows, whatever is in them."""
    framed = b"".join(len(chunk).to_bytes(4, "little") + chunk for chunk in chunks)
    return zstandard.ZstdCompressor().compress(framed)


Forge = Callable[[bytes, bytes], bytes]

WRONG: dict[str, tuple[Forge, str]] = {
    "another format": (lambda head, body: b"backstop-snapshot 2\n" + head + b"\n" + body, "it does not begin with"),
    "no header": (lambda *_: FORMAT, "its header has no end"),
    "no JSON": (lambda head, body: FORMAT + b"{" + head + b"\n" + body, "its header cannot be read"),
    "a field too many": (
        lambda head, body: FORMAT + head.replace(b"{", b'{"more":1,', 1) + b"\n" + body,
        "its header cannot be read: .*more",
    ),
    "no body": (lambda head, _: FORMAT + head + b"\n", "found the end"),
    "half a body": (lambda head, body: FORMAT + head + b"\n" + body[: len(body) // 2], "rows|found"),
    "not zstd": (lambda head, body: FORMAT + head + b"\nxyz" + body, "its rows cannot be read"),
    "no rows": (lambda head, _: FORMAT + head + b"\n" + packed(), "found the end"),
    "not msgpack": (lambda head, _: FORMAT + head + b"\n" + packed(b"\xc1"), "its rows cannot be read"),
    "no list of rows": (lambda head, _: FORMAT + head + b"\n" + packed(b"\x01"), "its rows cannot be read"),
    "an unknown extension": (
        lambda head, _: FORMAT + head + b"\n" + packed(msgspec.msgpack.encode([(msgspec.msgpack.Ext(2, b"1"),)])),
        "extension 2 is not known",
    ),
    "half a chunk": (
        lambda head, _: FORMAT + head + b"\n" + zstandard.ZstdCompressor().compress(b"\x09\x00\x00\x00\x90"),
        "its rows end in the middle of a chunk",
    ),
}


@pytest.mark.parametrize(("wrong", "reason"), WRONG.values(), ids=WRONG)
def test_what_has_its_checksum_and_makes_no_sense_is_refused(wrong: Forge, reason: str, shard: Machine) -> None:
    file = encode_snapshot(header(shard), shard)
    with pytest.raises(DamagedSnapshot, match=reason):
        restore(SPEC, decode_snapshot(sealed(wrong(*_split(file)))))


def test_a_state_that_does_not_have_the_hash_of_the_header_is_refused(shard: Machine) -> None:
    snapshot = decode_snapshot(encode_snapshot(header(shard), shard))
    other = Snapshot(msgspec.structs.replace(snapshot.header, state_hash="00"), snapshot.rows)
    with pytest.raises(DamagedSnapshot, match="the restored state has the hash [0-9a-f]+, not 00"):  # noqa: RUF043
        restore(SPEC, other)


def test_a_stream_that_the_config_does_not_have_is_refused(shard: Machine, settlement: Machine) -> None:
    alien = compile_venue(parse_config(venue_toml().replace("usdt]", "alien]").replace('"usdt"', '"alien"')))
    with pytest.raises(DamagedSnapshot, match=f"it is of {shard.stream}, which the config does not have"):
        restore(alien, decode_snapshot(encode_snapshot(header(shard), shard)))


def test_the_collector_is_on_again_after_restoring_and_after_failing_to(shard: Machine) -> None:
    snapshot = decode_snapshot(encode_snapshot(header(shard), shard))
    restore(SPEC, snapshot)
    assert gc.isenabled()
    with pytest.raises(DamagedSnapshot):
        restore(SPEC, snapshot)  # whose rows are used up
    assert gc.isenabled()
