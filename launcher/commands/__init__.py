"""The commands, one per file. This docstring is the interface that each of them keeps.

`launcher/commands/<name>.py` (dashes of the command become underscores) has

    NAME = "status"                     what the user types
    HELP = "Show how a job is doing."   one sentence, shown by `launcher --help`
    EPILOG = "examples: ..."            optional, printed as it stands below `--help`

    def add_arguments(parser: argparse.ArgumentParser) -> None
        The command's own arguments. Every command also gets, from `launcher/settings/arguments.py`:
        --profile, --settings, --context, --namespace/-n, --kubeconfig, --set.
        For `-o` call `arguments.add_output(parser, "wide", "name")` (json and yaml are always in);
        for flags of a job after `--` call `arguments.accept_job_flags(parser, TrainConfig)`:
        they arrive, not yet parsed, as `args.job_flags: list[str]`.

    def run(args: argparse.Namespace, context: launcher.context.Context) -> int
        Does the work and returns the exit code (0 ok, 1 failed). Errors are raised as classes of
        `launcher/errors.py`, never printed here; `job.contract.errors.JobError` may pass through.

`context` gives, each made when it is first asked for:

    context.settings    launcher.settings.fields.Settings: profile and flags merged
    context.namespace   str: --namespace, else the profile's, else the kubeconfig context's
    context.output      launcher.output.Output: print, note, warn, table, document, style
    context.cluster()   launcher.api.connection.Cluster, by `connect(kubeconfig=..., context=...,
                        namespace=...)` of that module; the first call imports kubernetes
    context.environ     the environment variables
    context.stdin       the standard input, for questions

What `submit` and its kin call, and what the modules behind the call promise:

    launcher.sending.submit.submit(spec, options, context) -> exit code
        to the cluster (`launcher.sending.to_cluster.submit`) or here
        (`launcher.local.backend.submit`), which have the same signature
    launcher.sending.submission.submit(cluster, manifests, *, dry_run=False, warn) -> objects
        `manifests` is what `launcher.manifests.render.render(spec)` gave: plain dicts, the job
        first, then its companions, which get an ownerReference to it. A half-made submission
        cleans up after itself. Same name and same spec (annotation `food101/spec-hash`): nothing
        is sent, the object is returned; other spec: ConflictError with the diff.
    launcher.checks.preflight.require(spec, manifests, cluster, context.output, skip=(...)) -> None
        runs the checks, prints warnings, raises LauncherError if one failed
    launcher.observe.following.lines(cluster, name, selection, note) -> lines
        all replicas' logs until the job has ended
    launcher.observe.waiting.wait(cluster, name, tell, until=..., timeout_s=...) -> Ending
        waits without output but progress; the ending has the code of the job's cause

Modules are imported when their command runs (all of them for `launcher --help`), so at module
level a command imports only the standard library and light modules of this package: no
kubernetes, no rich, no yaml. `tests/launcher/test_startup.py` holds that.

To add a command: write the file, add its name to a group below.
"""

import argparse
import importlib
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from launcher.context import Context

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("run a job", ("submit", "sweep", "render", "diff")),
    ("follow a job", ("list", "runs", "status", "why", "logs", "wait", "top")),
    ("change a job", ("suspend", "unsuspend", "resume", "cancel", "delete")),
    ("data and models", ("make-tfrecords", "evaluate", "export", "predict", "tensorboard")),
    ("set up", ("init", "setup", "trust", "check", "gpus", "image", "completion", "version")),
)


class Command(Protocol):
    """A module of this package."""

    NAME: str
    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's own arguments."""

    def run(self, args: argparse.Namespace, context: "Context") -> int:
        """Do the work and give the exit code."""


def names() -> tuple[str, ...]:
    """Name all commands, in the order in which `--help` shows them."""
    return tuple(name for _, group in GROUPS for name in group)


def load(name: str) -> Command:
    """Import the module of a command."""
    module = importlib.import_module(f"launcher.commands.{name.replace('-', '_')}")
    return cast("Command", module)
