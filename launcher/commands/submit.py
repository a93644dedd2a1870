"""`launcher submit`: check a training job, say what it will be, and send it."""

import argparse

from launcher.context import Context
from launcher.settings import arguments

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
    from launcher.sending import submit, training
    from launcher.sending.options import from_args

    options = from_args(args)
    spec = training.prepare(
        context, args.job_flags, options, name=args.name or "", run=args.run or ""
    )
    return submit.submit(spec, options, context)
