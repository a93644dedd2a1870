"""What Kueue knows of a job: its queue, its Workload and its place in the queue."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from launcher.api import resources
from launcher.errors import LauncherError, NotFoundError
from launcher.manifests import labels
from launcher.observe import reading
from launcher.observe.state import Job, Queue, Workload

if TYPE_CHECKING:
    from launcher.api.connection import Cluster

_VISIBILITY = "/apis/visibility.kueue.x-k8s.io/{version}/namespaces/{namespace}/localqueues/{queue}/pendingworkloads"  # noqa: E501
_VERSIONS = ("v1beta2", "v1beta1")


@dataclass(frozen=True, kw_only=True)
class Look:
    """The result of looking."""

    workload: Workload | None = None
    queue: Queue | None = None
    handles: bool | None = None
    """Whether there is a Workload for the job; None if the job names no queue."""


def look(cluster: "Cluster", job: Job) -> Look:
    """Look at a job's queue and Workload; nothing for a job without a queue.

    Raises:
        LauncherError: Kueue's objects cannot be read.
    """
    if not job.queue:
        return Look()
    found = cluster.find(resources.LOCAL_QUEUES, job.queue)
    queue = reading.queue(found) if found else Queue(name=job.queue, exists=False)
    item = _workload_of(cluster, job)
    if item is None:
        return Look(queue=queue, handles=False)
    workload = reading.workload(item)
    if not workload.condition("QuotaReserved"):
        workload = _with_position(cluster, job, workload)
    return Look(workload=workload, queue=queue, handles=True)


def _workload_of(cluster: "Cluster", job: Job) -> dict[str, Any] | None:
    try:
        items = cluster.list_all(resources.WORKLOADS, labels=f"{labels.WORKLOAD_OF}={job.uid}")
    except NotFoundError:
        return None
    for item in items:
        owners = item["metadata"].get("ownerReferences") or []
        if any(owner.get("uid") == job.uid for owner in owners):
            return item
    return None


def _with_position(cluster: "Cluster", job: Job, workload: Workload) -> Workload:
    """Ask Kueue's visibility API for the place in the queue; it may not be installed."""
    for version in _VERSIONS:
        path = _VISIBILITY.format(version=version, namespace=job.namespace, queue=job.queue)
        try:
            pending = cluster.read(path).get("items") or []
        except LauncherError:
            continue
        names = [item["metadata"]["name"] for item in pending]
        if workload.name in names:
            return Workload(
                name=workload.name,
                conditions=workload.conditions,
                active=workload.active,
                position=names.index(workload.name) + 1,
                pending=len(names),
            )
    return workload
