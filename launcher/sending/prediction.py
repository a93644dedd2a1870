"""A prediction from its images: listed, shared out among tasks, described and introduced."""

import dataclasses

from job.contract.configs import PredictConfig
from launcher.context import Context
from launcher.describe import prediction
from launcher.describe.spec import JobSpec
from launcher.sending import tasks
from launcher.sending.tasks import Request


def prepare(
    config: PredictConfig,
    asked: Request,
    context: Context,
    *,
    task_count: int | None = None,
    gpus: int = 0,
    resume: bool = False,
) -> JobSpec | None:
    """Describe a prediction and say what it will cost; None if it is complete already.

    Args:
        config: What to predict.
        asked: Name, backend, and how it is to be sent.
        context: Settings, and the cluster if there is one.
        task_count: Tasks that share the work; by default from the number of images.
        gpus: GPUs, one for each task; 0 for CPUs.
        resume: Whether new tasks share what failed ones left undone.

    Raises:
        UsageError: There is nothing to resume, or a setting cannot work.
        JobError: The images or the output cannot be read, or do not fit together.
    """
    work = prediction.plan(
        config,
        tasks=task_count,
        gpus=gpus,
        here=tasks.runs_here(asked, context),
        may_list=not asked.options.dry_run,
        resume=resume,
    )
    if work.is_complete:
        return None
    if work.parts:
        config = dataclasses.replace(config, parts=work.parts)
    return tasks.prepare(
        "predict", config, config.output,
        dataclasses.replace(asked, name=asked.name or work.name), context,
        rows=[("model", config.model), ("images", config.images), ("output", config.output),
              *work.rows],
        tasks_count=work.tasks,
        gpus=1 if gpus else 0,
    )  # fmt: skip
