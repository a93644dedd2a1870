"""What a run writes while it trains: curves, checkpoints, progress. Only the chief writes."""

import math
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Self

import tensorflow as tf

from job.contract import layout
from job.contract.configs import TrainConfig, to_dict
from job.contract.errors import JobError
from job.contract.evaluation_file import EvaluationNote
from job.dataset.description import Dataset
from job.evaluation.passes import EvaluationResult
from job.run import checkpoints
from job.run.checkpoint_writer import CheckpointWriter
from job.run.lease import RunLease
from job.storage import documents
from job.storage.mirror import RunMirror
from job.training import evaluation_summary
from job.training.ledger import Ledger
from job.training.progress import Progress
from job.training.step import StepResult
from job.training.step_means import StepMeans
from job.training.tensorboard import Summaries


class RunOutput:
    """The writing side of a run; a context manager. On workers other than the chief it is silent.

    Args:
        config: Of the run.
        first_step: The step that training goes on from.
        total_steps: The step at which it ends.
        dataset: What is trained on; checkpoints carry its fingerprint.
        lease: Of the run directory; the chief alone has it, and writes.
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
        gpus: int,
    ) -> None:
        self._config = config
        self._lease = lease
        self._first_step = first_step
        self._total_steps = total_steps
        self._dataset = dataset
        self._is_chief = lease is not None
        self._gpus = gpus
        self._best = -math.inf
        self._means = StepMeans()

    def __enter__(self) -> Self:
        config = self._config
        with ExitStack() as stack:
            local = config.run
            if self._is_chief:
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
                self._open_chiefs_outputs(stack, local, self._lease)
            # Only what was opened without an error is closed by __exit__.
            self._exit = stack.pop_all()
        return self

    def _open_chiefs_outputs(self, stack: ExitStack, local: str, lease: RunLease) -> None:
        config = self._config
        self._best = checkpoints.best_metric(config.run, "top1")
        self._summaries = Summaries(local, first_step=self._first_step)
        stack.callback(self._summaries.close)
        self._writer = CheckpointWriter(
            lease,
            keep=config.keep,
            first_step=self._first_step,
            dataset=self._dataset.fingerprint,
        )
        stack.callback(self._writer.close)

    def __exit__(self, *error: object) -> None:
        self._exit.__exit__(*error)  # type: ignore[arg-type]

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

    def evaluation(self, step: int, result: EvaluationResult) -> bool:
        """Note an evaluation; say whether it is the best so far."""
        top1 = result.metrics["top1"]
        better = top1 > self._best
        self._best = max(top1, self._best)
        self.progress.say(
            f"step {step}: test top-1 {100 * top1:.2f} %, "
            f"top-5 {100 * result.metrics['top5']:.2f} %, "
            f"loss {result.metrics['loss']:.4f} on {result.examples:,} images"
            + (" (best so far)" if better else "")
        )
        if self._is_chief:
            evaluation_summary.write(self._summaries, step, result, self._dataset, self._config)
            self._note(step, result)
            self._summaries.flush()
        return better

    def _note(self, step: int, result: EvaluationResult) -> None:
        note = EvaluationNote(step=step, metrics=dict(result.metrics), time=time.time())
        path = layout.evaluation_file(self._config.run, step)
        try:
            documents.write(path, note)
        except (JobError, OSError) as error:
            self.progress.say(f"the evaluation could not be noted: {error}")

    def save(
        self,
        step: int,
        variables: Mapping[str, tf.Variable],
        *,
        state: Mapping[str, float],
        metrics: Mapping[str, float],
        best: bool,
    ) -> None:
        """Take a snapshot, to be committed in the background."""
        if self._is_chief:
            self._writer.save(step, variables, state=state, metrics=metrics, best=best)

    @property
    def saving(self) -> bool:
        """Whether a snapshot is still being written."""
        return self._is_chief and self._writer.busy

    def where(self, step: int) -> str:
        """Name the checkpoint of a step."""
        return layout.checkpoint_dir(self._config.run, step)
