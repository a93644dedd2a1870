"""The arithmetic of the network: what was asked for, or what is fast on this machine."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import tensorflow as tf

from job.contract.errors import ConfigError

_log = logging.getLogger(__name__)
NAMES = ("float32", "bfloat16", "float16")
_WORTHWHILE_SPEEDUP = 1.15
_TIMED_S = 1.5


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

    On GPUs it goes by their compute capability. On CPUs it times a small convolution and matrix
    product in float32 and bfloat16, about two seconds, and logs what it saw.

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


def _fast_on_gpus(gpus: list[Any]) -> str:
    capabilities = [
        tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
        for gpu in gpus
    ]
    slowest = min(capabilities)
    # Tensor cores came with 7.0 (Volta) for float16 and with 8.0 (Ampere) for bfloat16.
    name = "bfloat16" if slowest >= (8, 0) else "float16" if slowest >= (7, 0) else "float32"
    _log.info("precision %s: GPUs of compute capability %d.%d", name, *slowest)
    return name


def _fast_on_cpu() -> str:
    float32_s, bfloat16_s = _fastest_steps_s(tf.float32, tf.bfloat16)
    speedup = float32_s / bfloat16_s
    name = "bfloat16" if speedup >= _WORTHWHILE_SPEEDUP else "float32"
    _log.info(
        "precision %s: a small step takes %.1f ms in float32, %.1f ms in bfloat16 (%.2f x)",
        name,
        float32_s * 1e3,
        bfloat16_s * 1e3,
        speedup,
    )
    return name


def _fastest_steps_s(*dtypes: tf.DType) -> list[float]:
    """Time a step in each arithmetic, in turn, and give the fastest of each in seconds.

    What else the machine does only ever adds time, so the minimum is nearest to the truth.
    """
    steps = [_small_step(dtype) for dtype in dtypes]
    for step in steps:
        step()
    rounds: list[list[float]] = []
    # By time, not by count: where bfloat16 is only emulated, a step takes twenty times as long.
    while sum(map(sum, rounds)) < _TIMED_S:
        rounds.append([_seconds(step) for step in steps])
    return [min(times) for times in zip(*rounds, strict=True)]


def _seconds(step: Callable[[], tf.Tensor]) -> float:
    start = time.perf_counter()
    step().numpy()
    return time.perf_counter() - start


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
