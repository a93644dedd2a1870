"""Who writes into a run directory now: a job in the cluster, or whoever holds the run's lease."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from job import storage
from job.contract import layout
from job.contract import lease as contract
from job.contract.errors import DataError
from launcher import kinds
from launcher.errors import DeniedError, NotFoundError
from launcher.kinds import ClusterKind
from launcher.manifests import labels
from launcher.observe import quick_storage
from launcher.observe.state import Job

if TYPE_CHECKING:
    from launcher.api.connection import Cluster


@dataclass(frozen=True)
class Refusal:
    """Why nobody else may write into a run now, and the ways out."""

    what: str
    mend: str


def refusal(
    cluster: "Cluster", run: str, run_id: str, *, name: str, submission: str
) -> Refusal | None:
    """Find who writes into a run, other than the job that is to; None if nobody does.

    The trainer itself takes the run's lease before it writes anything: this is told earlier.

    Args:
        cluster: Where other jobs may run.
        run: The run directory.
        run_id: The label that all jobs of the run carry.
        name: The job that is to write.
        submission: What its processes know their submission by.

    Raises:
        JobError: The run directory cannot be read from here.
    """
    other = _active_job(cluster, run_id, name)
    if other is not None:
        return Refusal(
            f"job {other.name!r} {_doing(other)} with run directory {run}, and two jobs must not "
            "write into one",
            f"stop it first: launcher cancel {other.name}; or choose another --run",
        )
    return _lease_held(run, submission)


def _active_job(cluster: "Cluster", run_id: str, name: str) -> Job | None:
    """Find a training job of the namespace that works on a run, or waits for its turn."""
    for kind in kinds.TRAINING:
        for job in _of_run(cluster, kind, run_id):
            if job.name != name and not job.over and not (job.suspended and job.cancelled):
                return job
    return None


def _of_run(cluster: "Cluster", kind: ClusterKind, run_id: str) -> list[Job]:
    selector = f"{labels.RUN_ID}={run_id},{labels.COMPONENT}=train"
    try:
        return [kind.read(item) for item in cluster.list_all(kind.resource, labels=selector)]
    except (NotFoundError, DeniedError):  # Of such a kind nothing runs, or nothing may be seen.
        return []


def _doing(job: Job) -> str:
    if job.deleting:
        return "is being deleted, but may still be"
    return "is suspended" if job.suspended else "is active"


def _lease_held(run: str, submission: str) -> Refusal | None:
    """Read the run's lease; what is none keeps nobody, the job will see for itself."""
    quick_storage.be_brief()
    path = layout.lease_file(run)
    try:
        written_at_s = storage.stat(path).written_at_s
        lease = contract.parse(storage.read_bytes(path), path)
    except (storage.NotFoundError, DataError):
        return None
    # Two clocks are compared here, which a job never does: if they differ, it refuses instead.
    age_s = time.time() - (written_at_s or 0.0)
    if lease.released or lease.submission == submission or age_s >= contract.STALE_S:
        return None
    what, _, mend = contract.refusal(run, lease, max(0.0, age_s)).partition(". ")
    return Refusal(what, mend)
