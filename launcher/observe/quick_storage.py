"""Storage for a person at a terminal: an answer in seconds, where a job would try for minutes."""

import functools

from job import storage

_PATIENCE = storage.Patience(
    deadline_s=4.0, connect_timeout_s=4.0, read_timeout_s=15.0, quiet_s=float("inf")
)


@functools.cache
def be_brief() -> None:
    """Make `job.storage` give up soon and quietly in this process; once is enough."""
    storage.reconnect(_PATIENCE)
