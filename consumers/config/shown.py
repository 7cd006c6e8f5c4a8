"""Differences between configs for people and for programs."""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, UnsetType

from consumers.config.difference import Difference
from consumers.config.venue import Venue
from consumers.printable import printable

_DEFAULT = "(default)"
_HASH_SHOWN = 12


def document(difference: Difference) -> dict[str, Any]:
    """One difference as plain values."""
    changes = []
    for change in difference.changes:
        values = {"old": change.old, "new": change.new}
        changes.append({"setting": change.setting} | {k: v for k, v in values.items() if v is not UNSET})
    return {
        "before": difference.before,
        "after": difference.after,
        "changes": changes,
        "refused": [{"setting": setting, "reason": why} for setting, why in difference.refused.items()],
        "patch": difference.patch,
    }


def table(difference: Difference) -> str:
    """One difference in aligned columns, empty where there is none.

    They are as wide as they need to be: lists of tiers are long, and cutting them would hide a change.
    """
    if not difference.changes:
        return ""
    rows = [("setting", "old", "new")]
    rows.extend((change.setting, _shown(change.old), _shown(change.new)) for change in difference.changes)
    return _columns(rows) + "".join(f"{printable(f'{name}: {why}')}\n" for name, why in difference.refused.items())


def venue_document(venue: Venue, found: Sequence[Difference]) -> dict[str, Any]:
    """What the streams of a venue and a file differ in, as plain values."""
    return {
        "streams": [
            {
                "stream": stream.name,
                "partition": stream.partition,
                "input": stream.held.applied,
                "config": stream.held.hash,
                "waiting": len(stream.waiting),
                "same": not difference.changes,
            }
            for stream, difference in zip(venue.streams, found, strict=True)
        ],
        "not_begun": venue.not_begun,
        "differences": [{"streams": names, **document(difference)} for names, difference in by_config(venue, found)],
    }


def venue_table(venue: Venue, found: Sequence[Difference]) -> str:
    """The streams, then what each config among them and the file differ in."""
    rows = [("stream", "input", "config", "")]
    for stream, difference in zip(venue.streams, found, strict=True):
        states = ["differs" if difference.changes else "as the file"]
        if count := len(stream.waiting):
            states.append(f"after {count} change{'s' if count > 1 else ''} it has not read yet")
        rows.append((stream.name, f"{stream.held.applied}", stream.held.hash[:_HASH_SHOWN], " ".join(states)))
    rows.extend((name, "-", "-", "has not begun") for name in venue.not_begun)
    parts = [_columns(rows)]
    groups = by_config(venue, found)
    for names, difference in groups:
        heading = "" if len(groups) == 1 and len(names) == len(venue.streams) else f"{', '.join(names)}:\n"
        parts.append(heading + table(difference))
    return "\n".join(parts)


def by_config(venue: Venue, found: Sequence[Difference]) -> list[tuple[list[str], Difference]]:
    """The differences there are, each with the streams that have it."""
    groups: dict[str, tuple[list[str], Difference]] = {}
    for stream, difference in zip(venue.streams, found, strict=True):
        if difference.changes:
            groups.setdefault(difference.before, ([], difference))[0].append(stream.name)
    return list(groups.values())


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{printable(line)}\n" for line in lines)


def _shown(value: str | UnsetType) -> str:
    return _DEFAULT if value is UNSET else value
