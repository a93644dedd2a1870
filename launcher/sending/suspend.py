"""Stopping a job without losing it, and letting it go on."""

from typing import TYPE_CHECKING, Any

from launcher.api import resources
from launcher.kinds import ClusterKind
from launcher.manifests import labels
from launcher.observe import kueue
from launcher.observe.state import Job

if TYPE_CHECKING:
    from launcher.api.connection import Cluster


GRACE_S = 150.0
"""How long workers may take to save and leave: the pods' grace period and some more."""


def set_suspended(
    cluster: "Cluster", kind: ClusterKind, job: Job, suspended: bool, *, cancelled: str = ""
) -> None:
    """Suspend a job, or let it run.

    A job in a Kueue queue is not suspended itself, or Kueue would start it again: its Workload is
    deactivated, and Kueue suspends it. Pods get SIGTERM and save a checkpoint.

    Args:
        cluster: Where the job runs.
        kind: What it is.
        job: The job as it was found.
        suspended: Whether it is to stop.
        cancelled: When it was cancelled, if it was; the mark goes when it runs again.
    """
    workload = kueue.look(cluster, job).workload if job.queue else None
    marks = {"metadata": {"annotations": {labels.CANCELLED: cancelled or None}}}
    if workload is None:
        patch: dict[str, Any] = marks | kind.suspension(suspended)
        cluster.patch(kind.resource, job.name, patch)
        return
    if cancelled or job.cancelled:
        cluster.patch(kind.resource, job.name, marks)
    cluster.patch(resources.WORKLOADS, workload.name, {"spec": {"active": not suspended}})


def wait_for_pods(cluster: "Cluster", kind: ClusterKind, job: Job) -> bool:
    """Wait until no pod of a job runs any more; False if some still do after GRACE_S."""
    from launcher.api.backoff import Deadline
    from launcher.observe import reading

    alive: set[str] = set()
    selector = kind.pods_of(job)
    items = cluster.list_all(resources.PODS, labels=selector)
    alive = {pod.uid for pod in map(reading.pod, items) if pod.phase in ("Pending", "Running")}
    if not alive:
        return True
    for change, item in cluster.watch(resources.PODS, labels=selector, deadline=Deadline(GRACE_S)):
        pod = reading.pod(item)
        if change == "DELETED" or pod.phase not in ("Pending", "Running"):
            alive.discard(pod.uid)
        if not alive:
            return True
    return False
