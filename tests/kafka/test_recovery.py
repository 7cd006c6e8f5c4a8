"""Where an instance begins: snapshots good and bad, journals that were cut off, topics that are not what they were."""

import asyncio
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from tests.kafka.conftest import SharedBroker
from tests.kafka.deployment import ENGINE, SHARD, Deployment, deposit
from tests.kafka.instance import Instance


@pytest.fixture
def venue(broker: SharedBroker, prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """Topics and nothing else; standbys make a snapshot each second."""
    with Deployment(broker.address, prefix, tmp_path, snapshots='every = "1s"\nkeep = 2\n') as deployment:
        yield deployment


def _worked(venue: Deployment, deposits: int = 3) -> None:
    """A journal with something in it, and no leader any more."""
    leader = venue.start(ENGINE)
    seen = len(venue.read("positions", SHARD))
    venue.send("accounts", *(deposit("a", "1", f"t{seen + n}") for n in range(deposits)))
    venue.until(lambda: len(venue.read("positions", SHARD)) >= seen + deposits)
    _stop(leader)


def _stop(instance: Instance) -> None:
    instance.signal(signal.SIGTERM)
    assert instance.wait(20) == 0


def _snapshots(venue: Deployment) -> list[Path]:
    return sorted((venue.folder / "snapshots").glob("*.snapshot"))


def _snapshot(venue: Deployment) -> "subprocess.CompletedProcess[str]":
    return venue.backstop("snapshot", "--shard", "usdt", "--config", str(venue.config))


def _goes_on(venue: Deployment, wallet: str) -> Instance:
    """Start a leader and see that it has the state it should have."""
    leader = venue.start(ENGINE)
    assert leader.leads, leader.log.read_text()
    seen = len(venue.read("positions", SHARD))
    venue.send("accounts", deposit("a", "1", f"again{seen}"))
    venue.until(lambda: len(venue.read("positions", SHARD)) > seen)
    assert venue.events("positions", SHARD)[-1]["wallet"] == wallet
    return leader


def test_a_start_goes_on_from_the_newest_snapshot_and_the_journal_behind_it(venue: Deployment) -> None:
    _worked(venue)
    made = _snapshot(venue)
    assert made.returncode == 0, made.stderr
    _stop(_goes_on(venue, "4.000000"))
    leader = _goes_on(venue, "5.000000")
    loaded = [line for line in leader.log.read_text().splitlines() if '"snapshot_loaded"' in line]
    assert len(loaded) == 1
    assert _snapshots(venue)[0].name.split(".")[1].lstrip("0") in loaded[0]
    assert venue.backstop("verify").returncode == 0


def test_a_standby_makes_snapshots_while_it_follows(venue: Deployment) -> None:
    venue.start(ENGINE)
    standby = venue.start(ENGINE, "--standby")
    venue.until(lambda: len(_snapshots(venue)) == 2, 30)
    _stop(standby)
    assert '"snapshot_taken"' in standby.log.read_text()


def test_a_damaged_snapshot_is_passed_over_for_the_one_before(venue: Deployment) -> None:
    _worked(venue)
    _snapshot(venue)
    _worked(venue)
    _snapshot(venue)
    older, newer = _snapshots(venue)
    content = bytearray(newer.read_bytes())
    content[len(content) // 2] ^= 1
    newer.write_bytes(content)
    leader = _goes_on(venue, "7.000000")
    said = leader.log.read_text()
    assert f'"snapshot":"{newer.name}"' in said
    assert "its checksum is wrong" in said
    assert older.name.split(".")[1].lstrip("0") in said


def test_without_any_usable_snapshot_it_begins_at_the_journals_beginning(venue: Deployment) -> None:
    _worked(venue)
    _snapshot(venue)
    _snapshots(venue)[0].write_bytes(b"nothing of the kind")
    _goes_on(venue, "4.000000")


def test_a_journal_whose_beginning_is_gone_needs_a_snapshot_and_says_so(venue: Deployment) -> None:
    _worked(venue)
    _snapshot(venue)
    end = venue.read("journal", SHARD)[-1].offset + 1

    async def cut() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=venue.address)
        await admin.start()
        place = TopicPartition(f"{venue.prefix}journal", SHARD)
        await admin.delete_records({place: RecordsToDelete(before_offset=end - 1)})
        await admin.close()

    asyncio.run(cut())
    _stop(_goes_on(venue, "4.000000"))
    for snapshot in _snapshots(venue):
        snapshot.unlink()
    lost = venue.start(ENGINE)
    assert lost.wait(30) == 1
    assert "this stream cannot be recovered from what there is" in lost.log.read_text()


def test_a_snapshot_that_knows_more_than_the_journal_stops_the_service(venue: Deployment) -> None:
    _worked(venue)
    _snapshot(venue)
    _remake(venue, "journal")
    stopped = venue.start(ENGINE)
    assert stopped.wait(30) == 1
    assert "it has lost records, or is another topic than it was" in stopped.log.read_text()


@pytest.mark.parametrize("refilled", [False, True])
def test_an_input_that_was_deleted_and_made_again_stops_the_service(venue: Deployment, refilled: bool) -> None:
    _worked(venue)
    _remake(venue, "accounts")
    if refilled:
        venue.send("accounts", *(deposit("b", "1", f"x{n}") for n in range(5)))
    stopped = venue.start(ENGINE)
    assert stopped.wait(30) == 1
    assert "is it another topic?" in stopped.log.read_text()


def test_a_full_disk_leaves_the_snapshots_that_are_there_and_is_said_in_one_line(venue: Deployment) -> None:
    _worked(venue)
    assert _snapshot(venue).returncode == 0
    before = {path: path.read_bytes() for path in (venue.folder / "snapshots").iterdir()}
    _worked(venue)
    full = subprocess.run(
        [
            *(sys.executable, "-m", "consumers.cli", "snapshot", "--shard", "usdt"),
            *("--config", str(venue.config), "--service", str(venue.service)),
        ],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_no_room,
    )
    assert full.returncode == 1
    assert [line for line in full.stderr.splitlines() if line.startswith("Error: ")] == full.stderr.splitlines()[-1:]
    assert "Traceback" not in full.stderr
    assert {path: path.read_bytes() for path in (venue.folder / "snapshots").iterdir()} == before


def _no_room() -> None:
    """As a file system that is full after 64 bytes: a write beyond fails."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))


def _remake(venue: Deployment, topic: str) -> None:
    """Delete a topic and make it anew."""

    async def delete() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=venue.address)
        await admin.start()
        await admin.delete_topics([venue.prefix + topic])
        while venue.prefix + topic in await admin.list_topics():
            await asyncio.sleep(0.1)
        await admin.close()

    asyncio.run(delete())
    made = venue.backstop("topics", "--config", str(venue.config))
    assert made.returncode == 0, made.stderr
