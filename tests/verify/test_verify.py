"""`verify` holds for what the services write, whatever is under way, and for nothing that differs from it."""

import asyncio
import random
from collections.abc import Callable
from decimal import Decimal
from functools import cache

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.service.journal import decode_record
from consumers.verify.evidence import Unusable
from consumers.verify.run import verify
from consumers.verify.verdict import FINDINGS_MAX, Verdict
from engine import settlement as machine
from schemas.config import parse_config
from tests.engine.test_delayed_settlement import VENUES
from tests.replay.conftest import VENUE
from tests.service.venue_log import CODE, Place, VenueLog, record_history
from tests.verify.memory import MemoryEvidence, Topics

MARKS = ("mark-prices", 0)


@cache
def recorded() -> VenueLog:
    """A history in which most things happen, and that ends in the middle of it all."""
    return record_history(7, "tiny funds, short lives", 1_200)


def topics() -> Topics:
    """Its topics, to be changed at will."""
    return {place: list(records) for place, records in recorded().topics.items()}


def verdict_on(evidence: MemoryEvidence) -> Verdict:
    """The verdict of the real thing."""
    return asyncio.run(verify(evidence, headers="type", code=CODE))


def test_what_the_services_wrote_holds() -> None:
    """And the counts say that all of it was looked at."""
    log = recorded()
    verdict = verdict_on(MemoryEvidence(log.topics))
    assert verdict.findings == []
    assert verdict.holds
    assert verdict.absent == []
    for stream in verdict.streams:
        replica = log.replicas[stream.stream]
        assert stream.inputs == replica.applied > 100
        assert stream.events == sum(stream.partitions.values()) == len(log.published[stream.stream])
        assert stream.chain == replica.chain.hex()
        assert stream.state_hash == replica.machine.state_hash()
        assert stream.unverifiable == 0
    letters = sum(len(records) for (topic, _), records in log.topics.items() if topic == "dead-letters")
    assert sum(stream.dead_letters for stream in verdict.streams) == letters > 10
    claims = {(each.sender, each.receiver): each for each in verdict.crossings}
    assert claims.keys() == {
        *((f"engine:{shard}", "settlement:USDT") for shard in ("usdt", "more")),
        *(("settlement:USDT", f"engine:{shard}") for shard in ("usdt", "more")),
    }
    assert any(each.sent > each.arrived for each in verdict.crossings), "something is under way"
    assert [(each.asset, each.residual) for each in verdict.conservation] == [("USDT", "0.000000")]


@settings(max_examples=25)
@given(st.integers(0, 10**9), st.sampled_from(sorted(VENUES)), st.integers(20, 400), st.booleans())
def test_any_history_holds_whatever_is_under_way(seed: int, venue: str, length: int, settled: bool) -> None:
    """Money in messages that were sent and did not arrive is found, to the unit; once all arrived there is none."""
    verdict = verdict_on(MemoryEvidence(record_history(seed, venue, length, settled=settled).topics))
    assert verdict.findings == []
    (sums,) = verdict.conservation
    assert not sums.residual.strip("0.")
    if settled:
        assert not sums.in_flight.strip("0.")
        assert all(each.sent == each.arrived for each in verdict.crossings)


@pytest.mark.parametrize("venue", sorted(VENUES))
def test_money_adds_up_with_every_kind_of_message(venue: str) -> None:
    """Fees of liquidations, surpluses, fills of takeovers, fee shares, covered losses: each moves what it says."""
    verdict = verdict_on(MemoryEvidence(record_history(13, venue, 900).topics))
    assert verdict.findings == []


def test_money_under_way_is_told() -> None:
    """Over some histories there is some, or the sum above would prove nothing."""
    flights = [
        verdict_on(MemoryEvidence(record_history(seed, "rich funds, fees, surplus to the account", 300).topics))
        .conservation[0]
        .in_flight
        for seed in range(4)
    ]
    assert any(flight.strip("-0.") for flight in flights)


def test_services_may_go_on_while_they_are_verified() -> None:
    """Events and claims beyond the journal as it was first seen are proved from what it has become since."""
    log = recorded()
    counts = {name: len(log.topics["journal", stream.partition]) for name, stream in log.streams.items()}
    rng = random.Random(3)
    for _ in range(5):
        cuts = {name: rng.randrange(1, count) for name, count in counts.items()}
        verdict = verdict_on(MemoryEvidence(log.topics, cuts=cuts))
        assert verdict.findings == []
        assert all(stream.events == len(log.published[stream.stream]) for stream in verdict.streams)
        assert not verdict.conservation[0].residual.strip("0.")


# --- what must not hold ---------------------------------------------------------------------------------------

Change = Callable[[Topics], str]
"""Changes the topics; returns what the first finding of its rule has to name."""


def _drop(topics: Topics, place: Place, index: int) -> str:
    return topics[place].pop(index).place


def _replace(topics: Topics, place: Place, index: int, **fields: object) -> str:
    topics[place][index] = topics[place][index]._replace(**fields)  # type: ignore[arg-type]
    return topics[place][index].place


def _index(topics: Topics, place: Place, part: bytes, after: int = 10) -> int:
    return next(n for n, each in enumerate(topics[place]) if n > after and part in (each.value or b""))


def event_missing(topics: Topics) -> str:
    """One event less; the finding names the one that stands in its place."""
    _drop(topics, ("executions", 0), 50)
    return topics["executions", 0][50].place


def last_event_missing(topics: Topics) -> str:
    """The last event of a partition is not there."""
    _drop(topics, ("positions", 1), -1)
    return "positions/1"


def event_twice(topics: Topics) -> str:
    """An event and, right behind, itself again."""
    topics["executions", 0].insert(51, topics["executions", 0][50])
    return topics["executions", 0][51].place


def event_altered(topics: Topics) -> str:
    """Another amount."""
    index = _index(topics, ("ledger", 0), b'"amount":"')
    value = (topics["ledger", 0][index].value or b"").replace(b'"amount":"', b'"amount":"1')
    return _replace(topics, ("ledger", 0), index, value=value)


def events_swapped(topics: Topics) -> str:
    """Two events in the wrong order."""
    records = topics["positions", 0]
    records[30], records[31] = records[31], records[30]
    return records[30].place


def key_altered(topics: Topics) -> str:
    """Same event, another key."""
    return _replace(topics, ("positions", 0), 30, key=b"nobody") + ", key"


def header_missing(topics: Topics) -> str:
    """Same event, no headers."""
    return _replace(topics, ("settlements", 2), 20, headers=()) + ", headers"


def trace_missing(topics: Topics) -> str:
    """The trace context of the command did not reach its event."""
    records = topics["executions", 0]
    index = next(n for n, each in enumerate(records) if len(each.headers) == 2)
    return _replace(topics, ("executions", 0), index, headers=records[index].headers[:1]) + ", headers"


def event_after_the_last(topics: Topics) -> str:
    """An event that no journal causes."""
    last = topics["adl", 0][-1]
    topics["adl", 0].append(last._replace(offset=last.offset + 5))
    return f"adl/0/{last.offset + 5}"


def event_of_a_stranger(topics: Topics) -> str:
    """Something on a partition of event topics to which its stream never writes."""
    topics["settlements", 0] = [recorded().topics["settlements", 2][0]._replace(partition=0, offset=0)]
    return "settlements/0/0"


def event_moved(topics: Topics) -> str:
    """A decision that went to the partition of another shard."""
    moved = topics["decisions", 1].pop()
    topics["decisions", 0].append(moved._replace(partition=0, offset=10**6))
    return "decisions/1"


def claim_missing(topics: Topics) -> str:
    """A claim that the engine sent is not in its topic; settlement journalled it."""
    return _drop(topics, ("liquidations", 0), _index(topics, ("liquidations", 0), b'"liquidation.residual"'))


def input_unaccounted(topics: Topics) -> str:
    """A command in the topic that the engine went past."""
    records = topics["orders", 0]
    gap = next(n for n in range(50, len(records)) if records[n].offset < records[-1].offset)
    extra = records[gap]._replace(offset=records[gap].offset)
    records[gap:] = [extra, *(each._replace(offset=each.offset + 1) for each in records[gap:])]
    return records[gap + 1].place


def command_deleted(topics: Topics) -> str:
    """A command that was journalled is not in the topic."""
    return _drop(topics, ("accounts", 1), 30)


def command_altered(topics: Topics) -> str:
    """A command whose text is not the one that was journalled."""
    value = (topics[MARKS][40].value or b"").replace(b'"price":"', b'"price":"1')
    return _replace(topics, MARKS, 40, value=value) + " in the journal"


def dead_letter_missing(topics: Topics) -> str:
    """A record that is no command, and no dead letter of it."""
    letter = topics["dead-letters", 0].pop(5)
    return "/".join(dict(letter.headers)[name].decode() for name in ("topic", "partition", "offset"))


def dead_letter_twice(topics: Topics) -> str:
    """Two dead letters of one record."""
    letters = topics["dead-letters", 0]
    letters.append(letters[-1]._replace(offset=letters[-1].offset + 1))
    return letters[-1].place


def dead_letter_of_a_command(topics: Topics) -> str:
    """A dead letter of a record that was journalled, too."""
    letters = topics["dead-letters", 1]
    command = topics["orders", 1][3]
    headers = [
        (name, str(command.offset).encode() if name == "offset" else value)
        for name, value in dict(letters[0].headers).items()
        if name != "topic"
    ]
    letters.append(letters[-1]._replace(offset=letters[-1].offset + 1, headers=[("topic", b"orders"), *headers]))
    return letters[-1].place


def dead_letter_altered(topics: Topics) -> str:
    """A dead letter whose bytes are not those of the record."""
    letters = topics["dead-letters", 0]
    index = next(n for n, letter in enumerate(letters) if letter.value)
    return _replace(topics, ("dead-letters", 0), index, value=b"?")


def _journal(topics: Topics, partition: int, index: int, change: Callable[[dict, list[dict]], None]) -> str:
    """Change header and entries of a journal record."""
    place = ("journal", partition)
    header, *entries = [orjson.loads(line) for line in (topics[place][index].value or b"").splitlines()]
    change(header, entries)
    value = b"".join(orjson.dumps(line) + b"\n" for line in (header, *entries))
    return _replace(topics, place, index, value=value)


def _with_inputs(topics: Topics, partition: int, prefix: str, after: int = 20) -> int:
    """The index of a journal record that has an input from there."""
    for index, arrival in enumerate(topics["journal", partition]):
        record = decode_record(arrival.value or b"", "")
        if index > after and any(entry.at.startswith(prefix) for entry in record.entries):
            return index
    raise LookupError(prefix)


def chain_altered(topics: Topics) -> str:
    """A journal record with another hash."""
    return _journal(topics, 1, 30, lambda header, _: header.update(chain="ab" * 32))


def journal_record_missing(topics: Topics) -> str:
    """A batch of inputs is missing in the journal."""
    index = _with_inputs(topics, 0, "orders")
    topics["journal", 0].pop(index)
    return topics["journal", 0][index].place


def journal_ends_early(topics: Topics) -> str:
    """The journal has lost its last inputs, which have caused events."""
    last = max(
        n
        for n, arrival in enumerate(topics["journal", 0])
        if b'"order.new"' in (arrival.value or b"") and b'"at":"orders' in (arrival.value or b"")
    )
    del topics["journal", 0][last:]
    return "no record: the journal causes no more"


def place_altered(topics: Topics) -> str:
    """An input that says it came from elsewhere."""
    index = _with_inputs(topics, 0, "mark-prices")

    def change(header: dict, entries: list[dict]) -> None:
        del header
        entry = next(each for each in entries if each["at"].startswith("mark-prices"))
        entry["at"] = "mark-prices/0/999999"

    _journal(topics, 0, index, change)
    return "mark-prices/0/"


def position_beyond(topics: Topics) -> str:
    """A position that skips a record nobody has seen."""
    index = len(topics["journal", 2]) - 1
    return _journal(topics, 2, index, lambda header, _: header["next"].update({"admin/2": 7})) + ", last of admin/2"


def position_backwards(topics: Topics) -> str:
    """A position that goes back: records would be read again."""
    index = len(topics["journal", 0]) - 1
    return _journal(topics, 0, index, lambda header, _: header["next"].update({"orders/0": 7})) + ", next of orders/0"


def claim_skipped(topics: Topics) -> str:
    """Settlement's journal has one claim less than it read. Its own replay stops at the gap, as the machine does."""
    index = _with_inputs(topics, 2, "liquidations/0", after=3)

    def change(header: dict, entries: list[dict]) -> None:
        at = next(n for n, each in enumerate(entries) if each["at"].startswith("liquidations/0"))
        del entries[at]
        header["last"] -= 1

    _journal(topics, 2, index, change)
    return "number"


def claim_altered(topics: Topics) -> str:
    """Settlement's journal has another claim than the one that was sent."""
    index = _with_inputs(topics, 2, "liquidations/1", after=3)

    def change(header: dict, entries: list[dict]) -> None:
        del header
        entry = next(each for each in entries if each["at"].startswith("liquidations/1"))
        entry["input"]["market"] = "ETH-USDT"

    _journal(topics, 2, index, change)
    return "to settlement:USDT"


CHANGES: dict[str, tuple[str, Change]] = {
    change.__name__: (rule, change)
    for rule, changes in {
        "events": (
            event_missing,
            last_event_missing,
            event_twice,
            event_altered,
            events_swapped,
            key_altered,
            header_missing,
            trace_missing,
            event_after_the_last,
            event_of_a_stranger,
            event_moved,
            journal_ends_early,
        ),
        "inputs": (
            input_unaccounted,
            command_deleted,
            command_altered,
            claim_missing,
            dead_letter_missing,
            dead_letter_twice,
            dead_letter_of_a_command,
            dead_letter_altered,
            place_altered,
            position_beyond,
            position_backwards,
        ),
        "journal": (chain_altered, journal_record_missing),
        "messages": (claim_skipped, claim_altered),
    }.items()
    for change in changes
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_changed_is_found_and_named(name: str) -> None:
    """One thing is changed in the topics; a finding of its rule names the place."""
    rule, change = CHANGES[name]
    changed = topics()
    expected = change(changed)
    verdict = verdict_on(MemoryEvidence(changed))
    assert not verdict.holds
    assert all(len(stream.findings) <= FINDINGS_MAX for stream in verdict.streams)
    told = [finding.text for finding in verdict.findings if finding.rule == rule]
    assert told, [finding.text for finding in verdict.findings]
    assert any(expected in text for text in told), (expected, told)


def test_money_that_is_lost_between_the_machines_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A settlement that books a unit less than was sent, its journal and events in order, conserves by itself."""
    original = machine.Settlement._on_fee_share

    def short(self: machine.Settlement, shard: object, claim: object) -> None:
        amount = claim.amount  # type: ignore[attr-defined]
        claim.amount = "0" if amount == "0" else str(Decimal(amount) - Decimal("0.000001"))  # type: ignore[attr-defined]
        original(self, shard, claim)  # type: ignore[arg-type]
        claim.amount = amount  # type: ignore[attr-defined]

    monkeypatch.setattr(machine.Settlement, "_on_fee_share", short)
    log = record_history(5, "rich funds, fees, surplus to the account", 300, settled=True)
    verdict = verdict_on(MemoryEvidence(log.topics))
    assert {finding.rule for finding in verdict.findings} == {"conservation"}


# --- retention, and streams that never ran --------------------------------------------------------------------


def test_what_retention_deleted_is_counted_and_not_held_against_anyone() -> None:
    first = {("executions", 0): 300, ("orders", 0): 200, ("mark-prices", 1): 50, ("liquidations", 1): 40}
    verdict = verdict_on(MemoryEvidence(recorded().topics, first=first))
    assert verdict.findings == []
    by_name = {stream.stream: stream for stream in verdict.streams}
    assert by_name["engine:usdt"].unverifiable > 200
    assert by_name["engine:more"].unverifiable > 30
    assert by_name["settlement:USDT"].unverifiable > 20


def test_deleted_dead_letters_leave_their_records_unverifiable() -> None:
    verdict = verdict_on(MemoryEvidence(recorded().topics, first={("dead-letters", 0): 10}))
    assert verdict.findings == []
    assert verdict.streams[0].unverifiable > 0


def test_a_stream_that_never_ran_has_written_nothing() -> None:
    """Its journal is empty, so are its topics; what the others sent it is under way."""
    log = recorded()
    kept = {place: records for place, records in log.topics.items() if place[1] != 2 and place[0] != "decisions"}
    only = {place: records for place, records in kept.items() if place[1] == 0 and place[0] == "journal"}
    verdict = verdict_on(MemoryEvidence(only))
    assert verdict.absent == ["engine:more", "settlement:USDT"]
    assert not verdict.holds  # the events of the one that ran are not there


def test_a_journal_whose_beginning_is_deleted_cannot_be_verified() -> None:
    changed = topics()
    del changed["journal", 0][0]
    with pytest.raises(Unusable, match="engine:usdt begins with input 1, what comes before is deleted"):
        verdict_on(MemoryEvidence(changed))


def test_without_any_journal_there_is_nothing_to_prove() -> None:
    with pytest.raises(Unusable, match="nothing has ever been written"):
        verdict_on(MemoryEvidence({}))


def test_a_config_that_is_not_that_of_the_journals_is_refused() -> None:
    with pytest.raises(Unusable, match="leave --config out"):
        asyncio.run(verify(MemoryEvidence(recorded().topics), headers="type", code=CODE, config=parse_config(VENUE)))


def test_the_style_of_the_headers_is_part_of_the_proof() -> None:
    verdict = asyncio.run(verify(MemoryEvidence(recorded().topics), headers="cloudevents", code=CODE))
    assert {finding.rule for finding in verdict.findings} == {"events"}
    assert all(", headers" in finding.place for finding in verdict.findings)
