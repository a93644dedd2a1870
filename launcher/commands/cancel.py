"""`launcher cancel`: stop a job for good, but keep it to look at."""

import argparse
import datetime

from launcher.context import Context

NAME = "cancel"
HELP = "Stop a job for good; its object and run directory stay."
EPILOG = """The workers save a checkpoint before they leave: `launcher resume` can go on from it.
`launcher delete` removes the object as well."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the jobs."""
    parser.add_argument("name", nargs="+", help="name of a job")
    parser.add_argument(
        "--no-wait", action="store_true", help="do not wait until the workers have left"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Stop the jobs, one after the other."""
    from launcher.observe import gather
    from launcher.sending import suspend

    cluster, output = context.cluster(), context.output
    for name in args.name:
        kind, item = gather.find(cluster, name)
        job = kind.read(item)
        if job.over or job.cancelled:
            word = "cancelled already" if job.cancelled else "over already"
            output.print(f"{output.style(job.name)} is {word}")
            continue
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        suspend.set_suspended(cluster, kind, job, True, cancelled=now)
        if not args.no_wait:
            output.note(f"waiting for the workers of {job.name} to save a checkpoint and leave")
            suspend.wait_for_pods(cluster, kind, job)
        output.print(f"{output.style(job.name)} cancelled")
        if job.run:
            output.print(f"  go on from its checkpoint: launcher resume {job.name}")
    return 0
