"""The arithmetic of the network: what was asked for, or what is fast on this machine."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import tensorflow as tf

from job.contract.errors import ConfigError
from job.process import processor

_log = logging.getLogger(__name__)
NAMES = ("float32", "bfloat16", "float16")
_WORTHWHILE_SPEEDUP = 1.15
_TIMED_S = 1.5
_FEWEST_ROUNDS = 5
# Tensor cores came with 7.0 (Volta) for float16 and with 8.0 (Ampere) for bfloat16.
_CAPABILITY = {"bfloat16": (8, 0), "float16": (7, 0)}


@dataclass(frozen=True)
class Precision:
    """How the network computes. Variables, logits and loss are float32 in any case.

    `loss_scale` says whether the loss needs a factor against vanishing gradients
    (`job/training/loss_scale.py`): float16 has few exponents, bfloat16 as many as float32.
    """

    name: str
    compute_dtype: tf.DType
    loss_scale: Literal["dynamic", "none"]


def choose(precision: str) -> Precision:
    """Give the precision of that name; `auto` finds out what this machine is fast in.

    On GPUs it goes by their compute capability. On CPUs that have instructions for bfloat16 it
    times a small convolution and matrix product in float32 and bfloat16, about two seconds, and
    logs what it saw.

    Raises:
        ConfigError: for a name that does not exist.
    """
    if precision == "auto":
        gpus = tf.config.list_physical_devices("GPU")
        precision = _fast_on_gpus(gpus) if gpus else _fast_on_cpu()
    if precision not in NAMES:
        raise ConfigError(f"precision {precision!r} must be auto or one of {', '.join(NAMES)}")
    return Precision(
        name=precision,
        compute_dtype=tf.dtypes.as_dtype(precision),
        loss_scale="dynamic" if precision == "float16" else "none",
    )


def machine() -> str:
    """Name what the last bits of sums depend on: the GPUs, or the processor's instructions."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return " and ".join(sorted({str(one.get("device_name", "GPU")) for one in details}))
    return f"CPU with {processor.instruction_set()}"


def require(precision: str) -> None:
    """Make sure that this machine computes in an arithmetic itself, as a run that has it needs.

    Raises:
        ConfigError: It would have to emulate it, to other bits and many times slower.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if precision == "float32":
        return
    if gpus:
        can = _capability(gpus) >= _CAPABILITY[precision]
    else:
        can = precision == "bfloat16" and processor.computes_bfloat16(processor.instruction_set())
    if not can:
        raise ConfigError(
            f"the run computes in {precision}, for which this machine ({machine()}) has no "
            "instructions; go on where it began, or in other arithmetic with --resume "
            "--precision=float32"
        )


def _fast_on_gpus(gpus: list[Any]) -> str:
    capability = _capability(gpus)
    name = next((name for name, least in _CAPABILITY.items() if capability >= least), "float32")
    _log.info("precision %s: GPUs of compute capability %d.%d", name, *capability)
    return name


def _capability(gpus: list[Any]) -> tuple[int, int]:
    """Give the lowest compute capability of some GPUs."""
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    capabilities: list[tuple[int, int]] = [one.get("compute_capability", (0, 0)) for one in details]
    return min(capabilities)


def _fast_on_cpu() -> str:
    instructions = processor.instruction_set()
    if not processor.computes_bfloat16(instructions):
        _log.info("precision float32: this processor (%s) only emulates bfloat16", instructions)
        return "float32"
    float32_s, bfloat16_s = _cheapest_steps_s(tf.float32, tf.bfloat16)
    speedup = float32_s / bfloat16_s
    name = "bfloat16" if speedup >= _WORTHWHILE_SPEEDUP else "float32"
    _log.info(
        "precision %s: a small step takes %.1f core-ms in float32, %.1f in bfloat16 (%.2f x)",
        name,
        float32_s * 1e3,
        bfloat16_s * 1e3,
        speedup,
    )
    return name


def _cheapest_steps_s(*dtypes: tf.DType) -> list[float]:
    """Measure a step in each arithmetic, in turn, and give the cheapest of each in core-seconds.

    The time on a core, and not that on the clock: others may have the cores meanwhile, and each
    start on a machine must come to the same end. What else happens only ever adds to it, so the
    minimum is nearest to the truth.
    """
    steps = [_small_step(dtype) for dtype in dtypes]
    for step in steps:
        step()
    rounds: list[list[float]] = []
    started = time.monotonic()
    # By time, not by count: how long a step takes may differ twentyfold.
    while len(rounds) < _FEWEST_ROUNDS or time.monotonic() - started < _TIMED_S:
        rounds.append([_core_seconds(step) for step in steps])
    return [min(times) for times in zip(*rounds, strict=True)]


def _core_seconds(step: Callable[[], tf.Tensor]) -> float:
    start = time.process_time()
    step().numpy()
    return time.process_time() - start


def _small_step(dtype: tf.DType) -> Callable[[], tf.Tensor]:
    """Compile forward and backward pass of a convolution as in VGG's middle, and a product.

    Large enough that arithmetic is what takes the time: 5 GFLOP, as one layer of a few images.
    """
    images = tf.ones([2, 56, 56, 128])
    kernel = tf.Variable(tf.ones([3, 3, 128, 128]))
    matrix = tf.Variable(tf.ones([128, 256]))

    @tf.function  # type: ignore[untyped-decorator]
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            features = tf.nn.conv2d(
                tf.cast(images, dtype), tf.cast(kernel, dtype), strides=1, padding="SAME"
            )
            rows = tf.reshape(tf.nn.relu(features), [-1, 128])
            loss = tf.reduce_sum(tf.cast(tf.matmul(rows, tf.cast(matrix, dtype)), tf.float32))
        gradients = tape.gradient(loss, [kernel, matrix])
        return tf.add_n([tf.reduce_sum(gradient) for gradient in gradients])

    compiled: Callable[[], tf.Tensor] = step
    return compiled
