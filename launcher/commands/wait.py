"""`launcher wait`: until a job is over; the exit code is the job's cause."""

import argparse

from launcher.context import Context

NAME = "wait"
HELP = "Wait until a job is over, or runs."
EPILOG = """exit codes: 0 the job succeeded (or reached --for), 5 timeout, and for a job that failed
the code of its cause: 2 bad flag, 65 bad data, 66 missing input, 70 diverged, 77 denied,
137 killed (out of memory), 143 to 146 as `launcher why` explains them, else 1.

examples:
  launcher wait vgg19-4f2a10 && launcher export vgg19-4f2a10
  launcher wait vgg19-4f2a10 --for running --timeout 20m
  launcher wait vgg19-4f2a10 --for deleted"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the job, and until when."""
    parser.add_argument("name", help="name of the job")
    parser.add_argument(
        "--for", dest="until", choices=("done", "running", "deleted"), default="done",
        help="what to wait for (default: done)",
    )  # fmt: skip
    parser.add_argument("--timeout", default="", metavar="TIME", help="give up after 30m, 12h, 7d")


def run(args: argparse.Namespace, context: Context) -> int:
    """Wait, and say how it ended."""
    from launcher.manifests import units
    from launcher.observe import waiting

    ending = waiting.wait(
        context.cluster(),
        args.name,
        context.output.progress,
        until=args.until,
        timeout_s=units.seconds_or_ever(args.timeout, "--timeout"),
    )
    if ending is None:
        return 0
    context.output.note(ending.finding.sentence)
    return ending.exit_code
