"""The learning rate of every step, as plain arithmetic."""

import math
from collections.abc import Callable

from job.contract.configs import TrainConfig
from job.contract.errors import ConfigError

_LARGEST_WARMUP_SHARE = 10


def total_steps(config: TrainConfig, examples: int) -> int:
    """Say how many steps a run has: `steps`, or enough for `epochs` passes over the examples.

    Raises:
        ConfigError: if there is nothing to train on.
    """
    if config.steps is not None:
        return config.steps
    if examples < 1:
        raise ConfigError("the training split has no examples; give --steps or another dataset")
    return math.ceil(config.epochs * examples / config.global_batch_size)


def learning_rate(config: TrainConfig, total_steps: int) -> Callable[[int], float]:
    """Give the function from a step, counted from 0, to its learning rate.

    The rate rises linearly to `learning_rate` over `warmup_steps`, at most a tenth of all steps,
    and from there falls to exactly `end_learning_rate` at step `total_steps - 1`: along a line
    (polynomial) or half a cosine (Loshchilov & Hutter, "SGDR", 2017), or not at all (constant).
    """
    peak, end = config.learning_rate, config.end_learning_rate
    warmup = min(config.warmup_steps, total_steps // _LARGEST_WARMUP_SHARE)
    falling_steps = max(1, total_steps - 1 - warmup)

    def rate(step: int) -> float:
        if step < warmup:
            return peak * (step + 1) / (warmup + 1)
        progress = min(1.0, (step - warmup) / falling_steps)
        return end + (peak - end) * _remaining(config.schedule, progress)

    return rate


def _remaining(schedule: str, progress: float) -> float:
    """Say which share of the way from the peak to the end is left, with progress 0..1."""
    if schedule == "constant":
        return 1.0
    if schedule == "polynomial":
        return 1.0 - progress
    return 0.5 * (1.0 + math.cos(math.pi * progress))
