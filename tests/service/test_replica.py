"""A follower does what the journal says, and notices when it does not follow."""

from collections.abc import Callable

import msgspec
import pytest

from consumers.service.journal import JournalError, Record, decode_record
from consumers.service.publication import Outgoing
from consumers.service.replica import Replica
from consumers.service.sequencing import Sequencer
from consumers.service.stream import Stream
from tests.service.streams import CONFIG, buy, deposit, engine, mark, replica, sequencer, settlement, topics

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _led() -> tuple[Replica, list[bytes], list[Outgoing]]:
    """A leader that has worked: its replica, its journal and all that it published."""
    stream = engine()
    of, on = replica(stream), topics(stream)
    work: Sequencer = sequencer(of)
    batches = [work.genesis(CONFIG)]
    for polled in (
        {"mark-prices": [mark()], "accounts": [deposit("a")]},
        {"orders": [buy("a", "o1"), b"no command", buy("a", "o2")]},
        {"orders": [buy("b", "o3")], "mark-prices": [mark("10001")]},
    ):
        work.add(
            [
                (source, [on[source.topic].append(raw, trace=TRACE) for raw in polled.get(source.topic, [])])
                for source in stream.inputs
            ]
        )
        batches.append(work.batch())
        batches.append(work.heartbeat())
    batches.append(work.tick(1_750_000_001_000_000))
    return of, [batch.journal for batch in batches], [out for batch in batches for out in batch.published]


def _follow(stream: Stream, records: list[bytes]) -> tuple[Replica, list[Outgoing]]:
    of = replica(stream)
    published = []
    for number, value in enumerate(records):
        published += of.follow(decode_record(value, f"journal/0/{number}"), f"journal/0/{number}")
    return of, published


def test_a_follower_of_the_journal_publishes_the_same_records_and_ends_in_the_same_state() -> None:
    led, journal, published = _led()
    followed, again = _follow(engine(), journal)
    assert again == published
    assert followed.machine.state_hash() == led.machine.state_hash()
    assert (followed.applied, followed.chain, followed.next, followed.seen) == (
        led.applied,
        led.chain,
        led.next,
        led.seen,
    )


def test_the_trace_context_of_a_command_is_carried_to_its_events_and_through_the_journal() -> None:
    _, journal, published = _led()
    accepted = [out for out in published if b'"order.accepted"' in out.value]
    assert accepted
    assert all(dict(out.headers)["traceparent"] == TRACE for out in accepted)
    assert TRACE in b"".join(journal)


def test_the_genesis_of_settlement_is_published_once_and_stands_in_the_journal_with_its_config() -> None:
    of = replica(settlement())
    batch = sequencer(of).genesis(CONFIG)
    header = decode_record(batch.journal, "here").header
    assert (header.first, header.last, header.genesis) == (1, 0, CONFIG)
    assert [out.topic for out in batch.published] == ["settlements", "ledger"]
    followed, again = _follow(settlement(), [batch.journal])
    assert again == batch.published
    assert followed.chain == of.chain


def _without_a_record(journal: list[bytes]) -> None:
    del journal[3]


def _twice(journal: list[bytes]) -> None:
    journal.insert(3, journal[3])


def _without_genesis(journal: list[bytes]) -> None:
    del journal[0]


def _other_input(journal: list[bytes]) -> None:
    assert b'"qty":"0.001"' in journal[3]
    journal[3] = journal[3].replace(b'"qty":"0.001"', b'"qty":"0.002"')


def _other_chain(journal: list[bytes]) -> None:
    chain = decode_record(journal[2], "").header.chain
    journal[2] = journal[2].replace(chain.encode(), bytes(chain.encode()[::-1]))


def _input_lost_from_a_record(journal: list[bytes]) -> None:
    journal[3] = b"".join(journal[3].splitlines(keepends=True)[:-1])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_without_a_record, r"begins with input 5, expected 3: what lies between is missing"),
        (_twice, r"begins with input 3, expected 5"),
        (_without_genesis, "the genesis is missing"),
        (_other_input, "cause other events now"),
        (_other_chain, "cause other events now"),
        (_input_lost_from_a_record, "holds 1 inputs, its header says 3 to 4"),
    ],
)
def test_a_journal_that_does_not_follow_from_itself_is_refused(spoil: Callable[[list[bytes]], None], says: str) -> None:
    _, journal, _ = _led()
    spoil(journal)
    with pytest.raises(JournalError, match=says):
        _follow(engine(), journal)


def test_a_journal_of_another_stream_is_refused() -> None:
    _, journal, _ = _led()
    with pytest.raises(JournalError, match="belongs to engine:usdt, not to settlement:USDT"):
        _follow(settlement(), journal)


def test_an_input_that_was_applied_before_is_no_input_of_a_journal() -> None:
    of, journal, _ = _led()
    record = decode_record(journal[1], "here")
    header = msgspec.structs.replace(record.header, first=of.applied + 1, last=of.applied + len(record.entries))
    with pytest.raises(JournalError, match="cause other events now"):
        of.follow(Record(header, record.entries), "here")
