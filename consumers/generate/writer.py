"""A command log on disk: one command per line, plain, .gz or .zst by its name."""

import gzip
import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self, cast

import orjson
import zstandard

from consumers.errors import UsageFailure
from consumers.generate.account import Message

_GZIP_LEVEL: Final = 6
_ZSTD_LEVEL: Final = 3

_WRITE_BYTES: Final = 1 << 16
"""Lines are collected up to this size: compressors take few large pieces better than many small ones."""


class LogWriter:
    """Streams commands to a file that appears under its name only when it is complete.

    The bytes depend on the commands alone: a gzip header carries neither time nor name. `commands` and
    `sha256` are of what has been written, `sha256` of the uncompressed bytes.
    """

    __slots__ = ("_hash", "_pending", "_raw", "_sink", "_target", "_unfinished", "commands")

    def __init__(self, path: Path) -> None:
        self.commands = 0
        self._hash = hashlib.sha256()
        self._pending = bytearray()
        self._target = path.resolve()
        # What exists and is no file (a pipe, /dev/null) is written to, not replaced.
        replaces = self._target.is_file() or not self._target.exists()
        self._unfinished = self._target.with_name(f"{self._target.name}.partial") if replaces else self._target
        try:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._raw = self._unfinished.open("wb")
        except OSError as error:
            raise UsageFailure(f"{path}: cannot be written: {error.strerror}") from None
        self._sink = _compressor(path, self._raw)

    @property
    def sha256(self) -> str:
        """The hash of the uncompressed bytes, in hex."""
        return self._hash.hexdigest()

    def write(self, messages: Iterable[Message]) -> None:
        """Append commands, one per line."""
        for message in messages:
            self._pending += orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE)
            self.commands += 1
        if len(self._pending) >= _WRITE_BYTES:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file and give it its name, or after an error leave nothing behind."""
        if kind is not None:
            self._abandon()
            return
        try:
            self._flush()
            if self._sink is not self._raw:
                self._sink.close()
            self._raw.close()
            if self._unfinished != self._target:
                os.replace(self._unfinished, self._target)
        except OSError as failure:
            self._abandon()
            raise self._refusal(failure) from None
        except UsageFailure:
            self._abandon()
            raise

    def _flush(self) -> None:
        self._hash.update(self._pending)
        try:
            self._sink.write(self._pending)
        except OSError as failure:
            raise self._refusal(failure) from None
        self._pending.clear()

    def _abandon(self) -> None:
        with suppress(OSError):  # what is still buffered does not matter any more
            self._raw.close()
        if self._unfinished != self._target:
            self._unfinished.unlink(missing_ok=True)

    def _refusal(self, failure: OSError) -> UsageFailure:
        return UsageFailure(f"{self._target}: cannot be written: {failure.strerror}")


def _compressor(path: Path, raw: BinaryIO) -> BinaryIO:
    if path.suffix == ".gz":
        return cast("BinaryIO", gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=raw, mtime=0))
    if path.suffix == ".zst":
        compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
        return cast("BinaryIO", compressor.stream_writer(raw, closefd=False))
    return raw
