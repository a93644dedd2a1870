"""What is known of a job or a run, whoever asks: how it is doing, and why."""

import datetime
from dataclasses import dataclass

from launcher.context import Context
from launcher.diagnosis.finding import Finding
from launcher.diagnosis.rules import diagnose
from launcher.diagnosis.run import explain
from launcher.observe import gather, run_directory, run_paths
from launcher.observe.run_facts import RunFacts
from launcher.observe.run_paths import Found


@dataclass(frozen=True)
class Cause:
    """Why a job or a run is where it is.

    Attributes:
        finding: The one cause.
        unknown: What could not be looked at in the cluster, one line each.
    """

    finding: Finding
    unknown: tuple[str, ...] = ()


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
