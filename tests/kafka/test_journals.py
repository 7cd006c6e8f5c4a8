"""`backstop verify` and `backstop export` against a real broker, with histories whose every byte is known."""

import asyncio
import secrets
from collections.abc import Callable
from functools import cache
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from click.testing import CliRunner, Result

from consumers.cli import main
from tests.kafka.conftest import SharedBroker
from tests.kafka.recording import commit, create_topics, write
from tests.service.venue_log import VenueLog, record_history
from tests.verify.memory import Topics
from tests.verify.test_verify import CHANGES

STREAMS = ("engine:usdt", "engine:more", "settlement:USDT")
Run = Callable[..., Result]


@cache
def recorded() -> VenueLog:
    """A history with liquidations, takeovers, dead letters, and something under way at its end."""
    return record_history(7, "tiny funds, short lives", 600, turns=0.1)


def _runner(broker: SharedBroker, prefix: str, folder: Path) -> Run:
    service = folder / "service.toml"
    service.write_text(f'[kafka]\nbootstrap = "{broker.address}"\ntopic_prefix = "{prefix}"\n')

    def run(*arguments: str | Path) -> Result:
        given = [str(argument) for argument in arguments]
        return CliRunner().invoke(main, [given[0], "--service", str(service), *given[1:]])

    return run


@pytest.fixture
def run(broker: SharedBroker, prefix: str, tmp_path: Path) -> Run:
    """Run a command of the house against topics of this test alone."""
    return _runner(broker, prefix, tmp_path)


@pytest.fixture(scope="module")
def read(broker: SharedBroker, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a command of the house against topics with the history, to which nobody writes any more."""
    prefix = f"journals-{secrets.token_hex(4)}."
    asyncio.run(_put(broker.address, prefix))
    return _runner(broker, prefix, tmp_path_factory.mktemp("read"))


@pytest.fixture
def history(broker: SharedBroker, prefix: str) -> VenueLog:
    """A history that stands in the topics of this test."""
    asyncio.run(_put(broker.address, prefix))
    return recorded()


async def _put(address: str, prefix: str, changed: Topics | None = None) -> None:
    await create_topics(address, prefix)
    await write(address, prefix, recorded(), changed)


def test_what_the_services_wrote_holds_and_its_exports_replay(read: Run, tmp_path: Path) -> None:
    """The topics are proved; each journal is exported, replays to what was published, and is proved as a file."""
    result = read("verify", "--json")
    assert result.exit_code == 0, result.output
    verdict = orjson.loads(result.stdout)
    assert verdict["holds"]
    assert {each["stream"]: each["events"] for each in verdict["streams"]} == {
        name: len(records) for name, records in recorded().published.items()
    }
    files = []
    for name, ending in zip(STREAMS, (".jsonl", ".jsonl.zst", ".jsonl.gz"), strict=True):
        files.append(tmp_path / f"{name.replace(':', '-')}{ending}")
        kind, _, of = name.partition(":")
        option = {"engine": "--shard", "settlement": "--asset"}[kind]
        result = read("export", option, of, "--out", files[-1])
        assert result.exit_code == 0, result.output
        assert recorded().replicas[name].chain.hex() in result.stdout
        replayed = CliRunner().invoke(main, ["replay", str(files[-1]), "--out", str(tmp_path / name)])
        assert replayed.exit_code == 0, replayed.output
        events = (tmp_path / name / "events.jsonl").read_bytes()
        assert events == b"".join(outgoing.value + b"\n" for outgoing in recorded().published[name])
    assert files[0].read_bytes() == recorded().journal("engine:usdt")
    assert not list(tmp_path.glob("*.partial"))
    result = CliRunner().invoke(main, ["verify", *map(str, files)])
    assert result.exit_code == 0, result.output
    assert "no topics were looked at" in result.stdout


def test_a_journal_exported_in_parts_is_one_journal(read: Run, tmp_path: Path) -> None:
    """Each part begins where the last one ended, by number or by offset."""
    last = recorded().replicas["engine:more"].applied
    result = read("export", "--stream", "engine:more", "--out", tmp_path / "1", "--to-number", last // 3, "--json")
    first = orjson.loads(result.stdout)
    assert 0 < first["last"] <= last // 3 + 50
    options = ("--from-number", first["last"] + 1, "--to-number", 2 * last // 3, "--json")
    second = orjson.loads(read("export", "--stream", "engine:more", "--out", tmp_path / "2", *options).stdout)
    assert second["first"] == first["last"] + 1
    options = ("--from-offset", second["next_offset"], "--json")
    third = orjson.loads(read("export", "--stream", "engine:more", "--out", tmp_path / "3", *options).stdout)
    assert (third["first"], third["last"]) == (second["last"] + 1, last)
    joined = b"".join((tmp_path / name).read_bytes() for name in "123")
    assert joined == recorded().journal("engine:more")
    parts = [str(tmp_path / name) for name in "123"]
    assert CliRunner().invoke(main, ["replay", *parts, "--out", str(tmp_path / "out")]).exit_code == 0
    result = CliRunner().invoke(main, ["replay", *parts[::2], "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "what lies between is missing" in result.stderr


def test_an_export_overwrites_nothing_unless_it_is_told_to(read: Run, tmp_path: Path) -> None:
    out = tmp_path / "journal"
    out.write_bytes(b"dear")
    result = read("export", "--shard", "usdt", "--out", out)
    assert result.exit_code == 2
    assert "is there already" in result.stderr
    assert out.read_bytes() == b"dear"
    assert read("export", "--shard", "usdt", "--out", out, "--overwrite").exit_code == 0
    assert out.read_bytes() == recorded().journal("engine:usdt")


def test_what_cannot_be_exported_is_one_line(read: Run, tmp_path: Path) -> None:
    """And leaves no file behind."""
    out = tmp_path / "journal.zst"
    for arguments, complaint in {
        ("--shard", "none"): "there is no journal of engine:none; there are those of engine:more, engine:usdt, settl",
        ("--shard", "usdt", "--asset", "USDT"): "expected one of --stream, --shard and --asset",
        (): "expected one of --stream, --shard and --asset",
        ("--shard", "usdt", "--from-number", "9", "--to-number", "8"): "--from-number: expected at most --to-number",
        ("--shard", "usdt", "--from-number", "99999"): "nothing to export: the journal of engine:usdt ends with input",
        ("--shard", "usdt", "--from-offset", "99999"): "journal/0: has offsets from 0 to",
        ("--shard", "usdt", "--out", str(tmp_path / "no" / "where")): "cannot be written: No such file or directory",
    }.items():
        result = read("export", *(arguments if "--out" in arguments else ("--out", out, *arguments)))
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1), result.stderr
        assert complaint in result.stderr
        assert not list(tmp_path.glob("*journal*"))


def test_a_journal_that_lost_its_beginning_says_so(
    history: VenueLog, run: Run, broker: SharedBroker, prefix: str, tmp_path: Path
) -> None:
    """It is exported only as the part that it is, which replays behind an earlier export only."""
    kept = tmp_path / "kept"
    assert run("export", "--shard", "usdt", "--out", kept, "--to-number", "60").exit_code == 0
    asyncio.run(_delete(broker.address, TopicPartition(prefix + "journal", 0), 6))
    result = run("export", "--shard", "usdt", "--out", tmp_path / "whole")
    assert result.exit_code == 2
    assert "what comes before is deleted" in result.stderr
    result = run("export", "--shard", "usdt", "--out", tmp_path / "left", "--partial")
    assert result.exit_code == 0
    assert "from the middle" in result.stdout
    result = CliRunner().invoke(main, ["replay", str(tmp_path / "left"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "a replay needs the journal from its genesis on" in result.stderr
    result = run("verify")
    assert result.exit_code == 2
    assert "verify files that were exported in time" in result.stderr


async def _delete(address: str, partition: TopicPartition, before: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.delete_records({partition: RecordsToDelete(before_offset=before)})
    await admin.close()


@pytest.mark.parametrize(
    "change", ["event_missing", "key_altered", "dead_letter_missing", "journal_ends_early", "claim_skipped"]
)
def test_what_was_changed_is_found_on_the_broker(change: str, broker: SharedBroker, prefix: str, run: Run) -> None:
    """As in memory: one thing differs, verify says which rule and where, and ends with 1."""
    rule, alter = CHANGES[change]
    changed = {place: list(records) for place, records in recorded().topics.items()}
    alter(changed)
    asyncio.run(_put(broker.address, prefix, changed))
    result = run("verify", "--patience", "5")
    assert result.exit_code == 1, result.output
    assert "DIFFERS" in result.stdout
    assert any(line.startswith(f"{rule}: ") for line in result.stdout.splitlines())


def test_an_event_that_no_journal_causes_is_found(
    history: VenueLog, broker: SharedBroker, prefix: str, run: Run
) -> None:
    """A duplicate behind all others: what a zombie that was not fenced would leave."""
    event = history.topics["executions", 0][-1]
    asyncio.run(commit(broker.address, prefix, [event]))
    result = run("verify")
    assert result.exit_code == 1
    assert "expected no record: the journal causes no more" in result.stdout
    assert "events: engine:usdt: executions/0/" in result.stdout


def test_what_was_not_committed_does_not_count(
    history: VenueLog, broker: SharedBroker, prefix: str, run: Run, tmp_path: Path
) -> None:
    """A batch that was written and aborted is neither an event nor in the journal."""
    records = [history.topics[topic, 0][-1] for topic in ("executions", "journal", "dead-letters")]
    asyncio.run(commit(broker.address, prefix, records, abort=True))
    assert run("verify").exit_code == 0
    assert run("export", "--shard", "usdt", "--out", tmp_path / "journal").exit_code == 0
    assert (tmp_path / "journal").read_bytes() == history.journal("engine:usdt")


def test_a_transaction_that_hangs_is_not_waited_for_for_ever(
    history: VenueLog, broker: SharedBroker, prefix: str, run: Run
) -> None:
    """What is behind it cannot be seen; so far everything holds."""
    with asyncio.Runner() as loop:
        producer = loop.run(_begin(broker.address, prefix, history))
        result = run("verify", "--patience", "1")
        loop.run(_abort(producer))
    assert result.exit_code == 0, result.output


async def _begin(address: str, prefix: str, history: VenueLog) -> AIOKafkaProducer:
    producer = AIOKafkaProducer(bootstrap_servers=address, transactional_id=prefix + "hangs")
    await producer.start()
    await producer.begin_transaction()
    event = history.topics["executions", 0][-1]
    await producer.send_and_wait(prefix + "executions", event.value, partition=0)
    return producer


async def _abort(producer: AIOKafkaProducer) -> None:
    await producer.abort_transaction()
    await producer.stop()


def test_topics_that_are_not_there_are_one_line(run: Run, tmp_path: Path) -> None:
    for arguments in (("verify",), ("export", "--shard", "usdt", "--out", tmp_path / "x")):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "there is no topic" in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_topics_without_a_journal_prove_nothing(broker: SharedBroker, prefix: str, run: Run) -> None:
    asyncio.run(create_topics(broker.address, prefix))
    result = run("verify")
    assert result.exit_code == 2
    assert "nothing has ever been written" in result.stderr
