"""A state as rows of plain values (strings, integers, booleans, None), and the reader that restores it from them.

A machine's `rows()` are the one description of its state: the state hash is taken over them, a snapshot keeps them, and
`engine.restoration` reads them back. They have a kind as their first value and come in a fixed order; what a row is
about but does not name (the market of an order, say) is told by the rows before it.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeVar

T = TypeVar("T")
Row = tuple[object, ...]

_END: Final[Row] = ("",)


class BrokenDump(ValueError):
    """Rows from which no state can be restored. Says which row, and what is wrong with it."""


class RowReader:
    """Takes rows in their order. `kind` is that of the next one, "" at the end, and `number` counts those before it.

    What comes out is untyped: that the restored state has the hash it should have is the check of all values.
    """

    __slots__ = ("_row", "_rows", "kind", "number")

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = iter(rows)
        self._row: Row = ()
        self.kind: object = ""
        self.number = -1
        self._advance()

    def take(self, kind: str) -> tuple[Any, ...]:
        """The next row, its kind included, which must be this one. Raises BrokenDump."""
        row = self._row
        if self.kind != kind:
            raise BrokenDump(f"expected {kind}, found {self.kind or 'the end'}")
        self._advance()
        return row

    def each(self, kind: str) -> Iterator[tuple[Any, ...]]:
        """The next rows of this kind, however many there are. All are to be taken before anything else is."""
        row, rows = self._row, self._rows
        while row[0] == kind:
            yield row
            row = next(rows, _END)
            self.number += 1
        self._row = row
        self.kind = row[0]

    def __iter__(self) -> Iterator[Row]:
        """All rows that are left."""
        row, rows = self._row, self._rows
        while row is not _END:
            yield row
            row = next(rows, _END)
            self.number += 1
        self._row = row
        self.kind = row[0]

    def end(self) -> None:
        """Nothing may follow. Raises BrokenDump."""
        if self._row is not _END:
            raise BrokenDump(f"expected the end, found {self.kind}")

    def _advance(self) -> None:
        self._row = next(self._rows, _END)
        self.number += 1
        self.kind = self._row[0] if self._row else "an empty row"


def reorder(table: dict[str, T], restored: dict[str, T], what: str) -> None:
    """Put what the config knows into the order in which it was worked through. Raises BrokenDump where they differ."""
    missing = [name for name in table if name not in restored]
    if missing:
        raise BrokenDump(f"{what} {missing[0]} of the config is not in the rows")
    table.clear()
    table.update(restored)


def check_config(config_hash: str, rows: RowReader) -> None:
    """Take the row that says under which config a state was. Raises BrokenDump where it is another."""
    _, found = rows.take("config")
    if found != config_hash:
        raise BrokenDump(f"expected rows under config {config_hash}, found those under {found}")
