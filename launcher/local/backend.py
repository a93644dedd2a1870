"""The embedded default: a job's workers as processes on this machine.

They get what pods get: the same command and, with several of them, a real TF_CONFIG. Restarts go
by the same rule as in the manifests: an attempt that ended with a code from 128 on is started
again as a whole set, from the newest checkpoint, at most `max_restarts` times that count
(`job/contract/attempts.py`); any other code is final. All of it ends after `max_duration_s`.
"""

import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress

from job import storage
from job.contract import attempts, environment, layout
from job.contract.errors import FIRST_RETRYABLE, ExitCode, JobError, exit_meaning, restart_may_help
from job.process.cores import available_cores
from job.storage.local import errors_of
from launcher.context import Context
from launcher.describe.spec import JobSpec
from launcher.errors import UsageError
from launcher.local.private_network import PrivateNetwork, closed_network
from launcher.local.processes import Ended, ProcessSet, Replica, cause_of
from launcher.output import Output
from launcher.sending.options import SendOptions

_COLORS = ("cyan", "yellow", "green", "magenta", "blue", "red")
# Those who train with a peer see its end at once; those who still wait for it never do.
_NOTICE_S = 2.0
# Longer than the trainer's --peer_timeout_s (60 s by default) and the commit of a checkpoint.
_KILL_AFTER_S = 90.0
# A worker takes these for what the launcher tells it, and would believe those of another job.
_NOT_INHERITED = ("TF_CONFIG", environment.GPUS_PER_WORKER)
_TASK_KINDS = ("make-tfrecords", "predict")


def submit(spec: JobSpec, options: SendOptions, context: Context) -> int:
    """Run the job until it ends and give its exit code, the cause's where workers differ.

    Ctrl-C (or SIGTERM) once asks all workers to save and leave, twice kills them.

    Raises:
        UsageError: Something is asked for that only a cluster has.
    """
    if options.dry_run:
        raise UsageError(
            f"--dry-run {options.dry_run} needs a cluster's backend; this one is local"
        )
    if spec.secret_env:
        raise UsageError("--secret-env needs a cluster; export the variable for the local backend")
    context.output.stdout.flush()
    job = _LocalJob(spec, context.output, context.environ)
    with _interrupts(job):
        code = job.run()
    # Whoever reads may be gone by now (`| head`); the code tells the cause all the same.
    with suppress(BrokenPipeError):
        if code == 0:
            context.output.print(f"done: {spec.output}")
        elif code == ExitCode.PREEMPTED:
            where = spec.output if "/" in spec.output else f"./{spec.output}"
            context.output.note(f"go on from its checkpoint: launcher resume {where}")
    return code


class _LocalJob:
    """The attempts at one job."""

    def __init__(self, spec: JobSpec, output: Output, environ: Mapping[str, str]) -> None:
        self._spec = spec
        self._output = output
        self._environ = environ
        self._names = [f"worker-{index}" for index in range(spec.workers)]
        self._lock = threading.Lock()
        self._processes: ProcessSet | None = None
        self._network: PrivateNetwork | None = None
        self._interrupts = 0
        self._time_is_up = False
        self._stopping = threading.Event()
        """Set once nothing is to be started any more."""
        self._nobody_reads = False

    def interrupt(self) -> None:
        """Ask once, kill on the second time; an attempt that is only being made gets both later."""
        self._interrupts += 1
        self._stopping.set()
        if self._interrupts == 1:
            self._note("stopping: workers save a checkpoint and leave (again kills them)")
        elif self._interrupts == 2:
            self._note("killing the workers; the last committed checkpoint stays")
        self._pass_on_interrupts()

    def _pass_on_interrupts(self) -> None:
        if self._processes is None or not self._stopping.is_set():
            return
        if self._interrupts < 2:
            self._processes.ask_to_leave()
        else:
            self._processes.kill()

    def run(self) -> int:
        """Attempt, and attempt again where that can help; give the last cause's exit code."""
        timer = threading.Timer(self._spec.max_duration_s, self._end_in_time)
        timer.daemon = True
        timer.start()
        try:
            with self._own_network() as self._network:
                code = self._run(_next_attempt(self._spec))
        finally:
            timer.cancel()
        if code and self._time_is_up:
            return ExitCode.TIME_UP
        return FIRST_RETRYABLE - code if code < 0 else code

    @contextmanager
    def _own_network(self) -> Iterator[PrivateNetwork | None]:
        """Keep others from the workers' ports, if there are any and the workers need no others."""
        if self._spec.workers == 1 or self._spec.kind != "train":
            yield None
            return
        remote = any("://" in arg for arg in self._spec.args)
        with nullcontext("they need the network for storage") if remote else closed_network() as it:
            if isinstance(it, str):
                self._note(
                    "the workers listen on every interface of this machine and ask nobody for a "
                    f"password, as TensorFlow does; {it}: let a firewall keep others out"
                )
                yield None
            else:
                yield it

    def _run(self, number: int) -> int:
        restarts = short_lives = 0
        while True:
            begun = time.monotonic()
            cause = self._attempt(number)
            if cause.code == 0 or self._stopping.is_set():
                return cause.code
            words = f"{cause.name} ended: {_describe(cause.code)}"
            if not restart_may_help(cause.code):
                self._note(f"{words}; starting again would not help")
                return cause.code
            if attempts.counts(cause.code):
                if restarts == self._spec.max_restarts:
                    self._note(f"{words}; no restarts left of {restarts} (--max-restarts)")
                    return cause.code
                restarts += 1
            lived_s = time.monotonic() - begun
            short_lives = short_lives + 1 if lived_s < attempts.SHORT_LIFE_S else 0
            pause_s = attempts.growing_pause_s(short_lives)
            after = f" in {pause_s:g} s" if pause_s else ""
            self._note(f"{words}; restart {restarts} of {self._spec.max_restarts}{after}")
            if self._stopping.wait(pause_s):
                return cause.code
            number += 1

    def _end_in_time(self) -> None:
        self._time_is_up = True
        self._note("the job's longest duration is over (--max-duration): workers save and leave")
        self._stopping.set()
        if self._processes is not None:
            self._processes.ask_to_leave()

    def _attempt(self, number: int) -> Ended:
        with self._log_folder(number) as folder, self._scratch_folder() as scratch:
            ports = _free_ports(self._spec.workers)
            replicas = [
                Replica(
                    name=name,
                    command=self._command(index),
                    environ=self._environ_of(index, ports) | scratch,
                    log_file=os.path.join(folder, f"{name}.log"),
                )
                for index, name in enumerate(self._names)
            ]
            self._processes = ProcessSet(replicas, self._write_line, self._network)
            self._pass_on_interrupts()  # Whatever came while nobody was there to take it.
            try:
                ended = self._processes.wait(notice_s=_NOTICE_S, kill_after_s=_KILL_AFTER_S)
            finally:
                self._processes = None
        return cause_of(ended)

    def _command(self, index: int) -> list[str]:
        command = [sys.executable, "-m", self._spec.module, *self._spec.args]
        if self._spec.kind in _TASK_KINDS:
            command += [f"--task_index={index}", f"--num_tasks={self._spec.workers}"]
        return command

    def _environ_of(self, index: int, ports: list[int]) -> dict[str, str]:
        spec = self._spec
        environ = {k: v for k, v in self._environ.items() if k not in _NOT_INHERITED}
        environ |= spec.variables
        environ["PYTHONUNBUFFERED"] = "1"
        environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        if spec.workers > 1:
            threads = str(max(1, available_cores() // spec.workers))
            for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
                environ.setdefault(name, threads)
        if spec.workers > 1 and spec.kind == "train":
            environ["TF_CONFIG"] = json.dumps(
                {
                    "cluster": {"worker": [f"127.0.0.1:{port}" for port in ports]},
                    "task": {"type": "worker", "index": index},
                }
            )
        gpus = spec.resources.gpus
        mine = range(index * gpus, (index + 1) * gpus)
        environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, mine)) if gpus else "-1"
        return environ

    @contextmanager
    def _scratch_folder(self) -> Iterator[dict[str, str]]:
        """Give the workers' setting of a folder for temporary files that goes with the attempt.

        A worker that is killed, or leaves without looking back, cleans nothing up itself.
        """
        if self._spec.kind == "make-tfrecords":  # It finds there what it goes on from.
            yield {}
            return
        with tempfile.TemporaryDirectory(prefix="attempt-", ignore_cleanup_errors=True) as folder:
            yield {"TMPDIR": folder}

    @contextmanager
    def _log_folder(self, attempt: int) -> Iterator[str]:
        """Give the folder for an attempt's logs: in the run directory, or on the way to it."""
        if self._spec.kind != "train":
            with tempfile.TemporaryDirectory(prefix="logs-") as folder:
                yield folder
            return
        target = layout.join(layout.attempts_dir(self._spec.output), str(attempt))
        if not storage.is_remote(target):
            with errors_of(target):
                os.makedirs(target, exist_ok=True)
            yield target
            return
        with tempfile.TemporaryDirectory(prefix="logs-") as folder:
            try:
                yield folder
            finally:
                self._upload_logs(folder, target)

    def _upload_logs(self, folder: str, target: str) -> None:
        try:
            for name in sorted(os.listdir(folder)):
                storage.upload(os.path.join(folder, name), layout.join(target, name))
        except JobError as error:
            self._output.warn(f"the logs could not be kept in {target}: {error}")

    def _write_line(self, name: str, line: str) -> None:
        text = self._output.style(line)
        if len(self._names) > 1:
            color = _COLORS[self._names.index(name) % len(_COLORS)]
            prefix = self._output.style(f"{name:<{len(self._names[-1])}} |", color)
            text = f"{prefix} {text}"
        with self._lock:
            if not self._nobody_reads:
                self._print(text)

    def _note(self, text: str) -> None:
        with suppress(BrokenPipeError):
            self._output.note(text)

    def _print(self, text: str) -> None:
        try:
            self._output.print(text)
            self._output.stdout.flush()
        except BrokenPipeError:  # `| head`: nobody would see what the job does from here on.
            self._nobody_reads = True
            os.kill(os.getpid(), signal.SIGINT)


def _describe(code: int) -> str:
    shown = f"exit code {code}, " if code >= 0 else ""
    return shown + exit_meaning(code)


def _next_attempt(spec: JobSpec) -> int:
    """Number this attempt after those whose logs are there."""
    if spec.kind != "train":
        return 1
    files = storage.list_files(layout.attempts_dir(spec.output))
    found = [parsed for file in files if (parsed := layout.parse_attempt_log(file.path))]
    return max((number for number, _ in found), default=0) + 1


def _free_ports(count: int) -> list[int]:
    """Find ports on which nothing listens; held together, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


@contextmanager
def _interrupts(job: _LocalJob) -> Iterator[None]:
    def handle(_signal: int, _frame: types.FrameType | None) -> None:
        job.interrupt()

    if threading.current_thread() is not threading.main_thread():
        yield  # Signals are the main thread's, whose program decides what they mean.
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
