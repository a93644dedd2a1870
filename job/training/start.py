"""What one worker starts from: a new run's weights, or everything as a checkpoint left it."""

import logging
from dataclasses import dataclass

import tensorflow as tf

from job.contract.configs import TrainConfig
from job.dataset.description import Dataset
from job.distributed.cluster import Cluster
from job.distributed.exchange_plan import Plan
from job.distributed.plan_for_run import known_link, plan_run
from job.distributed.same_run import from_chief, same_precision
from job.model import precision as precision_module
from job.model.precision import Precision
from job.model.pretrained import load_weights
from job.model.vgg19 import VGG19
from job.run import checkpoints
from job.run.checkpoints import CheckpointDir
from job.run.directory import Opening
from job.run.state import RunState
from job.training.loss_scale import LossScale
from job.training.optimizer import Momentum
from job.training.schedule import Course

_NONE = -1
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """Everything that training goes on from, the same on all workers.

    Attributes:
        model: With its weights.
        optimizer: With its velocities.
        precision: Arithmetic of the network.
        loss_scale: Of the next step.
        course: Where the run is on its way.
        plan: Of the exchange of gradients.
        head_is_new: Whether the last layer began with random weights on top of pretrained ones.
    """

    model: VGG19
    optimizer: Momentum
    precision: Precision
    loss_scale: LossScale
    course: Course
    plan: Plan
    head_is_new: bool

    @property
    def variables(self) -> dict[str, tf.Variable]:
        """All that a checkpoint holds, by the names there."""
        return self.model.variables_by_name | self.optimizer.slots_by_name

    def state(self, step: int) -> RunState:
        """Give what a checkpoint after so many steps must note beside the variables."""
        plan = self.plan
        methods = {one.name: one.method.value for one in plan.variables}
        return RunState(
            examples=self.course.example(step),
            precision=self.precision.name,
            loss_scale=self.loss_scale.value,
            steps_without_overflow=self.loss_scale.steps_without_overflow,
            replicas=plan.replicas,
            workers=plan.workers,
            network_gbps=plan.link.network_gbps,
            product_gflops=plan.link.product_gflops,
            per_replica_batch=plan.per_replica_batch,
            exchange_mode=plan.mode,
            exchange=methods if plan.replicas > 1 else {},
            head_is_new=self.head_is_new,
            machine=precision_module.machine(),
        )


def prepare(
    config: TrainConfig,
    cluster: Cluster,
    dataset: Dataset,
    strategy: tf.distribute.Strategy,
    opening: Opening | None,
) -> Start:
    """Restore or initialise; all workers call it, and each loads the weights itself.

    Args:
        config: Of the run.
        cluster: Who this worker is.
        dataset: What is trained on.
        strategy: Connects the workers.
        opening: What the chief has found in the run directory; the others take its word.

    Raises:
        DataError: A checkpoint is damaged.
        ConfigError: It does not fit, or this machine cannot go on with its arithmetic.
    """
    checkpoint = _checkpoint(config, cluster, strategy, opening)
    kept = checkpoint.manifest.state if checkpoint else None
    precision = _precision(config, cluster, strategy, kept)
    with strategy.scope():
        model = VGG19(
            len(dataset.classes),
            head=config.head,
            width_multiplier=config.width_multiplier,
            dropout_rate=config.dropout_rate,
            seed=config.seed,
        )
    head_is_new = _head_is_new(config, dataset, model, checkpoint)
    with strategy.scope():
        optimizer = Momentum.for_training(model.variables_by_name, config, head_is_new=head_is_new)
    loss_scale = LossScale(dynamic=precision.loss_scale == "dynamic")
    if checkpoint is not None:
        _restore(checkpoint, model, optimizer)
    if kept and kept.precision in ("", precision.name):
        loss_scale.restore(kept.loss_scale, kept.steps_without_overflow)
    examples = from_chief(strategy, cluster, _examples(config, opening))
    return Start(
        model=model,
        optimizer=optimizer,
        precision=precision,
        loss_scale=loss_scale,
        course=Course(
            config,
            dataset.splits["train"].examples,
            first_step=checkpoint.step if checkpoint else 0,
            first_example=examples,
        ),
        plan=_plan(config, cluster, strategy, model, optimizer, precision, kept),
        head_is_new=head_is_new,
    )


def _checkpoint(
    config: TrainConfig,
    cluster: Cluster,
    strategy: tf.distribute.Strategy,
    opening: Opening | None,
) -> CheckpointDir | None:
    found = opening.checkpoint if opening else None
    step = from_chief(strategy, cluster, found.step if found else _NONE)
    if step == _NONE:
        return None
    return found or checkpoints.read_checkpoint(config.run, step)


def _examples(config: TrainConfig, opening: Opening | None) -> int:
    """Count the images taken so far; what is older than that count is in batches of one size."""
    if opening is None or opening.checkpoint is None:
        return 0
    counted = opening.checkpoint.manifest.state.examples
    if counted is not None:
        return counted
    return opening.step * (opening.earlier or config).global_batch_size


def _precision(
    config: TrainConfig,
    cluster: Cluster,
    strategy: tf.distribute.Strategy,
    kept: RunState | None,
) -> Precision:
    """Choose the arithmetic: as asked for, else as the run began, else what is fast here."""
    asked_for = config.precision
    if asked_for == "auto" and kept and kept.precision:
        asked_for = kept.precision
        precision_module.require(asked_for)
    machine = precision_module.machine()
    if kept and kept.machine and kept.machine != machine and cluster.is_chief:
        _log.warning(
            "the checkpoint was computed on another kind of machine (%s, this is %s): the run "
            "goes on from the same numbers, but not to the same last bits",
            kept.machine,
            machine,
        )
    return same_precision(asked_for, strategy, cluster)


def _head_is_new(
    config: TrainConfig, dataset: Dataset, model: VGG19, checkpoint: CheckpointDir | None
) -> bool:
    """Load initial weights if this is a run's first attempt; say whether the last layer is new."""
    if checkpoint is not None:
        noted = checkpoint.manifest.state.head_is_new
        return bool(config.init_checkpoint) if noted is None else noted
    if not config.init_checkpoint:
        return False
    classes = () if config.new_head else dataset.classes
    report = load_weights(config.init_checkpoint, model, classes=classes)
    _log.info("%s", report)
    return not report.has_head


def _restore(checkpoint: CheckpointDir, model: VGG19, optimizer: Momentum) -> None:
    slots = optimizer.slots_by_name
    missing = checkpoints.load_variables(
        checkpoint, model.variables_by_name | slots, optional=slots
    )
    if missing:
        _log.info(
            "%d variables were frozen until step %d: their momentum starts at zero",
            len(missing),
            checkpoint.step,
        )


def _plan(
    config: TrainConfig,
    cluster: Cluster,
    strategy: tf.distribute.Strategy,
    model: VGG19,
    optimizer: Momentum,
    precision: Precision,
    kept: RunState | None,
) -> Plan:
    variables = model.variables_by_name
    return plan_run(
        config,
        known_link(config, strategy, kept, cluster.num_workers),
        replicas=strategy.num_replicas_in_sync,
        workers=cluster.num_workers,
        shapes={name: tuple(variables[name].shape) for name in optimizer.trainable},
        compute_dtype=precision.name,
        kept=kept,
    )
