"""The journal of a stream: its numbered inputs in order, and how far they were read.

A record of the topic `journal` is a whole batch as JSON lines: a header, then one line per input. The concatenation of
all records is a file that replays, so a journal is exported by copying it.

    {"type": "journal.batch", "stream": "engine:usdt", "first": 17, "last": 18, "chain": …, "next": {…}, …}
    {"at": "orders/0/122", "input": {"type": "order.new", …}}
    {"at": "mark-prices/0/7", "trace": "00-…-01", "input": {"type": "price.mark", …}}

`last` = `first` − 1 means no input: the genesis, a heartbeat, or that only dead letters were passed over. The journal
is also where the positions in the input topics come from, and what tells two instances of a stream apart.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Raw, Struct

from schemas.commands import Command
from schemas.envelope import Event

RECORD_BYTES_MAX: Final = 512 * 1024
"""A batch ends before its record would be longer, so that no record is refused by the broker."""

NO_CHAIN: Final = bytes(32)
"""The chain before the genesis."""


class JournalError(RuntimeError):
    """A journal that cannot be read or does not continue: says where, and what was expected."""


class DoesNotFollow(JournalError):
    """A journal that can be read, but whose inputs do not cause what it says they caused."""


class Header(
    Struct, tag_field="type", tag="journal.batch", kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What a journal record says of its batch.

    `config` is the hash of the venue config after the batch, `code` the version that computed the events, `chain` the
    hash of all event bytes up to here, as hex. `next` are the offsets to go on from, by input ("topic/partition");
    `seen` what the last record read of each input was: its offset and a fingerprint. `cluster`, `instance` and `epoch`
    say who wrote it. `genesis` is the venue's config file, in the first record of a journal only.
    """

    stream: str
    first: int
    last: int
    chain: str
    config: str
    code: str
    next: dict[str, int] = {}
    seen: dict[str, tuple[int, str]] = {}
    cluster: str = ""
    instance: str = ""
    epoch: int = 0
    genesis: str | None = None

    @property
    def inputs(self) -> int:
        """How many inputs the record holds."""
        return self.last - self.first + 1

    @property
    def is_heartbeat(self) -> bool:
        """Whether nothing happened but that an instance is alive: neither an input nor a genesis."""
        return self.last < self.first and self.genesis is None


class Entry(Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One input: where it came from ("topic/partition/offset", or "clock"), its trace context, and itself."""

    at: str
    input: Raw
    trace: str | None = None


class _Tagged(Struct):
    type: str | None = None


_encoder: Final = msgspec.json.Encoder()
_tag_decoder: Final = msgspec.json.Decoder(_Tagged)
_header_decoder: Final = msgspec.json.Decoder(Header)
_entry_decoder: Final = msgspec.json.Decoder(Entry)


def is_journal(line: bytes) -> bool:
    """Whether a line that a file begins with is the header of a journal record, if maybe not a good one."""
    try:
        return _tag_decoder.decode(line).type == Header.__struct_config__.tag
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def encode_entry(at: str, message: Command | Event, trace: str | None) -> bytes:
    """One input as a line, without its end."""
    return _encoder.encode(Entry(at=at, input=Raw(_encoder.encode(message)), trace=trace))


def encode_record(header: Header, entries: Iterable[bytes]) -> bytes:
    """One journal record."""
    return b"\n".join((_encoder.encode(header), *entries, b""))


def decode_header(line: bytes, where: str) -> Header:
    """The header line of a record. Raises JournalError."""
    try:
        return _header_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise JournalError(f"{where}: expected the header of a journal record; {error}") from None


def decode_entry(line: bytes, where: str) -> Entry:
    """The line of one input. Raises JournalError."""
    try:
        return _entry_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise JournalError(f"{where}: expected an input of the journal; {error}") from None


class Record(Struct, frozen=True):
    """A journal record, taken apart."""

    header: Header
    entries: Sequence[Entry]


def decode_record(value: bytes, where: str) -> Record:
    """A record of the topic `journal`. Raises JournalError, also where the count of inputs is not what it says."""
    first, *rest = value.removesuffix(b"\n").split(b"\n")
    header = decode_header(first, where)
    entries = [decode_entry(line, where) for line in rest]
    if len(entries) != header.inputs:
        raise JournalError(f"{where}: holds {len(entries)} inputs, its header says {header.first} to {header.last}")
    return Record(header, entries)


def next_chain(chain: bytes, values: Iterable[bytes]) -> bytes:
    """The chain after a batch: SHA-256 over the chain before it and its events, each followed by a line feed."""
    digest = sha256(chain)
    digest.update(b"\n".join((*values, b"")))
    return digest.digest()
