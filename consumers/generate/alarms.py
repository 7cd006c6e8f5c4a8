"""Price alarms: who wants to know when the mark leaves a range."""

from heapq import heapify, heappop, heappush
from typing import Final

NEVER: Final = 1 << 80
"""Above every price."""

_SLACK: Final = 64


class Alarms:
    """One range per key; a range left rings once.

    Two heaps find who is touched by a mark without looking at everybody, as a log has many marks that touch
    nobody. Entries of a range that was set anew stay behind with an old version and are dropped when met, or
    all at once when they outnumber the live ones.
    """

    __slots__ = ("_falls", "_rises", "_versions")

    def __init__(self) -> None:
        self._falls: list[tuple[int, int, int]] = []
        self._rises: list[tuple[int, int, int]] = []
        self._versions: dict[int, int] = {}

    def set(self, key: int, below: int, above: int) -> None:
        """Ring for `key` when the mark is at or under `below`, or at or over `above`; replaces its range."""
        version = self._versions.get(key, 0) + 1
        self._versions[key] = version
        heappush(self._falls, (-below, key, version))
        heappush(self._rises, (above, key, version))
        if len(self._falls) > 4 * len(self._versions) + _SLACK:
            self._falls = self._live(self._falls)
        if len(self._rises) > 4 * len(self._versions) + _SLACK:
            self._rises = self._live(self._rises)

    def ring(self, mark: int) -> list[int]:
        """Whose range the mark has left: those below theirs first, each group from the nearest bound on."""
        rung: list[int] = []
        for heap, bound in ((self._falls, -mark), (self._rises, mark)):
            while heap and heap[0][0] <= bound:
                _, key, version = heappop(heap)
                if self._versions[key] == version:
                    self._versions[key] = version + 1
                    rung.append(key)
        return rung

    def _live(self, heap: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        live = [entry for entry in heap if self._versions[entry[1]] == entry[2]]
        heapify(live)
        return live
