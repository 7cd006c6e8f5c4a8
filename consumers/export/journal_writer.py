"""A file of journal records, plain or compressed by its name, which has its name only once all of it is on disk."""

import gzip
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final, cast

import zstandard

from consumers.errors import UsageFailure
from consumers.printable import display_name

_PARTIAL: Final = ".partial"
_ZSTANDARD_LEVEL: Final = 10
"""Journals are written once and kept."""


class JournalWriter:
    """Writes one file. `finish` gives it its name; `discard` leaves nothing behind. Raises UsageFailure."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(path.name + _PARTIAL)
        with self._said():
            self._stored = _Stored(self._partial)
        self._content = self._compressed()

    @property
    def length(self) -> int:
        """How many bytes are stored."""
        return self._stored.length

    def add(self, record: bytes) -> None:
        """Write a journal record."""
        with self._said():
            self._content.write(record)

    def finish(self) -> str:
        """Put the file on disk and give it its name; the SHA-256 of what is stored."""
        with self._said():
            if self._content is not self._stored:
                self._content.close()
            self._stored.put_on_disk()
            self._partial.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return self._stored.digest.hexdigest()

    def discard(self) -> None:
        """Remove what was written."""
        with suppress(OSError):
            self._stored.close()
        self._partial.unlink(missing_ok=True)

    def _compressed(self) -> Any:
        """Where records are written: compressors of two libraries, and the file itself."""
        if self._path.name.endswith(".zst"):
            compressor = zstandard.ZstdCompressor(level=_ZSTANDARD_LEVEL, write_checksum=True)
            return compressor.stream_writer(cast("IO[bytes]", self._stored), closefd=False)
        if self._path.name.endswith(".gz"):
            return gzip.GzipFile(filename="", fileobj=self._stored, mode="wb", mtime=0)
        return self._stored

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UsageFailure(f"{display_name(self._path)}: cannot be written: {error.strerror}") from None


class _Stored(io.BufferedIOBase):
    """A file that knows the hash of what was written to it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.digest = sha256()
        self.length = 0

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self.digest.update(content)
        self.length += len(content)
        return self._file.write(content)

    def put_on_disk(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def close(self) -> None:
        self._file.close()
        super().close()
