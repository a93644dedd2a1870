"""`launcher init`: write launcher.yaml by asking, with the cluster's own answers to choose from."""

import argparse
import os

from launcher.context import Context
from launcher.errors import ConflictError, LauncherError, UsageError

NAME = "init"
HELP = "Write a launcher.yaml by asking."
EPILOG = """The cluster is asked for its GPU models, queues and kinds of jobs, if it can be reached.

examples:
  launcher init
  launcher init --non-interactive --image registry.example/food101:0.1.0 \\
      --data gs://my-bucket/food101 --run-root gs://my-bucket/runs"""

_ASKED = (
    "image", "data", "run_root", "service_account", "accelerator", "queue", "backend",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the answers as flags, and where the file goes."""
    from launcher.settings import fields

    parser.add_argument("--non-interactive", action="store_true", help="ask nothing")
    parser.add_argument("--user", action="store_true", help="write to your configuration folder")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    fields.add_flags(
        parser, *_ASKED, "gpus", "gpus_per_worker",
        "workers", "cpus", "memory", "spot", "tensorboard_image", "image_pull_secret",
    )  # fmt: skip


def run(args: argparse.Namespace, context: Context) -> int:
    """Ask and write."""
    from launcher.settings import fields, questions, trust
    from launcher.settings import file as settings_file
    from launcher.settings.values import from_text

    path = settings_file.user_file(context.environ) if args.user else settings_file.FILE_NAME
    if os.path.exists(path) and not args.force:
        raise ConflictError(f"{path} is already there; edit it, or replace it with --force")
    profile = args.profile or "default"
    given = {name: getattr(args, name, None) for name in fields.FIELDS}
    answers = {
        name: from_text(fields.FIELDS[name], value, f"--{name}")
        for name, value in given.items()
        if value is not None
    }
    if not args.non_interactive:
        if not context.stdin.isatty():
            raise UsageError("nobody to ask: standard input is no terminal; use --non-interactive")
        context.output.note("Enter alone leaves a setting at its default.")
        # First, since queues and service accounts are those of a namespace.
        answers = questions.ask(("namespace",), answers, {}, context)
        found = _look(args, str(answers.get("namespace", "")), context)
        answers = questions.ask(_ASKED, answers, found, context)
    _write(path, questions.file_text(profile, answers))
    trust.trust(trust.claims_of(path, settings_file.read(path)), context.environ)
    context.output.print(f"{path} written")
    context.output.note("next: launcher check, then launcher submit --gpus N")
    return 0


def _look(args: argparse.Namespace, namespace: str, context: Context) -> dict[str, list[str]]:
    """Ask the cluster what there is to choose from; whatever cannot be seen is left out."""
    from launcher.api import connection, kubeconfig
    from launcher.settings import questions

    if not kubeconfig.is_configured(args.kubeconfig or "", context.environ):
        context.output.note("no cluster is configured here; answers are taken as they are")
        return {}
    files = kubeconfig.paths(args.kubeconfig or "", context.environ)
    current = kubeconfig.current_namespace(
        args.kubeconfig or "", args.context or "", context.environ
    )
    try:
        there = connection.connect(
            kubeconfig=os.pathsep.join(files) or None,
            context=args.context,
            namespace=namespace or current or "default",
        )
        context.output.note(f"asking {there.server} what it has in {there.namespace!r}")
        return questions.look(there)
    except LauncherError as error:
        context.output.note(f"the cluster cannot be asked: {error}")
        return {}


def _write(path: str, text: str) -> None:
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise LauncherError(f"{path} cannot be written: {error.strerror}") from error
