"""`launcher logs`: what all replicas of a job write, as one log."""

import argparse

from launcher.context import Context
from launcher.errors import UsageError

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
    from launcher.manifests import units
    from launcher.observe import following, logs, merged_logs, run_paths

    if args.follow and (args.previous or args.attempt is not None):
        raise UsageError("--follow shows what comes; --previous and --attempt show what was")
    selection = logs.Selection(
        replicas=tuple(args.replica),
        since_s=units.parse_seconds(args.since, "--since") if args.since else None,
        tail=args.tail,
    )
    found = run_paths.find(args.name, context)
    if not args.follow:
        lines = merged_logs.until_now(
            found, context, selection, attempt=args.attempt, previous=args.previous
        )
    else:
        cluster = following.cluster_of(found, context)
        lines = following.lines(cluster, args.name, selection, context.output.note)
    following.show(lines, context.output, timestamps=args.timestamps)
    return 0
