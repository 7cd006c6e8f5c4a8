"""Where snapshots are kept: a folder or an object store, as any URL that fsspec knows.

    <url>/<stream, with ~ for :>.<journal number, 20 digits>.<producer epoch, 10 digits>.snapshot

A name is there with all of its content or not at all. In a folder the content goes to a file beside it first, which is
synced and then renamed, and the rename is synced, too; an object store puts an object as a whole; any other file
system gets the file beside it and a rename. Every snapshot is read back before an older one is deleted.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple, TypeVar
from uuid import uuid4

from fsspec.core import url_to_fs

from consumers.snapshots.errors import DamagedSnapshot, StoreFailure
from consumers.snapshots.snapshot import Machine, Snapshot, SnapshotHeader, decode_snapshot, encode_snapshot

KEPT: Final = 3
_SUFFIX: Final = ".snapshot"
_PARTIAL: Final = ".partial"
_ABANDONED_AFTER: Final = 3_600
"""Seconds after which a partial file is what a process left that was killed while it wrote."""

_NAME: Final = re.compile(r"(?P<stream>.+)\.(?P<last>[0-9]{20})\.(?P<epoch>[0-9]{10})\.snapshot")
_WHOLE_OBJECTS: Final = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci", "oss", "memory"})
"""Protocols under which a put is seen whole or not at all."""

T = TypeVar("T")


class SnapshotName(NamedTuple):
    """The name of a file, and what it says."""

    file: str
    last: int
    epoch: int


class SnapshotStore:
    """The snapshots under one URL, of any number of streams; of each the last `keep` stay.

    Every method raises StoreFailure where the place does not do what it is asked for.
    """

    def __init__(self, url: str, keep: int = KEPT) -> None:
        if keep < 1:
            raise ValueError(f"keep: expected 1 or more, got {keep}")
        self.url = url
        self._keep = keep
        with self._failing(f"open {url}"):
            self._fs, self._root = url_to_fs(url)
        protocol = self._fs.protocol
        protocols = {protocol} if isinstance(protocol, str) else {*protocol}
        self._is_local = bool(protocols & {"file", "local"})
        self._is_whole = bool(protocols & _WHOLE_OBJECTS)

    def write(self, header: SnapshotHeader, machine: Machine) -> SnapshotName:
        """Keep a machine's state, check that it can be read back, then delete what is older than the last few.

        Where that fails, all that was there is there still, and nothing else.
        """
        return self.keep(header, encode_snapshot(header, machine))

    def keep(self, header: SnapshotHeader, content: bytes) -> SnapshotName:
        """As `write`, with a file that `encode_snapshot` made of this header: the machine may go on meanwhile."""
        name = _name(header)
        with self._failing(f"write snapshot {name.file} to {self.url}"):
            self._put(name.file, content)
            if self._read(name.file) != content:
                self._remove(name.file)
                raise OSError("it does not read back as it was written")
        with self._failing(f"delete old snapshots from {self.url}"):
            for old in self.names(header.stream)[self._keep :]:
                if old != name:
                    self._remove(old.file)
            self._sweep(header.stream)
        return name

    def names(self, stream: str) -> list[SnapshotName]:
        """The snapshots of a stream, newest first: by journal number, then by epoch."""
        with self._failing(f"list snapshots in {self.url}"):
            found = [match for file in self._files() if (match := _NAME.fullmatch(file))]
        names = [
            SnapshotName(match[0], int(match["last"]), int(match["epoch"]))
            for match in found
            if match["stream"] == _label(stream)
        ]
        return sorted(names, key=lambda name: (name.last, name.epoch), reverse=True)

    def load(self, name: SnapshotName) -> Snapshot:
        """Read one. Raises DamagedSnapshot, also while its rows are taken."""
        with self._failing(f"read snapshot {name.file} from {self.url}"):
            content = self._read(name.file)
        snapshot = decode_snapshot(content)
        if _name(snapshot.header) != name:
            raise DamagedSnapshot(f"it is {_name(snapshot.header).file} by its header")
        return snapshot

    def load_newest(
        self,
        stream: str,
        use: Callable[[Snapshot], T],
        passed_over: Callable[[SnapshotName, str], None],
    ) -> tuple[SnapshotHeader, T] | None:
        """The newest snapshot of a stream that `use` can use, with what it made of it; None if there is no such.

        `use` restores a machine and raises DamagedSnapshot for what it cannot or may not use. Each that is passed over,
        as it cannot be used or not be read, is told to `passed_over` with the reason.
        """
        for name in self.names(stream):
            try:
                snapshot = self.load(name)
                return snapshot.header, use(snapshot)
            except (DamagedSnapshot, StoreFailure) as error:
                passed_over(name, str(error))
        return None

    def _files(self) -> list[str]:
        """The names of all files there."""
        if self._is_local:
            return os.listdir(self._root) if os.path.isdir(self._root) else []
        if not self._is_whole and not self._fs.exists(self._root):
            return []
        self._fs.invalidate_cache(self._root)
        try:
            entries: list[dict[str, Any]] = self._fs.ls(self._root, detail=True)
        except FileNotFoundError:  # an object store has no empty folders
            return []
        return [entry["name"].rsplit("/", 1)[-1] for entry in entries if entry["type"] == "file"]

    def _put(self, file: str, content: bytes) -> None:
        if self._is_local:
            _write_file(self._root, file, content)
        elif self._is_whole:
            self._fs.pipe_file(self._path(file), content)
        else:
            partial = self._path(f"{file}.{uuid4().hex}{_PARTIAL}")
            self._fs.makedirs(self._root, exist_ok=True)
            try:
                self._fs.pipe_file(partial, content)
                self._fs.mv(partial, self._path(file))
            except BaseException:
                with suppress(Exception):
                    self._fs.rm_file(partial)
                raise

    def _read(self, file: str) -> bytes:
        if self._is_local:
            with open(os.path.join(self._root, file), "rb") as stream:
                return stream.read()
        content: bytes = self._fs.cat_file(self._path(file))
        return content

    def _remove(self, file: str) -> None:
        """Delete a file, unless somebody else was faster."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._path(file))

    def _sweep(self, stream: str) -> None:
        """Delete what a process left that was killed while it wrote."""
        if not self._is_local:
            return
        for file in self._files():
            if file.startswith(f"{_label(stream)}.") and file.endswith(_PARTIAL):
                with suppress(FileNotFoundError):
                    path = os.path.join(self._root, file)
                    if time.time() - os.stat(path).st_mtime > _ABANDONED_AFTER:
                        os.unlink(path)

    def _path(self, file: str) -> str:
        return f"{self._root.rstrip('/')}/{file}"

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """Say what was to be done where it could not be."""
        try:
            yield
        except (StoreFailure, DamagedSnapshot):
            raise
        # A file system raises what the library behind it raises: OSError, or botocore's, aiohttp's, google's errors.
        except Exception as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise StoreFailure(f"cannot {what}: {' '.join((reason or type(error).__name__).split())}") from error


def _write_file(folder: str, file: str, content: bytes) -> None:
    """Have a file with all of its content, on the disk, or none."""
    os.makedirs(folder, exist_ok=True)
    partial = os.path.join(folder, f"{file}.{uuid4().hex}{_PARTIAL}")
    try:
        with open(partial, "xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, os.path.join(folder, file))
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)
        raise
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _label(stream: str) -> str:
    """A stream as a part of a file's name; `~` is no part of any name."""
    return stream.replace(":", "~")


def _name(header: SnapshotHeader) -> SnapshotName:
    file = f"{_label(header.stream)}.{header.last:020}.{header.epoch:010}{_SUFFIX}"
    return SnapshotName(file, header.last, header.epoch)
