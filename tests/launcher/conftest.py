"""Fixtures of the launcher's tests."""

from tests.launcher.cluster_fixtures import cluster, server
from tests.storage_fixtures import bucket, emulator

__all__ = ["bucket", "cluster", "emulator", "server"]
