"""How far a run is: a line on a terminal, log lines without one, and a small file for others."""

import logging
import sys
import time
from typing import Never, Self

from tqdm import tqdm

from job.contract import layout
from job.contract.errors import JobError, LeaseLostError
from job.contract.progress_file import RunProgress, WorkerNumbers
from job.contract.worker_report import WorkerReport, memory_peak_bytes, straggler
from job.storage import documents
from job.training.ledger import Ledger
from job.training.step import StepResult
from job.training.step_means import StepMeans

_log = logging.getLogger(__name__)
_SMOOTHING = 0.9


class Progress:
    """Follows one run; a context manager.

    Args:
        run: Run directory, or its local mirror, for progress.json.
        first_step: The step that this process starts from.
        total_steps: The step at which the run ends.
        batch: Images of one step.
        log_every_s: Time between two log lines, and two writes of the file, in seconds.
        leader: Whether this worker speaks; the others are silent.
        ledger: What the run has cost so far.
    """

    def __init__(
        self,
        run: str,
        *,
        first_step: int,
        total_steps: int,
        batch: int,
        log_every_s: float,
        leader: bool,
        ledger: Ledger,
    ) -> None:
        self._run = run
        self._total = total_steps
        self._batch = batch
        self._every = log_every_s
        self._leader = leader
        self._ledger = ledger
        self._step = first_step
        self._loss = ledger.loss
        self._means = StepMeans()
        self._step_s = 0.0
        self._wait_s = 0.0
        self._busy_s = 0.0
        self._workers: tuple[WorkerReport, ...] = ()
        self._updates = 0
        self._last_report = time.monotonic()
        self._bar: tqdm[Never] | None = None
        if leader and sys.stderr.isatty():
            self._bar = tqdm(
                initial=first_step,
                total=total_steps,
                unit="step",
                dynamic_ncols=True,
                bar_format="{percentage:3.0f}%|{bar:24}| step {n_fmt}/{total_fmt} "
                "[{elapsed}<{remaining}]{postfix}",
            )

    def __enter__(self) -> Self:
        self._write("training")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, _: object) -> None:
        if self._bar is not None:
            self._bar.close()
        # Who has lost the run's lease has nothing to tell of it any more.
        if kind is None or not issubclass(kind, LeaseLostError):
            self._write("done" if kind is None else "stopped")

    @property
    def images_per_s(self) -> float:
        """Images of the global batch per second, averaged over the last ten or so steps."""
        return self._batch / self._step_s if self._step_s else 0.0

    @property
    def input_wait(self) -> float:
        """Share of the time that was spent waiting for input, from 0 to 1."""
        return self._wait_s / self._step_s if self._step_s else 0.0

    @property
    def report(self) -> WorkerReport:
        """What this worker tells the others of itself."""
        return WorkerReport(self._busy_s, self.input_wait, memory_peak_bytes())

    def update(
        self, step: int, result: StepResult, *, step_s: float, wait_s: float, busy_s: float
    ) -> None:
        """Note a finished step.

        Args:
            step: Its number, from 1.
            result: What it did, and what the workers said of themselves.
            step_s: Seconds that it took.
            wait_s: How many of these it waited for its input.
            busy_s: How many of these passed until its backward pass ended.
        """
        self._updates += 1
        # The first step also compiles: it says nothing about those to come.
        if self._updates > 1:
            weight = _SMOOTHING if self._step_s else 0.0
            self._step_s = weight * self._step_s + (1 - weight) * step_s
            self._wait_s = weight * self._wait_s + (1 - weight) * wait_s
            self._busy_s = weight * self._busy_s + (1 - weight) * busy_s
        self._step, self._loss, self._workers = step, result.loss, result.reports
        self._means.add(result)
        if self._bar is not None:
            self._bar.set_postfix_str(
                f"loss {result.loss:.3f}, {self.images_per_s:,.0f} images/s", refresh=False
            )
            self._bar.update(step - self._bar.n)
        if self._step_s and time.monotonic() - self._last_report >= self._every:
            self._last_report = time.monotonic()
            self._report()

    def say(self, text: str) -> None:
        """Print a line without tearing the progress line."""
        if self._bar is not None:
            self._bar.clear()
        if self._leader:
            _log.info("%s", text)

    def _report(self) -> None:
        means = self._means.take()
        if self._bar is None and self._leader:
            left_s = (self._total - self._step) * self._step_s
            _log.info(
                "step %d/%d  loss %.4f  top-1 %.1f %%  %.1f images/s  input wait %.0f %%  "
                "%s left%s",
                self._step,
                self._total,
                means["loss"],
                100 * means["top1"],
                self.images_per_s,
                100 * self.input_wait,
                tqdm.format_interval(left_s),
                self._about_the_slowest(),
            )
        self._write("training")

    def _about_the_slowest(self) -> str:
        found = straggler(self._workers, self._step_s)
        if found is None:
            return ""
        worker, share = found
        return f"  others wait for worker {worker} {100 * share:.0f} % of the time"

    def _write(self, state: str) -> None:
        """Tell others; a failure is none of training's business."""
        if not self._leader:
            return
        content = RunProgress(
            state=state,
            step=self._step,
            total_steps=self._total,
            time=time.time(),
            # Of a run that is complete already, what the attempt before has measured.
            examples_per_s=round(self.images_per_s or self._ledger.images_per_s, 2),
            input_wait=round(self.input_wait, 4),
            loss=self._loss,
            step_s=round(self._step_s, 6),
            workers=tuple(
                WorkerNumbers(
                    busy_s=round(worker.busy_s, 6),
                    input_wait=round(worker.input_wait, 4),
                    memory_peak_bytes=int(worker.memory_peak_bytes),
                )
                for worker in self._workers
            ),
            **self._ledger.now(),
        )
        try:
            documents.write(layout.progress_file(self._run), content)
        except (JobError, OSError) as error:
            _log.warning("progress could not be written: %s", error)
