"""What `make-tfrecords`, `evaluate`, `export`, `predict` have in common: describe, show, send."""

import argparse
from collections.abc import Sequence
from typing import Any

from launcher.context import Context
from launcher.describe import backend_choice, tasks
from launcher.describe.backend_choice import Choice
from launcher.kinds import ClusterKind
from launcher.sending import submit
from launcher.sending.options import from_args


def run(
    kind: str,
    config: Any,
    output: str,
    args: argparse.Namespace,
    context: Context,
    *,
    rows: Sequence[tuple[str, str]],
    tasks_count: int = 1,
    gpus: int = 0,
) -> int:
    """Send a job of independent tasks, or run it here; `rows` say what it does."""
    options = from_args(args)
    choice = choose_backend(args, context)
    backend, in_cluster = choice.kind, isinstance(choice.kind, ClusterKind)
    spec = tasks.prepare(
        context.settings,
        kind,
        config,
        output=output,
        name=args.name or "",
        namespace=context.namespace if in_cluster else "",
        backend=backend,
        tasks=tasks_count,
        gpus=gpus if in_cluster else 0,
    )
    if choice.why and options.dry_run != "client":
        context.output.note(str(choice))
    if options.introduces:
        where = f" {context.place}" if spec.in_cluster else ""
        context.output.print(context.output.style(spec.name, "bold") + where)
        context.output.facts(rows)
    return submit.submit(spec, options, context)


def choose_backend(args: argparse.Namespace, context: Context) -> Choice:
    """Resolve the backend of a job of independent tasks, before they are counted."""
    has_cluster = submit.has_cluster(from_args(args), context)
    return backend_choice.for_tasks(args.task_backend, context.settings, has_cluster=has_cluster)


def runs_here(args: argparse.Namespace, context: Context) -> bool:
    """Whether the tasks will be processes of this machine."""
    return not isinstance(choose_backend(args, context).kind, ClusterKind)
