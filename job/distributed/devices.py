"""What this process computes on: its GPUs, all of those that it asked for, or else the CPU.

For tests of several devices in one worker without a GPU, the environment variable
CPU_DEVICES_PER_WORKER cuts the CPU into logical devices, which are used as GPUs are.
"""

import ctypes.util
import glob
from collections.abc import Mapping, Sequence

import tensorflow as tf

from job.contract.environment import GPUS_PER_WORKER
from job.contract.errors import ConfigError

CPU_DEVICES = "CPU_DEVICES_PER_WORKER"
_DRIVER = "libcuda.so.1"
_DEVICE_FILES = "/dev/nvidia[0-9]*"
_ALLOW_GROWTH = "TF_FORCE_GPU_ALLOW_GROWTH"


def prepare(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Set the devices up, and name those to compute on; call it before anything is computed.

    GPUs give their memory as it is needed: by default TensorFlow takes nearly all of it at once,
    and NCCL, which allocates its own, finds none left. TF_FORCE_GPU_ALLOW_GROWTH=false keeps the
    default.

    Raises:
        ConfigError: There are fewer GPUs than this process asked for.
    """
    gpus = tf.config.list_physical_devices("GPU")
    check_gpus(asked_gpus(environ), len(gpus), environ)
    if environ.get(_ALLOW_GROWTH, "true").lower() not in ("false", "0"):
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    if gpus:
        return tuple(f"GPU:{index}" for index in range(len(gpus)))
    count = _number(environ, CPU_DEVICES) or 1
    (cpu,) = tf.config.list_physical_devices("CPU")
    if count > len(tf.config.get_logical_device_configuration(cpu) or [cpu]):
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    return tuple(f"CPU:{index}" for index in range(count))


def asked_gpus(environ: Mapping[str, str]) -> int:
    """Read how many GPUs this process asked for: 0 if none, or if nobody says."""
    return _number(environ, GPUS_PER_WORKER)


def check_gpus(asked: int, seen: int, environ: Mapping[str, str]) -> None:
    """Refuse to train on less than what was asked for: CPUs would take weeks, without a word.

    Raises:
        ConfigError: It says what is here, what was looked for, and what usually causes that.
    """
    if seen < asked:
        raise ConfigError(
            f"this process sees {seen} of the {asked} GPUs that it asked for ({GPUS_PER_WORKER}): "
            f"{_likely_cause(seen, glob.glob(_DEVICE_FILES), environ)}"
        )


def _likely_cause(seen: int, device_files: Sequence[str], environ: Mapping[str, str]) -> str:
    if not tf.test.is_built_with_cuda():
        return (
            f"TensorFlow {tf.__version__} of this image is built for CPUs; build the image for "
            "GPUs: launcher image build --tensorflow gpu"
        )
    if not _driver_loads():
        path = environ.get("LD_LIBRARY_PATH") or "(LD_LIBRARY_PATH is not set)"
        return (
            f"no driver: {_DRIVER} is neither in {path} nor in the system's folders, and there are "
            f"{len(device_files)} files {_DEVICE_FILES}; GKE mounts the driver at "
            "/usr/local/nvidia: is it installed on the node, with a device plugin?"
        )
    if len(device_files) <= seen:
        return (
            f"the driver is here, but only {len(device_files)} files {_DEVICE_FILES}: the device "
            "plugin gave this pod no more (time-slicing and MIG count shares, not GPUs)"
        )
    return (
        f"the driver and {len(device_files)} files {_DEVICE_FILES} are here, but TensorFlow "
        f"{tf.__version__} cannot use all: its CUDA libraries are missing or older than the "
        "driver; with TF_CPP_MIN_LOG_LEVEL=0 it says which"
    )


def _driver_loads() -> bool:
    try:
        ctypes.CDLL(_DRIVER)
    except OSError:
        return False
    return True


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "0")
    return int(text) if text.isdecimal() else 0
