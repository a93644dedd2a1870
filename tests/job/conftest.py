"""Fixtures of all tests of `job`."""

from tests.storage_fixtures import *  # noqa: F403
