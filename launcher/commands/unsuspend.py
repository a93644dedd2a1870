"""`launcher unsuspend`: let a suspended job go on."""

import argparse

from launcher.context import Context
from launcher.errors import LauncherError

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
    suspend.set_suspended(cluster, kind, job, False)
    how = f"lines up in queue {job.queue} again" if workload else "goes on"
    output.print(f"{output.style(job.name)} {how}; launcher status {job.name} shows it")
    return 0
