"""`launcher status`: how a job is doing."""

import argparse
import time
from typing import TYPE_CHECKING

from launcher.context import Context
from launcher.errors import NotFoundError, UnreachableError, UsageError
from launcher.settings import arguments

if TYPE_CHECKING:
    from launcher.diagnosis.finding import Finding
    from launcher.observe.state import State
    from launcher.output import Output

NAME = "status"
HELP = "Show how a job is doing."
EPILOG = """examples:
  launcher status vgg19-4f2a10
  launcher status vgg19-4f2a10 -v        # with conditions and events, as kubectl describe has them
  launcher status vgg19-4f2a10 --watch
  launcher status vgg19-4f2a10 -o json | jq .progress.step
  launcher status runs/first             # of a run on this machine, or of a job that is gone"""

_EVERY_S = 3.0
_MOST_EVENTS = 25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the job and how much to show."""
    parser.add_argument("name", help="name of a job, or a run directory")
    parser.add_argument("-v", "--verbose", action="store_true", help="show conditions and events")
    parser.add_argument("-w", "--watch", action="store_true", help="show it whenever it changes")
    arguments.add_output(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the status once, or until the job is over."""
    from launcher.diagnosis.rules import diagnose
    from launcher.observe import phase, run_paths, views

    found = run_paths.find(args.name, context)
    if found.job is None:
        _show_run(found.run, args, context)
        if found.said is not None:
            context.output.note(f"from {found.run} alone: {found.said}")
        return 0
    shown = None
    while True:
        state = _look(args, context, again=shown is not None)
        if state is None:
            context.output.note(f"{args.name} was deleted")
            return 0
        finding = diagnose(state)
        now = views.status_data(state, finding)
        if now != shown:
            shown = now
            if args.output:
                context.output.document(now, args.output)
            else:
                _show(state, finding, context.output, verbose=args.verbose)
        if not args.watch or phase.of_job(state.job, state.pods) in phase.OVER:
            return 0
        context.output.stdout.flush()
        time.sleep(_EVERY_S)


def _look(args: argparse.Namespace, context: Context, *, again: bool) -> "State | None":
    """Look at the job; `again` goes on through lost connections, and gives None if it is gone."""
    from launcher.observe import gather

    told = False
    while True:
        try:
            return gather.observe(context.cluster(), args.name, deep=args.verbose)
        except UnreachableError as error:
            if not again:
                raise
            if not told:
                context.output.note(f"connection lost, trying again: {error}")
            told = True
            time.sleep(_EVERY_S)
        except NotFoundError:
            if not again:
                raise
            return None


def _show(state: "State", finding: "Finding", output: "Output", *, verbose: bool) -> None:
    from launcher.observe import views

    output.print(views.heading(state, output))
    output.facts(views.fact_rows(state))
    output.print()
    output.print("\n".join(views.finding_lines(finding, output)))
    if state.pods:
        output.print()
        output.table(*views.pod_rows(state, output))
    if verbose:
        _show_details(state, output)
    for text in state.unknown:
        output.note(f"not known: {text}")


def _show_run(run_dir: str, args: argparse.Namespace, context: Context) -> int:
    """Print what a run's directory tells, of a job that ran here or is gone."""
    from launcher.observe import answers, views

    if args.watch:
        raise UsageError("--watch needs a job in a cluster")
    facts = answers.of_run(run_dir)
    output = context.output
    if args.output:
        output.document(views.run_data(run_dir, facts), args.output)
        return 0
    output.facts(views.run_rows(run_dir, facts))
    return 0


def _show_details(state: "State", output: "Output") -> None:
    from launcher.manifests import units

    output.print()
    output.table(
        ["CONDITION", "STATUS", "REASON", "MESSAGE"],
        [
            [output.style(c.type), str(c.true), output.style(c.reason), output.style(c.message)]
            for c in state.job.conditions
        ],
    )
    output.print()
    rows = [
        [
            units.format_seconds(state.age_s(event.last_seen)).split(" ")[0],
            output.style("Warning" if event.warning else "Normal", *(["yellow"] * event.warning)),
            output.style(event.reason), output.style(f"{event.kind}/{event.name}"),
            output.style(event.message),
        ]
        for event in state.events[-_MOST_EVENTS:]
    ]  # fmt: skip
    output.table(["AGO", "EVENT", "REASON", "ABOUT", "MESSAGE"], rows)
