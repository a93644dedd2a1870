"""`launcher logs`: what all replicas of a job write, as one log."""

import argparse
from typing import TYPE_CHECKING

from job.contract.errors import JobError
from launcher.context import Context
from launcher.errors import LauncherError, NotFoundError, UsageError

if TYPE_CHECKING:
    from launcher.observe.logs import Selection
    from launcher.observe.state import Job

NAME = "logs"
HELP = "Show the logs of a job's replicas, merged."
EPILOG = """Every worker keeps its log in the run directory, in attempts/<n>/: number 1 is the first
start, each further one is a restart or a resumed job. Without pods (after the clean-up, or of an
earlier attempt) the logs come from there; a minute at most of a killed worker's log is missing.

examples:
  launcher logs vgg19-4f2a10 -f
  launcher logs vgg19-4f2a10 --replica worker-3 --since 10m
  launcher logs vgg19-4f2a10 --previous          # of before the last restart
  launcher logs vgg19-4f2a10 --attempt 1         # of the first start, from the run directory
  launcher logs runs/first                       # of a run here, or of a job that is gone"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the job and which lines of it."""
    parser.add_argument("name", help="name of a job, or a run directory")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the job is over")
    parser.add_argument(
        "--replica", action="append", default=[], metavar="NAME",
        help="only this replica, as worker-0 or 0; may be repeated",
    )  # fmt: skip
    parser.add_argument("--since", default="", metavar="TIME", help="only lines newer than 10m, 2h")
    parser.add_argument("--tail", type=int, metavar="N", help="only the last lines of each replica")
    parser.add_argument(
        "-p", "--previous", action="store_true", help="of the start before the newest one"
    )
    parser.add_argument(
        "--attempt", type=int, metavar="N", help="of the Nth start, from the run directory"
    )
    parser.add_argument("--timestamps", action="store_true", help="show the time of every line")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the lines."""
    from launcher.api import resources
    from launcher.manifests import units
    from launcher.observe import following, logs, reading, run_paths

    if args.follow and (args.previous or args.attempt is not None):
        raise UsageError("--follow shows what comes; --previous and --attempt show what was")
    selection = logs.Selection(
        replicas=tuple(args.replica),
        since_s=units.parse_seconds(args.since, "--since") if args.since else None,
        tail=args.tail,
    )
    found = run_paths.find(args.name, context)
    if found.job is None:
        if found.said is not None and args.follow:
            raise found.said
        return _from_archive(found.run, args, selection, context, said=found.said)
    cluster, (kind, item) = context.cluster(), found.job
    if args.follow:
        lines = following.lines(cluster, args.name, selection, context.output.note)
        following.show(lines, context.output, timestamps=args.timestamps)
        return 0
    job = kind.read(item)
    if args.attempt is None:
        items = cluster.list_all(resources.PODS, labels=kind.pods_of(job))
        pods = [reading.pod(pod) for pod in items]
        lines = logs.until_now(cluster, pods, selection, previous=args.previous)
        if following.show(lines, context.output, timestamps=args.timestamps):
            gone = None if args.previous else logs.without_pods(job, pods, selection)
            if gone:
                _print_kept(job.run, gone, context)
            return 0
    _print_from_run(job, args, selection, context)
    return 0


def _print_from_run(
    job: "Job", args: argparse.Namespace, selection: "Selection", context: Context
) -> None:
    """Print what a job that the cluster knows has left in its run directory."""
    from launcher.observe import following, logs

    if not job.run:
        raise NotFoundError(f"{job.name} has no logs: no pod of it has begun to write")
    if not (job.over or job.suspended or args.attempt is not None or args.previous):
        raise NotFoundError(
            f"{job.name} has no logs yet; `launcher why {job.name}` says what it waits for"
        )
    lines = list(logs.archived(job.run, selection, args.attempt, previous=args.previous))
    context.output.note(f"from {job.run}:")
    following.show(lines, context.output)


def _print_kept(run: str, gone: "Selection", context: Context) -> None:
    """Print the logs of those whose pods were cleaned up before the others'."""
    from launcher.observe import following, logs

    try:
        lines = list(logs.archived(run, gone))
    except (NotFoundError, JobError) as error:
        context.output.warn(f"no pods of {', '.join(gone.replicas)} are left: {error}")
        return
    context.output.note(f"from {run}, since their pods are gone:")
    following.show(lines, context.output)


def _from_archive(
    run: str,
    args: argparse.Namespace,
    selection: "Selection",
    context: Context,
    said: LauncherError | None,
) -> int:
    """Print what a run left in its directory: its job is gone, or ran on this machine."""
    from launcher.observe import following, logs

    if args.follow:
        raise UsageError(f"--follow needs a job in a cluster; {run} is a run's directory")
    lines = list(logs.archived(run, selection, args.attempt, previous=args.previous))
    if said is not None:
        context.output.note(f"from {run}: {said}")
    following.show(lines, context.output)
    return 0
