"""TFJobs, JobSets and Jobs -> `Job`: where each kind keeps what all of them have.

`launcher/kinds.py` names these functions; nothing else calls them. All are pure.
"""

from typing import Any

from launcher.observe import reading
from launcher.observe.state import Job

Object = dict[str, Any]

_JOBSET_ENDS = ("Completed", "Failed")
_JOB_ENDS = ("Complete", "Failed")


def tfjob(item: Object) -> Job:
    """Read a TFJob. The operator counts no restarts, so its pods and events must tell them."""
    policy = item["spec"].get("runPolicy") or {}
    replicas = item["spec"].get("tfReplicaSpecs") or {}
    status = item.get("status") or {}
    return reading.job(
        item,
        pod_spec=tfjob_pod_spec(item),
        finished=reading.time(status.get("completionTime")),
        suspended=bool(policy.get("suspend")),
        workers=sum(int(spec.get("replicas", 1)) for spec in replicas.values()),
        max_restarts=policy.get("backoffLimit"),
        deadline_s=policy.get("activeDeadlineSeconds"),
    )


def tfjob_pod_spec(item: Object) -> Object:
    """Find the spec of a TFJob's worker pods."""
    replicas = item["spec"].get("tfReplicaSpecs") or {}
    worker: Object = replicas.get("Worker") or next(iter(replicas.values()), {})
    return (worker.get("template") or {}).get("spec") or {}


def jobset(item: Object) -> Job:
    """Read a JobSet; it is over at the moment its last condition came true."""
    spec, status = item["spec"], item.get("status") or {}
    groups = spec.get("replicatedJobs") or [{}]
    child = (groups[0].get("template") or {}).get("spec") or {}
    over = [c.since for c in reading.conditions(status) if c.type in _JOBSET_ENDS and c.true]
    return reading.job(
        item,
        pod_spec=jobset_pod_spec(item),
        finished=over[0] if over else None,
        suspended=bool(spec.get("suspend")),
        workers=sum(_jobset_pods(group) for group in groups),
        restarts=int(status.get("restarts") or 0),
        counted_restarts=int(status.get("restartsCountTowardsMax", status.get("restarts")) or 0),
        max_restarts=(spec.get("failurePolicy") or {}).get("maxRestarts"),
        deadline_s=child.get("activeDeadlineSeconds"),
    )


def _jobset_pods(group: Object) -> int:
    child = (group.get("template") or {}).get("spec") or {}
    return int(group.get("replicas", 1)) * int(child.get("parallelism") or 1)


def jobset_pod_spec(item: Object) -> Object:
    """Find the spec of a JobSet's worker pods."""
    groups = item["spec"].get("replicatedJobs") or [{}]
    child = (groups[0].get("template") or {}).get("spec") or {}
    return (child.get("template") or {}).get("spec") or {}


def job(item: Object) -> Job:
    """Read a Job; restarts are its failed pods."""
    spec, status = item["spec"], item.get("status") or {}
    over = [c.since for c in reading.conditions(status) if c.type in _JOB_ENDS and c.true]
    limit = spec.get("backoffLimitPerIndex", spec.get("backoffLimit"))
    failed = int(status.get("failed") or 0)
    return reading.job(
        item,
        pod_spec=job_pod_spec(item),
        finished=reading.time(status.get("completionTime")) or (over[0] if over else None),
        suspended=bool(spec.get("suspend")),
        workers=int(spec.get("completions") or spec.get("parallelism") or 1),
        restarts=failed,
        counted_restarts=None if "backoffLimitPerIndex" in spec else failed,
        max_restarts=limit,
        failed_indexes=status.get("failedIndexes") or "",
        deadline_s=spec.get("activeDeadlineSeconds"),
    )


def job_pod_spec(item: Object) -> Object:
    """Find the spec of a Job's pods."""
    return (item["spec"].get("template") or {}).get("spec") or {}
