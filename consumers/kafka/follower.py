"""A replica that follows the journal: what recovers a leader, what a standby is, and what takes snapshots."""

import time
from typing import Final

from consumers.kafka.journal_reader import JournalReader, JournalRecord
from consumers.service.replica import Replica

_FETCHES_FAIL_AFTER: Final = 0.5
"""Seconds without an answer to a fetch until fetching counts as failing; with nothing new one comes each 10 ms."""


class Tenure:
    """Who leads, as the journal says: the present leader, since when, and who led before. Times are the broker's ms."""

    def __init__(self) -> None:
        self.instance: str | None = None
        self.epoch = 0
        self.since = 0
        self.latest = 0
        self.previous: str | None = None

    def note(self, instance: str, epoch: int, timestamp: int) -> None:
        """See a record that an instance wrote at a time."""
        if epoch != self.epoch or instance != self.instance:
            self.previous, self.instance = self.instance, instance
            self.epoch, self.since = epoch, timestamp
        self.latest = timestamp


class Follower:
    """Applies the journal as it grows, and knows for how long it has been silent."""

    def __init__(self, replica: Replica, reader: JournalReader, journal: str, next_offset: int) -> None:
        self.replica = replica
        self.reader = reader
        self.tenure = Tenure()
        self.records = 0
        self.journal = journal
        self.next_offset = next_offset
        self._last_fetch: int | None = None
        self._fetched_at = 0.0
        self._silent_since = time.monotonic()

    async def catch_up(self) -> None:
        """Apply all that is in the journal now. Raises JournalError, InputLost."""
        async for record in self.reader.to_end():
            self._apply(record)
        self.start_watch()

    async def follow(self) -> int:
        """Apply what has come in the last moment; how many records that was."""
        records = await self.reader.poll()
        for record in records:
            self._apply(record)
        now = time.monotonic()
        fetch = self.reader.last_fetch_ms()
        if fetch != self._last_fetch:
            self._last_fetch, self._fetched_at = fetch, now
        if records or now - self._fetched_at > _FETCHES_FAIL_AFTER:
            self._silent_since = now
        return len(records)

    def start_watch(self) -> None:
        """Count silence from now on."""
        self._silent_since = self._fetched_at = time.monotonic()

    @property
    def silence(self) -> float:
        """Seconds since the last record, by this machine's monotonic clock and while fetches succeeded all along."""
        return time.monotonic() - self._silent_since

    @property
    def since_fetch(self) -> float:
        """Seconds since the broker last answered a fetch."""
        return time.monotonic() - self._fetched_at

    @property
    def epoch(self) -> int:
        """The number of the instance that leads."""
        return self.tenure.epoch

    async def lag(self) -> int | None:
        """How many offsets of the journal are not applied yet; None: not known yet."""
        return await self.reader.lag()

    def may_take_over(self, instance: str, cool_down: float) -> bool:
        """Whether this instance was not itself replaced by the present leader within the last `cool_down` seconds.

        Two instances that take each other for dead would otherwise throw each other out in turns.
        """
        tenure = self.tenure
        if tenure.previous != instance or tenure.instance == instance:
            return True
        return (tenure.latest - tenure.since) / 1_000 + self.silence >= cool_down

    def _apply(self, record: JournalRecord) -> None:
        header = record.record.header
        self.replica.follow(record.record, record.where)
        self.tenure.note(header.instance, header.epoch, record.timestamp)
        self.records += 1
        self.next_offset = record.offset + 1
