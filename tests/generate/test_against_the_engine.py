"""A generated log means something to the engine: few refusals, and the story that the scenario promises."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from consumers.generate.scenarios import SCENARIOS
from engine.venue import Venue
from schemas.config import parse_config
from schemas.wire import decode_command
from tests.generate.conftest import VENUE

Replay = Callable[..., tuple[Counter[str], int]]


@pytest.fixture
def replay(run: Callable[..., Result], tmp_path: Path) -> Replay:
    """Generate with these options, apply all of it; count events by type, and commands."""

    def replay(*options: str) -> tuple[Counter[str], int]:
        assert run(*options).exit_code == 0
        venue = Venue(parse_config(VENUE.replace('asset = "USDT"', 'asset = "USDT"\nopening = "150000"', 1)))
        venue.genesis()
        commands = (tmp_path / "log.jsonl").read_bytes().splitlines()
        events: Counter[str] = Counter()
        for line in commands:
            events.update(str(event.__struct_config__.tag) for event in venue.apply(decode_command(line)))
        assert venue.residuals() == {"USDT": "0.000000"}
        return events, len(commands)

    return replay


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_hardly_any_command_is_refused(replay: Replay, scenario: str) -> None:
    """Less than 5 % of the commands that are no marks, in every scenario; and there is trading."""
    events, commands = replay("--scenario", scenario, "--accounts", "300", "--bars", "700")
    refused = sum(n for kind, n in events.items() if kind.endswith(".rejected"))
    assert 100 * refused < 5 * (commands - 4 * 700)
    assert events["trade.executed"] > 700


@pytest.mark.parametrize(("scenario", "seed"), [("crash", "1"), ("crash", "7"), ("flash-crash", "1"), ("cascade", "1")])
def test_falls_reach_the_last_lines_of_defence(replay: Replay, scenario: str, seed: str) -> None:
    """Liquidations leave residuals, funds take positions over, and some of it ends in auto-deleveraging."""
    events, _ = replay("--scenario", scenario, "--accounts", "400", "--seed", seed, "--bars", "1000")
    assert events["liquidation.residual"] > 20
    assert events["takeover.filled"] > 0
    assert events["adl.executed"] > 20


def test_a_calm_market_needs_no_last_line(replay: Replay) -> None:
    """The control: some high leverage is liquidated, nobody is deleveraged."""
    events, _ = replay("--scenario", "calm", "--accounts", "400")
    assert events["liquidation.started"] > 0
    assert events["adl.executed"] == 0
