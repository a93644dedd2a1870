"""Folders in a bucket appear whole or not at all, also when two attempts write the same one."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from job import storage
from job.contract import layout
from job.storage import atomic_folder
from job.storage.interface import PreconditionError
from tests.fault_proxy import Fault, FaultProxy

MANIFEST = layout.MANIFEST_FILE
LARGE_BYTES = 9 << 20  # Too much for one request: the client sends it as a resumable upload.


def attempt(name: str, target: str) -> None:
    """Commit a folder whose every file, and the manifest, tells which attempt wrote it."""
    with atomic_folder.staging_folder(target) as folder:
        for file, repeated in (("large", LARGE_BYTES // len(name)), ("small", 1)):
            Path(folder, file).write_text(name * repeated)
        atomic_folder.commit_folder(folder, target, MANIFEST, name.encode())


def authors(target: str) -> set[str]:
    """Name the attempts whose content is in a folder."""
    return {
        storage.read_bytes(stat.path)[: len("attempt-0")].decode()
        for stat in storage.list_files(target)
    }


def test_of_two_attempts_that_overlap_one_at_most_is_committed_and_none_is_mixed(
    faulty_bucket: str, proxy: FaultProxy
) -> None:
    """With large files too, whose conditions the proxy enforces as GCS does."""
    proxy.strict = True
    committed: list[str] = []

    def try_to(name: str, target: str) -> None:
        try:
            attempt(name, target)
        except PreconditionError:
            return
        committed.append(name)

    for round_number in range(4):
        committed.clear()
        target = f"{faulty_bucket}/folder-{round_number}"
        names = [f"attempt-{number}" for number in range(2)]
        threads = [threading.Thread(target=try_to, args=(name, target)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(committed) <= 1
        if committed:
            assert authors(target) == set(committed)
        else:
            assert not storage.exists(f"{target}/{MANIFEST}")


@pytest.mark.parametrize(
    ("file", "upload"), [("small", "^POST .*uploadType=multipart"), ("large", "^PUT")]
)
def test_a_file_that_somebody_else_writes_meanwhile_is_not_replaced(
    file: str, upload: str, emulator: str, faulty_bucket: str, proxy: FaultProxy
) -> None:
    """A large upload, which was let begin, is refused at its end."""
    proxy.strict = True
    target = f"{faulty_bucket}/folder"
    proxy.faults.append(Fault(delay_s=0.5, times=1, paths=upload))
    with ThreadPoolExecutor(1) as thread:
        ours = thread.submit(attempt, "attempt-0", target)
        while not proxy.faults[0].seen:
            time.sleep(0.01)
        write_directly(emulator, f"{target}/{file}", b"attempt-1")
        with pytest.raises(PreconditionError):
            ours.result()
    assert storage.read_bytes(f"{target}/{file}") == b"attempt-1"
    assert not storage.exists(f"{target}/{MANIFEST}")


def write_directly(emulator: str, path: str, content: bytes) -> None:
    """Write an object past the proxy."""
    bucket, name = path.removeprefix("gs://").split("/", 1)
    url = f"{emulator}/upload/storage/v1/b/{bucket}/o"
    query = {"uploadType": "media", "name": name}
    requests.post(url, content, params=query, timeout=10).raise_for_status()


@pytest.mark.parametrize("left", [("large", "small"), ("large", "small", MANIFEST)])
def test_what_another_attempt_wrote_is_not_touched(
    left: tuple[str, ...], faulty_bucket: str, proxy: FaultProxy
) -> None:
    """Committed or not: who wrote it may still live."""
    proxy.strict = True
    target = f"{faulty_bucket}/folder"
    for file in left:
        storage.write_bytes(f"{target}/{file}", b"attempt-0")
    with pytest.raises(PreconditionError):
        attempt("attempt-1", target)
    assert authors(target) == {"attempt-0"}
    atomic_folder.delete_folder(target, MANIFEST)
    attempt("attempt-1", target)
    assert authors(target) == {"attempt-1"}
