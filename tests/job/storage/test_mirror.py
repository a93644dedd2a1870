"""Logs reach the bucket soon, completely, with few requests, and never end a run."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from job import storage
from job.contract.configs import TrainConfig
from job.storage import local as storage_local
from job.storage.mirror import FolderCopies
from tests.fault_proxy import Fault, FaultProxy

PERIOD_S = 0.1
NEVER_S = 3600.0


def eventually(happened: Callable[[], bool]) -> None:
    """Wait for something that has to happen; the test's own timeout ends a wait in vain."""
    while not happened():
        time.sleep(0.02)


def append(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        file.write(text)


def test_a_growing_file_is_copied_while_it_grows(bucket: str, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "train" / "events"
    with FolderCopies(str(tmp_path / "logs"), f"{bucket}/logs", PERIOD_S):
        for text in ("one", "two", "three"):
            append(log, text)
            content = log.read_bytes()
            eventually(
                lambda expected=content: (
                    storage.exists(f"{bucket}/logs/train/events")
                    and storage.read_bytes(f"{bucket}/logs/train/events") == expected
                )
            )


def test_closing_copies_the_rest_and_only_what_changed(bucket: str, tmp_path: Path) -> None:
    sync = FolderCopies(str(tmp_path), f"{bucket}/logs", NEVER_S)
    append(tmp_path / "train" / "events", "a")
    append(tmp_path / "test" / "events", "b")
    sync.close()
    assert storage.read_bytes(f"{bucket}/logs/train/events") == b"a"
    assert storage.read_bytes(f"{bucket}/logs/test/events") == b"b"
    assert storage.request_counts()["write"] == 2


def test_what_is_half_written_is_not_copied(bucket: str, tmp_path: Path) -> None:
    with FolderCopies(str(tmp_path), f"{bucket}/run", 0.01):
        append(tmp_path / "events", "a")
        with storage_local.atomic_file(str(tmp_path / "progress.json")) as file:
            file.write(b"half")
            file.flush()
            eventually(lambda: storage.exists(f"{bucket}/run/events"))
            append(tmp_path / "events", "b")
            eventually(lambda: storage.stat(f"{bucket}/run/events").size == 2)
            copied = [stat.path for stat in storage.list_files(bucket)]
    assert copied == [f"{bucket}/run/events"]
    assert storage.exists(f"{bucket}/run/progress.json")


def test_nothing_is_sent_while_nothing_changes(
    faulty_bucket: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    append(tmp_path / "events", "a")
    with FolderCopies(str(tmp_path), f"{faulty_bucket}/logs", 0.02):
        eventually(lambda: proxy.count("POST") == 1)
        time.sleep(0.3)
    assert proxy.count("") == 1


def test_however_often_files_change_a_period_takes_one_request_for_each(
    bucket: str, tmp_path: Path
) -> None:
    """A run has three of them (two files of events, progress.json): 6 requests a minute."""
    names = ("train", "test", "progress.json")
    storage.reconnect()
    started = time.monotonic()
    with FolderCopies(str(tmp_path), f"{bucket}/run", PERIOD_S):
        for _ in range(200):
            for name in names:
                append(tmp_path / name, "more")
            time.sleep(0.002)
    periods = (time.monotonic() - started) / PERIOD_S
    assert len(names) <= storage.request_counts()["write"] <= len(names) * (periods + 1)
    assert len(names) * 60 / TrainConfig(data="d", run="r").log_sync_s < 10


def test_a_failure_is_reported_once_and_mended_later(
    faulty_bucket: str, proxy: FaultProxy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also a permission that is missing for a while is no reason to lose a run."""
    proxy.faults.append(Fault(status=403, reason="forbidden", times=4))
    append(tmp_path / "events", "a")
    with FolderCopies(str(tmp_path), f"{faulty_bucket}/logs", 0.02):
        eventually(lambda: proxy.faults[0].seen == 4)
        eventually(lambda: "again" in caplog.text.split("tried again")[-1])
    assert storage.read_bytes(f"{faulty_bucket}/logs/events") == b"a"
    assert caplog.text.count("could not be copied") == 1
    assert "storage.objects.create" in caplog.text


def test_closing_in_an_outage_is_told_and_ends(
    faulty_bucket: str, proxy: FaultProxy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage.reconnect(storage.Patience(deadline_s=0.2, first_wait_s=0.02, longest_wait_s=0.05))
    proxy.down = True
    append(tmp_path / "events", "a")
    FolderCopies(str(tmp_path), f"{faulty_bucket}/logs", NEVER_S).close()
    assert caplog.text.count("could not be copied") == 1


def test_a_folder_may_appear_late(bucket: str, tmp_path: Path) -> None:
    with FolderCopies(str(tmp_path / "late"), f"{bucket}/logs", PERIOD_S):
        time.sleep(2 * PERIOD_S)
        append(tmp_path / "late" / "events", "a")
    assert storage.read_bytes(f"{bucket}/logs/events") == b"a"
    assert os.listdir(tmp_path / "late") == ["events"]
