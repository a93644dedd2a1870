"""What this process computes on: its GPUs, all of those that it asked for, or else the CPU.

For tests of several devices in one worker without a GPU, the environment variable
CPU_DEVICES_PER_WORKER cuts the CPU into logical devices, which are used as GPUs are.
"""

import ctypes
import glob
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
    check_gpus(asked_gpus(environ), len(gpus), lambda: look_around(environ))
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


@dataclass(frozen=True)
class Surroundings:
    """What there is besides GPUs, to tell why TensorFlow sees too few of them."""

    tensorflow: str
    built_for_gpus: bool
    library_path: str
    driver_loads: bool
    device_files: int


def look_around(environ: Mapping[str, str]) -> Surroundings:
    """Look at the image, the driver, and the devices that the container was given."""
    try:
        ctypes.CDLL(_DRIVER)
        driver_loads = True
    except OSError:
        driver_loads = False
    return Surroundings(
        tensorflow=tf.__version__,
        built_for_gpus=tf.test.is_built_with_cuda(),
        library_path=environ.get("LD_LIBRARY_PATH", ""),
        driver_loads=driver_loads,
        device_files=len(glob.glob(_DEVICE_FILES)),
    )


def check_gpus(asked: int, seen: int, around: Callable[[], Surroundings]) -> None:
    """Refuse to train on less than what was asked for: CPUs would take weeks, without a word.

    Raises:
        ConfigError: It says what is here, what was looked for, and what usually causes that.
    """
    if seen < asked:
        raise ConfigError(
            f"this process sees {seen} of the {asked} GPUs that it asked for ({GPUS_PER_WORKER}): "
            f"{_likely_cause(seen, around())}"
        )


def _likely_cause(seen: int, around: Surroundings) -> str:
    devices = f"{around.device_files} files {_DEVICE_FILES}"
    if not around.built_for_gpus:
        return (
            f"TensorFlow {around.tensorflow} of this image is built for CPUs; build the image for "
            "GPUs: launcher image build --tensorflow gpu"
        )
    if not around.driver_loads:
        return (
            f"no driver: {_DRIVER} is neither in {around.library_path or 'LD_LIBRARY_PATH (unset)'}"
            f" nor in the system's folders, and there are {devices}; GKE mounts the driver at "
            "/usr/local/nvidia: is it installed on the node, with a device plugin?"
        )
    if around.device_files <= seen:
        return (
            f"the driver is here, but only {devices}: the device plugin gave this pod no more "
            "(time-slicing and MIG count shares, not GPUs)"
        )
    return (
        f"the driver and {devices} are here, but TensorFlow {around.tensorflow} cannot use all: "
        "its CUDA libraries are missing or newer than the driver; with TF_CPP_MIN_LOG_LEVEL=0 it "
        "says which"
    )


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "0")
    return int(text) if text.isdecimal() else 0
