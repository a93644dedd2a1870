"""The small files of a run that change while it trains, written locally whatever the storage.

TensorBoard's events and progress.json are written into a local folder. If the run directory is
remote, that folder is copied to it in the background, so training never waits for storage. Objects
cannot be appended to, so a changed file is uploaded whole, at most once per period.
"""

import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from job import storage
from job.contract.errors import JobError, LeaseLostError

_LOG = logging.getLogger(__name__)
# Of its time, at most this share goes into uploads, however large the files grow.
_MOST_BUSY = 0.1


class FolderCopies:
    """Copies changed files of `local_dir` below `remote_dir` until closed.

    A copy that fails is reported once and tried again after the next period: logs never end a
    run. A file may grow while it is copied; what is copied is its content at one moment.

    Args:
        local_dir: Folder to watch; it may appear later.
        remote_dir: Folder that receives the files under their relative names.
        every_s: Shortest time between two copies, in seconds.
    """

    def __init__(self, local_dir: str, remote_dir: str, every_s: float) -> None:
        self._local_dir = local_dir
        self._remote_dir = remote_dir
        self._every_s = every_s
        self._copied: dict[str, storage.Stat] = {}
        self._failing = False
        self._closing = threading.Event()
        self._copy_at_the_end = True
        # A daemon, so that a process that ends in an error does not wait for an outage to pass.
        self._thread = threading.Thread(target=self._run, name="log-sync", daemon=True)
        self._thread.start()

    def close(self, *, copy: bool = True) -> None:
        """Stop, and unless told otherwise copy what has changed since the last time."""
        self._copy_at_the_end = copy
        self._closing.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        pause_s = self._every_s
        while not self._closing.wait(pause_s):
            started = time.monotonic()
            self._copy_changes()
            pause_s = max(self._every_s, (time.monotonic() - started) / _MOST_BUSY)
        if self._copy_at_the_end:
            self._copy_changes()

    def _copy_changes(self) -> None:
        try:
            for name, version in self._versions():
                if self._copied.get(name) != version:
                    self._copy(name)
                    self._copied[name] = version
        except (JobError, OSError) as error:
            if not self._failing:
                _LOG.warning(
                    "logs could not be copied (the run goes on, and they are tried again): %s",
                    error,
                )
            self._failing = True
            return
        if self._failing:
            _LOG.warning("logs are copied to %s again", self._remote_dir)
        self._failing = False

    def _copy(self, name: str) -> None:
        with open(os.path.join(self._local_dir, name), "rb") as file:
            content = file.read()
        storage.write_bytes(storage.join(self._remote_dir, name), content)

    def _versions(self) -> Iterator[tuple[str, storage.Stat]]:
        """Yield each file's name and its state before its copy; half-written ones have none."""
        for found in storage.list_files(self._local_dir):
            yield os.path.relpath(found.path, self._local_dir), found


class RunMirror:
    """The local side of a run directory; a context manager.

    Args:
        run: Run directory, local or remote; a local one is its own mirror.
        sync_s: Shortest time between two copies to a remote run directory, in seconds.
    """

    def __init__(self, run: str, sync_s: float) -> None:
        self.path = run
        self._sync: FolderCopies | None = None
        if storage.is_remote(run):
            self._folder = tempfile.TemporaryDirectory(prefix="run-")
            self.path = self._folder.name
            self._sync = FolderCopies(self.path, run, sync_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Copy what is left and delete the local folder of a remote run.

        Nothing is copied if the run belongs to another attempt by now.
        """
        if self._sync is not None:
            self._sync.close(copy=kind is None or not issubclass(kind, LeaseLostError))
            self._folder.cleanup()
