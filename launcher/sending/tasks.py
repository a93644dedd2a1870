"""What `make-tfrecords`, `evaluate`, `export`, `predict` have in common: describe, show, send."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from launcher.context import Context
from launcher.describe import backend_choice, tasks
from launcher.describe.backend_choice import Choice
from launcher.describe.spec import JobSpec
from launcher.kinds import ClusterKind
from launcher.sending import submit
from launcher.sending.options import SendOptions, from_args


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for beside the work itself.

    Attributes:
        name: Name of the job; empty for one made from its configuration.
        backend: auto, job or local.
        options: How it is to be sent.
    """

    name: str = ""
    backend: str = "auto"
    options: SendOptions = field(default_factory=SendOptions)


def request(args: argparse.Namespace) -> Request:
    """Read what `launcher.settings.arguments.add_task` and `add_sending` have declared."""
    return Request(name=args.name or "", backend=args.task_backend, options=from_args(args))


def run(
    kind: str,
    config: Any,
    output: str,
    asked: Request,
    context: Context,
    *,
    rows: Sequence[tuple[str, str]],
    tasks_count: int = 1,
    gpus: int = 0,
) -> int:
    """Send a job of independent tasks, or run it here; `rows` say what it does."""
    spec = prepare(
        kind, config, output, asked, context, rows=rows, tasks_count=tasks_count, gpus=gpus
    )
    return submit.submit(spec, asked.options, context)


def prepare(
    kind: str,
    config: Any,
    output: str,
    asked: Request,
    context: Context,
    *,
    rows: Sequence[tuple[str, str]],
    tasks_count: int = 1,
    gpus: int = 0,
) -> JobSpec:
    """Describe a job of independent tasks and say what it will be; `submit.submit` sends it."""
    choice = choose_backend(asked, context)
    in_cluster = isinstance(choice.kind, ClusterKind)
    spec = tasks.prepare(
        context.settings,
        kind,
        config,
        output=output,
        name=asked.name,
        namespace=context.namespace if in_cluster else "",
        backend=choice.kind,
        tasks=tasks_count,
        gpus=gpus if in_cluster else 0,
    )
    if choice.why and asked.options.dry_run != "client":
        context.output.note(str(choice))
    if asked.options.introduces:
        where = f" {context.place}" if spec.in_cluster else ""
        context.output.print(context.output.style(spec.name, "bold") + where)
        context.output.facts(rows)
    return spec


def choose_backend(asked: Request, context: Context) -> Choice:
    """Resolve the backend of a job of independent tasks, before they are counted."""
    has_cluster = submit.has_cluster(asked.options, context)
    return backend_choice.for_tasks(asked.backend, context.settings, has_cluster=has_cluster)


def runs_here(asked: Request, context: Context) -> bool:
    """Whether the tasks will be processes of this machine."""
    return not isinstance(choose_backend(asked, context).kind, ClusterKind)
