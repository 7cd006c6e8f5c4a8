"""What the tests of `backstop explain` share: the real command line, and stories told from events in memory."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from consumers.cli import main
from consumers.explain.source import Listener
from schemas.envelope import Event
from schemas.wire import encode


class Answer:
    """What the command said."""

    def __init__(self, exit_code: int, stdout: str, stderr: str) -> None:
        self.exit_code = exit_code
        self.text = stdout
        self.stderr = stderr

    @property
    def story(self) -> dict[str, Any]:
        assert self.exit_code == 0, self.stderr
        assert self.text.count("\n") == 1, "one object on one line"
        story: dict[str, Any] = orjson.loads(self.text)
        return story

    @property
    def complaint(self) -> str:
        """What went wrong: one line, exit code 2."""
        assert self.exit_code == 2
        assert self.text == ""
        (line,) = self.stderr.splitlines()
        return line.removeprefix("Error: ")


Explain = Callable[..., Answer]


@pytest.fixture
def explain() -> Explain:
    """Run `backstop explain` over an events file."""

    def explain(events: Path, *options: str | Path) -> Answer:
        result = CliRunner().invoke(main, ["explain", str(events), *map(str, options)])
        return Answer(result.exit_code, result.stdout, result.stderr)

    return explain


Record = tuple[bytes, bytes, Event]


def recorded(events: Iterable[Event]) -> list[Record]:
    """Events as a listener meets them in a file."""
    return [(str(type(event).__struct_config__.tag).encode(), encode(event), event) for event in events]


def tell(records: list[Record], listener: Listener) -> None:
    """As `tell_all`, without the file."""
    for tag, raw, event in records:
        if listener.wants(tag, raw):
            listener.hear(event)
