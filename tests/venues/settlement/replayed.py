"""What `backstop replay` makes of an example."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import orjson
from click.testing import CliRunner

from consumers.cli import main
from tests.venues.settlement.history import TRADER, written
from tests.venues.settlement.published import AdlExample, Example, FundExample, SocialisedExample

Event = dict[str, Any]


class Replayed(NamedTuple):
    """The events of a replay, by type in order, and its report."""

    events: tuple[Event, ...]
    report: dict[str, Any]

    def all(self, type_: str) -> list[Event]:
        """The events of a type."""
        return [event for event in self.events if event["type"] == type_]

    def one(self, type_: str) -> Event:
        """The one event of a type."""
        (event,) = self.all(type_)
        return event


@cache
def replayed(example: Example) -> Replayed:
    """A replay with every invariant checked after every command, in which nothing was refused."""
    venue, commands = written(example)
    with TemporaryDirectory() as folder:
        config, log, out = (Path(folder) / name for name in ("venue.toml", "commands.jsonl", "out"))
        config.write_text(venue, "utf-8")
        log.write_bytes(commands)
        arguments = ["replay", str(log), "--config", str(config), "--out", str(out), "--check-every", "1"]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
        events = tuple(map(orjson.loads, (out / "events.jsonl").read_bytes().splitlines()))
        report = orjson.loads((out / "report.json").read_bytes())
    assert report["counts"]["dead_letters"] == report["counts"]["rejected"] == 0, example.id
    assert [residual for residual in report["conservation"].values() if Decimal(residual)] == []
    return Replayed(events, report)


@cache
def answers(example: Example) -> dict[str, str]:
    """Every quantity of the example, by the name that the examples use for it."""
    run = replayed(example)
    if isinstance(example, FundExample):
        return dict(_of_fund(example, run))
    if isinstance(example, AdlExample):
        return dict(_of_adl(example, run))
    return dict(_of_loss(example, run))


def _of_fund(example: FundExample, run: Replayed) -> Iterator[tuple[str, str]]:
    balance = run.report["funds"]["f"]["balance"]
    change = Decimal(balance) - Decimal(example.opening)
    yield "balance", balance
    yield "change", f"{change:f}"
    yield "direction", "gain" if change > 0 else "loss"
    yield "bankruptcy_price", run.one("liquidation.started")["bankruptcy_price"]
    yield "wallet", run.report["accounts"]["s"][TRADER]["wallet"]


def _of_adl(example: AdlExample, run: Replayed) -> Iterator[tuple[str, str]]:
    started, completed = run.one("liquidation.started"), run.one("adl.completed")
    accounts = run.report["accounts"]["s"]
    yield "equity", started["equity"]
    yield "bankruptcy_price", started["bankruptcy_price"]
    yield "counterparties", str(completed["counterparties"])
    yield "needed", completed["needed"]
    yield "taken", completed["taken"]
    if Decimal(completed["taken"]):
        yield "share", str(Fraction(completed["needed"]) / Fraction(completed["taken"]))
    for event in run.all("adl.executed"):
        account = event["account"]
        for quantity, field in (
            ("rank", "rank"),
            ("closed", "qty"),
            ("price", "price"),
            ("realised", "realised_pnl"),
            ("profit_ratio", "profit_ratio"),
        ):
            yield f"{quantity}.{account}", str(event[field])
    for stake in example.opposing:
        position = accounts[stake.account]["positions"].get("M")
        yield f"left.{stake.account}", position["qty"] if position is not None else "0"
        yield f"wallet.{stake.account}", accounts[stake.account]["wallet"]


def _of_loss(example: SocialisedExample, run: Replayed) -> Iterator[tuple[str, str]]:
    yield "balance", run.report["funds"]["f"]["balance"]
    yield "fund_pays", run.one("loss.covered")["amount"]
    yield "socialised", run.one("liquidation.closed")["socialised"]
    shares = {event["account"]: event for event in run.all("loss.socialised")}
    assert set(shares) <= {winner.account for winner in example.winners}, "only they have gained"
    (rate,) = {event["rate"] for event in shares.values()}
    yield "rate", rate
    for winner in example.winners:
        paid = shares[winner.account]["amount"]
        yield f"pays.{winner.account}", paid
        yield f"kept.{winner.account}", f"{Decimal(winner.profit) - Decimal(paid):f}"
