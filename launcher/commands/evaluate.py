"""`launcher evaluate`: the accuracy of a run, as a Job or on this machine."""

import argparse

from launcher.context import Context
from launcher.settings import arguments

NAME = "evaluate"
HELP = "Evaluate a run and write its report."
EPILOG = """Flags of the evaluation go after --; `python -m job.evaluate --help` lists them.

examples:
  launcher evaluate vgg19-4f2a1c
  launcher evaluate gs://my-bucket/runs/nightly --gpus 1 -- --checkpoint=latest
  launcher evaluate runs/first --backend local --data food101"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the run to evaluate."""
    from job.contract.configs import EvaluateConfig

    parser.add_argument("run_or_job", metavar="RUN", help="run directory, or name of a job")
    parser.add_argument("--gpus", metavar="N", type=int, default=1, dest="task_gpus",
                        help="GPUs (default: 1; 0 evaluates on CPUs)")  # fmt: skip
    arguments.add_task(parser, "image", "data", "run_root")
    arguments.add_sending(parser)
    arguments.accept_job_flags(parser, EvaluateConfig)


def run(args: argparse.Namespace, context: Context) -> int:
    """Send the job, or run it here."""
    from job.contract import flags, layout
    from job.contract.configs import EvaluateConfig
    from launcher.errors import UsageError
    from launcher.observe import run_paths
    from launcher.sending import tasks

    run_directory = run_paths.run_directory(args.run_or_job, context)
    given = [f"--run={run_directory}", *args.job_flags]
    if context.settings.data:
        given.insert(0, f"--data={context.settings.data}")
    elif not any(flag.lstrip("-").startswith(("data=", "config")) for flag in args.job_flags):
        raise UsageError("no dataset: give --data, or put it into launcher.yaml")
    config = flags.parse(EvaluateConfig, [*context.settings.payer_flags, *given])
    output = config.output or layout.report_dir(config.run)
    return tasks.run(
        "evaluate", config, output, tasks.request(args), context,
        rows=[("run", config.run), ("data", config.data), ("checkpoint", config.checkpoint),
              ("report", output)],
        gpus=args.task_gpus,
    )  # fmt: skip
