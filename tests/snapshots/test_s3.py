"""The store on a real object store's interface: S3, by a server of its own. Skipped where s3fs and moto are missing.

They are no part of the development environment, as what they depend on excludes versions that it has.
"""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from consumers.snapshots.errors import StoreFailure
from consumers.snapshots.snapshot import restore
from consumers.snapshots.store import SnapshotStore
from tests.engine.restored import Machine
from tests.snapshots.conftest import SPEC, header
from tests.snapshots.test_store import files, newest, overwrite

s3fs = pytest.importorskip("s3fs")
moto = pytest.importorskip("moto.server")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket, on a free port of this machine."""
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"venue-{uuid4().hex}"  # what is in the servers of a process outlives them
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}"
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()


def test_snapshots_are_kept_in_a_bucket(bucket: str, shard: Machine) -> None:
    place = SnapshotStore(f"{bucket}/snapshots")
    assert place.names(shard.stream) == []
    for last in range(1, 6):
        place.write(header(shard, last), shard)
    names = place.names(shard.stream)
    assert [name.last for name in names] == [5, 4, 3]
    assert files(place) == sorted(name.file for name in names)
    assert restore(SPEC, place.load(names[0])).state_hash() == shard.state_hash()


def test_what_another_process_wrote_is_seen(bucket: str, shard: Machine) -> None:
    place, other = SnapshotStore(bucket), SnapshotStore(bucket)
    assert place.names(shard.stream) == []
    other._fs = s3fs.S3FileSystem(skip_instance_cache=True)
    other.write(header(shard, 1), shard)
    assert [name.last for name in place.names(shard.stream)] == [1]


def test_damaged_ones_are_passed_over(bucket: str, shard: Machine) -> None:
    place = SnapshotStore(bucket)
    for last in (1, 2):
        place.write(header(shard, last), shard)
    second, _ = place.names(shard.stream)
    overwrite(place, second, place._read(second.file)[:100])
    assert newest(place, shard.stream) == (1, [(2, "its checksum is wrong: it was cut off or changed")])


def test_a_bucket_that_is_not_there_is_one_clear_failure(bucket: str, shard: Machine) -> None:
    with pytest.raises(StoreFailure, match=r"cannot write snapshot \S+ to s3://nosuch: .*bucket does not exist"):
        SnapshotStore("s3://nosuch").write(header(shard, 1), shard)
