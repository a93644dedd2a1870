"""Fixtures: a fake API server and a Cluster that talks to it through the real client."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.api import connection as cluster_module
from launcher.api.connection import Cluster
from tests.launcher.fake_apiserver import FakeApiServer


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    """An API server that serves everything the launcher can use."""
    with FakeApiServer() as fake:
        fake.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
        yield fake


@pytest.fixture
def cluster(server: FakeApiServer, tmp_path: Path) -> Cluster:
    """A connection to `server` as a user of namespace `team`."""
    return connect(server, tmp_path)


def connect(server: FakeApiServer, folder: Path, *, token: str = "") -> Cluster:
    """Connect by a kubeconfig, as a user does; the retries give up soon."""
    path = server.kubeconfig(folder, token=token)
    made = cluster_module.connect(kubeconfig=path, namespace="team")
    made._wire.retry_s = 1.5
    return made
