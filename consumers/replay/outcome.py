"""How a run ended, if not by reaching the end of its log with everything in order."""

import signal
import traceback
from typing import Final

import structlog
from msgspec import Struct

FAILED: Final = 1
REFUSED: Final = 2
SIGNALLED: Final = 128

log = structlog.get_logger()


class Stop(Struct, frozen=True):
    """Why a run did not simply finish. `code` is stable, `reason` what to tell; `complete` if all input was applied."""

    code: str
    reason: str
    exit_code: int
    complete: bool = False

    @property
    def leaves_doubt(self) -> bool:
        """Whether a command was left half applied, so that the state means nothing any more."""
        return self.code == "failed"

    @classmethod
    def by_signal(cls, number: int, progress: str) -> "Stop":
        name = signal.Signals(number).name
        return cls("interrupted", f"interrupted by {name} {progress}", SIGNALLED + number)


def failed(place: str, what: str, error: Exception) -> Stop:
    """The stop where a machine could not digest its input: whatever it is, the state is in doubt and the run ends."""
    log.info("replay.failed", at=place, traceback="".join(traceback.format_exception(error)))
    kind = "invariant broken" if isinstance(error, AssertionError) else type(error).__name__
    return Stop("failed", f"{place}: {kind} while this {what} was applied: {error}", FAILED)
