"""Shards of a remote dataset, as verified local files."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from job import storage
from job.contract.errors import DataError, NoSpaceError, StorageUnreachableError
from job.dataset.description import Shard
from job.dataset.shard_cache import ShardCache, default_cache_dir
from tests.fault_proxy import Fault, FaultProxy

SIZE = 100_000
COUNT = 8


def write_shards(folder: str, count: int = COUNT) -> list[Shard]:
    """Write `count` files of noise, and describe them as a dataset would."""
    shards = []
    for number in range(count):
        data = os.urandom(SIZE)
        name = f"train-{number:05d}-of-{count:05d}.tfrecord"
        storage.write_bytes(storage.join(folder, name), data)
        shards.append(Shard(name, 1, SIZE, hashlib.sha256(data).hexdigest()))
    return shards


def sha256_of(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def cached_files(cache_dir: Path) -> list[str]:
    return [name for name in os.listdir(cache_dir / "shards") if name.endswith(".shard")]


def test_every_shard_arrives_verified(bucket: str, tmp_path: Path) -> None:
    """In any order, and with the shards in between fetched ahead."""
    shards = write_shards(bucket)
    with ShardCache(bucket, shards, str(tmp_path)) as cache:
        cache.prefetch(range(COUNT))
        for number in reversed(range(COUNT)):
            assert sha256_of(cache.local_file(number)) == shards[number].sha256
        assert cache.fetched_bytes == COUNT * SIZE
    assert storage.request_counts()["read"] == COUNT


def test_a_local_dataset_is_read_where_it_is(tmp_path: Path) -> None:
    shards = write_shards(str(tmp_path / "data"))
    with ShardCache(str(tmp_path / "data"), shards, str(tmp_path / "cache")) as cache:
        cache.prefetch(range(COUNT))
        assert cache.local_file(3) == str(tmp_path / "data" / shards[3].file)
    assert not (tmp_path / "cache").exists()


def test_a_local_shard_that_was_cut_is_an_error(tmp_path: Path) -> None:
    shards = write_shards(str(tmp_path), 1)
    os.truncate(tmp_path / shards[0].file, SIZE - 1)
    with (
        ShardCache(str(tmp_path), shards) as cache,
        pytest.raises(DataError, match=f"has {SIZE - 1} bytes, but dataset.json says {SIZE}"),
    ):
        cache.local_file(0)


def test_the_next_run_reuses_what_is_there(bucket: str, tmp_path: Path) -> None:
    shards = write_shards(bucket)
    for expected in (COUNT * SIZE, 0):
        with ShardCache(bucket, shards, str(tmp_path)) as cache:
            for number in range(COUNT):
                cache.local_file(number)
            assert cache.fetched_bytes == expected


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_file_is_fetched_again(damage: str, bucket: str, tmp_path: Path) -> None:
    shards = write_shards(bucket, 2)
    with ShardCache(bucket, shards, str(tmp_path)) as cache:
        path = cache.local_file(1)
        cache.local_file(0)
    with open(path, "r+b") as file:
        if damage == "flip":
            file.write(b"\x00\x01\x02\x03")
        else:
            file.truncate(10 if damage == "cut" else 0)
    with ShardCache(bucket, shards, str(tmp_path)) as cache:
        assert sha256_of(cache.local_file(1)) == shards[1].sha256
        assert sha256_of(cache.local_file(0)) == shards[0].sha256
        assert cache.fetched_bytes == SIZE


def test_a_shard_that_is_not_what_the_dataset_says_is_an_error(bucket: str, tmp_path: Path) -> None:
    """Refetching cannot help: the dataset itself is inconsistent."""
    shards = write_shards(bucket)
    storage.write_bytes(f"{bucket}/{shards[2].file}", os.urandom(SIZE))
    with ShardCache(bucket, shards, str(tmp_path)) as cache:
        with pytest.raises(DataError, match=f"{shards[2].file} is not the file"):
            cache.local_file(2)
        cache.local_file(1)
    assert len(cached_files(tmp_path)) == 1


def test_the_cache_stays_below_its_size_and_evicts_the_longest_unused(
    bucket: str, tmp_path: Path
) -> None:
    """Room for 5 of 8, read 2 at a time: three passes go through, and the newest remain."""
    shards = write_shards(bucket)
    size_gb = 5.5 * SIZE / 1e9
    with ShardCache(bucket, shards, str(tmp_path), cache_size_gb=size_gb, window_shards=2) as cache:
        for number in [*range(COUNT)] * 3:
            cache.prefetch([number, (number + 1) % COUNT])
            assert sha256_of(cache.local_file(number)) == shards[number].sha256
            assert len(cached_files(tmp_path)) <= 5
    assert f"{shards[COUNT - 1].sha256}.shard" in cached_files(tmp_path)


def test_what_is_in_use_is_not_evicted(bucket: str, tmp_path: Path) -> None:
    """Not by another reader either: two find room, and a third is told that there is none."""
    shards = write_shards(bucket, 12)

    def open_cache() -> ShardCache:
        size_gb = 8.5 * SIZE / 1e9
        return ShardCache(bucket, shards, str(tmp_path), cache_size_gb=size_gb, window_shards=4)

    with open_cache() as first, open_cache() as second, open_cache() as third:
        held = [first.local_file(number) for number in range(4)]
        held += [second.local_file(number) for number in range(4, 8)]
        with pytest.raises(NoSpaceError, match="all that it holds is in use"):
            third.local_file(8)
        assert all(os.path.exists(path) for path in held)
        first.local_file(8)
        assert not os.path.exists(held[0])
        assert all(os.path.exists(path) for path in held[1:])


def test_a_cache_too_small_for_two_readers_is_an_error_at_the_start(
    bucket: str, tmp_path: Path
) -> None:
    shards = write_shards(bucket)
    with pytest.raises(NoSpaceError, match="raise --cache_size_gb"):
        ShardCache(bucket, shards, str(tmp_path), cache_size_gb=7 * SIZE / 1e9, window_shards=4)
    assert "read" not in storage.request_counts()


def test_a_failed_fetch_is_tried_again_by_the_next_to_ask(
    faulty_bucket: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    shards = write_shards(faulty_bucket, 1)
    storage.reconnect(storage.Patience(deadline_s=0.2, first_wait_s=0.02, longest_wait_s=0.05))
    proxy.faults.append(Fault(status=503))
    with ShardCache(faulty_bucket, shards, str(tmp_path)) as cache:
        with pytest.raises(StorageUnreachableError):
            cache.local_file(0)
        proxy.faults.clear()
        assert sha256_of(cache.local_file(0)) == shards[0].sha256


def test_many_readers_fetch_each_shard_once(bucket: str, tmp_path: Path) -> None:
    """Threads of two caches, as of two processes, share one download of each shard."""
    shards = write_shards(bucket)
    caches = [ShardCache(bucket, shards, str(tmp_path)) for _ in range(2)]
    wrong: list[int] = []

    def read(cache: ShardCache) -> None:
        wrong.extend(
            number
            for number in range(COUNT)
            if sha256_of(cache.local_file(number)) != shards[number].sha256
        )

    readers = [threading.Thread(target=read, args=(cache,)) for cache in caches * 3]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert not wrong
    assert sum(cache.fetched_bytes for cache in caches) == COUNT * SIZE
    for cache in caches:
        cache.close()


READ_ALL = """
import hashlib, json, sys, time
from job.dataset.description import Shard
from job.dataset.shard_cache import ShardCache

folder, cache_dir, size_gb, shards = sys.argv[1:]
shards = [Shard(*shard) for shard in json.loads(shards)]
print("ready", flush=True)
sys.stdin.readline()
with ShardCache(folder, shards, cache_dir, cache_size_gb=float(size_gb), window_shards=2) as cache:
    for _ in range(3):
        for number, shard in enumerate(shards):
            cache.prefetch(range(number, len(shards)))
            with open(cache.local_file(number), "rb") as file:
                assert hashlib.sha256(file.read()).hexdigest() == shard.sha256
    print(cache.fetched_bytes)
"""


@pytest.mark.parametrize("room", [0.0, 4.5 * SIZE / 1e9], ids=["for all", "for four"])
def test_two_processes_share_one_cache(room: float, bucket: str, tmp_path: Path) -> None:
    """With room for all, each shard is fetched once in all; with less, what is read is right."""
    shards = write_shards(bucket)
    described = json.dumps([[s.file, s.records, s.bytes, s.sha256] for s in shards])
    command = [sys.executable, "-c", READ_ALL, bucket, str(tmp_path), str(room), described]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    fetched = [int(process.communicate("go\n")[0]) for process in processes]
    if not room:
        assert sum(fetched) == COUNT * SIZE
    assert sum(os.path.getsize(tmp_path / "shards" / name) for name in cached_files(tmp_path)) <= (
        room * 1e9 or COUNT * SIZE
    )


def test_a_killed_process_leaves_neither_locks_nor_rubbish(
    faulty_bucket: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    """The next process takes over at once, and deletes the parts once they are old."""
    shards = write_shards(faulty_bucket, 1)
    proxy.faults.append(Fault(bytes_per_s=1e4, paths="alt=media"))
    program = (
        "import sys; from job.dataset.shard_cache import ShardCache; "
        "from job.dataset.description import Shard; "
        "f, n, s, c = sys.argv[1:]; "
        "ShardCache(f, [Shard(n, 1, 100_000, s)], c).local_file(0)"
    )
    arguments = [faulty_bucket, shards[0].file, shards[0].sha256, str(tmp_path)]
    process = subprocess.Popen([sys.executable, "-c", program, *arguments])
    while not proxy.count("alt=media"):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    proxy.faults.clear()
    left = [name for name in os.listdir(tmp_path / "shards") if name.endswith(".partial")]
    assert len(left) == 1
    os.utime(tmp_path / "shards" / left[0], (0, 0))
    with ShardCache(faulty_bucket, shards, str(tmp_path)) as cache:
        assert sha256_of(cache.local_file(0)) == shards[0].sha256
    assert not (tmp_path / "shards" / left[0]).exists()


def test_waiting_is_told(
    faulty_bucket: str, proxy: FaultProxy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    shards = write_shards(faulty_bucket, 2)
    proxy.faults.append(Fault(delay_s=0.5, times=1))
    with ShardCache(faulty_bucket, shards, str(tmp_path), report_every_s=0.1) as cache:
        cache.prefetch([0, 1])
        cache.local_file(0)
        cache.local_file(1)
    assert f"waiting for shards of {faulty_bucket}: " in caplog.text
    assert "of 2 (0.00 GB) are here" in caplog.text


def test_the_default_folder_is_the_users_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == str(tmp_path / "food101-vgg19")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_cache_dir() == "/home/somebody/.cache/food101-vgg19"
