"""Rows of a state as bytes and back: msgpack in chunks, each with its length before it, in one zstd frame."""

from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import islice
from typing import Final

import msgspec
import zstandard

from consumers.snapshots.errors import DamagedSnapshot
from engine.rows import Row

ROWS_PER_CHUNK: Final = 4_096
_LENGTH_BYTES: Final = 4
_LEVEL: Final = 3
_LARGE_INTEGER: Final = 1
"""The msgpack extension for integers beyond 64 bits (sums over time of a fund's worth, say): decimal text."""


def _read_extension(code: int, data: memoryview) -> int:
    if code != _LARGE_INTEGER:
        raise ValueError(f"extension {code} is not known")
    return int(bytes(data))


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[tuple[object, ...]], ext_hook=_read_extension)


def pack(rows: Iterable[Row]) -> tuple[bytes, int]:
    """All rows as bytes, and how many there are."""
    compressor = zstandard.ZstdCompressor(level=_LEVEL).compressobj()
    parts: list[bytes] = []
    count = 0
    remaining = iter(rows)
    while chunk := list(islice(remaining, ROWS_PER_CHUNK)):
        packed = _pack_chunk(chunk)
        parts.append(compressor.compress(len(packed).to_bytes(_LENGTH_BYTES, "little") + packed))
        count += len(chunk)
    parts.append(compressor.flush())
    return b"".join(parts), count


def unpack(packed: bytes) -> Iterator[Row]:
    """The rows that `pack` made bytes of. Raises DamagedSnapshot at the first that cannot be read."""
    try:
        with zstandard.ZstdDecompressor().stream_reader(BytesIO(packed)) as stream:
            while head := stream.read(_LENGTH_BYTES):
                length = int.from_bytes(head, "little")
                chunk = stream.read(length)
                if len(chunk) < length:
                    raise DamagedSnapshot("its rows end in the middle of a chunk")
                yield from _decoder.decode(chunk)
    except DamagedSnapshot:
        raise
    except (zstandard.ZstdError, msgspec.MsgspecError, ValueError) as error:
        raise DamagedSnapshot(f"its rows cannot be read: {error}") from error


def _pack_chunk(rows: list[Row]) -> bytes:
    try:
        return _encoder.encode(rows)
    except OverflowError:
        return _encoder.encode([tuple(map(_as_extension, row)) for row in rows])


def _as_extension(value: object) -> object:
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return msgspec.msgpack.Ext(_LARGE_INTEGER, str(value).encode())
    return value
