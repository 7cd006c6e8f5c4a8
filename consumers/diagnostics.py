"""What a service says about itself, on stderr: JSON lines for machines, coloured text for a person at a terminal."""

import logging
import sys
from io import TextIOWrapper
from typing import Any, Final

import orjson
import structlog
from structlog.typing import EventDict, Processor

_REPEAT_SECONDS: Final = 10.0


def configure(*, verbose: bool) -> None:
    """Set structlog up for a command. Without `verbose` only warnings and errors are said.

    Wall-clock times belong here and nowhere else: what a replay writes has only event time in it.
    """
    _configure(logging.DEBUG if verbose else logging.WARNING)


def serve(*, verbose: bool) -> None:
    """Set structlog up for a service: it says what becomes of it, and passes on what its libraries say."""
    _configure(logging.DEBUG if verbose else logging.INFO)
    logging.basicConfig(level=logging.WARNING, handlers=[_LibraryLogs()], force=True)


class _LibraryLogs(logging.Handler):
    """Passes on what libraries log. What one place says again within 10 s is counted instead: aiokafka repeats itself
    ten times a second while a broker is away."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, int], tuple[float, int]] = {}
        self._log = structlog.get_logger()

    def emit(self, record: logging.LogRecord) -> None:
        place = (record.pathname, record.lineno)
        last, repeated = self._said.get(place, (-_REPEAT_SECONDS, 0))
        if record.created - last < _REPEAT_SECONDS:
            self._said[place] = (last, repeated + 1)
            return
        self._said[place] = (record.created, 0)
        self._log.warning("library", logger=record.name, message=record.getMessage()[:500], repeated=repeated)


def _configure(level: int) -> None:
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # no run fails for want of a character, as on stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if sys.stderr is not None and sys.stderr.isatty():
        rendering: list[Processor] = [structlog.dev.ConsoleRenderer()]
    else:
        rendering = [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(_dumps)]
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_StderrLogger,
        cache_logger_on_first_use=False,
    )


class _StderrLogger:
    """Writes to whatever stderr is at the moment, so that a progress bar that redirects it stays in one piece."""

    def __init__(self, *_: Any) -> None:
        pass

    def msg(self, message: str) -> None:
        if sys.stderr is not None:
            sys.stderr.write(message + "\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = exception = msg


def _dumps(event: EventDict, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()
