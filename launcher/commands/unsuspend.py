"""`launcher unsuspend`: let a suspended job go on."""

import argparse
from typing import TYPE_CHECKING, Any

from launcher.context import Context
from launcher.errors import ConflictError, LauncherError

if TYPE_CHECKING:
    from launcher.api.connection import Cluster
    from launcher.kinds import ClusterKind

NAME = "unsuspend"
HELP = "Let a suspended job go on from its checkpoint."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the job."""
    parser.add_argument("name", help="name of the job")


def run(args: argparse.Namespace, context: Context) -> int:
    """Let the job run."""
    from launcher.observe import gather, kueue
    from launcher.sending import suspend

    cluster, output = context.cluster(), context.output
    kind, item = gather.find(cluster, args.name)
    job = kind.read(item)
    if job.over:
        raise LauncherError(
            f"{job.name} is over; `launcher resume {job.name}` makes a new job from its checkpoint"
        )
    workload = kueue.look(cluster, job).workload
    if not job.suspended and (workload is None or workload.active):
        output.print(f"{output.style(job.name)} is not suspended")
        return 0
    _check_nobody_else_writes(cluster, kind, item)
    suspend.set_suspended(cluster, kind, job, False)
    how = f"lines up in queue {job.queue} again" if workload else "goes on"
    output.print(f"{output.style(job.name)} {how}; launcher status {job.name} shows it")
    return 0


def _check_nobody_else_writes(
    cluster: "Cluster", kind: "ClusterKind", item: dict[str, Any]
) -> None:
    """Meanwhile another job may have gone on with the run, as after `cancel` and `resume`."""
    from job.contract.errors import JobError
    from job.contract.lease import SUBMISSION_VARIABLE
    from launcher.manifests import labels
    from launcher.observe import reading, writers

    job = kind.read(item)
    run_id = job.labels.get(labels.RUN_ID, "")
    if job.component != "train" or not run_id:
        return
    submission = reading.variable(kind.pod_spec(item), SUBMISSION_VARIABLE)
    try:
        found = writers.refusal(cluster, job.run, run_id, name=job.name, submission=submission)
    except JobError:  # The run cannot be read from here; the workers will see for themselves.
        found = None
    if found is not None:
        raise ConflictError(f"{job.name} stays suspended: {found.what}; {found.mend}")
