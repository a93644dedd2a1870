"""A job in one word, and its pods: what tables show.

Unlike a TFJob's own condition, `Running` means here that all workers run.
"""

from collections.abc import Sequence

from launcher.observe.state import Job, Pod

STYLES = {
    "Succeeded": "green", "Running": "green", "Failed": "red", "Cancelled": "yellow",
    "Restarting": "yellow", "Stopping": "yellow", "Deleting": "yellow", "Suspended": "dim",
    "Queued": "cyan", "Pending": "cyan", "Starting": "cyan",
}  # fmt: skip
OVER = ("Succeeded", "Failed", "Cancelled")


def of_job(job: Job, pods: Sequence[Pod]) -> str:
    """Name the phase of a job."""
    running = sum(pod.running for pod in pods)
    if job.deleting:
        return "Deleting"
    if job.succeeded:
        return "Succeeded"
    if job.failed:
        return "Failed"
    if job.suspended:
        if running or any(pod.deleting for pod in pods):
            return "Stopping"
        if job.cancelled:
            return "Cancelled"
        return "Queued" if job.queue else "Suspended"
    if job.condition("Restarting") or any(pod.phase == "Failed" for pod in pods):
        return "Restarting"
    if running >= job.workers:
        return "Running"
    done = sum(pod.done for pod in pods)
    if done and running + done >= len(pods):
        return "Running"
    return "Starting" if any(pod.node for pod in pods) else "Pending"


def of_pod(pod: Pod) -> str:
    """Name the phase of a pod as `kubectl get pods` does."""
    if pod.deleting:
        return "Terminating"
    main = next(
        (c for c in pod.containers if c.is_init and c.state != "terminated"), None
    ) or pod.main  # fmt: skip
    if pod.reason:
        return pod.reason
    if main and main.state in ("waiting", "terminated") and main.reason:
        return main.reason
    return pod.phase


def ready(job: Job, pods: Sequence[Pod]) -> str:
    """Count the workers that run, or that are done: 2/8; nothing once the pods are cleaned up."""
    if job.succeeded:
        return f"{job.workers}/{job.workers}"
    if job.over and not pods:
        return "-"
    alive = sum(pod.running or pod.done for pod in pods)
    return f"{alive}/{job.workers}"
