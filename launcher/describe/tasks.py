"""From settings and a configuration to the JobSpec of records, evaluation, export, prediction.

These jobs exchange nothing between their pods: an Indexed Job, one index per task.
"""

import dataclasses
from typing import Any

from job.contract import flags
from launcher.describe import dataset_facts, provenance, sizing
from launcher.describe.job_spec import assemble
from launcher.describe.spec import JobSpec
from launcher.describe.training import with_cache
from launcher.errors import UsageError
from launcher.kinds import ClusterKind, Kind
from launcher.manifests import names, units
from launcher.settings.fields import Settings

_INPUTS = ("source", "data", "run", "init_checkpoint", "model", "images")
_ARCHIVE_BYTES = 12 * units.GIB
"""A downloaded archive and what is made of it: Food-101 is 5 GB."""
_CPU_MEMORY_BYTES = 6 * units.GIB


def prepare(
    settings: Settings,
    kind: str,
    config: Any,
    *,
    output: str,
    name: str,
    namespace: str,
    backend: Kind,
    tasks: int = 1,
    gpus: int = 0,
) -> JobSpec:
    """Check everything and describe the job.

    Args:
        settings: Profile and flags.
        kind: A key of `launcher.describe.spec.MODULES`.
        config: The configuration of the kind's module; task numbers in it are not used.
        output: The directory that the job writes.
        name: Name of the job; empty makes one from the configuration.
        namespace: Where the job runs.
        backend: What runs it: `kinds.JOB` or `kinds.LOCAL`.
        tasks: Pods that share the work.
        gpus: GPUs of each of them.

    Raises:
        UsageError, ConfigError: A setting or a flag cannot work.
    """
    name = name or provenance.name_for(kind, dataclasses.asdict(config), settings.image, tasks)
    names.check_job_name(name, backend, tasks)
    in_cluster = isinstance(backend, ClusterKind)
    if in_cluster:
        _check_remote(config, output)
    resources = sizing.worker_resources(
        settings,
        gpus=gpus,
        least_memory_bytes=_CPU_MEMORY_BYTES,
        cache_bytes=_cache_bytes(settings, config, in_cluster=in_cluster),
        scratch_bytes=_scratch_bytes(kind),
    )
    if in_cluster and hasattr(config, "cache_dir"):
        config = with_cache(config, resources.cache_bytes)
    return assemble(
        settings,
        name=name,
        namespace=namespace,
        kind=kind,
        backend=backend,
        args=_args(config),
        output=output,
        workers=tasks,
        resources=resources,
        config=config,
    )


def _args(config: Any) -> list[str]:
    """Write the flags without those that tell tasks apart: each pod adds its own."""
    own = ("--task_index=", "--num_tasks=")
    return [flag for flag in flags.to_args(config) if not flag.startswith(own)]


def _check_remote(config: Any, output: str) -> None:
    paths = {name: getattr(config, name, "") for name in _INPUTS} | {"output": output}
    for name, path in paths.items():
        if path and "://" not in path:
            raise UsageError(
                f"--{name} {path} is on this machine, where pods cannot see it; copy it to a "
                "bucket (gs://…), or use --backend local"
            )


def _cache_bytes(settings: Settings, config: Any, *, in_cluster: bool) -> int:
    if not in_cluster or settings.cache_size or not getattr(config, "data", ""):
        return 4 * units.GIB
    return sizing.cache_bytes(dataset_facts.read(config.data).shard_bytes)


def _scratch_bytes(kind: str) -> int:
    return _ARCHIVE_BYTES if kind == "make-tfrecords" else 4 * units.GIB
