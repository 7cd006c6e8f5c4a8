"""The command line of `backstop explain`."""

import re
from pathlib import Path
from typing import Any, Literal

import click

from consumers.errors import UsageFailure
from consumers.explain.account import AccountStory
from consumers.explain.liquidation import LiquidationStory
from consumers.explain.source import tell_all
from consumers.explain.terms import Terms
from consumers.explain.text import account_text, liquidation_text
from consumers.printable import display_name, printable
from schemas.fields import DERIVED_ID_PATTERN
from schemas.wire import encode_plain


@click.command(short_help="Tell why a position was closed, or all that was done to an account.")
@click.argument("events", metavar="EVENTS", type=click.Path(path_type=Path))
@click.option("--liquidation", metavar="ID", help="Tell the story of this liquidation, like usdt:1.")
@click.option("--account", metavar="A", help="Tell everything that was done to this account, in order.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The venue of the run: adds formulas that need its settings.",
)
@click.option(
    "--format",
    "output",
    type=click.Choice(("text", "json")),
    default="text",
    show_default=True,
    help="Text to read, or one JSON object.",
)
def explain(
    *,
    events: Path,
    liquidation: str | None,
    account: str | None,
    config: Path | None,
    output: Literal["text", "json"],
) -> None:
    """Tell why a position was closed, or all that was done to an account: with the numbers and the rule of each step.

    EVENTS is the events.jsonl of a replay, plain, gzip or Zstandard. It is read once, and only what concerns the
    question is kept.
    """
    if (liquidation is None) == (account is None):
        raise UsageFailure("expected one of --liquidation ID and --account A")
    name = display_name(events)
    terms = Terms(config)
    if liquidation is not None:
        _check_name("--liquidation", liquidation, "a shard and a number, like usdt:1")
        story = LiquidationStory(liquidation, terms)
        tell_all(events, story)
        story.finish(name)
        _say(story.document() if output == "json" else liquidation_text(story))
    elif account is not None:
        _check_name("--account", account, "1 to 128 characters of A-Z a-z 0-9 . _ : -")
        follower = AccountStory(account, terms)
        tell_all(events, follower)
        follower.finish(name)
        _say(follower.document() if output == "json" else account_text(follower))


def _check_name(option: str, value: str, expected: str) -> None:
    if re.fullmatch(DERIVED_ID_PATTERN, value) is None:
        raise UsageFailure(printable(f"{option}: expected {expected}, got '{value}'"))


def _say(answer: dict[str, Any] | str) -> None:
    click.echo(answer if isinstance(answer, str) else encode_plain(answer))
