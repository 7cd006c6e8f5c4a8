"""`report.json`: what a run came to. The same inputs, config and flags give the same bytes on any machine.

So nothing of the machine is in it: no wall clock, no rates, no directories; files stand under the names they were
given on the command line.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import orjson

from consumers.command_log import LogFile
from consumers.replay.outcome import Stop
from consumers.replay.tally import Tally


def build_report(
    *,
    source: Mapping[str, Any],
    state: Mapping[str, Any],
    tally: Tally,
    files: Sequence[LogFile],
    events_sha256: str,
    stop: Stop | None,
) -> dict[str, Any]:
    """The report as a document.

    `source` is what there is to say of what was replayed; `state` what the machines say of themselves, empty if they
    failed.
    """
    report: dict[str, Any] = {"complete": stop is None or stop.complete}
    if stop is not None:
        report["stopped"] = {"code": stop.code, "reason": stop.reason}
    return report | {
        "counts": tally.counts(),
        "event_time": {"first": tally.first_ts, "last": tally.last_ts},
        "inputs": [msgspec.to_builtins(file) for file in files],
        "events_sha256": events_sha256,
        **source,
        **state,
    }


def encode_report(report: Mapping[str, Any]) -> bytes:
    """Indented JSON, so that two runs can be compared by eye."""
    return orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
