"""What a service says about itself, on stderr: JSON lines for machines, coloured text for a person at a terminal."""

import logging
import sys
from io import TextIOWrapper
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor


def configure(*, verbose: bool) -> None:
    """Set structlog up for the process. Without `verbose` only warnings and errors are said.

    Wall-clock times belong here and nowhere else: what a replay writes has only event time in it.
    """
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
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if verbose else logging.WARNING),
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
