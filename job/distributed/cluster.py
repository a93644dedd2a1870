"""Who this process is among the workers: from the environment, which only this module reads.

    TF_CONFIG                   set by the TFJob operator where there are several replicas
    JOB_COMPLETION_INDEX, ...   set by Kubernetes and by our own manifest in a JobSet
    none of them                one process

What speaks of several processes and is not wholly understood is refused: processes that each
believe to be alone would train in one directory at once.

All replicas are workers here, the chief is the first of them, whatever the operator calls them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from job.contract.environment import WORKER_PORT
from job.contract.errors import ConfigError
from job.distributed.tf_config import Membership, parse_tf_config

_JOBSET_VARIABLES = ("JOBSET_NAME", "REPLICATED_JOB_NAME", "NUM_WORKERS")
_INDEX = "JOB_COMPLETION_INDEX"
_OTHER_LAUNCHERS = (
    "WORLD_SIZE",
    "OMPI_COMM_WORLD_SIZE",
    "PMI_SIZE",
    "SLURM_STEP_NUM_TASKS",
)
"""Where torchrun and the PyTorch operator, Open MPI, MPICH and srun say how many processes they
started."""
_DIGITS = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True)
class Cluster:
    """The workers of a run and which of them this process is.

    Attributes:
        worker: This process's index, from 0.
        num_workers: Number of workers.
        addresses: host:port of each worker, by index; empty for a single one.
        is_chief: Whether this worker writes what only one may write; it is worker 0.
        source: Where this was read: "TF_CONFIG", "JobSet" or "single".
    """

    worker: int
    num_workers: int
    addresses: tuple[str, ...]
    is_chief: bool
    source: str

    @property
    def peers(self) -> tuple[int, ...]:
        """Indexes of all other workers."""
        return tuple(index for index in range(self.num_workers) if index != self.worker)

    def name(self, worker: int) -> str:
        """Name a worker for a message, with its address."""
        return f"worker {worker} ({self.addresses[worker]})"


SINGLE = Cluster(worker=0, num_workers=1, addresses=(), is_chief=True, source="single")


def read_cluster(environ: Mapping[str, str]) -> Cluster:
    """Read the cluster from TF_CONFIG, else from a JobSet's variables, else give SINGLE.

    Only where nothing speaks of other processes is there one process.

    Raises:
        ConfigError: The variables are incomplete, contradict each other, or ask for what this job
            cannot be; the message names the variable, and the key in it.
    """
    if environ.get("TF_CONFIG", "").strip():
        member = parse_tf_config(environ["TF_CONFIG"])
        _check_number(environ, len(member.addresses))
        return _cluster(member, "TF_CONFIG")
    if any(environ.get(name) for name in _JOBSET_VARIABLES):
        return _cluster(_from_jobset(environ), "JobSet")
    _check_alone(environ)
    return SINGLE


def _check_number(environ: Mapping[str, str], in_tf_config: int) -> None:
    if environ.get("NUM_WORKERS") and _number(environ, "NUM_WORKERS") != in_tf_config:
        raise ConfigError(
            f"TF_CONFIG describes {in_tf_config} workers, but NUM_WORKERS is "
            f"{environ['NUM_WORKERS']}; unset the one that is wrong"
        )


def _check_alone(environ: Mapping[str, str]) -> None:
    """Refuse to be one of several processes that know nothing of each other."""
    if environ.get(_INDEX) and _number(environ, _INDEX) > 0:
        raise ConfigError(
            f"{_INDEX} is {environ[_INDEX]}, so there are other processes, but neither TF_CONFIG "
            f"nor {', '.join(_JOBSET_VARIABLES)} name them; submit a TFJob or a JobSet, or set "
            "the Job's completions to 1"
        )
    for name in _OTHER_LAUNCHERS:
        number = environ.get(name, "")
        if number.isdecimal() and int(number) > 1:
            raise ConfigError(
                f"{name} is {number}, but this job finds its workers by TF_CONFIG only, and each "
                f"process would train alone; start it without that launcher, or unset {name}"
            )


def _from_jobset(environ: Mapping[str, str]) -> Membership:
    missing = [name for name in _JOBSET_VARIABLES if not environ.get(name)]
    if missing:
        raise ConfigError(f"in a JobSet, {', '.join(missing)} must be set as well")
    num_workers = _number(environ, "NUM_WORKERS")
    if num_workers > 1 and not environ.get(_INDEX):
        raise ConfigError(
            f"in a JobSet of {num_workers} workers, {_INDEX} must be set as well, or each would "
            "be the first; the Job needs completionMode: Indexed"
        )
    worker = _number(environ, _INDEX, default="0")
    if worker >= num_workers:
        raise ConfigError(
            f"{_INDEX} {worker} must be below NUM_WORKERS {num_workers}; the Job's completions "
            "and NUM_WORKERS must be equal"
        )
    jobset, job = environ["JOBSET_NAME"], environ["REPLICATED_JOB_NAME"]
    # <jobset>-<job>-<job index>-<pod index>.<subdomain>, the subdomain being the JobSet's name.
    hosts = (f"{jobset}-{job}-0-{index}.{jobset}" for index in range(num_workers))
    return Membership(worker, tuple(f"{host}:{WORKER_PORT}" for host in hosts))


def _number(environ: Mapping[str, str], name: str, default: str = "") -> int:
    text = environ.get(name) or default
    if not _DIGITS.fullmatch(text):
        raise ConfigError(f"{name} must be a whole number, not {text[:40]!r}")
    return int(text)


def _cluster(member: Membership, source: str) -> Cluster:
    if len(member.addresses) < 2:
        return SINGLE
    return Cluster(
        worker=member.worker,
        num_workers=len(member.addresses),
        addresses=member.addresses,
        is_chief=member.worker == 0,
        source=source,
    )
