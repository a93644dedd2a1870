"""`launcher check`: what would keep a job from running."""

import argparse
from typing import TYPE_CHECKING, Any

from job.contract.errors import ConfigError
from launcher.context import Context
from launcher.errors import LauncherError, UsageError
from launcher.settings import arguments

if TYPE_CHECKING:
    from launcher.checks.preflight import Checked
    from launcher.describe.training import Training
    from launcher.kinds import ClusterKind

NAME = "check"
HELP = "Check the cluster, and whether a training job could run there."
EPILOG = """The same checks run before every submit. It takes the options of submit; what is not
given comes from launcher.yaml. Ends with 1 if something would keep the job from running.

examples:
  launcher check
  launcher check --gpus 16 --queue research
  launcher check --skip-checks run,data
  launcher check --deep            # also in a pod, as the job's own service account"""

_WORDS = {"ok": "green", "unknown": "dim", "warning": "yellow", "failed": "red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what describes a training job, and which checks."""
    arguments.add_training(parser)
    parser.add_argument(
        "--skip-checks", metavar="NAME[,NAME]", default="", help="checks to leave out"
    )
    parser.add_argument(
        "--deep", action="store_true",
        help="also start a small pod as the job would, to read the data and to write the run",
    )  # fmt: skip
    arguments.add_output(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Check and print."""
    from launcher.checks import preflight
    from launcher.manifests.render import render

    job, problem = _job(args, context)
    cluster = context.cluster()
    manifest = render(job.spec)[0] if job else None
    subject = preflight.subject_of(cluster, job.spec if job else None, manifest)
    skip = tuple(name for name in args.skip_checks.split(",") if name)
    found: list[Checked] = []
    if problem:
        found.append(_problem(problem))
    if not args.output:
        for checked in found:
            _show(checked, context)
    for checked in preflight.run_checks(subject, skip=skip):
        found.append(checked)
        if not args.output:
            _show(checked, context)
    if args.deep and job and manifest:
        from launcher.checks import deep

        found.append(deep.run(cluster, job.spec, manifest, context.output.note))
        if not args.output:
            _show(found[-1], context)
    if args.output:
        context.output.document([_data(checked) for checked in found], args.output)
    failed = sum(result.level == "failed" for each in found for result in each.results)
    if failed and not args.output:
        context.output.note(f"{failed} of {len(found)} checks failed")
    return 1 if failed else 0


def _job(args: argparse.Namespace, context: Context) -> "tuple[Training | None, str]":
    """Describe the job; without one (no dataset, no image yet) the cluster is checked alone."""
    from launcher.describe import backend_choice, training

    settings = context.settings
    cluster = context.cluster()

    def serves(kind: "ClusterKind") -> bool:
        try:
            return cluster.serves(kind.resource)
        except LauncherError:  # The check of the cluster tells it.
            return True

    choice = backend_choice.for_training(settings, has_cluster=True, serves=serves)
    backend = backend_choice.in_cluster(choice)
    try:
        job = training.prepare(
            settings, args.job_flags, name=args.name or "", run=args.run or "",
            namespace=context.namespace, backend=backend, with_facts=False,
        )  # fmt: skip
    except (UsageError, ConfigError) as error:
        return None, str(error)
    return job, ""


def _problem(text: str) -> "Checked":
    from launcher.checks.preflight import Checked
    from launcher.checks.result import Result

    mend = "the checks below are of the cluster alone; launcher init writes a launcher.yaml"
    return Checked(name="settings", results=(Result(level="failed", what=text, mend=mend),))


def _show(checked: "Checked", context: Context) -> None:
    output = context.output
    for result in checked.results:
        word = output.style(f"{result.level:<8}", _WORDS[result.level])
        output.print(f"{word} {checked.name:<16} {output.style(result.what)}")
        if result.mend:
            output.print(f"{'':<25} {output.style('>', 'dim')} {output.style(result.mend)}")
    output.stdout.flush()


def _data(checked: "Checked") -> dict[str, Any]:
    return {
        "check": checked.name,
        "results": [
            {"level": result.level, "what": result.what, "mend": result.mend}
            for result in checked.results
        ],
    }
