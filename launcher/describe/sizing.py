"""How big a job's workers are: GPUs among workers, CPUs, memory and disk. Pure."""

import math

from job.contract.configs import TrainConfig
from job.model.shapes import conv_layers, parameter_count
from launcher.describe import accelerators
from launcher.describe.spec import Resources
from launcher.errors import UsageError
from launcher.manifests import quantities, units
from launcher.settings.fields import Settings

MOST_GPUS_PER_WORKER = 8
ASSUMED_CLASSES = 101
_FLOAT32_BYTES = 4
CPU_WORKER_MILLICPUS = 2000
_FRAMEWORK_BYTES = 2 * units.GIB
_CACHE_MARGIN = 1.1
_QUOTA_OF_CPU_JOBS_MILLICPUS = 64_000
_QUOTA_OF_CPU_JOBS_BYTES = 256 * units.GIB
"""For making records, predictions and TensorBoards beside the training."""


def divide_gpus(settings: Settings) -> tuple[int, int]:
    """Give (workers, GPUs of each) for the settings.

    Raises:
        UsageError: The numbers do not go together; the message names ones that do.
    """
    gpus, workers, each = settings.gpus, settings.workers, settings.gpus_per_worker
    if gpus is None:
        gpus = (workers or 1) * (1 if each is None else each)
    if workers == 0:
        raise UsageError("--workers must be at least 1")
    if gpus == 0:
        if each:
            raise UsageError(f"--gpus 0 means CPU workers; it cannot have {each} GPUs each")
        return workers or 1, 0
    if each == 0:
        raise UsageError(f"--gpus {gpus} cannot be on workers without GPUs; give --gpus 0")
    if each is None:
        each = _share(gpus, workers)
    if gpus % each:
        raise UsageError(f"{gpus} GPUs cannot be divided into workers of {each}")
    if workers is not None and workers * each != gpus:
        raise UsageError(
            f"{workers} workers of {each} GPUs are {workers * each} GPUs, not {gpus}; "
            "leave out one of --gpus, --workers and --gpus-per-worker"
        )
    return gpus // each, each


def _share(gpus: int, workers: int | None) -> int:
    if workers is None:
        return max(n for n in range(1, MOST_GPUS_PER_WORKER + 1) if gpus % n == 0)
    if gpus % workers:
        near = sorted(
            (n for n in range(1, gpus + 1) if gpus % n == 0), key=lambda n: abs(n - workers)
        )
        raise UsageError(
            f"{gpus} GPUs cannot be divided among {workers} workers; try --workers {near[0]}"
        )
    return gpus // workers


def parameters(config: TrainConfig, classes: int = ASSUMED_CLASSES) -> int:
    """Count the network's parameters."""
    return parameter_count(classes, config.head, config.width_multiplier)


def activation_values(config: TrainConfig) -> int:
    """Count the numbers that one image leaves in the network for the backward pass."""
    total, side = 0, config.image_size_px
    for name, (_, _, _, channels) in conv_layers(config.width_multiplier).items():
        block = int(name.rsplit("/conv", 1)[1].split("_")[0])
        total += channels * math.ceil(side / 2 ** (block - 1)) ** 2
    return total


def training_memory_bytes(config: TrainConfig, per_replica_batch: int, *, value_bytes: int) -> int:
    """Estimate what training holds at once: weights, momentum, gradients, activations, workspace.

    Activations count twice: the backward pass holds their gradients beside them.
    """
    weights = parameters(config) * _FLOAT32_BYTES
    in_flight = math.ceil(per_replica_batch / config.accumulate_steps)
    activations = 2 * activation_values(config) * in_flight * value_bytes
    accumulated = weights if config.accumulate_steps > 1 else 0
    return 3 * weights + accumulated + activations


def worker_resources(
    settings: Settings,
    *,
    gpus: int,
    cpu_millicpus: int = CPU_WORKER_MILLICPUS,
    least_memory_bytes: int = 0,
    cache_bytes: int = 4 * units.GIB,
    scratch_bytes: int = 4 * units.GIB,
) -> Resources:
    """Size one worker: what the settings say, else what its GPUs bring, else what it needs."""
    known = accelerators.describe(settings.accelerator)
    millicpus = gpus * known.millicpus or cpu_millicpus
    memory = max(
        gpus * known.host_memory_gib * units.GIB,
        0 if gpus else _whole_gib(_FRAMEWORK_BYTES + least_memory_bytes),
    )
    if settings.cpus:
        millicpus = quantities.parse_millicpus(settings.cpus, "--cpus")
    if settings.memory:
        memory = quantities.parse_bytes(settings.memory, "--memory")
    shm = min(gpus * units.GIB or units.GIB // 4, memory // 4)
    return Resources(
        gpus=gpus,
        millicpus=millicpus,
        memory_bytes=memory,
        shm_bytes=_size(settings.shm, "--shm", shm),
        cache_bytes=_size(settings.cache_size, "--cache-size", cache_bytes),
        scratch_bytes=_size(settings.scratch_size, "--scratch-size", scratch_bytes),
    )


def quota(gpus: int, model: str) -> Resources:
    """Size what all jobs of a namespace may hold together, so that the GPUs can all be used.

    Each GPU brings its share of the machine, as `worker_resources` gives it to a worker; the
    largest known share if the model is not named. Beside them stay CPUs for jobs without GPUs.
    """
    models = [accelerators.describe(model)] if model else list(accelerators.KNOWN.values())
    return Resources(
        gpus=gpus,
        millicpus=gpus * max(each.millicpus for each in models) + _QUOTA_OF_CPU_JOBS_MILLICPUS,
        memory_bytes=gpus * max(each.host_memory_gib for each in models) * units.GIB
        + _QUOTA_OF_CPU_JOBS_BYTES,
        shm_bytes=0,
        cache_bytes=0,
        scratch_bytes=0,
    )


def cache_bytes(shard_bytes: int) -> int:
    """Size the cache so that every shard of a dataset fits."""
    return _whole_gib(round(shard_bytes * _CACHE_MARGIN))


def scratch_bytes(config: TrainConfig) -> int:
    """Size the scratch disk: checkpoints on their way to storage, initial weights, logs."""
    checkpoint = 2 * parameters(config) * _FLOAT32_BYTES
    return _whole_gib(3 * checkpoint) + units.GIB


def _size(text: str, where: str, default: int) -> int:
    return quantities.parse_bytes(text, where) if text else default


def _whole_gib(size: int) -> int:
    return math.ceil(size / units.GIB) * units.GIB
