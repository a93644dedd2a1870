"""What a run writes while it trains: curves, checkpoints, progress. Only the chief writes."""

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Self

import tensorflow as tf

from job.contract import layout
from job.contract.configs import TrainConfig, to_dict
from job.contract.errors import JobError
from job.contract.evaluation_file import EvaluationNote
from job.dataset.description import Dataset
from job.evaluation.passes import EvaluationResult
from job.run import directory
from job.run.checkpoint_writer import CheckpointWriter
from job.run.directory import Opening
from job.run.evaluations import EvaluationRecords
from job.run.lease import RunLease
from job.run.manifest import Manifest
from job.run.state import RunState
from job.storage.mirror import RunMirror
from job.training import evaluation_summary
from job.training.ledger import Ledger
from job.training.progress import Progress
from job.training.step import StepResult
from job.training.step_means import StepMeans
from job.training.tensorboard import Summaries

_log = logging.getLogger(__name__)


class RunOutput:
    """The writing side of a run; a context manager. On workers other than the chief it is silent.

    Args:
        config: Of the run.
        first_step: The step that training goes on from.
        total_steps: The step at which it ends.
        dataset: What is trained on; checkpoints carry its fingerprint.
        lease: Of the run directory; the chief alone has it, and writes.
        opening: How the chief has found the run directory.
        gpus: Of all workers together.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        first_step: int,
        total_steps: int,
        dataset: Dataset,
        lease: RunLease | None,
        opening: Opening | None,
        gpus: int,
    ) -> None:
        self._config = config
        self._lease = lease
        self._opening = opening
        self._first_step = first_step
        self._total_steps = total_steps
        self._dataset = dataset
        self._is_chief = lease is not None
        self._gpus = gpus
        self._records: EvaluationRecords | None = None
        self._best = -math.inf
        self._means = StepMeans()

    def __enter__(self) -> Self:
        """Begin to write: what `directory.look` has found is made ready for the first step."""
        config = self._config
        with ExitStack() as stack:
            local = config.run
            manifests: list[Manifest] = []
            if self._lease is not None and self._opening is not None:
                manifests = directory.begin(self._opening, config, self._dataset, self._lease)
                local = stack.enter_context(RunMirror(config.run, config.log_sync_s)).path
            self.progress = stack.enter_context(
                Progress(
                    local,
                    first_step=self._first_step,
                    total_steps=self._total_steps,
                    batch=config.global_batch_size,
                    log_every_s=config.log_every_s,
                    leader=self._is_chief,
                    ledger=Ledger.going_on(config.run, self._gpus) if self._is_chief else Ledger(),
                )
            )
            if self._lease is not None:
                self._open_chiefs_outputs(stack, local, self._lease, manifests)
            # Only what was opened without an error is closed by __exit__.
            self._exit = stack.pop_all()
        return self

    def _open_chiefs_outputs(
        self, stack: ExitStack, local: str, lease: RunLease, manifests: Sequence[Manifest]
    ) -> None:
        config = self._config
        self._records = EvaluationRecords(lease, self._first_step)
        self._records.add_older(manifests)
        self._best = self._records.best_value
        self._summaries = Summaries(local, first_step=self._first_step)
        stack.callback(self._summaries.close)
        self._writer = CheckpointWriter(
            lease,
            records=self._records,
            keep=config.keep,
            first_step=self._first_step,
            dataset=self._dataset.fingerprint,
        )
        stack.push(self._close_writer)

    def _close_writer(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for the last save; its failure does not hide what has ended training before."""
        try:
            self._writer.close()
        except JobError as error:
            if kind is None:
                raise
            if not issubclass(kind, type(error)):
                _log.warning("the last checkpoint could not be saved: %s", error)

    def __exit__(self, *error: object) -> None:
        self._exit.__exit__(*error)  # type: ignore[arg-type]

    def is_evaluated(self, step: int) -> bool:
        """Whether the evaluation of a step was recorded, in this attempt or before."""
        return self._records is not None and step in self._records

    @property
    def has_saved(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return self._is_chief and self._writer.has_committed

    def describe(self, plan: str) -> None:
        """Write the configuration and the plan of the exchange as texts."""
        if self._is_chief:
            rows = "\n".join(f"|{k}|{v}|" for k, v in to_dict(self._config).items())
            self._summaries.text(
                "train", self._first_step, "config", f"|setting|value|\n|-|-|\n{rows}"
            )
            self._summaries.text("train", self._first_step, "exchange_plan", f"```\n{plan}\n```")

    def step(
        self,
        step: int,
        result: StepResult,
        *,
        learning_rate: float,
        step_s: float,
        wait_s: float,
        busy_s: float,
    ) -> None:
        """Note the step that was just finished; its times are those of `Progress.update`."""
        self.progress.update(step, result, step_s=step_s, wait_s=wait_s, busy_s=busy_s)
        self._means.add(result)
        if self._is_chief and (
            step % self._config.log_every_steps == 0 or step == self._total_steps
        ):
            self._summaries.scalars(
                "train",
                step,
                {
                    **self._means.take(),
                    "learning_rate": learning_rate,
                    "images_per_s": self.progress.images_per_s,
                    "input_wait": self.progress.input_wait,
                },
            )

    def evaluation(self, step: int, result: EvaluationResult) -> None:
        """Tell of an evaluation and record it, once its step is committed."""
        top1 = result.metrics["top1"]
        self.progress.say(
            f"step {step}: test top-1 {100 * top1:.2f} %, "
            f"top-5 {100 * result.metrics['top5']:.2f} %, "
            f"loss {result.metrics['loss']:.4f} on {result.examples:,} images"
            + (" (best so far)" if top1 > self._best else "")
        )
        self._best = max(top1, self._best)
        if self._is_chief:
            self._writer.record(
                EvaluationNote(
                    step=step,
                    metrics=result.metrics,
                    examples=result.examples,
                    precision=result.precision,
                )
            )
            evaluation_summary.write(self._summaries, step, result, self._dataset, self._config)
            self._summaries.flush()

    def save(self, step: int, variables: Mapping[str, tf.Variable], state: RunState) -> None:
        """Take a snapshot, to be committed in the background."""
        if self._is_chief:
            self._writer.save(step, variables, state=state)

    @property
    def saving(self) -> bool:
        """Whether a snapshot is still being written."""
        return self._is_chief and self._writer.busy

    def where(self, step: int) -> str:
        """Name the checkpoint of a step."""
        return layout.checkpoint_dir(self._config.run, step)
