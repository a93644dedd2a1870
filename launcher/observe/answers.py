"""What is known of a job or a run, whoever asks: how it is doing, and why."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

from launcher.context import Context
from launcher.diagnosis.finding import Finding
from launcher.diagnosis.rules import diagnose
from launcher.diagnosis.run import explain
from launcher.observe import gather, phase, run_directory, run_paths
from launcher.observe.run_facts import RunFacts
from launcher.observe.run_paths import Found
from launcher.observe.state import Progress, State


@dataclass(frozen=True)
class Cause:
    """Why a job or a run is where it is.

    Attributes:
        finding: The one cause.
        unknown: What could not be looked at in the cluster, one line each.
    """

    finding: Finding
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Status:
    """How a job or a run is doing.

    Attributes:
        name: Of the job; of a run without one its directory.
        run: The run directory; empty for a job without one.
        phase: Of the job, as `launcher list` shows it: Pending, Running, Succeeded and so on. Of a
            run without one what it said last: training, done, stopped; empty if it said nothing.
        progress: Steps, speed, loss; None before the first step.
        checkpoint_step: Of the newest checkpoint.
        metrics: Of the best evaluation, by name: top1 and top5 from 0 to 1, loss.
        job: All that is known of the job in the cluster; None if it is not there.
    """

    name: str
    run: str
    phase: str
    progress: Progress | None = None
    checkpoint_step: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    job: State | None = None


def of_run(run: str) -> RunFacts:
    """Read what a run's directory tells of a job that ran on this machine or is gone.

    Raises:
        NotFoundError: Nothing has been trained there.
        JobError: The storage cannot be read.
    """
    facts = run_directory.read(run)
    if facts.progress is None and facts.checkpoint_step is None:
        raise run_paths.absent(run)
    return facts


def status(found: Found, context: Context) -> Status:
    """Tell how a job is doing, or a run without one.

    Raises:
        NotFoundError: It is a directory in which nothing has been trained.
        LauncherError: The cluster cannot be asked.
        JobError: The storage cannot be read.
    """
    if found.job is None:
        facts = of_run(found.run)
        return Status(
            name=found.run,
            run=found.run,
            phase=facts.progress.state if facts.progress else "",
            progress=facts.progress,
            checkpoint_step=facts.checkpoint_step,
            metrics=facts.metrics,
        )
    state = gather.observe_object(context.cluster(), *found.job, deep=False)
    return Status(
        name=state.job.name,
        run=state.job.run,
        phase=phase.of_job(state.job, state.pods),
        progress=state.progress,
        checkpoint_step=state.checkpoint_step,
        metrics=state.metrics,
        job=state,
    )


def why(found: Found, context: Context) -> Cause:
    """Look at everything, and give the one cause.

    Raises:
        NotFoundError: It is a directory in which nothing has been trained.
        LauncherError: The cluster cannot be asked.
        JobError: The storage cannot be read.
    """
    if found.job is not None:
        kind, item = found.job
        state = gather.observe_object(context.cluster(), kind, item, deep=True)
        return Cause(diagnose(state), state.unknown)
    facts, words = run_directory.read(found.run), run_directory.last_words(found.run)
    if facts.progress is None and facts.checkpoint_step is None and not words:
        raise run_paths.absent(found.run)
    return Cause(explain(found.run, facts, words, datetime.datetime.now(datetime.UTC)))
