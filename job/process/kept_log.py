"""The log and the record of one attempt of one replica, kept in the run directory."""

import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from job import storage
from job.contract import layout
from job.contract.errors import JobError
from job.process import attempt_record
from job.process.attempt_record import AttemptRecord
from job.storage import PreconditionError

_MOST_PARTS = 3
EVERY_S = 60.0
# The number is claimed early, so that who asks for the attempt before this one gets it.
_FIRST_AFTER_S = 2.0
_SLOWING = 5.0
# Of its time, at most this share goes into copies, however large the log grows.
_MOST_BUSY = 0.1


@dataclass
class _Part:
    file: IO[bytes]
    size: int = 0


class BoundedLog:
    """Keeps what a process writes; of a flood the beginning and the end, and how much is missing.

    A disk that is full, or not to be written, costs lines of this log and nothing else. The files
    have no names: nothing is left behind, however the process ends. One thread may write while
    another one reads.

    Args:
        head_bytes: How much of the beginning is kept.
        tail_bytes: How much of the end is kept at least; twice as much at most.
    """

    def __init__(self, head_bytes: int = 4 << 20, tail_bytes: int = 8 << 20) -> None:
        self.seen = 0
        """Bytes that were written so far."""
        self._head_bytes = head_bytes
        self._tail_bytes = tail_bytes
        self._parts: list[_Part] = []  # The head, then one or two of the tail.
        self._left_out = 0  # Between head and tail.
        self._lost = 0  # Since the disk took something last.
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Append; never raises for what the disk does."""
        with self._lock:
            self.seen += len(data)
            rest = memoryview(data)
            try:
                if self._lost:
                    self._append(memoryview(_gap(self._lost, "the disk took nothing")))
                    self._lost = 0
                while rest:
                    rest = rest[self._append(rest) :]
            except OSError:
                self._lost += len(rest)

    def content(self) -> bytes:
        """Give all that is kept.

        Raises:
            OSError: The disk cannot be read.
        """
        with self._lock:
            kept = [os.pread(part.file.fileno(), part.size, 0) for part in self._parts]
            if self._left_out:
                kept.insert(1, _gap(self._left_out, "the log is too long"))
            if self._lost:
                kept.append(_gap(self._lost, "the disk took nothing"))
            return b"".join(kept)

    def close(self) -> None:
        """Delete all that is kept."""
        with self._lock:
            for part in self._parts:
                part.file.close()
            self._parts.clear()

    def _append(self, data: memoryview) -> int:
        """Write as much as fits into the last part, and give how much that was."""
        if not self._parts or self._parts[-1].size >= self._limit():
            self._parts.append(_Part(tempfile.TemporaryFile(buffering=0)))  # noqa: SIM115
            if len(self._parts) > _MOST_PARTS:
                dropped = self._parts.pop(1)
                dropped.file.close()
                self._left_out += dropped.size
        part = self._parts[-1]
        written = part.file.write(data[: self._limit() - part.size])
        part.size += written
        return written

    def _limit(self) -> int:
        """Give the size of a last part that is full."""
        return self._head_bytes if len(self._parts) == 1 else self._tail_bytes


def _gap(size: int, why: str) -> bytes:
    return f"\n[{size:,} bytes are missing here: {why}]\n".encode()


class AttemptLog(threading.Thread):
    """Copies a log to `attempts/<n>/<replica>.log` whenever it has grown, until finished.

    <n> is the number of the record, if there is one: it goes on to say when the worker is asked to
    leave, and how it ends. Without a record it is the replica's next free number, claimed with the
    first copy, even an empty one, by a write that succeeds only where nothing is: attempts that
    overlap get numbers of their own. A copy that fails is told of once and tried again after the
    next period: logs never end a run.

    A daemon: whoever ends does not wait for an outage to pass, see `finish`.

    Args:
        log: What to keep.
        run: Run directory, local or remote.
        replica: As the launcher names it, for example worker-0.
        warn: Takes one line if the log cannot be kept; called once at most, from this thread.
        every_s: Shortest time between two copies, in seconds; the first ones come sooner.
        record: The attempt's record, if one is kept.
    """

    def __init__(
        self,
        log: BoundedLog,
        run: str,
        replica: str,
        warn: Callable[[str], None],
        every_s: float = EVERY_S,
        record: AttemptRecord | None = None,
    ) -> None:
        super().__init__(name="attempt-log", daemon=True)
        self._log = log
        self._run = run
        self._replica = replica
        self._warn = warn
        self._every_s = every_s
        self._record = record
        self._path = layout.attempt_log(run, record.number, replica) if record else ""
        self._copied = -1
        self._warned = False
        self._asked_at: float | None = None
        self._ended: tuple[int, float] | None = None
        self._closing = False
        self._woken = threading.Event()

    def leave(self) -> None:
        """Note that the worker was asked to leave, at once: little time may be left."""
        self._asked_at = time.time()
        self._woken.set()

    def finish(self, code: int | None = None) -> None:
        """Ask for a last copy, after which this thread ends; `join` waits for it.

        Args:
            code: The exit code with which the attempt has ended.
        """
        self._ended = None if code is None else (code, time.time())
        self._closing = True
        self._woken.set()

    def run(self) -> None:
        """Copy until finished."""
        pause_s = min(_FIRST_AFTER_S, self._every_s)
        due = time.monotonic() + pause_s
        while not self._closing:
            if self._woken.wait(max(0.0, due - time.monotonic())):
                self._woken.clear()
                self._note_in_record()
                continue
            started = time.monotonic()
            self._copy_if_grown()
            pause_s = min(self._every_s, _SLOWING * pause_s)
            pause_s = max(pause_s, (time.monotonic() - started) / _MOST_BUSY)
            due = time.monotonic() + pause_s
        self._note_in_record()
        self._copy_if_grown()

    def _note_in_record(self) -> None:
        if self._record is None:
            return
        try:
            if self._asked_at is not None:
                self._record.asked(self._asked_at)
                self._asked_at = None
            if self._ended is not None:
                self._record.ended(*self._ended)
                self._ended = None
        except (JobError, OSError) as error:
            self._tell(error)

    def _copy_if_grown(self) -> None:
        seen = self._log.seen
        if seen == self._copied:
            return
        try:
            self._copy(self._log.content())
        except (JobError, OSError) as error:
            self._tell(error)
            return
        self._copied = seen

    def _tell(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            self._warn(f"the log is not yet kept in {layout.attempts_dir(self._run)}: {error}")

    def _copy(self, content: bytes) -> None:
        if self._path:
            storage.write_bytes(self._path, content)  # Nobody else writes where one has claimed.
        else:
            self._path = self._claim(content)

    def _claim(self, content: bytes) -> str:
        number = attempt_record.next_number(self._run, self._replica)
        while True:
            path = layout.attempt_log(self._run, number, self._replica)
            try:
                return storage.write_bytes(path, content, if_absent=True).path
            except PreconditionError:
                number += 1
