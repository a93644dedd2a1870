"""From settings and trainer flags to the JobSpec of a training job.

The same steps serve `submit`, `render`, `diff` and `resume`, so that they cannot disagree.
"""

import dataclasses
import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass

from job import storage
from job.contract import flags
from job.contract.configs import TrainConfig
from job.process.cores import available_cores
from launcher.describe import dataset_facts, provenance, sizing, volumes
from launcher.describe.dataset_facts import DatasetFacts
from launcher.describe.job_spec import assemble
from launcher.describe.spec import JobSpec
from launcher.describe.volumes import Volume
from launcher.errors import NotFoundError, UsageError
from launcher.kinds import ClusterKind, Kind
from launcher.manifests import names
from launcher.settings.fields import Settings

CACHE_DIR = "/cache"
_NAME_PREFIX = "vgg19"
_NO_RUN_YET = "-"


@dataclass(frozen=True)
class Training:
    """A training job, with what it was made from."""

    spec: JobSpec
    config: TrainConfig
    facts: DatasetFacts


def prepare(
    settings: Settings,
    job_flags: Sequence[str],
    *,
    name: str,
    run: str,
    namespace: str,
    backend: Kind,
    with_facts: bool,
) -> Training:
    """Check everything and describe the job.

    The dataset's description is read if the size of the cache depends on it, or `with_facts`.

    Raises:
        UsageError, ConfigError: A setting or a trainer flag cannot work.
        NotFoundError: The job is to run here, and here is no dataset.
    """
    in_cluster = isinstance(backend, ClusterKind)
    settings = settings if in_cluster else _with_cpus_on_this_machine(settings)
    workers, gpus = sizing.divide_gpus(settings)
    if not in_cluster and gpus and not _has_gpus():
        raise UsageError(
            f"this machine has no GPU, and the job asks for {workers * gpus}: --gpus 0 trains on "
            "its CPUs; a cluster needs a kubeconfig (KUBECONFIG, --kubeconfig)"
        )
    config = parse_config(settings, job_flags, run=run or _NO_RUN_YET)
    config.check_replicas(workers * max(gpus, 1))
    name = name or provenance.name_for(
        _NAME_PREFIX, provenance.config_hash(config), settings.image, workers, gpus
    )
    names.check_job_name(name, backend, workers)
    if config.run == _NO_RUN_YET:
        run = _default_run(settings, name, in_cluster=in_cluster)
        config = dataclasses.replace(config, run=run)
    if in_cluster:
        _check_remote(config, volumes.parse_all(settings.volumes))
    needed = with_facts or (in_cluster and not settings.cache_size)
    needed = needed and not (in_cluster and "://" not in config.data)  # On a volume of the pods.
    facts = dataset_facts.read(config.data) if needed else dataset_facts.FOOD101
    if not in_cluster and facts.missing:
        raise NotFoundError(
            f"there is no dataset in {config.data}; make one from images: launcher make-tfrecords "
            f"--backend local --source IMAGES --output {config.data}"
        )
    return Training(_spec(settings, config, facts, name, namespace, backend), config, facts)


def _with_cpus_on_this_machine(settings: Settings) -> Settings:
    if (settings.gpus, settings.gpus_per_worker) == (None, None):
        return dataclasses.replace(settings, gpus=0)
    return settings


def _has_gpus() -> bool:
    """Whether the NVIDIA driver's devices are here; under WSL they hide behind /dev/dxg."""
    return bool(glob.glob("/dev/nvidia[0-9]*")) or os.path.exists("/dev/dxg")


def parse_config(settings: Settings, job_flags: Sequence[str], *, run: str) -> TrainConfig:
    """Read the trainer's flags over the profile's `train:` and `data`.

    Raises:
        ConfigError: A flag or its value is wrong.
        UsageError: No dataset is named.
    """
    given = [f"--{key}={_flag_text(value)}" for key, value in settings.train.items()]
    if settings.data:
        given.append(f"--data={settings.data}")
    elif not any(flag.lstrip("-").startswith(("data=", "config")) for flag in job_flags):
        raise UsageError(
            "no dataset: give --data (launcher make-tfrecords makes one from images), or begin "
            "with `launcher init`, which writes a launcher.yaml"
        )
    return flags.parse(
        TrainConfig,
        [*settings.payer_flags, *given, f"--run={run}", *job_flags],
        read=storage.read_bytes,
    )


def _flag_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _default_run(settings: Settings, name: str, *, in_cluster: bool) -> str:
    if settings.run_root:
        return f"{settings.run_root.rstrip('/')}/{name}"
    if not in_cluster:
        return f"runs/{name}"
    raise UsageError("no run directory: give --run gs://…, or put run_root into launcher.yaml")


def _check_remote(config: TrainConfig, mounted: Sequence[Volume]) -> None:
    """Check that pods can see all paths; what is read may also lie on a volume of theirs."""
    for name in ("data", "run", "init_checkpoint"):
        path = getattr(config, name)
        there = name != "run" and volumes.covers(mounted, path)
        if path and "://" not in path and not there:
            raise UsageError(
                f"--{name} {path} is on this machine, where pods cannot see it; copy it to a "
                "bucket (gs://…), or use --backend local"
            )


def _spec(
    settings: Settings,
    config: TrainConfig,
    facts: DatasetFacts,
    name: str,
    namespace: str,
    backend: Kind,
) -> JobSpec:
    in_cluster = isinstance(backend, ClusterKind)
    workers, gpus = sizing.divide_gpus(settings)
    per_replica = config.global_batch_size // (workers * max(gpus, 1))
    resources = sizing.worker_resources(
        settings,
        gpus=gpus,
        cpu_millicpus=sizing.CPU_WORKER_MILLICPUS if in_cluster else _own_millicpus(workers),
        least_memory_bytes=sizing.training_memory_bytes(config, per_replica, value_bytes=4),
        cache_bytes=sizing.cache_bytes(facts.shard_bytes),
        scratch_bytes=sizing.scratch_bytes(config),
    )
    if in_cluster:
        config = with_cache(config, resources.cache_bytes)
    return assemble(
        settings,
        name=name,
        namespace=namespace,
        kind="train",
        backend=backend,
        args=flags.to_args(config),
        output=config.run,
        workers=workers,
        resources=resources,
        config=config,
    )


def _own_millicpus(workers: int) -> int:
    return max(1, 1000 * available_cores() // workers)


def with_cache(config: TrainConfig, cache_bytes: int) -> TrainConfig:
    """Point a configuration at the pod's cache volume, unless it names its own."""
    if config.cache_dir:
        return config
    # Full to the brim, the kubelet would evict the pod: a tenth stays free.
    size_gb = config.cache_size_gb or round(0.9 * cache_bytes / 1e9, 3)
    return dataclasses.replace(config, cache_dir=CACHE_DIR, cache_size_gb=size_gb)
