"""The file of a snapshot: what it is of, the state, and a checksum over both.

    line 1        backstop-snapshot 1                   the format
    line 2        {"stream":"engine:usdt",...}          the header: JSON, so that `head -2` shows it
    body          zstd: msgpack rows in chunks          rows of the state, then those that only reports need
    last 32 bytes SHA-256 over everything before

A file that was cut off, or in which a bit has changed, does not have its checksum. One that has it and still does not
restore to the state hash in its header was made by other code, or for another config.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import chain
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from consumers.snapshots.errors import DamagedSnapshot
from consumers.snapshots.packing import pack, unpack
from engine.restoration import restore_settlement, restore_shard
from engine.rows import BrokenDump, Row
from engine.settlement import Settlement
from engine.shard import Shard
from engine.spec import VenueSpec
from schemas.config import ConfigError, VenueConfig, config_document, config_hash, decode_config

FORMAT: Final = b"backstop-snapshot 1\n"
_CHECKSUM_BYTES: Final = 32


class Machine(Protocol):
    """What can be kept in a snapshot: an engine or a settlement."""

    @property
    def stream(self) -> str:
        """The name under which it emits."""

    @property
    def event_time(self) -> int:
        """In µs."""

    def state_hash(self) -> str:
        """SHA-256 over what influences later events."""

    @property
    def config(self) -> VenueConfig:
        """The config of the moment."""

    def rows(self) -> Iterator[Row]:
        """What influences later events."""

    def report_rows(self) -> Iterator[Row]:
        """What only reports need."""


class SnapshotHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a snapshot is of, and where in its stream to go on.

    `last` is the journal number of the last input that was applied, `offset` where the journal goes on behind it;
    `chain` is the hash of all events published up to there, in hex. `next` are the offsets at which the inputs go on,
    by topic and partition, and `seen` the offset and fingerprint of the last record of each. `config` is the hash of
    the config that is valid there, `code` the version that wrote this, `epoch` that of the producer whose journal it
    is, `journal` its cluster, topic and partition. The last four are filled in from the machine when it is written:
    event time in µs, hash and count of the rows, and `venue`, the config itself.
    """

    stream: str
    last: int
    offset: int
    chain: str
    next: dict[str, int]
    seen: dict[str, tuple[int, str]]
    config: str
    code: str
    epoch: int
    journal: str = ""
    event_time: int = 0
    state_hash: str = ""
    rows: int = 0
    venue: dict[str, Any] = {}


class Snapshot(NamedTuple):
    """A snapshot that was read: its header, and its rows, which may be taken once."""

    header: SnapshotHeader
    rows: Iterator[Row]


_header_decoder: Final = msgspec.json.Decoder(SnapshotHeader)


def encode_snapshot(header: SnapshotHeader, machine: Machine) -> bytes:
    """A machine's state as a file, under this header."""
    if header.stream != machine.stream:
        raise ValueError(f"header of {header.stream} for a snapshot of {machine.stream}")
    body, count = pack(chain(machine.rows(), machine.report_rows()))
    header = msgspec.structs.replace(
        header,
        event_time=machine.event_time,
        state_hash=machine.state_hash(),
        rows=count,
        venue=config_document(machine.config),
    )
    content = b"".join((FORMAT, msgspec.json.encode(header), b"\n", body))
    return content + sha256(content).digest()


def decode_snapshot(file: bytes) -> Snapshot:
    """Read a file. Raises DamagedSnapshot, also while the rows are taken."""
    if not file.startswith(FORMAT):
        start = file[: len(FORMAT)].partition(b"\n")[0].decode("ascii", "backslashreplace")
        raise DamagedSnapshot(f"it does not begin with {FORMAT.decode().strip()!r} but with {start!r}")
    content = memoryview(file)[:-_CHECKSUM_BYTES]
    if sha256(content).digest() != file[-_CHECKSUM_BYTES:]:
        raise DamagedSnapshot("its checksum is wrong: it was cut off or changed")
    end = file.find(b"\n", len(FORMAT))
    if end < 0:
        raise DamagedSnapshot("its header has no end")
    try:
        header = _header_decoder.decode(content[len(FORMAT) : end])
    except msgspec.MsgspecError as error:
        raise DamagedSnapshot(f"its header cannot be read: {error}") from error
    return Snapshot(header, unpack(bytes(content[end + 1 :])))


def restore(spec: VenueSpec, snapshot: Snapshot) -> Shard | Settlement:
    """The machine that a snapshot was taken of; `spec` is of the config valid there. Raises DamagedSnapshot."""
    header, rows = snapshot
    kind, _, name = header.stream.partition(":")
    with collector_off():
        try:
            if kind == "engine" and name in spec.shards:
                return restore_shard(spec.shards[name], rows, header.state_hash)
            if kind == "settlement" and name in spec.assets:
                return restore_settlement(spec, spec.assets[name], rows, header.state_hash)
        except BrokenDump as error:
            raise DamagedSnapshot(str(error)) from error
    raise DamagedSnapshot(f"it is of {header.stream}, which the config does not have")


def config_of(header: SnapshotHeader) -> VenueConfig:
    """The config that was valid at a snapshot. Raises DamagedSnapshot."""
    try:
        config = decode_config(header.venue)
    except ConfigError as error:
        raise DamagedSnapshot(f"its config cannot be used by this code: {error}") from None
    if config_hash(config) != header.config:
        raise DamagedSnapshot(f"its config has the hash {config_hash(config)}, its header names {header.config}")
    return config


@contextmanager
def collector_off() -> Iterator[None]:
    """Make many objects, all of which stay, without the garbage collector looking at them over and over."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
