"""Ids that were used and must not be used again for a while."""

from collections.abc import Iterator

from engine.reject import Refused
from engine.rows import BrokenDump, Row, RowReader


class Remembered:
    """Keeps ids with a note for `memory` µs of event time, and forgets them in bulk.

    Two dictionaries take turns: what was noted in the last span, and in the span before it. So an id costs one
    insertion, and forgetting costs nothing per id. How long an id is kept is exact, as its time is kept with it.

    When `memory` becomes longer, what was forgotten under the shorter one stays so: a command from then is too old.
    """

    __slots__ = ("_complete_after", "_memory", "_newer", "_older", "_turn_at")

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._newer: dict[tuple[str, ...], tuple[int, str]] = {}
        self._older: dict[tuple[str, ...], tuple[int, str]] = {}
        self._turn_at = 0
        self._complete_after = -1

    def keep_for(self, memory: int, now: int) -> None:
        """Keep ids for another span from now on. Nothing that is within the new one is forgotten early."""
        if memory != self._memory:
            self._complete_after = max(self._complete_after, now - self._memory)
            self._memory = memory
            self._turn_at = now + memory

    def note(self, key: tuple[str, ...], now: int, text: str) -> None:
        """Remember `key` from event time `now` on, with a text that a repetition can be compared with."""
        if now >= self._turn_at:
            self._older = self._newer if now < self._turn_at + self._memory else {}
            self._newer = {}
            self._turn_at = now + self._memory
        self._newer[key] = (now, text)

    def recall(self, key: tuple[str, ...], now: int) -> str | None:
        """The text noted for `key`, or None when it was not used in the last `memory` µs."""
        noted = self._newer.get(key) or self._older.get(key)
        if noted is None or noted[0] + self._memory <= now or noted[0] <= self._complete_after:
            return None
        return noted[1]

    def is_repetition(self, transfer_id: str, ts: int, now: int, contents: str) -> bool:
        """Whether a transfer was applied before. Raises Refused on other contents, or when it was too long ago."""
        noted = self.recall((transfer_id,), now)
        if noted is None:
            if self.is_too_old(ts, now):
                raise Refused("too_old", f"ts {ts} is too far behind event time {now} to rule out a repetition")
            return False
        if noted != contents:
            raise Refused("transfer_mismatch", f"transfer {transfer_id} was applied with other contents")
        return True

    def is_too_old(self, ts: int, now: int) -> bool:
        """Whether a command of this time might repeat one that is forgotten by now."""
        return ts + self._memory <= now or ts <= self._complete_after

    def restore(self, kind: str, rows: RowReader) -> None:
        """Remember what `rows` of this kind say."""
        _, self._turn_at, self._complete_after, older = rows.take(f"{kind}s")
        for row in rows.each(kind):
            generation = self._older if len(self._older) < older else self._newer
            generation[row[1:-2]] = row[-2:]
        if len(self._older) != older:
            raise BrokenDump(f"expected {older} older ids of kind {kind}, found {len(self._older)}")

    def rows(self, kind: str) -> Iterator[Row]:
        """The state as rows of plain values, the older ids first."""
        yield f"{kind}s", self._turn_at, self._complete_after, len(self._older)
        for generation in (self._older, self._newer):
            for key, noted in generation.items():
                yield kind, *key, *noted
