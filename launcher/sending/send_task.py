"""What `make-tfrecords`, `evaluate`, `export`, `predict` have in common: describe, show, send."""

import argparse
from collections.abc import Sequence
from typing import Any

from launcher.context import Context
from launcher.describe import tasks
from launcher.sending import submit


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
    backend = _backend(args, context)
    spec = tasks.prepare(
        context.settings,
        kind,
        config,
        output=output,
        name=args.name or "",
        namespace="" if backend == "local" else context.namespace,
        backend=backend,
        tasks=tasks_count,
        gpus=0 if backend == "local" else gpus,
    )
    if args.dry_run != "client" and not args.output:
        where = f" in namespace {spec.namespace}" if spec.namespace else ""
        context.output.print(context.output.style(spec.name, "bold") + where)
        context.output.facts(rows)
    if backend == "local":
        return submit.run_here(spec, args, context)
    return submit.send(spec, args, context)


def _backend(args: argparse.Namespace, context: Context) -> str:
    """Resolve `auto`: here where the profile trains here or without a cluster, else a Job."""
    if args.task_backend != "auto":
        return str(args.task_backend)
    here = context.settings.backend == "local" or not submit.has_cluster(args, context)
    return "local" if here else "job"
