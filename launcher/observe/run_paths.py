"""From what a user types to a run directory: a path, or the name of a job."""

from typing import Any

from job import storage
from launcher import kinds
from launcher.context import Context
from launcher.errors import LauncherError, NotFoundError
from launcher.manifests import labels


def run_directory(run_or_job: str, context: Context) -> str:
    """Give the run directory of a path, of a job in the cluster, or of a name below the run root.

    Raises:
        NotFoundError: It is a bare name that nothing is known of.
        ConfigError: It is a URL of storage that is not supported.
    """
    if "/" in run_or_job:
        # Told of the path as it was typed, not of a file below it.
        if storage.is_remote(run_or_job):
            _ = context.settings  # They say who pays for reading it.
        return run_or_job
    job = job_object(run_or_job, context) or {}
    run = job.get("metadata", {}).get("annotations", {}).get(labels.RUN, "")
    if run:
        return str(run)
    if context.settings.run_root:
        return f"{context.settings.run_root.rstrip('/')}/{run_or_job}"
    if context.settings.backend == kinds.LOCAL.name or not has_cluster(context):
        return f"runs/{run_or_job}"
    raise NotFoundError(
        f"{run_or_job!r} is no job in the cluster, and no run_root says where its run directory "
        "is; give --run-root, or the whole path (./NAME for a folder here)"
    )


def without_cluster(run_or_job: str, context: Context) -> str | None:
    """Give the run directory if it alone is to be asked: a path, or there is no cluster."""
    if "/" in run_or_job or not has_cluster(context):
        return run_directory(run_or_job, context)
    return None


def absent(run: str) -> NotFoundError:
    """Make the error for a directory that holds nothing of a run."""
    return NotFoundError(f"{run} is no run directory: nothing has been trained there")


def has_cluster(context: Context) -> bool:
    """Whether there is a cluster that may know jobs by their names."""
    from launcher.api import kubeconfig

    return kubeconfig.is_configured(context.settings.kubeconfig, context.environ)


def job_object(name: str, context: Context) -> dict[str, Any] | None:
    """Find a training job of that name in the cluster; None without such a job, or a cluster."""
    if not has_cluster(context):
        return None
    try:
        cluster = context.cluster()
        found = (cluster.find(kind.resource, name) for kind in kinds.TRAINING)
        return next((job for job in found if job is not None), None)
    except LauncherError:
        return None
