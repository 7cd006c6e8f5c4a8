"""The config of a stream, told from its journal alone, is the one that the machine goes by."""

from collections.abc import Callable

import hypothesis.strategies as st
import orjson
import pytest
from hypothesis import given

from consumers.config.held import HeldConfig
from consumers.service.journal import JournalError, decode_record
from schemas.config import config_hash
from tests.service.streams import CONFIG, command, deposit, engine, replica, sequencer, settlement, topics

CHANGES = (
    {"funds": {"btc": {"minimum": "7"}}},
    {"funds": {"btc": {"minimum": None}}},
    {"markets": {"BTC-USDT": {"status": "halted"}}},
    {"markets": {"BTC-USDT": {"tick": "0.5"}}},  # never changes
    {"markets": {"BTC-USDT": {"taker_fee": "0.0001"}}},
    {"markets": {"BTC-USDT": {"maker_fee": "-0.0001"}}},  # makes sense with the one before only
    {"shards": {"more": {"asset": "USDT"}}},
    {"shards": {"more": {"asset": "NONE"}}},
)
BATCHES = st.lists(st.lists(st.sampled_from(CHANGES), max_size=3), max_size=5)


def journal(batches: list[list[dict[str, object]]], *, of_settlement: bool = False) -> tuple[list[bytes], str]:
    """The journal of a stream that got these changes, and the hash of the config that its machine ends with."""
    stream = settlement() if of_settlement else engine()
    led = replica(stream)
    leader, inputs = sequencer(led), topics(stream)
    records = [leader.genesis(CONFIG).journal]
    for number, batch in enumerate(batches):
        admin = [inputs["admin"].append(command("config.set", changes=change)) for change in batch]
        polled = [(inputs["admin"].source, admin)]
        if not of_settlement:
            other = [inputs["accounts"].append(deposit("a", transfer_id=f"t{number}"))]
            polled.append((inputs["accounts"].source, other))
        leader.add(polled)
        records += [leader.batch().journal, leader.heartbeat().journal]
    return records, config_hash(led.machine.config)


def held(records: list[bytes], stream: str = "engine:usdt") -> HeldConfig:
    """What is told from a journal."""
    config = HeldConfig(stream)
    for number, record in enumerate(records):
        config.follow(decode_record(record, f"record {number}"), f"record {number}")
    return config


@given(BATCHES, st.booleans())
def test_what_is_told_from_a_journal_is_the_config_of_the_machine(
    batches: list[list[dict[str, object]]],
    of_settlement: bool,
) -> None:
    """Refused changes, several in one record and heartbeats included; and where reading begins in the middle."""
    records, after = journal(batches, of_settlement=of_settlement)
    name = "settlement:USDT" if of_settlement else "engine:usdt"
    whole = held(records, name)
    assert (whole.hash, config_hash(whole.config)) == (after, after)
    half = held(records[: len(batches) // 2 * 2 + 1], name)
    resumed = HeldConfig(name)
    resumed.resume(half.config, half.applied, half.next)
    for record in records[len(batches) // 2 * 2 + 1 :]:
        resumed.follow(decode_record(record, "x"), "x")
    assert (resumed.hash, resumed.applied, resumed.next) == (whole.hash, whole.applied, whole.next)


def _other_hash(records: list[bytes]) -> None:
    header, *entries = records[-1].splitlines()
    changed = orjson.dumps(orjson.loads(header) | {"config": "0" * 64})
    records[-1] = b"\n".join((changed, *entries, b""))


def _without_a_change(records: list[bytes]) -> None:
    """The record with the change is there, and says something else was read."""
    records[1] = records[1].replace(b'"halted"', b'"open"')


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_other_hash, "this is other code"),
        (_without_a_change, "this is other code"),
        (lambda records: records.pop(0), "the genesis is missing"),
        (lambda records: records.pop(1), "expected 1"),
        (lambda records: records.insert(1, records[0]), "a second genesis"),
        (lambda records: records.insert(2, records[1]), "begins with input 1, expected 3"),
    ],
)
def test_a_journal_that_cannot_tell_the_config_is_refused(spoil: Callable[[list[bytes]], object], says: str) -> None:
    records, _ = journal([[CHANGES[2]], []])
    spoil(records)
    with pytest.raises(JournalError, match=says):
        held(records)


def test_the_journal_of_another_stream_is_refused() -> None:
    records, _ = journal([])
    with pytest.raises(JournalError, match="belongs to engine:usdt, not to engine:more"):
        held(records, "engine:more")
