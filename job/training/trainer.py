"""Training: fine-tune VGG19 on a dataset of TFRecords, on one worker or many.

Every worker runs this same program. Each loads the weights, takes its rows of each global batch,
exchanges gradients and applies the same update; the first worker alone writes into the run
directory, under its lease. A run goes on where its newest checkpoint ends, to the same bits.
"""

import itertools
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import tensorflow as tf

from job import storage
from job.contract.configs import TrainConfig
from job.contract.errors import DataError, DivergedError, PreemptedError
from job.contract.wording import many
from job.dataset import batches as input_pipeline
from job.dataset.description import Dataset, load_dataset
from job.distributed import devices
from job.distributed.cluster import Cluster, read_cluster
from job.distributed.peer_loss import naming_lost_peers
from job.distributed.plan_table import plan_table
from job.distributed.same_run import agree, from_chief
from job.distributed.strategy import connect
from job.evaluation.passes import JointEvaluation
from job.process.stop_request import StopRequest
from job.run import directory
from job.run.directory import Opening
from job.run.lease import RunLease, submission_id, take
from job.training.outputs import RunOutput
from job.training.start import prepare
from job.training.step import StepResult, TrainStep

_log = logging.getLogger(__name__)


def train(config: TrainConfig, environ: Mapping[str, str] = os.environ) -> None:
    """Train until the last step, or until asked to leave.

    Raises:
        PreemptedError: SIGTERM came; a checkpoint of that step is committed.
        RunHeldError: Somebody else writes into the run directory.
        LeaseLostError: Somebody else has taken the run directory over.
        DivergedError: The loss is not finite; the newest checkpoint is from before.
        PeerLostError: Another worker died or stalled.
        JobError: Bad settings, data or storage; see `job/contract/errors.py`.
    """
    computing_on = devices.prepare(environ)
    cluster = read_cluster(environ)
    dataset = load_dataset(config.data)
    _check_splits(dataset)
    with ExitStack() as stack:
        lease = None
        if cluster.is_chief:
            submission = submission_id(environ, cluster.addresses)
            lease = stack.enter_context(take(config.run, submission, take_over=config.take_over))
        strategy = connect(cluster, config, computing_on)
        config.check_replicas(strategy.num_replicas_in_sync)
        stop = stack.enter_context(StopRequest())
        stack.enter_context(naming_lost_peers(cluster))
        agree(strategy, cluster, {"config": config, "dataset": dataset.identity})
        opening = directory.look(config, dataset, lease) if lease else None
        Trainer(config, cluster, dataset, strategy, stop, lease, opening).run()
    requests = storage.request_counts()
    if cluster.is_chief and requests:
        counts = ", ".join(f"{number:,} {kind}" for kind, number in sorted(requests.items()))
        _log.info("requests to storage by this worker: %s", counts)


def _check_splits(dataset: Dataset) -> None:
    if not dataset.splits["test"].examples:
        raise DataError(
            f"{dataset.path} has no test images, and training evaluates on them; make it again "
            "with --test_fraction above 0"
        )


class Trainer:
    """One worker's part in a run.

    Args:
        config: Of the run.
        cluster: Who this worker is.
        dataset: What is trained on.
        strategy: Connects the workers.
        stop: Says whether this worker was asked to leave.
        lease: Of the run directory; the chief alone has it.
        opening: How the chief has found the run directory.
    """

    def __init__(
        self,
        config: TrainConfig,
        cluster: Cluster,
        dataset: Dataset,
        strategy: tf.distribute.Strategy,
        stop: StopRequest,
        lease: RunLease | None,
        opening: Opening | None,
    ) -> None:
        self._config = config
        self._cluster = cluster
        self._dataset = dataset
        self._strategy = strategy
        self._stop = stop
        self._lease = lease
        self._start = start = prepare(config, cluster, dataset, strategy, opening)
        self._course = start.course
        self._loss_scale = start.loss_scale
        self._train_step = TrainStep(
            strategy=strategy,
            model=start.model,
            optimizer=start.optimizer,
            plan=start.plan,
            precision=start.precision,
            config=config,
            use_xla=config.xla == "on" or (config.xla == "auto" and _has_gpu()),
        )
        self._evaluation = JointEvaluation(
            start.model, dataset, config, start.precision, strategy, cluster
        )
        self._output = RunOutput(
            config,
            first_step=start.course.first_step,
            total_steps=start.course.total_steps,
            dataset=dataset,
            lease=lease,
            opening=opening,
            gpus=strategy.num_replicas_in_sync if _has_gpu() else 0,
        )

    def run(self) -> None:
        """Train, save and evaluate until the end; finish first what an attempt before left."""
        course = self._course
        batches = self._batches()
        if course.first_step < course.total_steps:
            # From here on the run directory is changed: everything else must be there by now.
            batches = itertools.chain([next(batches)], batches)
        with self._output:
            self._say_hello()
            self._finish_evaluation()
            self._loop(batches)
            self._output.progress.say(
                f"trained to step {course.total_steps:,}; next: python -m job.evaluate "
                f"--data={self._config.data} --run={self._config.run}"
            )

    def _finish_evaluation(self) -> None:
        """Evaluate what training goes on from if that is due and was not done, or not recorded."""
        step = self._course.first_step
        is_new = step == 0 and self._course.total_steps == 0
        if not self._evaluation_due(step) or from_chief(
            self._strategy, self._cluster, int(self._output.is_evaluated(step))
        ):
            return
        if is_new:
            # --steps=0 measures and keeps what training would start from.
            self._save(step)
        self._evaluate(step)

    def _loop(self, batches: Iterator[Any]) -> None:
        saved_at, overdue = time.monotonic(), False
        for step in range(self._course.first_step, self._course.total_steps):
            result = self._take_step(step, batches)
            done = step + 1
            if result.leave:
                self._save(done)
                raise PreemptedError(self._goodbye(done))
            evaluation_due = self._evaluation_due(done)
            overdue = overdue or self._save_due(done, time.monotonic() - saved_at)
            # A save that is due while another is still being written comes a step later: waiting
            # for slow storage here would make the other workers take this one for lost. Only
            # what is to be evaluated is saved at once, since that may take long.
            if evaluation_due or (overdue and not self._output.saving):
                self._save(done)
                saved_at, overdue = time.monotonic(), False
            if evaluation_due:
                self._evaluate(done)

    def _take_step(self, step: int, batches: Iterator[Any]) -> StepResult:
        started, started_at = time.monotonic(), time.time()
        batch = next(batches)
        arrived = time.monotonic()
        learning_rate = self._course.learning_rate(step)
        result = self._train_step(
            batch,
            step=step,
            learning_rate=learning_rate,
            loss_scale=self._loss_scale.value,
            leave=self._stop.requested,
            report=self._output.progress.report,
        )
        if self._lease is not None:
            self._lease.raise_if_lost()
        if not self._loss_scale.update(finite=result.finite):
            raise DivergedError(self._advice(step, learning_rate))
        step_s = time.monotonic() - started
        self._output.step(
            step + 1,
            result,
            learning_rate=learning_rate,
            step_s=step_s,
            wait_s=arrived - started,
            # The clock of the day may jump, and only this comparison would be wrong.
            busy_s=min(max(result.backward_ended - started_at, arrived - started), step_s),
        )
        return result

    def _advice(self, step: int, learning_rate: float) -> str:
        text = (
            f"the loss is not finite at step {step} (learning rate {learning_rate:g}); lower "
            f"--learning_rate (now {self._config.learning_rate:g}) or set --clip_norm"
        )
        if not self._output.has_saved:
            return text
        return f"{text}, with --resume; the newest checkpoint is from before"

    def _batches(self) -> Iterator[Any]:
        local_replicas = self._strategy.num_replicas_in_sync // self._cluster.num_workers
        parts = iter(
            input_pipeline.train_batches(
                self._dataset,
                self._config,
                first_example=self._course.first_example,
                worker=self._cluster.worker,
                num_workers=self._cluster.num_workers,
                local_replicas=local_replicas,
            )
        )
        while True:
            yield self._strategy.experimental_distribute_values_from_function(lambda _: next(parts))

    def _evaluation_due(self, step: int) -> bool:
        if step == self._course.total_steps:
            return True
        if self._config.eval_every_steps:
            return step > 0 and step % self._config.eval_every_steps == 0
        return self._course.ends_epoch(step)

    def _evaluate(self, step: int) -> None:
        result = self._evaluation.run(self._asked_to_leave)
        if result is None:
            raise PreemptedError(self._goodbye(step))
        self._output.evaluation(step, result)

    def _asked_to_leave(self) -> bool:
        if self._lease is not None:
            self._lease.raise_if_lost()
        return self._stop.requested

    def _save_due(self, step: int, since_s: float) -> bool:
        every = self._config.save_every_steps
        by_steps = every > 0 and step % every == 0
        return by_steps or since_s >= self._config.save_every_s

    def _save(self, step: int) -> None:
        self._output.save(step, self._start.variables, self._start.state(step))

    def _goodbye(self, step: int) -> str:
        return (
            f"stopped on request; saved {self._output.where(step)}: the same command goes on from "
            "there"
        )

    def _say_hello(self) -> None:
        config, course, plan = self._config, self._course, self._start.plan
        self._output.progress.say(
            f"{self._dataset.name}: {len(self._dataset.classes)} classes, "
            f"{course.examples:,} training images; "
            f"steps {course.first_step:,} to {course.total_steps:,} with batches of "
            f"{config.global_batch_size} on {many(plan.replicas, 'replica')}, "
            f"{self._start.precision.name}; run directory {config.run}"
        )
        if course.first_example != course.first_step * config.global_batch_size:
            self._output.progress.say(
                f"the batch size has changed: step {course.first_step:,} comes after "
                f"{course.first_example:,} images, which is epoch "
                f"{course.first_example / course.examples:.2f}"
            )
        if plan.replicas > 1:
            self._output.progress.say(plan_table(plan))
        self._output.describe(plan_table(plan))


def _has_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))
