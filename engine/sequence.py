"""Gapless numbering between engine and settlement: each applies last + 1, and stops on a gap."""


class BrokenStream(RuntimeError):
    """A record on an internal topic is missing or makes no sense. The service must stop: its state cannot follow."""


class Incoming:
    """Counts what arrived from one sender. `ignored` are repetitions that were not applied."""

    __slots__ = ("_what", "ignored", "last")

    def __init__(self, what: str) -> None:
        self._what = what
        self.last = 0
        self.ignored = 0

    def accept(self, number: int) -> bool:
        """Whether to apply this number: yes for last + 1, no for what was seen. Raises BrokenStream beyond."""
        if number <= self.last:
            self.ignored += 1
            return False
        if number != self.last + 1:
            raise BrokenStream(f"{self._what} {number} arrived after {self.last}: what lies between is missing")
        self.last = number
        return True
