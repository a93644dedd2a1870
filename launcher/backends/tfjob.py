"""Training as a TFJob of Kubeflow's training-operator (v1.9)."""

from typing import Any

from launcher.api import resources
from launcher.observe import reading
from launcher.observe.state import Job
from launcher.sending.submission import submit

__all__ = ["POD_LABEL", "RESOURCE", "pod_spec", "read", "submit", "suspension"]

RESOURCE = resources.TFJOBS
POD_LABEL = "training.kubeflow.org/job-name"


def read(item: dict[str, Any]) -> Job:
    """Read a TFJob. The operator counts no restarts, so its pods and events must tell them."""
    policy = item["spec"].get("runPolicy") or {}
    replicas = item["spec"].get("tfReplicaSpecs") or {}
    status = item.get("status") or {}
    return reading.job(
        item,
        pod_spec=pod_spec(item),
        finished=reading.time(status.get("completionTime")),
        suspended=bool(policy.get("suspend")),
        workers=sum(int(spec.get("replicas", 1)) for spec in replicas.values()),
        max_restarts=policy.get("backoffLimit"),
        deadline_s=policy.get("activeDeadlineSeconds"),
    )


def pod_spec(item: dict[str, Any]) -> dict[str, Any]:
    """Find the spec of the worker's pods."""
    replicas = item["spec"].get("tfReplicaSpecs") or {}
    worker: dict[str, Any] = replicas.get("Worker") or next(iter(replicas.values()), {})
    return (worker.get("template") or {}).get("spec") or {}


def suspension(suspended: bool) -> dict[str, Any]:
    """Make the patch that suspends a job or lets it run."""
    return {"spec": {"runPolicy": {"suspend": suspended}}}
