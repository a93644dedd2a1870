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
    # A task that has failed for good is told of by `why`; it keeps the others from nothing.
    lost = [pod for pod in pods if gave_up(job, pod)]
    pods = [pod for pod in pods if pod not in lost]
    if job.condition("Restarting") or any(pod.phase == "Failed" for pod in pods):
        return "Restarting"
    if running and running >= job.workers - len(lost):
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


def gave_up(job: Job, pod: Pod) -> bool:
    """Whether the task of a pod has failed for good while others go on."""
    index = pod.replica.rpartition("-")[2]
    ranges = (each.partition("-") for each in job.failed_indexes.split(",") if each)
    return index.isdecimal() and any(
        int(first) <= int(index) <= int(last or first) for first, _, last in ranges
    )


def restarts(job: Job) -> str:
    """Say how often a job was started again, and how often it may be."""
    if job.max_restarts is None:
        return f"{job.restarts}"
    if job.counted_restarts is None:
        return f"{job.restarts} in all, each task at most {job.max_restarts}"
    if job.counted_restarts == job.restarts:
        return f"{job.restarts} of {job.max_restarts}"
    return (
        f"{job.restarts}, of which {job.counted_restarts} count towards the {job.max_restarts} "
        "allowed"
    )
