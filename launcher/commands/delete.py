"""`launcher delete`: remove a job and what belongs to it from the cluster."""

import argparse

from launcher.context import Context
from launcher.errors import NotFoundError

NAME = "delete"
HELP = "Remove a job from the cluster; its run directory stays."
EPILOG = """Running workers save a checkpoint before they leave. The run directory, with the
checkpoints, the logs and the report, is never touched."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the jobs."""
    parser.add_argument("name", nargs="+", help="name of a job")
    parser.add_argument(
        "--ignore-not-found", action="store_true", help="a job that is not there is no error"
    )
    parser.add_argument("--wait", action="store_true", help="wait until its pods are gone")


def run(args: argparse.Namespace, context: Context) -> int:
    """Delete the jobs, one after the other."""
    from launcher.observe import gather
    from launcher.sending import suspend

    cluster, output = context.cluster(), context.output
    for name in args.name:
        try:
            kind, item = gather.find(cluster, name)
        except NotFoundError:
            if not args.ignore_not_found:
                raise
            continue
        job = kind.read(item)
        cluster.delete(kind.resource, job.name, uid=job.uid)
        if args.wait:
            suspend.wait_for_pods(cluster, kind, job)
        output.print(f"{output.style(job.name)} deleted")
        if job.run:
            output.note(f"what it wrote stays: {job.run}")
    return 0
