"""A plain Kubernetes Job: records, evaluation, export, prediction."""

from typing import Any

from launcher.api import resources
from launcher.observe import reading
from launcher.observe.state import Job
from launcher.sending.submission import submit

__all__ = ["POD_LABEL", "RESOURCE", "pod_spec", "read", "submit", "suspension"]

RESOURCE = resources.JOBS
POD_LABEL = "batch.kubernetes.io/job-name"

_ENDS = ("Complete", "Failed")


def read(item: dict[str, Any]) -> Job:
    """Read a Job; restarts are its failed pods."""
    spec, status = item["spec"], item.get("status") or {}
    over = [c.since for c in reading.conditions(status) if c.type in _ENDS and c.true]
    limit = spec.get("backoffLimitPerIndex", spec.get("backoffLimit"))
    return reading.job(
        item,
        pod_spec=pod_spec(item),
        finished=reading.time(status.get("completionTime")) or (over[0] if over else None),
        suspended=bool(spec.get("suspend")),
        workers=int(spec.get("completions") or spec.get("parallelism") or 1),
        restarts=int(status.get("failed") or 0),
        max_restarts=limit,
        failed_indexes=status.get("failedIndexes") or "",
        deadline_s=spec.get("activeDeadlineSeconds"),
    )


def pod_spec(item: dict[str, Any]) -> dict[str, Any]:
    """Find the spec of the pods."""
    return (item["spec"].get("template") or {}).get("spec") or {}


def suspension(suspended: bool) -> dict[str, Any]:
    """Make the patch that suspends a job or lets it run."""
    return {"spec": {"suspend": suspended}}
