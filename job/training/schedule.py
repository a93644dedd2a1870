"""The learning rate of every step, as plain arithmetic."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from job.contract.configs import TrainConfig
from job.contract.errors import ConfigError

_LARGEST_WARMUP_SHARE = 10


@dataclass(frozen=True)
class Course:
    """Which images and which learning rate each step of a run has, and where it ends.

    Progress is counted in images: an attempt that goes on with another batch size goes on at the
    next image, ends with the same epoch, and has the learning rates of the same images. Where
    `steps` are given instead of epochs, they count steps, and rates go by them.

    Attributes:
        config: Of the run.
        examples: Size of the training split.
        first_step: The step that this attempt goes on from.
        first_example: How many images had been taken until then.
    """

    config: TrainConfig
    examples: int
    first_step: int = 0
    first_example: int = 0

    def example(self, step: int) -> int:
        """Count the images taken before a step."""
        return self.first_example + (step - self.first_step) * self.config.global_batch_size

    def ends_epoch(self, step: int) -> bool:
        """Whether the last of so many steps took the last image of an epoch."""
        before = self.example(step) - self.config.global_batch_size
        return step > 0 and self.example(step) // self.examples > before // self.examples

    @cached_property
    def total_steps(self) -> int:
        """The step at which the run ends."""
        whole = total_steps(self.config, self.examples)
        batch = self.config.global_batch_size
        if self.config.steps is not None:
            return whole
        if self.first_example % batch == 0:
            left = whole - self.first_example // batch
        else:
            left = math.ceil((self.config.epochs * self.examples - self.first_example) / batch)
        return self.first_step + max(0, left)

    def learning_rate(self, step: int) -> float:
        """Give the learning rate of a step, counted from 0."""
        if self.config.steps is not None:
            return self._rate(step)
        return self._rate(self.example(step) / self.config.global_batch_size)

    @cached_property
    def _rate(self) -> Callable[[float], float]:
        return learning_rate(self.config, total_steps(self.config, self.examples))


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


def learning_rate(config: TrainConfig, total_steps: int) -> Callable[[float], float]:
    """Give the function from a step, counted from 0, to its learning rate.

    The rate rises linearly to `learning_rate` over `warmup_steps`, at most a tenth of all steps,
    and from there falls to exactly `end_learning_rate` at step `total_steps - 1`: along a line
    (polynomial) or half a cosine (Loshchilov & Hutter, "SGDR", 2017), or not at all (constant).
    """
    peak, end = config.learning_rate, config.end_learning_rate
    warmup = min(config.warmup_steps, total_steps // _LARGEST_WARMUP_SHARE)
    falling_steps = max(1, total_steps - 1 - warmup)

    def rate(step: float) -> float:
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
