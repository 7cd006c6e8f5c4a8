"""Journal files: the records of one stream's journal, one after the other, as lines that come from outside."""

from collections.abc import Sequence
from typing import NamedTuple

from consumers.command_log import RAW_BYTES_MAX, Line
from consumers.service.journal import Entry, Header, JournalError, Record, decode_entry, decode_header


class PlacedRecord(NamedTuple):
    """A record, where its header stands ("file:line"), and where each of its inputs does."""

    record: Record
    where: str
    places: Sequence[str]


class RecordAssembler:
    """Puts journal records together from their lines."""

    def __init__(self) -> None:
        self._header: Header | None = None
        self._where = ""
        self._entries: list[Entry] = []
        self._places: list[str] = []

    def add(self, line: Line) -> PlacedRecord | None:
        """Take the next line; the record that it completes, if it does. Raises JournalError."""
        place = line.place
        if line.length > RAW_BYTES_MAX:
            raise JournalError(f"{place}: expected a line of at most {RAW_BYTES_MAX:,} bytes, got {line.length:,}")
        if self._header is None:
            header = decode_header(line.raw, place)
            if header.inputs < 0:
                raise JournalError(f"{place}: its last input, {header.last}, comes before its first, {header.first}")
            self._header, self._where = header, place
        else:
            self._entries.append(decode_entry(line.raw, f"{place}: after {self._so_far(self._header)}"))
            self._places.append(place)
        return self._take() if len(self._entries) == self._header.inputs else None

    def end(self) -> None:
        """There are no more lines. Raises JournalError where a record is not complete."""
        if self._header is not None:
            raise JournalError(f"{self._where}: is cut off after {self._so_far(self._header)}")

    def _so_far(self, header: Header) -> str:
        return f"{len(self._entries)} of the inputs {header.first} to {header.last}"

    def _take(self) -> PlacedRecord:
        assert self._header is not None
        placed = PlacedRecord(Record(self._header, self._entries), self._where, self._places)
        self._header, self._entries, self._places = None, [], []
        return placed
