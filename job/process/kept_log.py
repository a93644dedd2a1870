"""Keeps the log of one attempt of one replica in the run directory while it is written."""

import threading
import time
from collections.abc import Callable

from job import storage
from job.contract import layout
from job.contract.errors import JobError
from job.process.bounded_log import BoundedLog
from job.storage import PreconditionError

EVERY_S = 60.0
# The number is claimed early, so that who asks for the attempt before this one gets it.
_FIRST_AFTER_S = 2.0
_SLOWING = 5.0
# Of its time, at most this share goes into copies, however large the log grows.
_MOST_BUSY = 0.1


class AttemptLog(threading.Thread):
    """Copies a log to `attempts/<n>/<replica>.log` whenever it has grown, until finished.

    <n> is the replica's next free number. It is claimed with the first copy, even an empty one, by
    a write that succeeds only where nothing is: attempts that overlap get numbers of their own. A
    copy that fails is told of once and tried again after the next period: logs never end a run.

    A daemon: whoever ends does not wait for an outage to pass, see `finish`.

    Args:
        log: What to keep.
        run: Run directory, local or remote.
        replica: As the launcher names it, for example worker-0.
        warn: Takes one line if the log cannot be kept; called once at most, from this thread.
        every_s: Shortest time between two copies, in seconds; the first ones come sooner.
    """

    def __init__(
        self,
        log: BoundedLog,
        run: str,
        replica: str,
        warn: Callable[[str], None],
        every_s: float = EVERY_S,
    ) -> None:
        super().__init__(name="attempt-log", daemon=True)
        self._log = log
        self._run = run
        self._replica = replica
        self._warn = warn
        self._every_s = every_s
        self._path = ""
        self._copied = -1
        self._warned = False
        self._closing = threading.Event()

    def finish(self) -> None:
        """Ask for a last copy, after which this thread ends; `join` waits for it."""
        self._closing.set()

    def run(self) -> None:
        """Copy until finished."""
        pause_s = min(_FIRST_AFTER_S, self._every_s)
        while not self._closing.wait(pause_s):
            started = time.monotonic()
            self._copy_if_grown()
            pause_s = min(self._every_s, _SLOWING * pause_s)
            pause_s = max(pause_s, (time.monotonic() - started) / _MOST_BUSY)
        self._copy_if_grown()

    def _copy_if_grown(self) -> None:
        seen = self._log.seen
        if seen == self._copied:
            return
        try:
            self._copy(self._log.content())
        except (JobError, OSError) as error:
            if not self._warned:
                self._warned = True
                self._warn(f"the log is not yet kept in {layout.attempts_dir(self._run)}: {error}")
            return
        self._copied = seen

    def _copy(self, content: bytes) -> None:
        if self._path:
            storage.write_bytes(self._path, content)  # Nobody else writes where one has claimed.
        else:
            self._path = self._claim(content)

    def _claim(self, content: bytes) -> str:
        files = storage.list_files(layout.attempts_dir(self._run))
        found = [parsed for file in files if (parsed := layout.parse_attempt_log(file.path))]
        number = max((n for n, replica in found if replica == self._replica), default=0) + 1
        while True:
            path = layout.attempt_log(self._run, number, self._replica)
            try:
                return storage.write_bytes(path, content, if_absent=True).path
            except PreconditionError:
                number += 1
