"""The sums of every story are those of the ledger, over random histories and a generated crash.

What a liquidation took from its trader is measured beside the engine, from the lines that closing the position adds.
"""

import itertools
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from consumers.cli import main
from consumers.explain.account import AccountStory
from consumers.explain.liquidation import LiquidationStory
from consumers.explain.terms import Terms
from consumers.explain.text import account_text, liquidation_text
from engine import liquidation
from engine.position import Position
from engine.state import ShardState
from engine.venue import Venue
from schemas.config import parse_config
from schemas.events import LedgerPosted
from schemas.wire import decode_command, decode_event
from tests.engine.histories import ACCOUNTS, History
from tests.engine.mixtures import Mixture, mixed_venue
from tests.engine.test_conservation import VENUES
from tests.explain.conftest import Record, recorded, tell

OF_LIQUIDATIONS = ("liquidation_fee", "surplus", "takeover_pnl", "loss", "socialised_loss", "fee")
"""Every line of these kinds is about a liquidation."""


class Measured:
    """What each liquidation moved out of, or into, the wallet and the margin of its trader."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moved: dict[str, str] = {}
        for name in ("close_whole", "close_part"):
            monkeypatch.setattr(liquidation, name, self._measuring(getattr(liquidation, name)))

    def _measuring(self, close: Any) -> Any:
        def measured(state: ShardState, position: Position, *lots: int) -> None:
            own = {position.wallet.name, position.collateral.name}
            before = len(state.ledger.lines)
            close(state, position, *lots)
            moved = 0
            for debit, credit, amount, kind in state.ledger.lines[before:]:
                if kind in ("realised_pnl", "liquidation_fee", "surplus"):
                    moved += amount * ((credit.name in own) - (debit.name in own))
            self.moved[f"{state.spec.name}:{state.liquidations}"] = state.spec.asset.text(moved)

        return measured


def run(toml: str, commands: Iterator[dict[str, Any]]) -> tuple[Venue, list[Record]]:
    venue = Venue(parse_config(toml))
    events = venue.genesis()
    for command in commands:
        events.extend(venue.apply(decode_command(orjson.dumps(command))))
    return venue, recorded(events)


def check_liquidations(records: list[Record], moved: dict[str, str]) -> Counter[str]:
    """Tell every liquidation of a log, and compare each and all of them with the ledger."""
    outcomes: Counter[str] = Counter()
    told: Counter[str] = Counter()
    for liquidation_id, expected in moved.items():
        story = LiquidationStory(liquidation_id, Terms())
        tell(records, story)
        story.finish("the log")
        assert all(step.what for step in story.steps)
        assert liquidation_text(story)
        bill = story.bill
        assert Decimal(bill.trader) == Decimal(expected), liquidation_id
        assert story.postings.missing == 0, liquidation_id
        if story.outcome != "open":
            assert Decimal(bill.total) == 0, (liquidation_id, bill)
        for line in story.postings.lines:
            told[line.cause_kind] += _units(line.amount)
        outcomes[story.outcome] += 1
    booked: Counter[str] = Counter()
    for _, _, event in records:
        if isinstance(event, LedgerPosted):
            for posted in event.lines:
                booked[posted.cause_kind] += _units(posted.amount)
    for kind in OF_LIQUIDATIONS:
        assert told[kind] == booked[kind], kind
    return outcomes


def check_accounts(venue: Venue, records: list[Record]) -> None:
    """Tell every account of a log, and compare what it has with what the engine says that it has."""
    (shard,) = venue.shards
    for name, account in venue.shards[shard].state.accounts.items():
        story = AccountStory(name, Terms())
        tell(records, story)
        story.finish("the log")
        assert all(step.what for step in story.steps)
        assert account_text(story)
        text = venue.shards[shard].state.spec.asset.text
        balance = story.document()["balances"][shard]
        assert balance["agrees"], name
        assert Decimal(balance["wallet"]) == Decimal(text(account.wallet.balance)), name
        margins = {market: position.margin.balance for market, position in account.positions.items()}
        assert {market: Decimal(margin) for market, margin in balance["margins"].items()} == {
            market: Decimal(text(margin)) for market, margin in margins.items() if margin
        }
        by_kind = sum((Decimal(sum_) for sum_ in balance["by_kind"].values()), Decimal(0))
        assert by_kind == Decimal(balance["total"]), name


def _units(amount: str) -> int:
    return int(amount.replace(".", ""))


@settings(max_examples=12, phases=[Phase.reuse, Phase.generate])
@given(seed=st.integers(0, 10**9), venue=st.sampled_from(sorted(VENUES)))
def test_the_sums_of_every_story_are_those_of_the_ledger(seed: int, venue: str) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        measured = Measured(monkeypatch)
        machine, records = run(VENUES[venue], itertools.islice(History(seed), 300))
        check_liquidations(records, measured.moved)
        check_accounts(machine, records)


@settings(max_examples=8, phases=[Phase.reuse, Phase.generate])
@given(seed=st.integers(0, 10**9))
def test_the_sums_hold_for_cross_accounts_and_inverse_contracts(seed: int) -> None:
    toml = mixed_venue(seed)
    contract = parse_config(toml).markets["A"].contract
    with pytest.MonkeyPatch.context() as monkeypatch:
        measured = Measured(monkeypatch)
        machine, records = run(toml, itertools.islice(Mixture(seed, contract), 300))
        check_liquidations(records, measured.moved)
        check_accounts(machine, records)


def test_every_outcome_is_met(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the properties above might prove nothing about one of them."""
    measured = Measured(monkeypatch)
    outcomes: Counter[str] = Counter()
    _, records = run(VENUES["partial liquidation"], itertools.islice(History(0), 600))
    outcomes += check_liquidations(records, measured.moved)
    measured.moved.clear()
    toml = mixed_venue(16)
    _, records = run(toml, itertools.islice(Mixture(16, parse_config(toml).markets["A"].contract), 600))
    outcomes += check_liquidations(records, measured.moved)
    assert {"book", "partial", "takeover", "adl", "last_resort"} <= set(outcomes)


def test_with_its_config_every_isolated_liquidation_is_derived_from_the_settings() -> None:
    toml = VENUES["rebates, fee share, liquidation fee"]
    _, records = run(toml, itertools.islice(History(5), 600))
    terms = Terms()
    terms.learn(parse_config(toml))
    ids = [event.liquidation_id for tag, _, event in records if tag == b"liquidation.started"]  # type: ignore[attr-defined]
    assert len(ids) > 5
    for liquidation_id in ids:
        story = LiquidationStory(liquidation_id, terms)
        tell(records, story)
        started = next(step for step in story.steps if step.event == "liquidation.started")
        assert [formula.split(" ")[0] for formula in started.formulas] == ["equity", "equity", "maintenance"]
        for asked in (step for step in story.steps if step.event in ("liquidation.residual", "takeover.exhausted")):
            assert "max(0, " in asked.formulas[0]


def test_a_generated_crash_adds_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Measured(monkeypatch)
    config = Path(__file__).parents[2] / "deploy" / "venue.toml"
    log = tmp_path / "crash.jsonl"
    options = ["--scenario", "cascade", "--accounts", "60", "--bars", "150", "--seed", "3"]
    for arguments in (
        ["generate", "--config", str(config), "--out", str(log), *options],
        ["replay", str(log), "--config", str(config), "--out", str(tmp_path / "out")],
    ):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
    lines = (tmp_path / "out" / "events.jsonl").read_bytes().splitlines()
    outcomes = check_liquidations(recorded(decode_event(line) for line in lines), measured.moved)
    assert sum(outcomes.values()) > 10
    assert outcomes["takeover"] or outcomes["adl"]


def test_the_accounts_of_a_history_exist() -> None:
    """The sums of accounts are checked for all of these."""
    machine, _ = run(VENUES["no fund, no fees"], itertools.islice(History(1), 50))
    assert set(machine.shards["usdt"].state.accounts) == set(ACCOUNTS)
