"""One attempt at a job as processes of this machine: start, merge the logs, pass on signals, end.

All processes stand in sessions of their own, so that the terminal's Ctrl-C reaches the launcher
alone, and are tied to it: if it dies, they get SIGTERM.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from job.contract.errors import FIRST_RETRYABLE, ExitCode
from job.process import children
from launcher.local.private_network import PrivateNetwork

_POLL_S = 0.1
_FOLLOW_ON = (ExitCode.PEER_LOST, ExitCode.CLUSTER_NOT_FORMED)


@dataclass(frozen=True)
class Replica:
    """What one process is started with."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    log_file: str


@dataclass(frozen=True)
class Ended:
    """How a replica ended; a negative code is the number of a signal, as in subprocess.

    `asked` is True where it had been asked to leave before.
    """

    name: str
    code: int
    asked: bool = False


class ProcessSet:
    """The running replicas of one attempt.

    Args:
        replicas: What to start.
        write_line: Takes a replica's name and each line that it prints; called from threads.
        network: Where they run, if not in the machine's own network.
    """

    def __init__(
        self,
        replicas: Sequence[Replica],
        write_line: Callable[[str, str], None],
        network: PrivateNetwork | None = None,
    ) -> None:
        self._ended: list[Ended] = []
        self._asked = False
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []
        for replica in replicas:
            # Tied last: entering a network makes the kernel forget whose death is to be told.
            command = children.tied(replica.command, signal.SIGTERM)
            process = subprocess.Popen(
                network.joined(command) if network else command,
                env=dict(replica.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._processes[replica.name] = process
            assert process.stdout is not None
            reader = threading.Thread(
                target=_copy, args=(replica, process.stdout, write_line), daemon=True
            )
            reader.start()
            self._readers.append(reader)

    def ask_to_leave(self) -> None:
        """Send SIGTERM to all that still run."""
        self._asked = True
        for process in self._running():
            process.terminate()

    def kill(self) -> None:
        """End all that still run, and the processes that they have started."""
        for process in self._running():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _running(self) -> list[subprocess.Popen[str]]:
        return [process for process in self._processes.values() if process.poll() is None]

    def wait(self, *, notice_s: float, kill_after_s: float) -> list[Ended]:
        """Wait for all, in the order in which they end.

        Once one fails, the others have `notice_s` to find out by themselves and to say so; then
        they get SIGTERM, unless they had it before, since the second one does not let them save.
        `kill_after_s` after the failure they get SIGKILL.
        """
        failed_at: float | None = None
        while len(self._ended) < len(self._processes):
            self._note_ended()
            now = time.monotonic()
            if failed_at is None and any(ended.code for ended in self._ended):
                failed_at = now
            if failed_at is not None:
                self._end_survivors(now - failed_at, notice_s, kill_after_s)
            time.sleep(_POLL_S)
        for reader in self._readers:
            reader.join(timeout=5.0)
        return self._ended

    def _note_ended(self) -> None:
        known = {ended.name for ended in self._ended}
        for name, process in self._processes.items():
            code = process.poll()
            if code is not None and name not in known:
                self._ended.append(Ended(name, code, self._asked))

    def _end_survivors(self, since_s: float, notice_s: float, kill_after_s: float) -> None:
        if since_s > kill_after_s:
            self.kill()
        elif since_s > notice_s and not self._asked:
            self.ask_to_leave()


def cause_of(ended: Sequence[Ended]) -> Ended:
    """Say which replica's end is the attempt's: the first of the gravest kind.

    A code below 128 says that starting again cannot help, so it counts first; that a peer was
    lost, or that somebody left who was asked to, is a consequence and counts last.
    """

    def gravity(one: Ended) -> int:
        if 0 < one.code < FIRST_RETRYABLE:
            return 0
        if one.code == 0:
            return 3
        return 2 if one.asked or one.code in _FOLLOW_ON else 1

    return min(ended, key=gravity)


def _copy(replica: Replica, stream: IO[str], write_line: Callable[[str, str], None]) -> None:
    """Copy a replica's lines to its log file and to the merged output.

    It reads to the end whatever becomes of the file: nobody else empties the pipe, and a worker
    whose pipe is full stands still.
    """
    with stream:
        lines = iter(stream)
        try:
            with open(replica.log_file, "w", encoding="utf-8", buffering=1) as log:
                for line in lines:
                    write_line(replica.name, line.rstrip("\n"))
                    log.write(line)
        except OSError as error:
            write_line(replica.name, f"({replica.log_file} ends here: {error.strerror})")
            for line in lines:
                write_line(replica.name, line.rstrip("\n"))
