"""The files of a replay. None of them can be mistaken for one of a finished run.

While a run goes on it writes `events.jsonl.partial` and `dead-letters.jsonl.partial`. When it ends, in whatever
orderly way, they get their names, and `report.json` comes last: where it is missing the run was killed, and it
says `"complete": false` where the run stopped early. What an earlier run left is removed at the start.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from consumers.dead_letters.line import DeadLetter
from consumers.errors import UsageFailure
from consumers.printable import display_name

EVENTS: Final = "events.jsonl"
DEAD_LETTERS: Final = "dead-letters.jsonl"
REPORT: Final = "report.json"
PAGE: Final = "report.html"

_PARTIAL: Final = ".partial"
_BUFFER_BYTES: Final = 64 * 1024
_WRITE_BYTES: Final = 4 * 1024 * 1024


class Outputs:
    """The output directory of one run. Raises UsageFailure where the file system refuses."""

    def __init__(self, directory: Path, inputs: Sequence[Path]) -> None:
        """Makes the directory and empties it of an earlier run's files, unless one of them is an input."""
        self._directory = directory
        with self._said(directory, "made"):
            directory.mkdir(parents=True, exist_ok=True)
        own = [self.path(name + ending) for name in (REPORT, PAGE, EVENTS, DEAD_LETTERS) for ending in ("", _PARTIAL)]
        for path in own:
            for given in inputs:
                if path.exists() and path.samefile(given):
                    raise UsageFailure(
                        f"{display_name(given)}: is an input and would be overwritten; choose another --out"
                    )
        for path in own:
            with self._said(path, "removed"):
                path.unlink(missing_ok=True)
        with self._said(directory, "written to"):
            self._events = self.path(EVENTS + _PARTIAL).open("wb", buffering=_BUFFER_BYTES)
            self._dead_letters = self.path(DEAD_LETTERS + _PARTIAL).open("wb", buffering=_BUFFER_BYTES)
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._digest = hashlib.sha256()

    def path(self, name: str) -> Path:
        """Where a file of this run is."""
        return self._directory / name

    @property
    def events_sha256(self) -> str:
        """The hash of all that `flush` has written to the events file."""
        return self._digest.hexdigest()

    def event(self, encoded: bytes) -> None:
        """Queue an event. The queue is flushed when it is full, or by the caller after each batch."""
        self._pending.append(encoded)
        self._pending_bytes += len(encoded)
        if self._pending_bytes >= _WRITE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is queued, so that a killed run leaves all but its last batch."""
        if self._pending:
            chunk = b"\n".join((*self._pending, b""))
            self._pending.clear()
            self._pending_bytes = 0
            self._digest.update(chunk)
            with self._said(self.path(EVENTS), "written"):
                self._events.write(chunk)
                self._events.flush()
        with self._said(self.path(DEAD_LETTERS), "written"):
            self._dead_letters.flush()

    def dead_letter(self, letter: DeadLetter) -> None:
        """Write a dead letter."""
        with self._said(self.path(DEAD_LETTERS), "written"):
            self._dead_letters.write(letter.encode() + b"\n")

    def finish(self, report: bytes, page: bytes | None) -> None:
        """Give all files their names, the report last."""
        self.flush()
        with self._said(self._directory, "written to"):
            self._events.close()
            self._dead_letters.close()
        documents = [(REPORT, report)] if page is None else [(PAGE, page), (REPORT, report)]
        for name, content in documents:
            with self._said(self.path(name), "written"):
                self.path(name + _PARTIAL).write_bytes(content)
        for name in (EVENTS, DEAD_LETTERS, *(name for name, _ in documents)):
            with self._said(self.path(name), "written"):
                self.path(name + _PARTIAL).replace(self.path(name))

    @staticmethod
    @contextmanager
    def _said(path: Path, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UsageFailure(f"{display_name(path)}: cannot be {what}: {error.strerror}") from None
