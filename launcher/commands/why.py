"""`launcher why`: what a job waits for, or why it ended."""

import argparse

from launcher import arguments
from launcher.context import Context

NAME = "why"
HELP = "Say why a job is where it is, and what to do."
EPILOG = """One sentence names the cause; below it stand the events, exit codes and log lines that
show it. `-o json` has the name of the situation, for programs.

examples:
  launcher why vgg19-4f2a10
  launcher why vgg19-4f2a10 -o json | jq -r .situation"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the job."""
    parser.add_argument("name", help="name of the job")
    arguments.add_output(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Look at everything, and print the one cause."""
    from launcher import observe, views
    from launcher.diagnose import diagnose

    state = observe.observe(context.cluster(), args.name, deep=True)
    finding = diagnose(state)
    if args.output:
        context.output.document(views.finding_data(finding), args.output)
        return 0
    context.output.print("\n".join(views.finding_lines(finding, context.output)))
    for text in state.unknown:
        context.output.note(f"not known: {text}")
    return 0
