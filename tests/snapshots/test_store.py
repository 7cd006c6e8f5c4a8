"""Where snapshots are kept: all of one or nothing, the last few, and a damaged one is passed over."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest

from consumers.snapshots import store as store_module
from consumers.snapshots.errors import DamagedSnapshot, StoreFailure
from consumers.snapshots.snapshot import Snapshot, encode_snapshot, restore
from consumers.snapshots.store import SnapshotName, SnapshotStore
from tests.engine.restored import Machine
from tests.snapshots.conftest import SPEC, header


@pytest.fixture(params=["path", "file", "memory", "dir"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A place: a path, the same as a URL, something like an object store, and a file system that is neither."""
    if request.param == "memory":
        root = f"/{uuid4().hex}"
        yield f"memory:/{root}"
        memory = fsspec.filesystem("memory")
        if memory.exists(root):
            memory.rm(root, recursive=True)
    elif request.param == "dir":
        yield f"dir::file://{tmp_path}/snapshots"
    else:
        yield {"path": f"{tmp_path}/a/b", "file": f"file://{tmp_path}/a/b"}[request.param]


def files(place: SnapshotStore) -> list[str]:
    """Everything that lies there."""
    return sorted(place._files())


def test_what_was_written_is_listed_newest_first_and_loaded(url: str, shard: Machine, settlement: Machine) -> None:
    place = SnapshotStore(url, keep=10)
    assert place.names(shard.stream) == []
    for last, epoch in ((9, 1), (100, 2), (20, 3), (100, 10), (100, 9)):
        place.write(header(shard, last, epoch), shard)
    place.write(header(settlement, 5), settlement)
    names = place.names(shard.stream)
    assert [(name.last, name.epoch) for name in names] == [(100, 10), (100, 9), (100, 2), (20, 3), (9, 1)]
    assert [name.last for name in place.names(settlement.stream)] == [5]
    assert names[0].file == f"{shard.stream.replace(':', '~')}.{100:020}.{10:010}.snapshot"
    snapshot = place.load(names[3])
    assert (snapshot.header.last, snapshot.header.epoch, snapshot.header.stream) == (20, 3, shard.stream)
    assert restore(SPEC, snapshot).state_hash() == shard.state_hash()


def test_the_last_few_of_each_stream_are_kept(url: str, shard: Machine, settlement: Machine) -> None:
    place = SnapshotStore(url)
    for last in range(1, 8):
        place.write(header(shard, last), shard)
    place.write(header(settlement, 1), settlement)
    assert [name.last for name in place.names(shard.stream)] == [7, 6, 5]
    assert len(files(place)) == 4
    assert [name.last for name in SnapshotStore(url, keep=1).names(shard.stream)] == [7, 6, 5]
    SnapshotStore(url, keep=1).write(header(shard, 8), shard)
    assert [name.last for name in place.names(shard.stream)] == [8]


def test_what_was_just_written_is_not_deleted_though_others_are_newer(url: str, shard: Machine) -> None:
    place = SnapshotStore(url, keep=2)
    for last in (10, 11, 3):
        place.write(header(shard, last), shard)
    assert [name.last for name in place.names(shard.stream)] == [11, 10, 3]


def test_streams_whose_names_begin_alike_are_kept_apart(url: str, shard: Machine) -> None:
    place = SnapshotStore(url, keep=1)
    place.write(header(shard, 1), shard)
    assert place.names(shard.stream[:-1]) == place.names(f"{shard.stream}x") == []


def test_other_files_are_let_be(tmp_path: Path, shard: Machine) -> None:
    place = SnapshotStore(str(tmp_path))
    for name in ("README", "engine~x.1.2.snapshot", f"{shard.stream.replace(':', '~')}.snapshot"):
        (tmp_path / name).write_text("mine")
    for last in range(5):
        place.write(header(shard, last), shard)
    assert len(files(place)) == 6
    assert len(place.names(shard.stream)) == 3


def test_keep_is_at_least_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep: expected 1 or more, got 0"):
        SnapshotStore(str(tmp_path), keep=0)


# --- loading the newest that is good --------------------------------------------------------------------------


def newest(place: SnapshotStore, stream: str) -> tuple[int | None, list[tuple[int, str]]]:
    """The journal number of what is loaded, and what was passed over."""
    passed: list[tuple[int, str]] = []
    found = place.load_newest(
        stream, lambda snapshot: restore(SPEC, snapshot), lambda name, reason: passed.append((name.last, reason))
    )
    return (None if found is None else found[0].last), passed


def overwrite(place: SnapshotStore, name: SnapshotName, content: bytes) -> None:
    """Have something else under a name."""
    place._fs.pipe_file(place._path(name.file), content)


def test_damaged_ones_are_told_of_and_passed_over(url: str, shard: Machine) -> None:
    place = SnapshotStore(url)
    for last in (1, 2, 3):
        place.write(header(shard, last), shard)
    third, second, first = place.names(shard.stream)
    assert newest(place, shard.stream) == (3, [])
    overwrite(place, third, place._read(third.file)[:-1])
    assert newest(place, shard.stream) == (2, [(3, "its checksum is wrong: it was cut off or changed")])
    overwrite(place, second, b"")
    assert newest(place, shard.stream)[0] == 1
    overwrite(place, first, b"rubbish\n")
    loaded, passed = newest(place, shard.stream)
    assert loaded is None
    assert [last for last, _ in passed] == [3, 2, 1]
    assert passed[2][1] == "it does not begin with 'backstop-snapshot 1' but with 'rubbish'"


def test_one_that_does_not_restore_to_its_hash_is_passed_over(url: str, shard: Machine, settlement: Machine) -> None:
    class Liar:
        """Says of its rows what they are not."""

        stream, event_time, config = shard.stream, 0, shard.config
        report_rows = staticmethod(lambda: iter(()))
        rows = staticmethod(shard.rows)
        state_hash = staticmethod(lambda: "00" * 32)

    place = SnapshotStore(url)
    place.write(header(shard, 1), shard)
    place.write(header(shard, 2), Liar())
    loaded, ((last, reason),) = newest(place, shard.stream)
    assert (loaded, last) == (1, 2)
    assert reason.startswith(f"{shard.stream}: the restored state has the hash ")


def test_one_under_the_name_of_another_is_passed_over(url: str, shard: Machine) -> None:
    place = SnapshotStore(url)
    for last in (1, 2):
        place.write(header(shard, last), shard)
    second, first = place.names(shard.stream)
    overwrite(place, second, place._read(first.file))
    assert newest(place, shard.stream) == (1, [(2, f"it is {first.file} by its header")])


def test_who_uses_it_may_refuse_one(url: str, shard: Machine) -> None:
    place = SnapshotStore(url)
    for last in (1, 2):
        place.write(header(shard, last), shard)
    passed = []

    def use(snapshot: Snapshot) -> int:
        if snapshot.header.last > 1:
            raise DamagedSnapshot("it is beyond the end of the journal")
        return snapshot.header.last

    found = place.load_newest(shard.stream, use, lambda name, reason: passed.append((name.last, reason)))
    assert found is not None
    assert found[1] == 1
    assert passed == [(2, "it is beyond the end of the journal")]


def test_one_that_cannot_be_read_is_passed_over(tmp_path: Path, shard: Machine) -> None:
    place = SnapshotStore(str(tmp_path))
    for last in (1, 2):
        place.write(header(shard, last), shard)
    second, _ = place.names(shard.stream)
    (tmp_path / second.file).unlink()
    (tmp_path / second.file).mkdir()
    assert newest(place, shard.stream) == (
        1,
        [(2, f"cannot read snapshot {second.file} from {tmp_path}: Is a directory")],
    )


# --- when writing fails ---------------------------------------------------------------------------------------


def test_on_a_full_disk_nothing_changes_and_one_line_says_so(tmp_path: Path, shard: Machine) -> None:
    place = SnapshotStore(str(tmp_path))
    name = place.write(header(shard, 1), shard)
    size = (tmp_path / name.file).stat().st_size
    script = f"""
import resource, sys
from consumers.snapshots.errors import StoreFailure
from consumers.snapshots.store import SnapshotStore
from tests.snapshots.conftest import header, twins
shard = next(iter(twins().machines.values()))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size // 2}, {size // 2}))
try:
    SnapshotStore({str(tmp_path)!r}).write(header(shard, 2), shard)
except StoreFailure as failure:
    print(failure)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    second = name.file.replace(f"{1:020}", f"{2:020}")
    assert run.stdout == f"cannot write snapshot {second} to {tmp_path}: File too large\n"
    assert os.listdir(tmp_path) == [name.file]
    assert newest(place, shard.stream) == (1, [])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
def test_a_file_system_that_runs_full_keeps_what_it_had(tmp_path: Path, shard: Machine) -> None:
    size = len(encode_snapshot(header(shard), shard))
    blocks = 2 * -(-size // 4096)  # for two of them
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={blocks * 4096}", "none", tmp_path], check=False)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        place = SnapshotStore(str(tmp_path))
        names = [place.write(header(shard, last), shard) for last in (1, 2)]
        with pytest.raises(StoreFailure, match=r"^cannot write snapshot [^\n]*: No space left on device$"):
            place.write(header(shard, 3), shard)
        assert sorted(os.listdir(tmp_path)) == [name.file for name in names]
        assert newest(place, shard.stream) == (2, [])
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def as_somebody(script: str) -> str:
    """What a script prints that is run by somebody who is not root."""
    drop = "import os\nif os.geteuid() == 0:\n    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    # What is imported may not be there for everybody to read.
    prepare = """
from consumers.snapshots.errors import StoreFailure
from consumers.snapshots.store import SnapshotStore
from tests.snapshots.conftest import header, twins
shard = next(iter(twins().machines.values()))
"""
    run = subprocess.run(
        [sys.executable, "-B", "-c", prepare + drop + script], capture_output=True, text=True, check=False
    )
    assert not run.stderr, run.stderr
    return run.stdout


def test_without_permission_nothing_changes_and_one_line_says_so(tmp_path: Path, shard: Machine) -> None:
    place = SnapshotStore(str(tmp_path / "snapshots"))
    name = place.write(header(shard, 1), shard)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    (tmp_path / "snapshots").chmod(0o555)
    script = f"""
try:
    SnapshotStore({place.url!r}).write(header(shard, 2), shard)
except StoreFailure as failure:
    print(failure)
"""
    second = name.file.replace(f"{1:020}", f"{2:020}")
    assert as_somebody(script) == f"cannot write snapshot {second} to {place.url}: Permission denied\n"
    assert os.listdir(place.url) == [name.file]


class Failing:
    """A file system of which one operation does not work."""

    def __init__(self, inner: Any, operation: str, error: Exception) -> None:
        self._inner, self._operation, self._error = inner, operation, error

    def __getattr__(self, name: str) -> Any:
        if name == self._operation:
            raise self._error
        return getattr(self._inner, name)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("An error occurred\n(SlowDown)"), TimeoutError()]
)
@pytest.mark.parametrize("kind", ["memory", "dir"])
def test_an_object_store_that_refuses_keeps_what_it_had(
    kind: str, error: Exception, tmp_path: Path, shard: Machine
) -> None:
    place = SnapshotStore(f"memory://{uuid4().hex}" if kind == "memory" else f"dir::file://{tmp_path}")
    name = place.write(header(shard, 1), shard)
    works = place._fs
    for operation in ("pipe_file", "mv") if kind == "dir" else ("pipe_file",):
        place._fs = Failing(works, operation, error)
        with pytest.raises(StoreFailure, match=r"^cannot write snapshot .* to [^\n]+: \S[^\n]*$"):
            place.write(header(shard, 2), shard)
        place._fs = works
        assert files(place) == [name.file]


def test_what_does_not_read_back_as_it_was_written_does_not_stay(
    tmp_path: Path, shard: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = SnapshotStore(str(tmp_path), keep=1)
    name = place.write(header(shard, 1), shard)
    write_file = store_module._write_file
    monkeypatch.setattr(
        store_module, "_write_file", lambda folder, file, content: write_file(folder, file, content[1:])
    )
    with pytest.raises(StoreFailure, match="it does not read back as it was written"):
        place.write(header(shard, 2), shard)
    assert files(place) == [name.file]


def test_one_killed_while_writing_leaves_no_half_file_under_a_name_and_its_rest_goes_in_time(
    tmp_path: Path, shard: Machine
) -> None:
    script = f"""
import os
from consumers.snapshots.store import SnapshotStore
from tests.snapshots.conftest import header, twins
shard = next(iter(twins().machines.values()))
os.fsync = lambda handle: os.kill(os.getpid(), 9)
SnapshotStore({str(tmp_path)!r}).write(header(shard, 1), shard)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    place = SnapshotStore(str(tmp_path))
    assert place.names(shard.stream) == []
    (rest,) = tmp_path.iterdir()
    assert rest.name.endswith(".partial")
    place.write(header(shard, 2), shard)
    assert rest.exists(), "somebody may be writing it"
    long_ago = time.time() - 7_200
    os.utime(rest, (long_ago, long_ago))
    place.write(header(shard, 3), shard)
    assert not rest.exists()
    assert [name.last for name in place.names(shard.stream)] == [3, 2]


def test_a_place_of_an_unknown_kind_is_one_clear_failure() -> None:
    with pytest.raises(StoreFailure, match="cannot open nosuch://x: Protocol not known: nosuch"):
        SnapshotStore("nosuch://x")
