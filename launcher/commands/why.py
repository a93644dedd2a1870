"""`launcher why`: what a job waits for, or why it ended."""

import argparse
import datetime
from typing import TYPE_CHECKING

from launcher.context import Context
from launcher.settings import arguments

if TYPE_CHECKING:
    from launcher.diagnosis.finding import Finding

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
    from launcher.observe import run_paths

    found = run_paths.find(args.name, context)
    if found.job is None:
        _print(_of_run(found.run), args, context)
        if found.said is not None:
            context.output.note(f"from {found.run} alone: {found.said}")
        return 0
    from launcher.diagnosis.rules import diagnose
    from launcher.observe import gather

    kind, item = found.job
    state = gather.observe_object(context.cluster(), kind, item, deep=True)
    _print(diagnose(state), args, context)
    if not args.output:
        for text in state.unknown:
            context.output.note(f"not known: {text}")
    return 0


def _of_run(run: str) -> "Finding":
    from launcher.diagnosis.run import explain
    from launcher.observe import run_directory, run_paths

    facts = run_directory.read(run)
    words = run_directory.last_words(run)
    if facts.progress is None and facts.checkpoint_step is None and not words:
        raise run_paths.absent(run)
    return explain(run, facts, words, datetime.datetime.now(datetime.UTC))


def _print(finding: "Finding", args: argparse.Namespace, context: Context) -> None:
    from launcher.observe import views

    if args.output:
        context.output.document(views.finding_data(finding), args.output)
    else:
        context.output.print("\n".join(views.finding_lines(finding, context.output)))
