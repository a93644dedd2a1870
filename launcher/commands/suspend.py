"""`launcher suspend`: stop a job for a while; its checkpoint and its object stay."""

import argparse

from launcher.context import Context
from launcher.errors import LauncherError

NAME = "suspend"
HELP = "Stop a job for a while; `unsuspend` lets it go on."
EPILOG = """The workers save a checkpoint before they leave, and go on from it later. Meanwhile
the job holds no GPUs. In a Kueue queue it lines up again when it is unsuspended."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the job."""
    parser.add_argument("name", help="name of the job")
    parser.add_argument(
        "--no-wait", action="store_true", help="do not wait until the workers have left"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Suspend the job and wait until its workers have saved and left."""
    from launcher.observe import gather
    from launcher.sending import suspend

    cluster, output = context.cluster(), context.output
    kind, item = gather.find(cluster, args.name)
    job = kind.read(item)
    if job.over:
        raise LauncherError(f"{job.name} is over; there is nothing to suspend")
    suspend.set_suspended(cluster, kind, job, True)
    if args.no_wait:
        output.print(f"{output.style(job.name)} is being suspended")
        return 0
    output.note("waiting for the workers to save a checkpoint and leave")
    if not suspend.wait_for_pods(cluster, kind, job):
        output.warn(f"some workers of {job.name} have not left yet; launcher status {job.name}")
    output.print(f"{output.style(job.name)} suspended; launcher unsuspend {job.name} lets it go on")
    return 0
