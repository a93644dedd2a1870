"""`launcher render`: the manifests of a training job on stdout."""

import argparse

from launcher.context import Context
from launcher.settings import arguments

NAME = "render"
HELP = "Print the manifest that `submit` would send."
EPILOG = """examples:
  launcher render --gpus 8 | kubectl apply -f -
  launcher render --gpus 16 --spot --backend jobset -- --epochs=10"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what describes a training job."""
    arguments.add_training(parser)
    arguments.add_output(parser, default="yaml")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the manifests."""
    from launcher.describe import backend_choice, training
    from launcher.manifests.render import render

    # As if everything were installed: a manifest is printed without a cluster.
    choice = backend_choice.for_training(
        context.settings, has_cluster=True, serves=lambda _kind: True
    )
    backend = backend_choice.in_cluster(choice)
    job = training.prepare(
        context.settings,
        args.job_flags,
        name=args.name or "",
        run=args.run or "",
        namespace=context.namespace,
        backend=backend,
        with_facts=False,
    )
    if not job.facts.known and not context.settings.cache_size:
        context.output.note(f"note: dataset {job.facts.source}")
    context.output.documents(render(job.spec), args.output)
    return 0
