"""The parent of a pod's trainer, which keeps its log.

As the first process of the container it sees what the trainer itself cannot log any more: a
segmentation fault, the kernel's OOM killer, os._exit, lines of TensorFlow's C++. Output goes on to
the container's own streams byte by byte, signals go on to the trainer, and its exit code is this
process's own. It takes 20 MB of memory, and 60 MB once google-cloud-storage is needed.
"""

import contextlib
import math
import os
import selectors
import signal
import time
from collections.abc import Iterator, Mapping, Sequence

from job import storage
from job.contract import flags
from job.contract.errors import ConfigError, ExitCode, HelpRequested, JobError, restart_may_help
from job.contract.train_config import TrainConfig
from job.process import children, restart_budget
from job.process.attempt_record import AttemptRecord
from job.process.kept_log import AttemptLog, BoundedLog
from job.process.restart_budget import Start

# How long the end of a pod may wait for the last copy. A node on spot prices gives 15 s in all,
# of which the trainer may have taken 10.
LAST_COPY_S = 5.0
LAST_COPY_WHEN_ASKED_TO_LEAVE_S = 3.0

# Of a worker that ended because of another one the end is told last: what is told first decides
# whether a JobSet starts again, and the other one's supervisor has a last copy to make as well.
_FOLLOW_ON = (ExitCode.PEER_LOST, ExitCode.CLUSTER_NOT_FORMED)

# A copy that fails is tried again a minute later; of an outage it is the trainer that tells.
_PATIENCE = storage.Patience(deadline_s=30.0, quiet_s=math.inf)

# Nothing runs while the attempts so far are counted.
_PATIENCE_BEFORE = storage.Patience(deadline_s=10.0, quiet_s=math.inf)

# As long as a pod's grace period: for the checkpoint of a job whose time is up.
_SAVES_WITHIN_S = 120.0

_PASSED_ON = (signal.SIGTERM, signal.SIGINT)
_HANDLED = (*_PASSED_ON, signal.SIGCHLD)
_PIECE_BYTES = 64 << 10
_POLL_S = 0.05
_STDOUT, _STDERR = 1, 2


def supervise(replica: str, command: Sequence[str]) -> int:
    """Run a command as a child to its end, keep its log, and give its exit code as a shell does.

    Args:
        replica: As the launcher names it, for example worker-0.
        command: What to run; the flags of `-m job.train` in it say what the run directory is.
    """
    # None of them may come between the fork and the handlers that pass them on.
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    run = _run_directory(command)
    start = _before(run, replica)
    if start.refusal:
        code, reason = start.refusal
        _write(_STDERR, f"error: {reason}\n".encode())
        return code
    if _asked_during(start.pause_s):
        return ExitCode.PREEMPTED
    record = _claim(run, replica)
    pipes = {stream: os.pipe() for stream in (_STDOUT, _STDERR)}
    child = _fork(command, pipes)
    for _, writer in pipes.values():
        os.close(writer)
    streams = {reader: stream for stream, (reader, _) in pipes.items()}
    return _Supervisor(child, streams, start.deadline).run(replica, run, record)


def _fork(command: Sequence[str], pipes: Mapping[int, tuple[int, int]]) -> int:
    parent = os.getpid()
    child = os.fork()
    if not child:
        _die_with(parent)
        for stream, (_, writer) in pipes.items():
            os.dup2(writer, stream)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        os.execv(command[0], list(command))  # noqa: S606 (no shell: it would keep the signals)
    return child


def _run_directory(command: Sequence[str]) -> str:
    """Find where the trainer keeps its run; empty if its flags are wrong, as it will say."""
    try:
        return flags.parse(TrainConfig, _training_flags(command) or (), read=storage.read_bytes).run
    except (ConfigError, HelpRequested):
        return ""


def _before(run: str, replica: str) -> Start:
    """Look whether the attempt may begin; what cannot be known holds nothing up."""
    budget = restart_budget.read_budget(os.environ)
    if not run or budget is None:
        return Start()
    storage.reconnect(_PATIENCE_BEFORE)
    try:
        start = restart_budget.look(run, replica, budget)
    except (JobError, OSError) as error:
        _write(_STDERR, f"warning: earlier attempts cannot be counted: {error}\n".encode())
        return Start()
    if start.pause_s and not start.refusal:
        text = f"the last attempts failed soon after their start: waiting {start.pause_s:g} s\n"
        _write(_STDERR, text.encode())
    return start


def _asked_during(pause_s: float) -> bool:
    """Wait, unless somebody asks to leave; the signals are blocked, so they can be waited for."""
    return signal.sigtimedwait(_PASSED_ON, pause_s) is not None


def _claim(run: str, replica: str) -> AttemptRecord | None:
    budget = restart_budget.read_budget(os.environ)
    if not run or budget is None:
        return None
    try:
        return AttemptRecord.claim(run, replica, budget.job)
    except (JobError, OSError) as error:
        _write(_STDERR, f"warning: this attempt cannot be counted: {error}\n".encode())
        return None


def _training_flags(command: Sequence[str]) -> Sequence[str] | None:
    """Find the flags behind `-m job.train`; None if this is another command."""
    module = command.index("-m") + 1 if "-m" in command else len(command)
    return command[module + 1 :] if command[module : module + 1] == ["job.train"] else None


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, however that ends."""
    children.signal_me(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


class _Supervisor:
    """What the parent does until it ends.

    Args:
        child: The trainer's process id.
        streams: The reading end of each of its pipes, and the stream of our own that it goes to.
        deadline: When it must end, in seconds since 1970; None if never.
    """

    def __init__(self, child: int, streams: dict[int, int], deadline: float | None) -> None:
        self._child = child
        self._streams = streams
        self._deadline = deadline
        self._time_up = False
        self._log = BoundedLog()
        self._code: int | None = None
        self._gone = False
        self._asked_to_leave = False
        self._selector = selectors.DefaultSelector()
        self._wakeup, writer = os.pipe()
        for descriptor in (self._wakeup, writer, *streams):
            os.set_blocking(descriptor, False)
        for descriptor in (self._wakeup, *streams):
            self._selector.register(descriptor, selectors.EVENT_READ)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in _HANDLED:
            signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)

    def run(self, replica: str, run: str, record: AttemptRecord | None) -> int:
        """Pass on and keep until the trainer has ended; give its exit code as a shell does.

        A trainer whose time is up is asked to leave, so that it saves, and later killed; it ends
        with a code from which nothing is started again.
        """
        archive = self._archive(replica, run, record) if run else None
        told = False
        while self._code is None:
            ready = self._selector.select(self._left_s())
            self._end_in_time()
            if archive and self._asked_to_leave and not told:
                archive.leave()
                told = True
            for key, _ in ready:
                if key.fd == self._wakeup:
                    os.read(self._wakeup, _PIECE_BYTES)
                    self._reap()
                else:
                    self._pass_on(key.fd)
        for reader in self._streams:
            self._pass_on(reader)  # Its last words: a pipe holds no more than one piece.
        code = self._code if self._code >= 0 else 128 - self._code
        if self._time_up and restart_may_help(code):
            code = ExitCode.TIME_UP
        if archive:
            self._finish(archive, code)
        return code

    def _left_s(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.time())

    def _end_in_time(self) -> None:
        if self._deadline is None or time.time() < self._deadline or self._gone:
            return
        os.kill(self._child, signal.SIGKILL if self._time_up else signal.SIGTERM)
        if not self._time_up:
            self._say(f"{restart_budget.TIME_UP}: saving and leaving")
        self._time_up = True
        self._deadline = time.time() + _SAVES_WITHIN_S

    def _say(self, line: str) -> None:
        text = f"{line}\n".encode()
        _write(_STDERR, text)
        self._log.write(text)

    def _archive(self, replica: str, run: str, record: AttemptRecord | None) -> AttemptLog:
        storage.reconnect(_PATIENCE)
        archive = AttemptLog(self._log, run, replica, self._warn, record=record)
        with _signals_for_the_main_thread():
            archive.start()
        return archive

    def _on_signal(self, number: int, _frame: object) -> None:
        if number in _PASSED_ON:
            self._asked_to_leave = True
            if not self._gone:
                os.kill(self._child, number)

    def _reap(self) -> None:
        """Bury the trainer, and what it has left behind if this is the container's process 1."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            # From here on a signal would find nobody; from the next line on, perhaps another one.
            self._gone = self._gone or ended.si_pid == self._child
            _, status = os.waitpid(ended.si_pid, 0)
            if ended.si_pid == self._child:
                self._code = os.waitstatus_to_exitcode(status)

    def _pass_on(self, reader: int) -> None:
        """Pass on, and keep, what there is to read now."""
        try:
            piece = os.read(reader, _PIECE_BYTES)
        except BlockingIOError:
            return
        if piece:
            _write(self._streams[reader], piece)
            self._log.write(piece)
        elif reader in self._selector.get_map():
            self._selector.unregister(reader)

    def _warn(self, line: str) -> None:
        if not self._code:  # The last words of a trainer that failed stay the last.
            _write(_STDERR, f"{line}\n".encode())

    def _finish(self, archive: AttemptLog, code: int) -> None:
        ended_at = time.monotonic()
        archive.finish(code)
        while archive.is_alive() or (self._code in _FOLLOW_ON and not self._asked_to_leave):
            asked = self._asked_to_leave
            limit_s = LAST_COPY_WHEN_ASKED_TO_LEAVE_S if asked else LAST_COPY_S
            left_s = ended_at + limit_s - time.monotonic()
            if left_s <= 0:
                return
            time.sleep(min(left_s, _POLL_S))


@contextlib.contextmanager
def _signals_for_the_main_thread() -> Iterator[None]:
    """Start a thread that takes no signals: they must interrupt what the main thread waits for."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _write(stream: int, data: bytes) -> None:
    rest = memoryview(data)
    with contextlib.suppress(OSError):  # Nobody listens; the trainer need not suffer for it.
        while rest:
            rest = rest[os.write(stream, rest) :]
