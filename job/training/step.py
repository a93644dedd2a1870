"""One optimisation step: forward, backward, exchange, update; compiled once, the same on any
number of replicas.

The gradient is that of the mean loss over the *global* batch, whatever the number of replicas and
of accumulated parts, and dropout masks are drawn for the global batch and cut to each replica's
rows. So one, two or four workers take the same step up to the order of float summation.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from job.contract.configs import TrainConfig
from job.contract.worker_report import WorkerReport
from job.distributed.exchange import exchange
from job.distributed.exchange_plan import Plan
from job.images import preprocess
from job.model.precision import Precision
from job.model.vgg19 import VGG19, DropoutRows
from job.training.optimizer import Momentum

Tensors = dict[str, tf.Tensor]
_NO_REPORT = WorkerReport()
_REPORT_SIZE = len(_NO_REPORT)


class _Backward(NamedTuple):
    """Sums over a part of a replica's batch, divided by the size of the global batch."""

    gradients: Tensors
    factors: dict[str, tuple[tf.Tensor, tf.Tensor]]  # inputs [rows, in], deltas [rows, out]
    counts: tf.Tensor  # float32 [4]: loss, top-1 hits, top-5 hits, examples


@dataclass(frozen=True)
class StepResult:
    """What a step did, over the global batch.

    `leave` is True on all workers at the same step once any of them was asked to leave.
    `finite` is False where the gradient was not; the weights are then as before the step.
    `backward_ended` is when this worker's backward pass did, in seconds since 1970; what follows
    is exchange, and waiting for others. `reports` holds what the replicas said of themselves.
    """

    loss: float
    top1: float
    top5: float
    gradient_norm: float
    leave: bool
    finite: bool
    backward_ended: float
    reports: tuple[WorkerReport, ...]


class TrainStep:
    """The compiled step of one run.

    Args:
        strategy: Where replicas run and how they reduce.
        model: Its variables were made under the strategy.
        optimizer: Updates them; its slots were made under the strategy.
        plan: How each variable's gradient is exchanged.
        precision: Arithmetic of forward and backward pass.
        config: Batch size, smoothing, dropout seed.
        use_xla: Compile forward and backward pass; collectives are never compiled.
    """

    def __init__(
        self,
        *,
        strategy: tf.distribute.Strategy,
        model: VGG19,
        optimizer: Momentum,
        plan: Plan,
        precision: Precision,
        config: TrainConfig,
        use_xla: bool,
    ) -> None:
        self._strategy = strategy
        self._model = model
        self._optimizer = optimizer
        self._plan = plan
        self._precision = precision
        self._config = config
        self._backward: Callable[..., _Backward] = tf.function(
            self._backward_pass, jit_compile=True if use_xla else None
        )
        self._run = tf.function(self._all_replicas)

    def __call__(
        self,
        batch: Mapping[str, Any],
        *,
        step: int,
        learning_rate: float,
        loss_scale: float = 1.0,
        leave: bool = False,
        report: WorkerReport = _NO_REPORT,
    ) -> StepResult:
        """Take step number `step` (from 0) on one global batch.

        Args:
            batch: Per-replica values "images" uint8 [b, S, S, 3] and "labels" int32 [b].
            step: Seeds dropout.
            learning_rate: Of this step.
            loss_scale: Factor on the loss, taken out of the gradients again (float16).
            leave: Whether this worker was asked to leave.
            report: What this worker tells of itself.
        """
        sums, norm, finite, backward_ended = self._run(
            batch["images"],
            batch["labels"],
            tf.constant(step, tf.int32),
            tf.constant(learning_rate, tf.float32),
            tf.constant(loss_scale, tf.float32),
            tf.constant(leave),
            tf.constant(report, tf.float32),
        )
        loss, hits1, hits5, examples, leaving, *rows = sums.numpy().tolist()
        return StepResult(
            loss=loss,
            top1=hits1 / examples,
            top5=hits5 / examples,
            gradient_norm=float(norm),
            leave=leaving > 0,
            finite=bool(finite),
            backward_ended=float(backward_ended),
            reports=tuple(
                WorkerReport(*rows[start : start + _REPORT_SIZE])
                for start in range(0, len(rows), _REPORT_SIZE)
            ),
        )

    def _all_replicas(self, *args: Any) -> tuple[tf.Tensor, ...]:
        results = self._strategy.run(self._replica_step, args)
        # Reduced values are the same everywhere; any local replica's will do.
        return tuple(self._strategy.experimental_local_results(part)[0] for part in results)

    def _replica_step(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        step: tf.Tensor,
        learning_rate: tf.Tensor,
        loss_scale: tf.Tensor,
        leave: tf.Tensor,
        report: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        backward = self._accumulate(images, labels, step, loss_scale)
        taps = {name: inputs for name, (inputs, _) in backward.factors.items()}
        deltas = {name: delta for name, (_, delta) in backward.factors.items()}
        gradients = exchange(self._plan, backward.gradients, taps, deltas)
        context = tf.distribute.get_replica_context()
        own_row = tf.one_hot(context.replica_id_in_sync_group, context.num_replicas_in_sync)
        sums = context.all_reduce(
            tf.distribute.ReduceOp.SUM,
            tf.concat(
                [
                    backward.counts,
                    [tf.cast(leave, tf.float32)],
                    tf.reshape(own_row[:, None] * report, [-1]),
                ],
                axis=0,
            ),
        )
        norm, finite = self._optimizer.apply(gradients, learning_rate, loss_scale)
        return sums, norm, finite & tf.math.is_finite(sums[0]), _moment_after(backward)

    def _accumulate(
        self, images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor, loss_scale: tf.Tensor
    ) -> _Backward:
        """Run the parts of this replica's batch one after the other and add them up."""
        parts = self._config.accumulate_steps
        rows = images.shape[0] // parts
        first = tf.distribute.get_replica_context().replica_id_in_sync_group * images.shape[0]
        total: _Backward | None = None
        for part in range(parts):
            chosen = slice(part * rows, (part + 1) * rows)
            before = [total.counts] if total is not None else []
            # One part's activations are freed before the next one's are made.
            with tf.control_dependencies(before):
                part_images = tf.identity(images[chosen])
            now = self._backward(part_images, labels[chosen], step, first + part * rows, loss_scale)
            total = now if total is None else _add(total, now)
        assert total is not None
        return total

    def _backward_pass(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        step: tf.Tensor,
        first_row: tf.Tensor,
        loss_scale: tf.Tensor,
    ) -> _Backward:
        batch = self._config.global_batch_size
        rows = DropoutRows(
            seed=tf.stack([tf.constant(self._config.seed, tf.int32), step]),
            first=first_row,
            total=batch,
        )
        with tf.GradientTape() as tape:
            forward = self._model.forward(
                preprocess.subtract_mean(images),
                training=True,
                dropout=rows,
                compute_dtype=self._precision.compute_dtype,
            )
            losses = smoothed_cross_entropy(forward.logits, labels, self._config.label_smoothing)
            loss = tf.reduce_sum(losses) / batch
            scaled = loss * loss_scale
        by_factors = [name for name in self._plan.factor_names if name in forward.taps]
        dense = [name for name in self._optimizer.trainable if name not in by_factors]
        variables = [self._model.variables_by_name[name] for name in dense]
        outputs = [forward.taps[name].outputs for name in by_factors]
        gradients, deltas = tape.gradient(scaled, [variables, outputs])
        return _Backward(
            dict(zip(dense, gradients, strict=True)),
            {
                name: (forward.taps[name].inputs, delta)
                for name, delta in zip(by_factors, deltas, strict=True)
            },
            tf.stack([loss, *_hits(forward.logits, labels), float(images.shape[0])]),
        )


def _moment_after(backward: _Backward) -> tf.Tensor:
    """Give the time at which the backward pass has brought its last gradient."""
    # It ends at the first layer. The number is brought to the CPU, which waits for the GPU so.
    first = next(iter(backward.gradients.values()))
    number = tf.reshape(first, [-1])[0]
    with tf.device("CPU:0"), tf.control_dependencies([tf.identity(number)]):
        return tf.timestamp()


def smoothed_cross_entropy(
    logits: tf.Tensor, labels: tf.Tensor, label_smoothing: float
) -> tf.Tensor:
    """Give each example's cross-entropy against its smoothed label, float32 [batch].

    "Rethinking the Inception Architecture" (2016): the target is 1 - s at the label plus s spread
    evenly over all classes.
    """
    log_probabilities = tf.nn.log_softmax(tf.cast(logits, tf.float32))
    own = tf.gather(log_probabilities, labels, axis=1, batch_dims=1)
    if not label_smoothing:
        return -own
    spread = tf.reduce_mean(log_probabilities, axis=1)
    return -(1.0 - label_smoothing) * own - label_smoothing * spread


def _hits(logits: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    own = tf.gather(logits, labels, axis=1, batch_dims=1)
    rank = tf.reduce_sum(tf.cast(logits > own[:, None], tf.int32), axis=1)
    return (
        tf.reduce_sum(tf.cast(rank < 1, tf.float32)),
        tf.reduce_sum(tf.cast(rank < 5, tf.float32)),
    )


def _add(left: _Backward, right: _Backward) -> _Backward:
    return _Backward(
        {name: left.gradients[name] + right.gradients[name] for name in left.gradients},
        {
            name: (
                tf.concat([left.factors[name][0], right.factors[name][0]], axis=0),
                tf.concat([left.factors[name][1], right.factors[name][1]], axis=0),
            )
            for name in left.factors
        },
        left.counts + right.counts,
    )
