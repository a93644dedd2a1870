"""Training as a JobSet: all workers start, fail and restart together."""

from typing import Any

from launcher.api import resources
from launcher.observe import reading
from launcher.observe.state import Job
from launcher.sending.submission import submit

__all__ = ["POD_LABEL", "RESOURCE", "pod_spec", "read", "submit", "suspension"]

RESOURCE = resources.JOBSETS
POD_LABEL = "jobset.sigs.k8s.io/jobset-name"

_ENDS = ("Completed", "Failed")


def read(item: dict[str, Any]) -> Job:
    """Read a JobSet; it is over at the moment its last condition came true."""
    spec, status = item["spec"], item.get("status") or {}
    groups = spec.get("replicatedJobs") or [{}]
    child = (groups[0].get("template") or {}).get("spec") or {}
    over = [c.since for c in reading.conditions(status) if c.type in _ENDS and c.true]
    return reading.job(
        item,
        pod_spec=pod_spec(item),
        finished=over[0] if over else None,
        suspended=bool(spec.get("suspend")),
        workers=sum(_pods(group) for group in groups),
        restarts=int(status.get("restarts") or 0),
        max_restarts=(spec.get("failurePolicy") or {}).get("maxRestarts"),
        deadline_s=child.get("activeDeadlineSeconds"),
    )


def _pods(group: dict[str, Any]) -> int:
    child = (group.get("template") or {}).get("spec") or {}
    return int(group.get("replicas", 1)) * int(child.get("parallelism") or 1)


def pod_spec(item: dict[str, Any]) -> dict[str, Any]:
    """Find the spec of the worker's pods."""
    groups = item["spec"].get("replicatedJobs") or [{}]
    child = (groups[0].get("template") or {}).get("spec") or {}
    return (child.get("template") or {}).get("spec") or {}


def suspension(suspended: bool) -> dict[str, Any]:
    """Make the patch that suspends a job or lets it run."""
    return {"spec": {"suspend": suspended}}
