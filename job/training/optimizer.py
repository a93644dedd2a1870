"""Momentum SGD on plain variables, for gradients that are already reduced."""

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from job.contract.train_config import LAYER_STAGES, TrainConfig


class Applied(NamedTuple):
    """What `Momentum.apply` found."""

    norm: tf.Tensor  # float32 []: global norm with weight decay, before clipping
    finite: tf.Tensor  # bool []: whether anything was changed


class Momentum:
    """Momentum SGD as TF1 and slim define it: v = m v + g, w = w - rate v.

    g is the gradient plus `weight_decay` times the weights (slim's l2_regularizer; biases have
    none), clipped to the global norm `clip_norm` where that is above 0. A gradient that is not
    finite changes nothing, neither variables nor slots.

    Variables whose multiplier is 0 are frozen: they get no slot and need no gradient. The slots
    are made in the scope of the current strategy, and named `<variable>/Momentum`.
    """

    def __init__(
        self,
        variables_by_name: Mapping[str, tf.Variable],
        *,
        momentum: float,
        weight_decay: float,
        clip_norm: float,
        multipliers: Mapping[str, float] | None = None,
    ) -> None:
        chosen = multipliers or {}
        self._multipliers = {name: chosen.get(name, 1.0) for name in variables_by_name}
        self._variables = {
            name: variable
            for name, variable in variables_by_name.items()
            if self._multipliers[name] > 0.0
        }
        self._slots = {
            name: _zeros(slot_name(name), variable) for name, variable in self._variables.items()
        }
        self._momentum = momentum
        self._weight_decay = weight_decay
        self._clip_norm = clip_norm

    @classmethod
    def for_training(
        cls,
        variables_by_name: Mapping[str, tf.Variable],
        config: TrainConfig,
        *,
        head_is_new: bool,
    ) -> "Momentum":
        """Make the optimizer of a run, with the learning rate multipliers that it asks for.

        Args:
            variables_by_name: Of the network.
            config: Of the run.
            head_is_new: Whether the last layer alone has random weights.
        """
        return cls(
            variables_by_name,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            clip_norm=config.clip_norm,
            multipliers={
                name: _multiplier(name, config, head_is_new=head_is_new)
                for name in variables_by_name
            },
        )

    @property
    def trainable(self) -> tuple[str, ...]:
        """The names of the variables that `apply` changes and needs gradients for."""
        return tuple(self._variables)

    @property
    def slots_by_name(self) -> dict[str, tf.Variable]:
        """The velocities, by the names they have in checkpoints."""
        return {slot_name(name): slot for name, slot in self._slots.items()}

    def apply(
        self,
        gradients_by_name: Mapping[str, tf.Tensor],
        learning_rate: float | tf.Tensor,
        loss_scale: float | tf.Tensor = 1.0,
    ) -> Applied:
        """Update every trainable variable once.

        Call it in the replica function (`strategy.run`) on all replicas, with gradients that are
        already reduced and so the same everywhere. Each replica updates its own copy, without any
        communication, and the copies stay equal because what they are updated with is.

        Args:
            gradients_by_name: for every name in `trainable`, of the variable's shape.
            learning_rate: of this step, before multipliers.
            loss_scale: a factor on the gradients that is taken out again (float16).
        """
        scale = tf.cast(loss_scale, tf.float32)
        totals = {
            name: self._with_decay(name, gradients_by_name[name], scale) for name in self.trainable
        }
        norm = tf.linalg.global_norm(list(totals.values())) / scale
        finite = tf.math.is_finite(norm)
        clipped = tf.minimum(1.0, self._clip_norm / norm) if self._clip_norm > 0.0 else 1.0
        factor = tf.where(finite, clipped / scale, 0.0)
        momentum = tf.where(finite, self._momentum, 1.0)
        rate = tf.where(finite, tf.cast(learning_rate, tf.float32), 0.0)
        for name, total in totals.items():
            # The handle is that of this replica's own copy. Variable.assign would do as well, but
            # in three passes over memory and with a copy.
            tf.raw_ops.ResourceApplyMomentum(
                var=self._variables[name].handle,
                accum=self._slots[name].handle,
                lr=rate * self._multipliers[name],
                grad=tf.math.multiply_no_nan(total, factor),
                momentum=momentum,
            )
        return Applied(norm, finite)

    def _with_decay(self, name: str, gradient: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        total = tf.cast(gradient, tf.float32)
        if self._weight_decay == 0.0 or not name.endswith("/weights"):
            return total
        return total + (self._weight_decay * scale) * self._variables[name].read_value()


def slot_name(variable_name: str) -> str:
    """Name a variable's velocity, as TF1's MomentumOptimizer does."""
    return f"{variable_name}/Momentum"


def _zeros(name: str, variable: tf.Variable) -> tf.Variable:
    return tf.Variable(lambda: tf.zeros(variable.shape), name=name, trainable=False)


def _multiplier(name: str, config: TrainConfig, *, head_is_new: bool) -> float:
    """Freeze the layers below `freeze_below`; hurry the last one where it alone is new."""
    stage = name.split("/")[1]
    if LAYER_STAGES.index(stage) < LAYER_STAGES.index(config.freeze_below):
        return 0.0
    if stage == "fc8" and head_is_new:
        return config.head_learning_rate_multiplier
    return 1.0
