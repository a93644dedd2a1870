"""What the cluster knows of runs: the newest job of each."""

import dataclasses
from collections.abc import Sequence

from launcher.context import Context
from launcher.errors import LauncherError
from launcher.runs.record import RunRecord

_SAID_BY_JOB = ("New", "Stopped", "Lost")
"""States of a directory to which its job adds something; of a run that is done it does not."""


def with_jobs(records: Sequence[RunRecord], context: Context) -> list[RunRecord]:
    """Add the newest job of each run, and its phase where the directory alone cannot tell.

    A cluster that cannot be asked is told of, and nothing more.
    """
    from launcher.observe import run_paths

    if not any("://" in record.path for record in records) or not run_paths.has_cluster(context):
        return list(records)
    try:
        phases = _phases(context)
    except LauncherError as error:
        context.output.note(f"jobs are not shown, only what the runs say: {error}")
        return list(records)
    return [_with_job(record, phases.get(record.path)) for record in records]


def _with_job(record: RunRecord, job: tuple[str, str] | None) -> RunRecord:
    if job is None:
        return record
    name, phase = job
    state = phase if record.state in _SAID_BY_JOB and phase != "Succeeded" else record.state
    return dataclasses.replace(record, job=name, state=state)


def _phases(context: Context) -> dict[str, tuple[str, str]]:
    """Give name and phase of the newest training job of each run directory."""
    from launcher.observe import gather, phase

    cluster = context.cluster()
    jobs = [job for job in gather.list_jobs(cluster) if job.run and job.component == "train"]
    found: dict[str, tuple[str, str]] = {}
    for job, pods in gather.with_pods(cluster, jobs):  # The newest first.
        found.setdefault(job.run.rstrip("/"), (job.name, phase.of_job(job, pods)))
    return found
