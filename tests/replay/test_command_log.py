"""Reading command logs: whatever a file looks like, its lines come out whole, numbered, and in bounded memory."""

import gzip
import hashlib
import os
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from consumers import command_log
from consumers.command_log import BATCH_BYTES, BATCH_LINES, CommandLog, Line, LogUnreadable

ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": lambda content: gzip.compress(content, mtime=0),
    "zstd": zstandard.compress,
}
MEMBERS: dict[str, Callable[[bytes], bytes]] = {name: ENCODINGS[name] for name in ("gzip", "zstd")}


def read(*paths: Path) -> list[Line]:
    """All lines of the files."""
    return list(lines_of(CommandLog(paths)))


def lines_of(log: CommandLog) -> Iterator[Line]:
    while batch := log.poll():
        yield from batch


def texts(lines: list[Line]) -> list[tuple[int, bytes]]:
    return [(line.number, line.raw) for line in lines]


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def file(content: bytes, name: str = "log") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return file


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_the_content_decides_how_a_file_is_read(file: Callable[..., Path], encoding: Callable[[bytes], bytes]) -> None:
    """Logs are renamed on their way; what they are stands in their first bytes."""
    assert texts(read(file(encoding(b"one\ntwo\n")))) == [(1, b"one"), (2, b"two")]


@pytest.mark.parametrize(("name", "kind"), [("log.gz", "gzip"), ("log.zst", "zstd")])
@pytest.mark.parametrize("content", [b"", b'{"type":"clock.tick","ts":1}\n'], ids=["empty", "plain text"])
def test_a_name_that_promises_compression_is_held_to_it(
    file: Callable[..., Path], name: str, kind: str, content: bytes
) -> None:
    """A damaged beginning must not turn a whole archive into dead letters."""
    with pytest.raises(LogUnreadable, match=rf"log\.(gz|zst): expected {kind} data"):
        read(file(content, name))


@pytest.mark.parametrize(("magic", "name"), [(b"BZh91AY", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"PK\x03\x04", "zip")])
def test_other_compressions_are_refused_by_name(file: Callable[..., Path], magic: bytes, name: str) -> None:
    with pytest.raises(LogUnreadable, match=f"{name} is not supported"):
        read(file(magic))


@pytest.mark.parametrize("encoding", MEMBERS.values(), ids=MEMBERS)
def test_concatenated_compressed_files_are_one(file: Callable[..., Path], encoding: Callable[[bytes], bytes]) -> None:
    """Rotated logs are joined with cat; a line may even go over the seam."""
    assert texts(read(file(encoding(b"one\ntw") + encoding(b"o\n")))) == [(1, b"one"), (2, b"two")]


def test_zeros_that_pad_a_gzip_file_are_ignored(file: Callable[..., Path]) -> None:
    assert texts(read(file(gzip.compress(b"one\n") + bytes(4096)))) == [(1, b"one")]


def test_a_zstd_file_may_hold_skippable_frames(file: Callable[..., Path]) -> None:
    skippable = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"note"
    content = skippable + zstandard.compress(b"one\n") + skippable + zstandard.compress(b"two\n")
    assert texts(read(file(content))) == [(1, b"one"), (2, b"two")]


LINES = b"".join(b'{"n":%d,"x":"%s"}\n' % (i, hashlib.sha256(b"%d" % i).hexdigest().encode()) for i in range(2000))


@pytest.mark.parametrize("encoding", MEMBERS.values(), ids=MEMBERS)
@pytest.mark.parametrize("share", [0.05, 0.5, 0.999])
def test_a_truncated_file_gives_its_complete_lines_and_then_fails(
    file: Callable[..., Path], encoding: Callable[[bytes], bytes], share: float
) -> None:
    """What came through is used, the line that was cut is not, and the message names the file and the place."""
    compressed = encoding(LINES)
    path = file(compressed[: int(len(compressed) * share)])
    lines: list[Line] = []
    with pytest.raises(LogUnreadable) as failure:
        lines.extend(lines_of(CommandLog([path])))
    assert [line.raw for line in lines] == LINES.splitlines()[: len(lines)]
    assert len(lines) >= (1500 if share > 0.99 else 0)
    assert str(path) in failure.value.message
    assert "truncated" in failure.value.message
    assert f"ends at byte {path.stat().st_size}" in failure.value.message
    if lines:
        assert f"after line {len(lines)}:" in failure.value.message


@pytest.mark.parametrize("encoding", MEMBERS.values(), ids=MEMBERS)
def test_corrupt_data_is_reported_with_its_place(file: Callable[..., Path], encoding: Callable[[bytes], bytes]) -> None:
    with pytest.raises(LogUnreadable, match=r"log: after line 1: corrupt \w+ data near byte \d+: "):
        read(file(encoding(b"one\n") + b"\x01\x02garbage after the end"))


def test_a_gzip_checksum_that_does_not_match_is_corruption(file: Callable[..., Path]) -> None:
    compressed = bytearray(gzip.compress(LINES))
    compressed[-6] ^= 1
    with pytest.raises(LogUnreadable, match="corrupt gzip data"):
        read(file(bytes(compressed)))


@pytest.mark.parametrize("cut", range(1, 24))
def test_every_truncation_of_a_small_gzip_file_is_noticed(file: Callable[..., Path], cut: int) -> None:
    compressed = gzip.compress(b"one\n", mtime=0)
    with pytest.raises(LogUnreadable):
        read(file(compressed[: len(compressed) - cut], "log.gz"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n", []),
        (b"one", [(1, b"one")]),
        (b"one\n", [(1, b"one")]),
        (b"\n  \none\n\t\r\n\ntwo", [(3, b"one"), (6, b"two")]),
        (b"one\r\ntwo\r\n", [(1, b"one"), (2, b"two")]),
        (b"one\rtwo\n", [(1, b"one\rtwo")]),
        (b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n", [(1, b"one"), (2, b"\xef\xbb\xbftwo")]),
        (b"\0\n", [(1, b"\0")]),
    ],
)
def test_lines_are_what_stands_between_line_feeds(
    file: Callable[..., Path], content: bytes, expected: list[tuple[int, bytes]]
) -> None:
    """Blank lines are skipped but counted; a last line needs no end; CRLF and a byte order mark are tolerated."""
    assert texts(read(file(content))) == expected


@given(st.lists(st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")), max_size=30), st.integers(1, 50))
def test_no_chunking_changes_the_lines(raws: list[bytes], size: int) -> None:
    """Wherever the pieces of a file end, the lines are the same."""
    content = b"\n".join(raws)
    pieces = [content[i : i + size] for i in range(0, len(content), size)]
    whole = list(command_log._split(command_log.LogFile("x"), [content]))
    assert list(command_log._split(command_log.LogFile("x"), pieces)) == whole
    expected = [raw.removesuffix(b"\r") for raw in content.split(b"\n")]
    expected[0] = expected[0].removeprefix(b"\xef\xbb\xbf")
    assert [line.raw for line in whole] == [raw for raw in expected if raw.strip()]


def test_a_long_line_is_kept_whole(file: Callable[..., Path]) -> None:
    """10 MB without a line feed are no reason to stop, nor to lose a byte of them."""
    content = os.urandom(5_000_000).hex().encode()
    lines = read(file(b"before\n" + content + b"\nafter\n"))
    assert texts(lines) == [(1, b"before"), (2, content), (3, b"after")]
    assert (lines[1].length, lines[1].sha256) == (10_000_000, None)


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_an_endless_line_is_cut_and_costs_bounded_memory(
    file: Callable[..., Path], encoding: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit the beginning is kept; length and hash stand for the whole."""
    monkeypatch.setattr(command_log, "RAW_BYTES_MAX", 1_000_000)
    size = 100_000_000
    path = file(encoding(b"x" * size + b"\nafter\n"))
    tracemalloc.start()
    try:
        lines = read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 80_000_000
    assert texts(lines) == [(1, b"x" * 1_000_000), (2, b"after")]
    assert lines[0].length == size
    assert lines[0].sha256 == hashlib.sha256(b"x" * size).hexdigest()


def test_many_short_lines_from_few_bytes_cost_bounded_memory(file: Callable[..., Path]) -> None:
    """A small compressed file may hold a hundred million lines: they are split as they are asked for."""
    path = file(zstandard.compress(b"{}\n" * 20_000_000))
    log = CommandLog([path])
    tracemalloc.start()
    try:
        for _ in range(100):
            assert len(log.poll()) == BATCH_LINES
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 80_000_000


def test_batches_are_bounded_by_lines_and_by_bytes(file: Callable[..., Path]) -> None:
    log = CommandLog([file(b"x\n" * (BATCH_LINES + 1) + (b"y" * (BATCH_BYTES // 4) + b"\n") * 6)])
    assert [len(batch) for batch in iter(log.poll, [])] == [BATCH_LINES, 5, 2]


def test_files_follow_each_other_and_each_counts_its_own_lines(file: Callable[..., Path]) -> None:
    one, two = file(b"a\nb", "one"), file(zstandard.compress(b"c\n"), "two")
    log = CommandLog([one, two, one])
    assert [line.place for line in lines_of(log)] == [f"{one}:1", f"{one}:2", f"{two}:1", f"{one}:1", f"{one}:2"]
    assert [(each.file, each.bytes, each.lines) for each in log.files] == [
        (str(one), 3, 2),
        (str(two), two.stat().st_size, 1),
        (str(one), 3, 2),
    ]
    assert [each.sha256 for each in log.files] == [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in (one, two, one)
    ]
    assert log.bytes_read == log.bytes_total


def test_what_cannot_be_opened_fails_before_anything_is_read(tmp_path: Path, file: Callable[..., Path]) -> None:
    good = file(b"one\n")
    with pytest.raises(LogUnreadable, match="missing: no such file"):
        CommandLog([good, tmp_path / "missing"])
    with pytest.raises(LogUnreadable, match="expected a file, it is a directory"):
        CommandLog([good, tmp_path])


def test_a_pipe_can_be_a_log(tmp_path: Path) -> None:
    """Its size is unknown, its bytes come when they come, and it can be read once only."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = Thread(target=path.write_bytes, args=(gzip.compress(LINES),))
    writer.start()
    log = CommandLog([path])
    assert log.bytes_total is None
    assert [line.raw for line in lines_of(log)] == LINES.splitlines()
    writer.join()
