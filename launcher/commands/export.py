"""`launcher export`: a run's weights as a SavedModel, as a Job or on this machine."""

import argparse

from launcher.context import Context
from launcher.settings import arguments

NAME = "export"
HELP = "Export a run as a SavedModel."
EPILOG = """Flags of the export go after --; `python -m job.export --help` lists them.

examples:
  launcher export vgg19-4f2a1c --output gs://my-bucket/models/food101
  launcher export runs/first --backend local --output model -- --precision=bfloat16"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the run to export and where the model goes."""
    from job.contract.configs import ExportConfig

    parser.add_argument("run_or_job", metavar="RUN", help="run directory, or name of a job")
    parser.add_argument("--output", metavar="PATH", required=True, dest="target",
                        help="model directory to write")  # fmt: skip
    arguments.add_task(parser, "image", "run_root")
    arguments.add_sending(parser, output_flags=("-o",))
    arguments.accept_job_flags(parser, ExportConfig)


def run(args: argparse.Namespace, context: Context) -> int:
    """Send the job, or run it here."""
    from job.contract import flags
    from job.contract.configs import ExportConfig
    from launcher.observe import run_paths
    from launcher.sending import tasks

    run_directory = run_paths.run_directory(args.run_or_job, context)
    config = flags.parse(
        ExportConfig,
        [*context.settings.payer_flags, f"--run={run_directory}", f"--output={args.target}",
         *args.job_flags],
    )  # fmt: skip
    return tasks.run(
        "export", config, config.output, tasks.request(args), context,
        rows=[("run", config.run), ("checkpoint", config.checkpoint), ("model", config.output)],
    )  # fmt: skip
