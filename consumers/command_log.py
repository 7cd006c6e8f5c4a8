"""Command logs: files of JSON lines (plain, gzip or Zstandard) read as one sequence of lines, in bounded memory.

A log comes from outside, so nothing about it is trusted: not that it ends properly, nor that its lines are short.
What is kept in memory is a piece of the file, a batch of lines, and at most `RAW_BYTES_MAX` of one overlong line.
"""

import hashlib
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BufferedReader, FileIO
from itertools import chain
from pathlib import Path
from typing import Final, Protocol

import zstandard
from msgspec import Struct

from consumers.errors import UsageFailure
from consumers.printable import display_name

RAW_BYTES_MAX: Final = 16 * 1024 * 1024
"""What is kept of one line. Of a longer one, length and SHA-256 stand for the rest."""

BATCH_LINES: Final = 256
BATCH_BYTES: Final = 1024 * 1024
"""A batch ends at whichever comes first: small enough that a signal is answered soon."""

_BUFFER_BYTES: Final = 1024 * 1024
_SLICE_BYTES: Final = 256 * 1024

# How much compressed input is expanded at a time. It bounds memory, as nothing else does: gzip expands at most
# 1,032-fold, and 4 bytes of Zstandard can stand for a block of 128 KiB.
_GZIP_PIECE_BYTES: Final = 4 * 1024
_ZSTANDARD_PIECE_BYTES: Final = 1024

_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZSTANDARD_MAGICS: Final = (b"\x28\xb5\x2f\xfd", *(bytes((n, 0x2A, 0x4D, 0x18)) for n in range(0x50, 0x60)))
_REFUSED_MAGICS: Final = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip", b"\x04\x22\x4d\x18": "lz4"}
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class LogUnreadable(UsageFailure):
    """A log that cannot be read, or not to its end: the text names the file and the place."""


class Line(Struct, frozen=True, gc=False):
    """One line that is not blank, without its line ending.

    Of a line longer than `RAW_BYTES_MAX`, `raw` is the beginning and `sha256` that of the whole line.
    """

    source: str
    number: int
    raw: bytes
    length: int
    sha256: str | None = None

    @property
    def place(self) -> str:
        """Where the line stands, as editors and compilers write it."""
        return f"{self.source}:{self.number}"


class LogFile(Struct):
    """What has been read of one file so far, as it is stored; `sha256` is known once it was read to its end."""

    file: str
    bytes: int = 0
    lines: int = 0
    sha256: str | None = None


class Decompressor(Protocol):
    """What zlib's and zstandard's incremental decompressors have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class CommandLog:
    """The lines of several files, file after file, handed out in batches."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Raises LogUnreadable at once if one of the files is missing, a directory, or may not be read."""
        self.files: list[LogFile] = []
        self.bytes_total: int | None = 0
        for path in paths:
            size = _size(path)
            self.bytes_total = None if size is None or self.bytes_total is None else self.bytes_total + size
        self._lines: Iterator[Line] = self._read(paths)
        self._failure: LogUnreadable | None = None

    @property
    def bytes_read(self) -> int:
        """Bytes of the stored (compressed) files read so far: what progress is measured by."""
        return sum(file.bytes for file in self.files)

    def peek(self) -> Line | None:
        """The first line, which `poll` hands out again; None where there is none, or none that can be read."""
        try:
            first = next(self._lines, None)
        except LogUnreadable as failure:
            self._failure = failure
            return None
        if first is not None:
            self._lines = chain([first], self._lines)
        return first

    def poll(self) -> list[Line]:
        """The next batch, empty at the end. A failure to read is raised only after every line before it is out."""
        if self._failure is not None:
            raise self._failure
        batch: list[Line] = []
        size = 0
        try:
            for line in self._lines:
                batch.append(line)
                size += len(line.raw)
                if len(batch) >= BATCH_LINES or size >= BATCH_BYTES:
                    break
        except LogUnreadable as failure:
            if not batch:
                raise
            self._failure = failure
        return batch

    def _read(self, paths: Sequence[Path]) -> Iterator[Line]:
        for path in paths:
            file = LogFile(display_name(path))
            self.files.append(file)
            try:
                with path.open("rb", buffering=0) as stored:
                    yield from _split(file, _plain_bytes(path, file, stored))
            except OSError as error:
                raise LogUnreadable(f"{_place(file)}: cannot be read: {error.strerror}") from None


def _size(path: Path) -> int | None:
    """The size of a regular file; None for a pipe. Opening a pipe twice would lose data, so it is not tried."""
    name = display_name(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise LogUnreadable(f"{name}: expected a file, it is a directory")
        if not stat.S_ISREG(status.st_mode):
            return None
        path.open("rb").close()
    except FileNotFoundError:
        raise LogUnreadable(f"{name}: no such file") from None
    except (OSError, ValueError) as error:
        raise LogUnreadable(f"{name}: cannot be read: {getattr(error, 'strerror', error)}") from None
    return status.st_size


def _place(file: LogFile) -> str:
    return f"{file.file}: after line {file.lines}" if file.lines else file.file


def _plain_bytes(path: Path, file: LogFile, stored: FileIO) -> Iterator[bytes]:
    """The content of a file, decompressed if need be, in slices of bounded size.

    The first bytes decide what the file is. A name that promises otherwise is refused rather than guessed about:
    read as plain text, a damaged .gz would become thousands of dead letters.
    """
    digest = hashlib.sha256()
    buffered = BufferedReader(stored, _BUFFER_BYTES)

    def read(size: int) -> bytes:
        piece = buffered.read1(size)
        digest.update(piece)
        file.bytes += len(piece)
        if not piece:
            file.sha256 = digest.hexdigest()
        return piece

    magic = buffered.peek(8)
    if magic.startswith(_GZIP_MAGIC):
        pieces = iter(lambda: read(_GZIP_PIECE_BYTES), b"")
        content = _decompress(file, "gzip", pieces, lambda: zlib.decompressobj(wbits=31))
    elif magic.startswith(_ZSTANDARD_MAGICS):
        pieces = iter(lambda: read(_ZSTANDARD_PIECE_BYTES), b"")
        content = _decompress(file, "zstd", pieces, zstandard.ZstdDecompressor().decompressobj)
    else:
        for refused, name in _REFUSED_MAGICS.items():
            if magic.startswith(refused):
                raise LogUnreadable(f"{file.file}: {name} is not supported; expected plain text, gzip or zstd")
        for ending, name in ((".gz", "gzip"), (".zst", "zstd")):
            if path.name.endswith(ending):
                found = "is empty" if not magic else "does not begin as such"
                raise LogUnreadable(f"{file.file}: expected {name} data, as the name ends in {ending}; it {found}")
        content = iter(lambda: read(_SLICE_BYTES), b"")
    for piece in content:
        for start in range(0, len(piece), _SLICE_BYTES):
            yield piece[start : start + _SLICE_BYTES]


def _decompress(
    file: LogFile, name: str, pieces: Iterable[bytes], fresh: Callable[[], Decompressor]
) -> Iterator[bytes]:
    """Expand one gzip member or Zstandard frame after the other: concatenated ones are ordinary, as rotated logs are.

    Neither library's file object would do: each hides the end of input inside a frame in its own way, and it is
    the one thing that must not pass unseen.
    """
    decoder: Decompressor | None = None
    ended = 0
    for piece in pieces:
        rest = piece
        while rest:
            if decoder is None:
                if ended and name == "gzip" and not (rest := rest.lstrip(b"\0")):
                    break  # padding to a block of the medium, which gzip itself allows
                decoder = fresh()
            try:
                expanded = decoder.decompress(rest)
            except (zlib.error, zstandard.ZstdError) as error:
                raise LogUnreadable(
                    f"{_place(file)}: corrupt {name} data near byte {file.bytes - len(rest)}: {error}"
                ) from None
            if expanded:
                yield expanded
            if not decoder.eof:
                break
            rest = decoder.unused_data
            decoder = None
            ended += 1
    if decoder is not None:
        raise LogUnreadable(f"{_place(file)}: truncated {name} data, it ends at byte {file.bytes} within a frame")


class _LongLine:
    """A line whose end has not been seen: its beginning, and length and hash of all of it."""

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._length = 0
        self._digest = hashlib.sha256()

    def add(self, part: bytes) -> None:
        room = RAW_BYTES_MAX - self._length
        if room > 0:
            self._kept.append(part[:room])
        self._length += len(part)
        self._digest.update(part)

    def finish(self, file: LogFile) -> Line | None:
        raw = b"".join(self._kept)
        if self._length > RAW_BYTES_MAX:
            return Line(file.file, file.lines, raw, self._length, self._digest.hexdigest())
        return _line(file, raw)


def _line(file: LogFile, raw: bytes) -> Line | None:
    if raw.endswith(b"\r"):
        raw = raw[:-1]
    if file.lines == 1:
        raw = raw.removeprefix(_BYTE_ORDER_MARK)
    if not raw or raw.isspace():
        return None
    return Line(file.file, file.lines, raw, len(raw))


def _split(file: LogFile, content: Iterable[bytes]) -> Iterator[Line]:
    """Lines of a stream of bytes. A last line without an end counts; after a failure to read it does not."""
    unfinished: _LongLine | None = None
    for piece in content:
        *complete, tail = piece.split(b"\n")
        for raw in complete:
            file.lines += 1
            if unfinished is None:
                line = _line(file, raw)
            else:
                unfinished.add(raw)
                line = unfinished.finish(file)
                unfinished = None
            if line is not None:
                yield line
        if tail:
            unfinished = unfinished or _LongLine()
            unfinished.add(tail)
    if unfinished is not None:
        file.lines += 1
        line = unfinished.finish(file)
        if line is not None:
            yield line
