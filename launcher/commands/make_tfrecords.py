"""`launcher make-tfrecords`: images to shards, as a Job or on this machine."""

import argparse

from launcher.context import Context
from launcher.settings import arguments

NAME = "make-tfrecords"
HELP = "Turn images into TFRecord shards."
EPILOG = """Flags of the converter go after --; `python -m job.make_tfrecords --help` lists them.

examples:
  launcher make-tfrecords --source gs://my-bucket/food-101.tar.gz --output gs://my-bucket/food101
  launcher make-tfrecords --source gs://my-bucket/images --output gs://my-bucket/food101 --tasks 16
  launcher make-tfrecords --backend local --source food-101.tar.gz --output food101"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where images come from, where shards go, and how many tasks share the work."""
    from job.contract.configs import RecordsConfig

    what = parser.add_argument_group("what to convert")
    what.add_argument(
        "--source", metavar="PATH", required=True,
        help="folder, archive or list of images, local or gs://",
    )  # fmt: skip
    what.add_argument("--output", metavar="PATH", required=True, dest="target",
                      help="dataset directory to write")  # fmt: skip
    what.add_argument(
        "--tasks", metavar="N", type=int,
        help="pods that share the work (default: 1 for an archive, else 4; 1 with --backend local)",
    )  # fmt: skip
    arguments.add_task(parser, "image")
    arguments.add_sending(parser, output_flags=("-o",))
    arguments.accept_job_flags(parser, RecordsConfig)


def run(args: argparse.Namespace, context: Context) -> int:
    """Send the job, or run it here."""
    from job.contract import flags
    from job.contract.configs import RecordsConfig
    from launcher.sending import tasks

    config = flags.parse(
        RecordsConfig,
        [*context.settings.payer_flags, f"--source={args.source}", f"--output={args.target}",
         *args.job_flags],
    )  # fmt: skip
    asked = tasks.request(args)
    return tasks.run(
        "make-tfrecords", config, config.output, asked, context,
        rows=[("source", config.source), ("output", config.output)],
        tasks_count=args.tasks or _tasks(config.source, here=tasks.runs_here(asked, context)),
    )  # fmt: skip


def _tasks(source: str, *, here: bool) -> int:
    """An archive can only be read from its beginning, so tasks would each read all of it."""
    archive = (".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tzst", ".gz", ".bz2", ".xz", ".zst")
    return 1 if source.lower().endswith(archive) or here else 4
