"""The progress bar: on stderr, and only when a person is looking at it."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


class LedgerProgress:
    """How far the files have been booked, by bytes of stored input: the only total that is known beforehand."""

    def __init__(self, bytes_total: int | None) -> None:
        self._started = time.monotonic()
        self._bar = Progress(
            TextColumn("booking"),
            BarColumn(),
            TaskProgressColumn(),
            DownloadColumn(),
            TextColumn("{task.fields[lines]:,} lines"),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            disable=sys.stderr is None or not sys.stderr.isatty(),
            transient=True,
        )
        self._task = self._bar.add_task("", total=bytes_total, lines=0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    @property
    def seconds(self) -> float:
        """Wall-clock time since the start: for the terminal only."""
        return time.monotonic() - self._started

    def advance(self, bytes_read: int, lines: int) -> None:
        """Show how far the run is."""
        if not self._bar.disable:
            self._bar.update(self._task, completed=bytes_read, lines=lines)
