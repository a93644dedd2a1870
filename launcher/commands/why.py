"""`launcher why`: what a job waits for, or why it ended."""

import argparse

from launcher.context import Context
from launcher.settings import arguments

NAME = "why"
HELP = "Say why a job is where it is, and what to do."
EPILOG = """One sentence names the cause; below it stand the events, exit codes and log lines that
show it. `-o json` has the name of the situation, for programs.

examples:
  launcher why vgg19-4f2a10
  launcher why vgg19-4f2a10 -o json | jq -r .situation
  launcher why runs/first                # of a run on this machine, or of a job that is gone"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the job."""
    parser.add_argument("name", help="name of a job, or a run directory")
    arguments.add_output(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Look at everything, and print the one cause."""
    from launcher.observe import answers, run_paths, views

    found = run_paths.find(args.name, context)
    cause = answers.why(found, context)
    output = context.output
    if args.output:
        output.document(views.finding_data(cause.finding), args.output)
    else:
        output.print("\n".join(views.finding_lines(cause.finding, output)))
        for text in cause.unknown:
            output.note(f"not known: {text}")
    if found.job is None and found.said is not None:
        output.note(f"from {found.run} alone: {found.said}")
    return 0
