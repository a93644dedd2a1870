"""The same promises hold for local folders and for buckets."""

import os
import threading
from pathlib import Path

import pytest

from job import storage
from job.contract.errors import ConfigError


@pytest.fixture(params=["local", "gs"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty folder of each kind of storage."""
    if request.param == "local":
        return str(tmp_path / "folder")
    return f"{request.getfixturevalue('bucket')}/folder"


@pytest.fixture
def local_file(tmp_path: Path) -> str:
    """33 MiB of noise: several ranges, and more than one request when uploaded."""
    path = tmp_path / "noise"
    path.write_bytes(os.urandom(33 << 20))
    return str(path)


def test_what_is_written_is_read(folder: str) -> None:
    """Bytes come back whole, in ranges, and fewer of them at the end of the file."""
    path = storage.join(folder, "deep", "file ä%?#.bin")
    written = storage.write_bytes(path, b"0123456789")
    assert storage.read_bytes(path) == b"0123456789"
    assert storage.read_bytes(path, 3, 5) == b"34"
    assert storage.read_bytes(path, 8, 100) == b"89"
    assert storage.read_bytes(path, 8) == b"89"
    assert storage.read_bytes(path, 10) == storage.read_bytes(path, 50, 60) == b""
    assert storage.read_bytes(path, 5, 5) == b""
    assert storage.stat(path) == written
    assert written.size == 10


def test_an_empty_file_is_a_file(folder: str, tmp_path: Path) -> None:
    path = storage.join(folder, "empty")
    storage.write_bytes(path, b"")
    storage.download(path, str(tmp_path / "copy"))
    assert storage.read_bytes(path) == b"" == (tmp_path / "copy").read_bytes()
    assert storage.exists(path)


def test_a_large_file_survives_the_round_trip(folder: str, local_file: str, tmp_path: Path) -> None:
    path = storage.join(folder, "noise")
    storage.upload(local_file, path)
    storage.download(path, str(tmp_path / "copies" / "noise"))
    assert (tmp_path / "copies" / "noise").read_bytes() == Path(local_file).read_bytes()
    assert os.listdir(tmp_path / "copies") == ["noise"]


def test_listing_is_recursive_and_sorted_by_path(folder: str) -> None:
    names = ["a-b", "a/b", "a/c/d", "a0", "z"]
    for name in reversed(names):
        storage.write_bytes(storage.join(folder, name), name.encode())
    storage.write_bytes(folder + "er/not-below", b"")
    listed = list(storage.list_files(folder))
    assert [stat.path for stat in listed] == [storage.join(folder, name) for name in names]
    assert [stat.size for stat in listed] == [len(name) for name in names]
    assert list(storage.list_files(storage.join(folder, "nothing"))) == []


def test_folders_are_those_directly_inside(folder: str) -> None:
    for name in ("b/x", "a/deep/y", "a/z", "file", "c d/ä%?#/x"):
        storage.write_bytes(storage.join(folder, name), b"")
    expected = [storage.join(folder, name) for name in ("a", "b", "c d")]
    assert list(storage.list_folders(folder)) == expected
    assert list(storage.list_folders(folder + "/")) == expected
    assert list(storage.list_folders(storage.join(folder, "nowhere"))) == []


def test_a_stream_reads_and_seeks(folder: str) -> None:
    path = storage.join(folder, "file")
    storage.write_bytes(path, bytes(range(256)) * 64)
    with storage.open_for_reading(path) as stream:
        assert stream.read(3) == b"\x00\x01\x02"
        stream.seek(-2, os.SEEK_END)
        assert stream.read() == b"\xfe\xff"
        stream.seek(0)
        assert len(stream.read()) == 256 * 64


def test_an_absent_file_is_not_found_and_already_deleted(folder: str, tmp_path: Path) -> None:
    path = storage.join(folder, "absent")
    with pytest.raises(storage.NotFoundError, match="absent does not exist"):
        storage.read_bytes(path)
    with pytest.raises(storage.NotFoundError, match="absent does not exist"):
        storage.download(path, str(tmp_path / "copy"))
    with pytest.raises(storage.NotFoundError, match="absent does not exist"):
        storage.open_for_reading(path)
    assert not storage.exists(path)
    assert not (tmp_path / "copy").exists()
    storage.delete(path)


def test_deleting_removes_one_file(folder: str) -> None:
    for name in ("kept", "deleted"):
        storage.write_bytes(storage.join(folder, name), b"x")
    storage.delete(storage.join(folder, "deleted"))
    assert [stat.path for stat in storage.list_files(folder)] == [storage.join(folder, "kept")]


def test_if_absent_never_replaces(folder: str, tmp_path: Path) -> None:
    """Small files only: fake-gcs-server ignores the condition of resumable uploads."""
    (tmp_path / "third").write_bytes(b"third")
    path = storage.join(folder, "MANIFEST.json")
    storage.write_bytes(path, b"first", if_absent=True)
    with pytest.raises(storage.PreconditionError, match=r"MANIFEST\.json is already there"):
        storage.write_bytes(path, b"second", if_absent=True)
    with pytest.raises(storage.PreconditionError):
        storage.upload(str(tmp_path / "third"), path, if_absent=True)
    assert storage.read_bytes(path) == b"first"


def test_of_many_writers_exactly_one_wins(folder: str) -> None:
    path = storage.join(folder, "claim")
    won: list[int] = []

    def write(number: int) -> None:
        try:
            storage.write_bytes(path, str(number).encode(), if_absent=True)
        except storage.PreconditionError:
            return
        won.append(number)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [str(number).encode() for number in won] == [storage.read_bytes(path)]


def test_a_changed_file_is_not_overwritten_by_who_has_not_seen_the_change(folder: str) -> None:
    path = storage.join(folder, "file")
    seen = storage.write_bytes(path, b"1")
    now = storage.write_bytes(path, b"2", if_generation_match=seen.generation)
    with pytest.raises(storage.PreconditionError):
        storage.write_bytes(path, b"3", if_generation_match=seen.generation)
    assert storage.read_bytes(path) == b"2"
    assert now.generation != seen.generation


@pytest.mark.parametrize("path", ["s3://bucket/x", "https://host/x", "hdfs://x", "file:///x"])
def test_other_schemes_are_refused_by_name(path: str) -> None:
    with pytest.raises(ConfigError, match="not supported; use gs://bucket/prefix or a local path"):
        storage.read_bytes(path)


@pytest.mark.parametrize(
    "path", ["gs://", "gs://ab/x", "gs://UPPER/x", "gs://under/" + "x" * 1025, "gs://okay/a\nb"]
)
def test_impossible_names_are_refused_before_any_request(path: str, bucket: str) -> None:
    with pytest.raises(ConfigError):
        storage.read_bytes(path)
    assert storage.request_counts() == {}


@pytest.mark.parametrize("path", ["", "/", "/folder/"])
def test_a_folder_is_not_a_file(path: str, bucket: str) -> None:
    with pytest.raises(ConfigError, match="a folder where a file is needed"):
        storage.read_bytes(bucket + path)


def test_requests_are_counted_by_kind(bucket: str, tmp_path: Path) -> None:
    storage.write_bytes(f"{bucket}/a/x", b"x")
    storage.read_bytes(f"{bucket}/a/x")
    storage.download(f"{bucket}/a/x", str(tmp_path / "x"))
    assert len(list(storage.list_files(bucket))) == 1
    storage.delete(f"{bucket}/a/x")
    assert storage.request_counts() == {"write": 1, "read": 2, "stat": 1, "list": 1, "delete": 1}
