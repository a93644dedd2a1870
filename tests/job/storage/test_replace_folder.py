"""Replacing a folder: readers find the old one or the new one, and nothing of a third."""

import os
import threading
from pathlib import Path

import pytest

from job import storage
from job.contract import layout
from job.storage import atomic_folder

MANIFEST = "model.json"


@pytest.fixture(params=["local", "bucket"])
def target(request, tmp_path) -> str:
    if request.param == "local":
        return str(tmp_path / "model")
    return f"{request.getfixturevalue('bucket')}/model"


def put(target: str, number: int, extra: str = "") -> None:
    with atomic_folder.staging_folder(target) as folder:
        os.makedirs(os.path.join(folder, "variables"))
        for name in ("saved_model.pb", "variables/data", *([extra] if extra else [])):
            Path(folder, name).write_text(str(number))
        atomic_folder.replace_folder(folder, target, MANIFEST, str(number).encode())


def read(target: str) -> dict[str, bytes]:
    return {
        stat.path.removeprefix(f"{target}/"): storage.read_bytes(stat.path)
        for stat in storage.list_files(target)
    }


def test_a_folder_is_replaced_as_a_whole(target):
    put(target, 1, extra="fingerprint.pb")
    put(target, 2)
    assert read(target) == {MANIFEST: b"2", "saved_model.pb": b"2", "variables/data": b"2"}


def test_a_local_folder_is_never_gone_while_it_is_replaced(tmp_path):
    target = str(tmp_path / "model")
    put(target, 0)
    done = threading.Event()

    def replace() -> None:
        for number in range(100):
            put(target, number)
        done.set()

    thread = threading.Thread(target=replace)
    thread.start()
    while not done.is_set():
        # Opened once, a folder stays what it was, like a model that is being read.
        descriptor = os.open(target, os.O_RDONLY)
        os.close(descriptor)
        assert Path(layout.join(target, MANIFEST)).read_bytes()
    thread.join()
    assert not [name for name in os.listdir(tmp_path) if name != "model"]
