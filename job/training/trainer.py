"""Training: fine-tune VGG19 on a dataset of TFRecords, on one worker or many.

Every worker runs this same program. Each loads the weights, takes its rows of each global batch,
exchanges gradients and applies the same update; the first worker alone writes into the run
directory. A run goes on where its newest checkpoint ends, to the same bits.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import tensorflow as tf

from job import storage
from job.contract.configs import TrainConfig
from job.contract.errors import DivergedError, PreemptedError
from job.contract.wording import many
from job.dataset import batches as input_pipeline
from job.dataset.description import Dataset, load_dataset
from job.distributed import devices
from job.distributed.cluster import Cluster, read_cluster
from job.distributed.peer_loss import naming_lost_peers
from job.distributed.plan_for_run import known_link, plan_run
from job.distributed.plan_table import plan_table
from job.distributed.same_run import agree, from_chief, same_precision
from job.distributed.strategy import connect
from job.evaluation import passes
from job.model.pretrained import load_weights
from job.model.vgg19 import VGG19
from job.process.stop_request import StopRequest
from job.run import checkpoints, directory
from job.run.checkpoints import CheckpointDir
from job.run.lease import RunLease, submission_id, take
from job.training import schedule
from job.training.loss_scale import LossScale
from job.training.optimizer import Momentum
from job.training.outputs import RunOutput
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
        if lease is not None:
            directory.open_run(config, dataset, lease)
        Trainer(config, cluster, dataset, strategy, stop, lease).run()
    requests = storage.request_counts()
    if cluster.is_chief and requests:
        counts = ", ".join(f"{number:,} {kind}" for kind, number in sorted(requests.items()))
        _log.info("requests to storage by this worker: %s", counts)


class Trainer:
    """One worker's part in a run."""

    def __init__(
        self,
        config: TrainConfig,
        cluster: Cluster,
        dataset: Dataset,
        strategy: tf.distribute.Strategy,
        stop: StopRequest,
        lease: RunLease | None,
    ) -> None:
        self._config = config
        self._cluster = cluster
        self._dataset = dataset
        self._strategy = strategy
        self._stop = stop
        self._lease = lease
        self._total_steps = schedule.total_steps(config, dataset.splits["train"].examples)
        self._learning_rate = schedule.learning_rate(config, self._total_steps)
        self._precision = same_precision(config.precision, strategy, cluster)
        self._loss_scale = LossScale(dynamic=self._precision.loss_scale == "dynamic")
        with strategy.scope():
            self._model = VGG19(
                len(dataset.classes),
                head=config.head,
                width_multiplier=config.width_multiplier,
                dropout_rate=config.dropout_rate,
                seed=config.seed,
            )
            self._optimizer = Momentum.for_training(self._model.variables_by_name, config)
        self._state = self._model.variables_by_name | self._optimizer.slots_by_name

    def run(self) -> None:
        """Restore or initialise, then train, evaluate and save until the end."""
        restored = self._restore()
        first_step = restored.step if restored else 0
        variables = self._model.variables_by_name
        self._link = known_link(
            self._config,
            self._strategy,
            restored.manifest.state if restored else {},
            self._cluster.num_workers,
        )
        self._plan = plan_run(
            self._config,
            self._link,
            replicas=self._strategy.num_replicas_in_sync,
            workers=self._cluster.num_workers,
            shapes={name: tuple(variables[name].shape) for name in self._optimizer.trainable},
            compute_dtype=self._precision.name,
        )
        self._train_step = TrainStep(
            strategy=self._strategy,
            model=self._model,
            optimizer=self._optimizer,
            plan=self._plan,
            precision=self._precision,
            config=self._config,
            use_xla=self._config.xla == "on" or (self._config.xla == "auto" and _has_gpu()),
        )
        with RunOutput(
            self._config,
            first_step=first_step,
            total_steps=self._total_steps,
            dataset=self._dataset,
            lease=self._lease,
            gpus=self._strategy.num_replicas_in_sync if _has_gpu() else 0,
        ) as self._output:
            self._say_hello(first_step)
            if restored and self._evaluation_due(first_step) and not restored.manifest.metrics:
                self._evaluate(first_step)  # The attempt before ended between save and evaluation.
            elif not restored and self._total_steps == 0:
                # --steps=0 measures and keeps what training would start from.
                metrics, best = self._evaluate(0)
                self._save(0, metrics, best=best)
            self._loop(first_step)
            self._output.progress.say(
                f"trained to step {self._total_steps:,}; next: python -m job.evaluate "
                f"--data={self._config.data} --run={self._config.run}"
            )

    def _restore(self) -> CheckpointDir | None:
        """Load what training starts from; every worker loads it itself, from the same step."""
        newest = checkpoints.newest_whole(self._config.run) if self._cluster.is_chief else None
        step = from_chief(self._strategy, self._cluster, newest.step if newest else -1)
        if step >= 0:
            checkpoint = newest or checkpoints.read_checkpoint(self._config.run, step)
            checkpoints.load_variables(checkpoint, self._state)
            self._loss_scale.restore(checkpoint.manifest.state)
            return checkpoint
        if self._config.init_checkpoint:
            report = load_weights(self._config.init_checkpoint, self._model)
            _log.info("%s", report)
        return None

    def _loop(self, first_step: int) -> None:
        batches = self._batches(first_step)
        saved_at, overdue = time.monotonic(), False
        for step in range(first_step, self._total_steps):
            result = self._take_step(step, batches)
            if self._lease is not None:
                self._lease.raise_if_lost()
            done = step + 1
            if result.leave:
                self._save(done, {}, best=False)
                raise PreemptedError(
                    f"stopped on request; saved {self._output.where(done)}: the same command "
                    "goes on from there"
                )
            metrics: Mapping[str, float] = {}
            best = False
            if self._evaluation_due(done):
                metrics, best = self._evaluate(done)
            overdue = overdue or self._save_due(done, time.monotonic() - saved_at)
            # A save that is due while another is still being written comes a step later: waiting
            # for slow storage here would make the other workers take this one for lost.
            if metrics or (overdue and not self._output.saving):
                self._save(done, metrics, best=best)
                saved_at, overdue = time.monotonic(), False

    def _take_step(self, step: int, batches: Iterator[Any]) -> StepResult:
        started, started_at = time.monotonic(), time.time()
        batch = next(batches)
        arrived = time.monotonic()
        learning_rate = self._learning_rate(step)
        result = self._train_step(
            batch,
            step=step,
            learning_rate=learning_rate,
            loss_scale=self._loss_scale.value,
            leave=self._stop.requested,
            report=self._output.progress.report,
        )
        if not self._loss_scale.update(finite=result.finite):
            raise DivergedError(
                f"the loss is not finite at step {step} (learning rate {learning_rate:g}); lower "
                f"--learning_rate (now {self._config.learning_rate:g}) or set --clip_norm; the "
                "newest checkpoint is from before"
            )
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

    def _batches(self, first_step: int) -> Iterator[Any]:
        local_replicas = self._strategy.num_replicas_in_sync // self._cluster.num_workers
        parts = iter(
            input_pipeline.train_batches(
                self._dataset,
                self._config,
                start_step=first_step,
                worker=self._cluster.worker,
                num_workers=self._cluster.num_workers,
                local_replicas=local_replicas,
            )
        )
        while True:
            yield self._strategy.experimental_distribute_values_from_function(lambda _: next(parts))

    def _evaluation_due(self, step: int) -> bool:
        if step == self._total_steps:
            return True
        if self._config.eval_every_steps:
            return step % self._config.eval_every_steps == 0
        # After each epoch: the step whose batch holds the last example of one.
        examples = self._dataset.splits["train"].examples
        batch = self._config.global_batch_size
        return step > 0 and step * batch // examples > (step - 1) * batch // examples

    def _evaluate(self, step: int) -> tuple[Mapping[str, float], bool]:
        result = passes.evaluate_together(
            self._model, self._dataset, self._config, self._precision, self._strategy, self._cluster
        )
        return result.metrics, self._output.evaluation(step, result)

    def _save_due(self, step: int, since_s: float) -> bool:
        every = self._config.save_every_steps
        by_steps = every > 0 and step % every == 0
        return by_steps or since_s >= self._config.save_every_s

    def _save(self, step: int, metrics: Mapping[str, float], *, best: bool) -> None:
        state = self._loss_scale.state() | {
            "replicas": self._strategy.num_replicas_in_sync,
            "workers": self._cluster.num_workers,
            "network_gbps": self._link.network_gbps,
            "product_gflops": self._link.product_gflops,
        }
        self._output.save(step, self._state, state=state, metrics=metrics, best=best)

    def _say_hello(self, first_step: int) -> None:
        config, replicas = self._config, self._strategy.num_replicas_in_sync
        self._output.progress.say(
            f"{self._dataset.name}: {len(self._dataset.classes)} classes, "
            f"{self._dataset.splits['train'].examples:,} training images; "
            f"steps {first_step:,} to {self._total_steps:,} with batches of "
            f"{config.global_batch_size} on {many(replicas, 'replica')}, "
            f"{self._precision.name}; run directory {config.run}"
        )
        if replicas > 1:
            self._output.progress.say(plan_table(self._plan))
        self._output.describe(plan_table(self._plan))


def _has_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))
