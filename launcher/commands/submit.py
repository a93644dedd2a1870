"""`launcher submit`: check a training job, say what it will be, and send it."""

import argparse
from typing import TYPE_CHECKING

from launcher.context import Context
from launcher.settings import arguments

if TYPE_CHECKING:
    from launcher.describe.training import Training

NAME = "submit"
HELP = "Start a training job."
EPILOG = """Flags of the trainer go after --; `python -m job.train --help` lists them. Everything is
checked before anything is sent. --dry-run client prints the manifest, as `launcher render` does.

examples:
  launcher submit --gpus 8
  launcher submit --gpus 16 --spot --queue team-a -- --epochs=10 --global_batch_size=256
  launcher submit --gpus 0 --workers 2 --cpus 4 --memory 12Gi -- --steps=100
  launcher submit --backend local --workers 2 --data food101 -- --steps=20"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what describes a training job, and what to do with it."""
    arguments.add_training(parser)
    arguments.add_sending(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Send the job, or run it here."""
    from launcher.describe import training
    from launcher.kinds import ClusterKind
    from launcher.sending import submit
    from launcher.sending.options import from_args

    settings, options = context.settings, from_args(args)
    choice = submit.choose_backend(settings, options, context)
    in_cluster = isinstance(choice.kind, ClusterKind)
    job = training.prepare(
        settings,
        args.job_flags,
        name=args.name or "",
        run=args.run or "",
        namespace=context.namespace if in_cluster else "",
        backend=choice.kind,
        with_facts=options.dry_run != "client",
    )
    if choice.why and options.dry_run != "client":
        context.output.note(str(choice))
    if options.introduces:
        _introduce(job, context)
    return submit.submit(job.spec, options, context)


def _introduce(job: "Training", context: Context) -> None:
    from launcher.describe import summary
    from launcher.describe.cpu_speed import gflops_per_core
    from launcher.describe.estimate import estimate

    output, spec = context.output, job.spec
    where = f" {context.place}" if spec.in_cluster else ""
    output.print(output.style(spec.name, "bold") + where)
    needs = estimate(spec, job.config, job.facts, gflops_per_core(spec))
    output.facts(summary.training_rows(spec, job.config, job.facts, needs))
    output.stdout.flush()
