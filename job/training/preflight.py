"""Would training find its data, and could it write its run, from here? Nothing but looking.

Every finding is one JSON object on a line of stdout: {"about": "data", "ok": true, "text": "..."}.

Where the launcher says that each worker has GPUs (GPUS_PER_WORKER), those are looked at as well:
the driver, the libraries, a compiled step on each of them, and an all-reduce between them.
"""

import json
import os
import socket
from collections.abc import Callable

from job import storage
from job.contract import layout
from job.contract.configs import TrainConfig
from job.contract.environment import WORKER_PORT
from job.contract.errors import ConfigError, ExitCode, InputMissingError, JobError
from job.dataset.description import load_dataset
from job.distributed import devices, gpu_facts, rendezvous
from job.process.hard_deadline import exit_after
from job.run import lease

_EXCHANGED_BYTES = 256 << 20
_EXCHANGE_WITHIN_S = 120.0
_NO_EXCHANGE = (
    "the GPUs of this pod do not exchange within two minutes: NCCL hangs; with NCCL_DEBUG=INFO it "
    "tells more"
)
_LEAST_SHARED_BYTES = 128 << 20


def check(config: TrainConfig) -> int:
    """Look at everything that a worker will need, and say what is there."""
    first_problem = 0
    for about, look in _LOOKS.items():
        try:
            text, ok = look(config), True
        except JobError as error:
            text, ok = str(error), False
            first_problem = first_problem or error.exit_code
        if text:
            print(json.dumps({"about": about, "ok": ok, "text": text}), flush=True)
    return first_problem


def _data(config: TrainConfig) -> str:
    dataset = load_dataset(config.data)
    shards = dataset.splits["train"].shards
    if shards:
        path = layout.join(config.data, shards[0].file)
        if storage.stat(path).size != shards[0].bytes:
            raise InputMissingError(f"{path} is not as large as {layout.DATASET_FILE} says")
    return (
        f"{dataset.splits['train'].examples:,} training images of {len(dataset.classes)} classes "
        f"in {len(shards)} shards"
    )


def _run(config: TrainConfig) -> str:
    lease.check_writable(config.run)
    return f"{config.run} can be written"


def _init_checkpoint(config: TrainConfig) -> str:
    path = config.init_checkpoint
    if not path:
        return ""
    there = storage.exists(path) or storage.exists(f"{path}.index")
    if not there and next(iter(storage.list_files(path)), None) is None:
        raise InputMissingError(f"there is nothing at {path}; correct --init_checkpoint")
    return f"{path} is there"


def _port(_: TrainConfig) -> str:
    try:
        with rendezvous.listening_socket(WORKER_PORT):
            pass
    except OSError as error:
        raise ConfigError(
            f"port {WORKER_PORT} cannot be opened: {os.strerror(error.errno or 0)}"
        ) from error
    both = " over IPv4 and IPv6" if socket.has_dualstack_ipv6() else ""
    return f"port {WORKER_PORT} can be opened for the other workers{both}"


def _driver(_: TrainConfig) -> str:
    asked = devices.asked_gpus(os.environ)
    if not asked:
        return ""
    driver = gpu_facts.read_driver()
    if len(driver.gpus) < asked:
        raise ConfigError(f"the driver shows {len(driver.gpus)} of the {asked} GPUs asked for")
    gpus = gpu_facts.describe_gpus(driver.gpus)
    return f"{gpus}; driver {driver.version}, which runs CUDA up to {driver.cuda}"


def _libraries(_: TrainConfig) -> str:
    asked = devices.asked_gpus(os.environ)
    if not asked:
        return ""
    import tensorflow as tf

    if not tf.test.is_built_with_cuda():
        raise ConfigError(f"the image's TensorFlow is for CPUs, and the job asks for {asked} GPUs")
    versions = ", ".join(f"{name} {v}" for name, v in gpu_facts.library_versions().items())
    if len(_gpus()) < asked:
        raise ConfigError(
            f"TensorFlow {tf.__version__} sees {len(_gpus())} of the {asked} GPUs asked for "
            f"({versions or 'no CUDA libraries beside it'}); its warnings above say what it misses"
        )
    return f"TensorFlow {tf.__version__}, {versions}"


def _gpus() -> list[str]:
    """Name the GPUs that TensorFlow sees, if any were asked for."""
    if not devices.asked_gpus(os.environ):
        return []
    import tensorflow as tf

    return [f"GPU:{index}" for index in range(len(tf.config.list_physical_devices("GPU")))]


def _compiled(_: TrainConfig) -> str:
    for device in _gpus():
        gpu_facts.run_compiled(device)
    return f"a compiled convolution runs on each of {len(_gpus())} GPUs" if _gpus() else ""


def _exchange(_: TrainConfig) -> str:
    gpus = _gpus()
    if len(gpus) < 2:
        return ""
    with exit_after(_EXCHANGE_WITHIN_S, ExitCode.PEER_LOST, f"error: {_NO_EXCHANGE}"):
        took_s = gpu_facts.measure_all_reduce(gpus, _EXCHANGED_BYTES)
    return gpu_facts.describe_all_reduce(len(gpus), _EXCHANGED_BYTES, took_s)


def _shared_memory(_: TrainConfig) -> str:
    free, whole = gpu_facts.shared_memory_bytes()
    text = f"shared memory: {free / 2**30:.2f} of {whole / 2**30:.2f} GiB of /dev/shm free"
    if devices.asked_gpus(os.environ) > 1 and free < _LEAST_SHARED_BYTES:
        raise ConfigError(f"{text}: too little for NCCL; raise --shm")
    return text


_LOOKS: dict[str, Callable[[TrainConfig], str]] = {
    "data": _data,
    "run": _run,
    "init_checkpoint": _init_checkpoint,
    "port": _port,
    "shm": _shared_memory,
    "driver": _driver,
    "libraries": _libraries,
    "compiled": _compiled,
    "exchange": _exchange,
}
