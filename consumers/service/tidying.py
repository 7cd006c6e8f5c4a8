"""What becomes of garbage where the collector is off.

The state of a machine makes no reference cycles, so the collector would only walk an ever larger heap for nothing, for
hundreds of milliseconds at a time. Libraries do leave cycles behind: the young generations, in which nearly everything
is theirs, are looked through now and then, and what has grown old is not looked at again.
"""

import gc
import time
from typing import Final

TIDY_SECONDS: Final = 10.0


class Tidier:
    """Collects young garbage each few seconds."""

    def __init__(self) -> None:
        self._at = time.monotonic()

    def begin(self) -> None:
        """Switch the collector off for the process."""
        gc.disable()

    def look(self) -> None:
        """Collect when it is time."""
        now = time.monotonic()
        if now - self._at >= TIDY_SECONDS:
            self._at = now
            gc.collect(1)
