"""Fixtures of the launcher's tests."""

from tests.launcher.cluster_fixtures import cluster, server

__all__ = ["cluster", "server"]
