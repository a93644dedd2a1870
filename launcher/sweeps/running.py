"""Running the trials of a sweep, some at a time, each as a `launcher submit` of its own.

What is done stays done: a sweep that is started again passes over finished and stopped trials, and
goes on with those that were cut off. Ctrl-C once lets running trials save and leave.
"""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from job.contract.errors import ExitCode, exit_meaning
from job.process import children
from job.process.cores import available_cores
from launcher.manifests import units
from launcher.output import Output
from launcher.runs.record import RunRecord
from launcher.sweeps import stopping, store
from launcher.sweeps.plan import Sweep, Trial

_POLL_S = 0.5
_LOOK_EVERY_S = 5.0
_THREADS = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a sweep is run.

    Attributes:
        options: Those of `launcher submit` that all trials share.
        parallel: How many trials run at a time.
        stop_early: Whether the median rule ends trials.
        here: Whether they run on this machine: then they share its cores, and end with this.
        queued: Whether they are only sent, since the cluster's queue starts them.
    """

    options: Sequence[str]
    parallel: int
    stop_early: bool
    here: bool
    queued: bool = False


@dataclass
class _Running:
    trial: Trial
    process: "subprocess.Popen[bytes]"
    words: IO[bytes]
    began: float
    stopped: str = ""


class Runner:
    """Runs the trials of one sweep; `run` gives the exit code."""

    def __init__(
        self,
        folder: str,
        sweep: Sweep,
        settings: Settings,
        output: Output,
        environ: Mapping[str, str],
    ) -> None:
        self._folder = folder
        self._sweep = sweep
        self._settings = settings
        self._output = output
        self._environ = dict(environ)
        self._running: list[_Running] = []
        self._curves = store.Curves(folder)
        self._interrupts = 0
        self._failed = 0

    def run(self) -> int:
        """Run what is not done yet; 0 if all trials ended well, 130 after Ctrl-C, else 1."""
        done = store.records(self._folder, self._sweep)
        waiting = [trial for trial in self._sweep.trials if not self._is_over(trial, done)]
        over = len(self._sweep.trials) - len(waiting)
        if over:
            self._output.note(f"{over} of {len(self._sweep.trials)} trials are over already")
        looked = time.monotonic()
        with self._handling_interrupts():
            while self._running or (waiting and not self._interrupts):
                while waiting and len(self._running) < self._settings.parallel:
                    if self._interrupts:
                        break
                    self._start(waiting.pop(0))
                self._collect()
                if self._settings.stop_early and time.monotonic() - looked > _LOOK_EVERY_S:
                    looked = time.monotonic()
                    self._stop_the_worst()
                time.sleep(_POLL_S)
        if self._interrupts:
            return 130
        return 1 if self._failed else 0

    def _is_over(self, trial: Trial, records: Mapping[str, RunRecord]) -> bool:
        record = records.get(trial.name)
        return trial.name in self._sweep.stopped or (record is not None and record.state == "Done")

    def _start(self, trial: Trial) -> None:
        command = [
            sys.executable, "-m", "launcher", "submit", *self._settings.options,
            f"--name={self._sweep.name}-{trial.name}", f"--run={store.run_of(self._folder, trial)}",
            *([] if self._settings.here or self._settings.queued else ["--wait"]),
            "--", *self._sweep.flags, *trial.flags(),
        ]  # fmt: skip
        words = tempfile.TemporaryFile()  # noqa: SIM115 (closed once the trial has ended)
        process = subprocess.Popen(
            children.tied(command, signal.SIGTERM),
            env=self._environ | self._share_of_cores(),
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._running.append(_Running(trial, process, words, time.monotonic()))
        self._output.print(f"{self._output.style(trial.name, 'bold')} begins: {trial}")
        self._output.stdout.flush()

    def _share_of_cores(self) -> dict[str, str]:
        if not self._settings.here or self._settings.parallel == 1:
            return {}
        threads = str(max(1, available_cores() // self._settings.parallel))
        return {name: self._environ.get(name, threads) for name in _THREADS}

    def _collect(self) -> None:
        for one in list(self._running):
            code = one.process.poll()
            if code is None:
                continue
            self._running.remove(one)
            with one.words:
                self._tell(one, code, _last_line(one.words))

    def _tell(self, one: _Running, code: int, last: str) -> None:
        took = units.format_seconds(time.monotonic() - one.began)
        name = self._output.style(one.trial.name, "bold")
        if one.stopped:
            self._sweep = dataclasses.replace(
                self._sweep, stopped={**self._sweep.stopped, one.trial.name: one.stopped}
            )
            store.save(self._folder, self._sweep)
            text = f"stopped after {took}: {one.stopped}"
        elif code == 0 and self._settings.queued:
            text = "is in the queue"
        elif code == 0:
            curve = self._curves.of(one.trial)
            best = f", best top-1 {max(value for _, value in curve):.2%}" if curve else ""
            text = f"done in {took}{best}"
        elif self._interrupts and code in (ExitCode.PREEMPTED, 130):
            text = f"saved and left after {took}"
        else:
            self._failed += 1
            text = f"failed after {took} ({exit_meaning(code)}): {last}"
        self._output.print(f"{name} {text}")
        self._output.stdout.flush()

    def _stop_the_worst(self) -> None:
        curves = {trial.name: self._curves.of(trial) for trial in self._sweep.trials}
        for one in self._running:
            why = "" if one.stopped else stopping.reason_to_stop(one.trial.name, curves)
            if why:
                one.stopped = why
                self._ask_to_leave(one)

    def _ask_to_leave(self, one: _Running) -> None:
        if self._settings.here:
            with contextlib.suppress(ProcessLookupError):
                one.process.send_signal(signal.SIGINT)
            return
        cancel = [sys.executable, "-m", "launcher", "cancel", "--no-wait"]
        cancel += [option for option in self._settings.options if option.startswith(_WHERE)]
        subprocess.run(
            [*cancel, f"{self._sweep.name}-{one.trial.name}"],
            env=self._environ, check=False, stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip

    @contextlib.contextmanager
    def _handling_interrupts(self) -> Iterator[None]:
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._interrupt) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _interrupt(self, _number: int, _frame: types.FrameType | None) -> None:
        self._interrupts += 1
        here = self._settings.here
        does = "running trials save a checkpoint and leave" if here else "jobs in the cluster go on"
        self._output.note(f"stopping: {does}; the same command goes on with the sweep")
        for one in self._running:
            with contextlib.suppress(ProcessLookupError):
                one.process.send_signal(signal.SIGINT if here else signal.SIGTERM)


_WHERE = ("--profile", "--settings", "--context", "--namespace", "--kubeconfig")


def _last_line(words: IO[bytes]) -> str:
    """Give the last line that a trial's launcher wrote, an error before others."""
    size = words.seek(0, os.SEEK_END)
    words.seek(max(0, size - (16 << 10)))
    lines = [line for line in words.read().decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error: " in line]
    return (errors or lines or ["it said nothing"])[-1].strip()
