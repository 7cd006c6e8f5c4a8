"""The progress bar: on stderr, and only when a person is looking at it."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


class InputProgress:
    """How far files have been read, by bytes of stored input: the only total that is known beforehand.

    `doing` and `what` are the words for the work and for what it counts; `with_rate` shows that per second, too.
    """

    def __init__(self, bytes_total: int | None, doing: str, what: str, *, with_rate: bool = False) -> None:
        self._started = time.monotonic()
        self._bar = Progress(
            TextColumn(doing),
            BarColumn(),
            TaskProgressColumn(),
            DownloadColumn(),
            TextColumn(f"{{task.fields[count]:,}} {what}"),
            *([TextColumn("{task.fields[rate]:,.0f}/s")] if with_rate else []),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            disable=sys.stderr is None or not sys.stderr.isatty(),
            transient=True,
        )
        self._task = self._bar.add_task("", total=bytes_total, count=0, rate=0.0)

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

    def advance(self, bytes_read: int, count: int) -> None:
        """Show how far the run is."""
        if not self._bar.disable:
            self._bar.update(self._task, completed=bytes_read, count=count, rate=count / max(self.seconds, 1e-9))
