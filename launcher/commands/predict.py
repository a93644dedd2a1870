"""`launcher predict`: classify the images of a bucket or a folder, shared by several tasks."""

import argparse

from launcher.context import Context
from launcher.settings import arguments

NAME = "predict"
HELP = "Classify images with an exported model."
EPILOG = """Flags of the prediction go after --; `python -m job.predict --help` lists them.

The images are listed before anything starts; the listing stays as it is, so that started again
(--resume) the tasks do what is missing and nothing twice. With --follow one line tells how far all
tasks are together, and the end sums up what they did.

examples:
  launcher predict --model gs://b/model --images gs://b/photos --output gs://b/out --gpus 8
  launcher predict --model gs://b/model --images 'gs://b/2026/**/*.jpg' --output gs://b/out --spot
  launcher predict --backend local --model model --images photos --output out -- --gallery
  launcher predict --model gs://b/model --images gs://b/photos --output gs://b/out --resume"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare model, images and output, and how many tasks share the work."""
    from job.contract.configs import PredictConfig

    what = parser.add_argument_group("what to predict")
    what.add_argument("--model", metavar="PATH", required=True, help="exported model")
    what.add_argument(
        "--images", metavar="PATH", required=True,
        help="folder, bucket prefix, glob, list, dataset or .tar, local or gs://",
    )  # fmt: skip
    what.add_argument("--output", metavar="PATH", required=True, dest="target",
                      help="predictions directory to write")  # fmt: skip
    what.add_argument("--gpus", metavar="N", type=int, default=0, dest="task_gpus",
                      help="GPUs, one for each task (default: 0, CPUs)")  # fmt: skip
    what.add_argument(
        "--tasks", metavar="N", type=int,
        help="pods that share the work (default: from the number of images)",
    )  # fmt: skip
    what.add_argument(
        "--resume", action="store_true",
        help="share what failed tasks left undone among new ones",
    )  # fmt: skip
    arguments.add_task(parser, "image")
    arguments.add_sending(parser, output_flags=("-o",))
    arguments.accept_job_flags(parser, PredictConfig)


def run(args: argparse.Namespace, context: Context) -> int:
    """List the images, show what the job will cost, send it or run it here."""
    from job.contract import flags
    from job.contract.configs import PredictConfig
    from launcher.describe import prediction
    from launcher.sending import prediction as sending
    from launcher.sending import submit, tasks

    config = flags.parse(
        PredictConfig,
        [*context.settings.payer_flags, f"--model={args.model}", f"--images={args.images}",
         f"--output={args.target}", *args.job_flags],
    )  # fmt: skip
    asked = tasks.request(args)
    spec = sending.prepare(
        config,
        asked,
        context,
        task_count=args.tasks,
        gpus=args.task_gpus,
        resume=args.resume,
    )
    if spec is None:
        context.output.print(f"complete already: {config.output}")
        return 0
    code = submit.submit(spec, asked.options, context)
    for line in () if code or args.dry_run else prediction.totals(config.output):
        context.output.print(line)
    return code
