"""What GPUs are here, which libraries drive them, and how fast they talk to each other.

For `job.preflight`, which tells it from inside a pod before a job holds GPUs for days.
"""

import importlib.metadata
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from job.contract.errors import ConfigError

_LIBRARIES = {
    "CUDA": "nvidia-cuda-runtime-cu12",
    "cuDNN": "nvidia-cudnn-cu12",
    "NCCL": "nvidia-nccl-cu12",
}
"""What TensorFlow's wheel loads, and the distributions that hold it."""
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 (only looked at)
_GIB = 2**30
_TRIES = 5


@dataclass(frozen=True)
class Gpu:
    """One GPU, as the driver knows it."""

    model: str
    memory_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Driver:
    """NVIDIA's driver: its version, the newest CUDA it can run, and the GPUs it lets us see."""

    version: str
    cuda: str
    gpus: tuple[Gpu, ...]


def read_driver() -> Driver:
    """Ask the driver's management library, which comes with the driver and never with an image.

    Raises:
        ConfigError: There is no driver, or it does not answer.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise ConfigError(
            f"NVIDIA's driver does not answer ({error}): looked for libnvidia-ml.so.1 in "
            f"{os.environ.get('LD_LIBRARY_PATH') or 'no LD_LIBRARY_PATH'} and in the system's "
            "folders; is a device plugin installed, and does the pod ask for nvidia.com/gpu?"
        ) from error
    try:
        cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        return Driver(
            version=_text(pynvml.nvmlSystemGetDriverVersion()),
            cuda=f"{cuda // 1000}.{cuda % 1000 // 10}",
            gpus=tuple(_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())),
        )
    except pynvml.NVMLError as error:
        raise ConfigError(f"NVIDIA's driver fails: {error}") from error
    finally:
        pynvml.nvmlShutdown()


def _gpu(pynvml: Any, index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(
        model=_text(pynvml.nvmlDeviceGetName(handle)),
        memory_bytes=int(memory.total),
        free_bytes=int(memory.free),
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def describe_gpus(gpus: Sequence[Gpu]) -> str:
    """Write GPUs in words, equal ones together: 8 x NVIDIA L4, 22.5 GiB (22.1 GiB free)."""
    kinds = dict.fromkeys((gpu.model, gpu.memory_bytes) for gpu in gpus)
    return "; ".join(_describe(model, memory, gpus) for model, memory in kinds)


def _describe(model: str, memory: int, gpus: Sequence[Gpu]) -> str:
    alike = [gpu for gpu in gpus if (gpu.model, gpu.memory_bytes) == (model, memory)]
    free = min(gpu.free_bytes for gpu in alike)
    least = "at least " if len(alike) > 1 else ""
    return (
        f"{len(alike)} x {model}, {memory / _GIB:.1f} GiB ({least}{free / _GIB:.1f} GiB of it free)"
    )


def library_versions() -> dict[str, str]:
    """Give the versions of CUDA, cuDNN and NCCL beside TensorFlow; none in an image for CPUs."""
    found = {}
    for name, distribution in _LIBRARIES.items():
        try:
            found[name] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def shared_memory_bytes() -> tuple[int, int]:
    """Give (free, whole) bytes of /dev/shm, through which NCCL connects GPUs of one machine."""
    found = os.statvfs(_SHARED_MEMORY)
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def run_compiled(device: str) -> None:
    """Compile a small convolution and its gradient for a device, and run it there.

    It needs all that a training step needs of CUDA's own tools: cuDNN, ptxas and libdevice.

    Raises:
        ConfigError: It cannot be compiled or run; the message names the device.
    """
    import tensorflow as tf

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def step(images: Any, kernel: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            features = tf.nn.relu(tf.nn.conv2d(images, kernel, strides=1, padding="SAME"))
            loss = tf.reduce_mean(tf.exp(-features))
        return tape.gradient(loss, kernel)

    try:
        with tf.device(device):
            gradient = step(tf.ones([4, 16, 16, 8]), tf.fill([3, 3, 8, 8], 0.01))
        if not bool(tf.reduce_all(tf.math.is_finite(gradient))):
            raise ConfigError(f"a compiled convolution gives no finite numbers on {device}")
    except tf.errors.OpError as error:
        reason = (error.message.splitlines() or ["no reason given"])[0]
        raise ConfigError(f"a compiled convolution fails on {device}: {reason}") from error


def measure_all_reduce(devices: Sequence[str], size_bytes: int) -> float:
    """Sum a float32 tensor over devices as training does; gives the seconds of the fastest try.

    Args:
        devices: As `tf.distribute.MirroredStrategy` takes them.
        size_bytes: Size of the tensor on each device.

    Raises:
        ConfigError: The reduction fails, or its sum is wrong.
    """
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(list(devices))
    length = size_bytes // 4

    def reduce(value: Any) -> Any:
        total = tf.distribute.get_replica_context().all_reduce("SUM", value)
        return total[0], total[-1]

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def step(values: Any) -> Any:
        return strategy.run(reduce, args=(values,))

    try:
        values = strategy.experimental_distribute_values_from_function(
            lambda context: tf.fill([length], float(context.replica_id_in_sync_group + 1))
        )
        times = []
        for _ in range(_TRIES):
            begun = time.perf_counter()
            found = [
                float(end)
                for ends in step(values)
                for end in strategy.experimental_local_results(ends)
            ]
            times.append(time.perf_counter() - begun)
    except tf.errors.OpError as error:
        reason = (error.message.splitlines() or ["no reason given"])[0]
        raise ConfigError(f"the all-reduce between {len(devices)} GPUs fails: {reason}") from error
    expected = len(devices) * (len(devices) + 1) / 2
    if any(value != expected for value in found):
        raise ConfigError(
            f"the all-reduce between {len(devices)} GPUs gives {found[0]:g}, not {expected:g}: one "
            "of them, or what connects them, is faulty"
        )
    return min(times)


def describe_all_reduce(count: int, size_bytes: int, took_s: float) -> str:
    """Write a measured all-reduce in words.

    The bandwidth is that of a ring, in which each GPU sends 2 (n - 1) / n of the tensor: it can be
    compared between numbers of GPUs, and with what nccl-tests calls bus bandwidth.
    """
    sent = 2 * (count - 1) / count * size_bytes
    return (
        f"an all-reduce of {size_bytes >> 20} MiB between {count} GPUs takes "
        f"{1000 * took_s:.1f} ms: {sent / took_s / 1e9:.1f} GB/s of bus bandwidth"
    )
