"""The logs of a job or a run as one, from its pods, or from its run directory where they are gone.

What is said on the way (from where the lines come) goes to the context's output, before the lines.
"""

from collections.abc import Iterator

from job.contract.errors import JobError
from launcher.api import resources
from launcher.api.log_lines import Line
from launcher.context import Context
from launcher.errors import NotFoundError
from launcher.observe import logs, reading
from launcher.observe.logs import Selection
from launcher.observe.run_paths import Found
from launcher.observe.state import Job


def until_now(
    found: Found,
    context: Context,
    selection: Selection,
    *,
    attempt: int | None = None,
    previous: bool = False,
) -> Iterator[Line]:
    """Yield what all replicas have written; lines from a run directory have no time.

    Args:
        found: The job, or the run.
        context: The cluster, and who is told where the lines come from.
        selection: Which lines are wanted.
        attempt: Those of the Nth start, from the run directory.
        previous: Those of the start before the newest one.

    Raises:
        NotFoundError: There are none.
        LauncherError: The cluster cannot be asked.
        JobError: The storage cannot be read.
    """
    if found.job is None:
        kept = list(logs.archived(found.run, selection, attempt, previous=previous))
        if found.said is not None:
            context.output.note(f"from {found.run}: {found.said}")
        yield from kept
        return
    cluster, (kind, item) = context.cluster(), found.job
    job = kind.read(item)
    if attempt is None:
        items = cluster.list_all(resources.PODS, labels=kind.pods_of(job))
        pods = [reading.pod(pod) for pod in items]
        written = False
        for line in logs.until_now(cluster, pods, selection, previous=previous):
            written = True
            yield line
        if written:
            gone = None if previous else logs.without_pods(job, pods, selection)
            if gone:
                yield from _kept(job.run, gone, context)
            return
    yield from _from_run(job, context, selection, attempt, previous=previous)


def _from_run(
    job: Job, context: Context, selection: Selection, attempt: int | None, *, previous: bool
) -> list[Line]:
    """Give what a job that the cluster knows has left in its run directory."""
    if not job.run:
        raise NotFoundError(f"{job.name} has no logs: no pod of it has begun to write")
    if not (job.over or job.suspended or attempt is not None or previous):
        raise NotFoundError(
            f"{job.name} has no logs yet; `launcher why {job.name}` says what it waits for"
        )
    lines = list(logs.archived(job.run, selection, attempt, previous=previous))
    context.output.note(f"from {job.run}:")
    return lines


def _kept(run: str, gone: Selection, context: Context) -> list[Line]:
    """Give the logs of those whose pods were cleaned up before the others'."""
    try:
        lines = list(logs.archived(run, gone))
    except (NotFoundError, JobError) as error:
        context.output.warn(f"no pods of {', '.join(gone.replicas)} are left: {error}")
        return []
    context.output.note(f"from {run}, since their pods are gone:")
    return lines
