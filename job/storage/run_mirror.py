"""The small files of a run that change while it trains, written locally whatever the storage.

TensorBoard's events and progress.json are written into a local folder. If the run directory is
remote, that folder is copied to it in the background, so training never waits for storage.
"""

import tempfile
from typing import Self

from job import storage
from job.storage.mirror import LogSync


class RunMirror:
    """The local side of a run directory; a context manager.

    Args:
        run: Run directory, local or remote; a local one is its own mirror.
        sync_s: Shortest time between two copies to a remote run directory, in seconds.
    """

    def __init__(self, run: str, sync_s: float) -> None:
        self.path = run
        self._sync: LogSync | None = None
        if storage.is_remote(run):
            self._folder = tempfile.TemporaryDirectory(prefix="run-")
            self.path = self._folder.name
            self._sync = LogSync(self.path, run, sync_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Copy what is left and delete the local folder of a remote run."""
        if self._sync is not None:
            self._sync.close()
            self._folder.cleanup()
