"""How a service ends: one clear log line and an exit code of its own for each reason.

Once a commit is in doubt or the state machine has failed, memory is worth nothing and tidying up could hang on a broker
that is away; so the process ends on the spot, and what is true is read from the journal by the next one.
"""

import os
import sys
from enum import IntEnum
from typing import NoReturn

import structlog

log = structlog.get_logger()


class Exit(IntEnum):
    """Exit codes of a service."""

    STOPPED = 0
    """Asked to by SIGTERM or SIGINT; the last batch is committed."""

    FAILED = 1
    """A record that the state machine cannot digest, or a journal that does not follow from itself: needs a person."""

    REFUSED = 2
    """What it was given cannot be used: config, options, topics, credentials, or another instance is alive."""

    IN_DOUBT = 74
    """A commit without an answer, or a broker that went away for too long: start it again."""

    FENCED = 75
    """A newer instance has taken over: start it again as a standby."""


def leave(code: Exit, event: str, **fields: object) -> NoReturn:
    """Say why in one log line and end the process at once."""
    say = log.info if code is Exit.STOPPED else log.error
    say(event, exit_code=int(code), **fields)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
