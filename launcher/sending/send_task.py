"""What `make-tfrecords`, `evaluate`, `export`, `predict` have in common: describe, show, send."""

import argparse
from collections.abc import Sequence
from typing import Any

from launcher import kinds
from launcher.context import Context
from launcher.describe import tasks
from launcher.kinds import ClusterKind, Kind
from launcher.sending import submit
from launcher.sending.options import SendOptions, from_args


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
    backend = _backend(args.task_backend, options, context)
    in_cluster = isinstance(backend, ClusterKind)
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
    if options.introduces:
        where = f" in namespace {spec.namespace}" if spec.namespace else ""
        context.output.print(context.output.style(spec.name, "bold") + where)
        context.output.facts(rows)
    return submit.submit(spec, options, context)


def _backend(asked: str, options: SendOptions, context: Context) -> Kind:
    """Resolve `auto`: here where the profile trains here or without a cluster, else a Job."""
    if asked != "auto":
        return kinds.named(asked)
    lives_here = context.settings.backend == kinds.LOCAL.name
    here = lives_here or not submit.has_cluster(options, context)
    return kinds.LOCAL if here else kinds.JOB
