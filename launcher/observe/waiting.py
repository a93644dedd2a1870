"""Waiting until a job is over, runs or is gone; what is seen on the way goes to a callback."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from launcher.diagnosis.finding import Finding
from launcher.diagnosis.rules import diagnose
from launcher.errors import NotFoundError, TimedOutError, UnreachableError
from launcher.observe import gather, phase
from launcher.observe.prediction_progress import Pace
from launcher.observe.state import State

if TYPE_CHECKING:
    from launcher.api.connection import Cluster

Until = Literal["done", "running", "deleted"]

_EVERY_S = 3.0
_NOT_YET = {"done": "over", "running": "running", "deleted": "deleted"}


@dataclass(frozen=True)
class Ending:
    """How a job ended.

    Attributes:
        succeeded: Whether it did all that it was to do.
        finding: The cause, as `launcher why` tells it.
    """

    succeeded: bool
    finding: Finding

    @property
    def exit_code(self) -> int:
        """0, or the code of the cause that is named; 1 if it has none."""
        code = self.finding.exit_code
        if self.succeeded:
            return 0
        return code if code is not None and 0 < code < 256 else 1


def wait(
    cluster: "Cluster",
    name: str,
    tell: Callable[[str], None],
    *,
    until: Until = "done",
    timeout_s: float = math.inf,
) -> Ending | None:
    """Wait until a job is over, or `until` something earlier or later.

    Args:
        cluster: Where the job is.
        name: What it is called.
        tell: Takes a line whenever there is news; a lost connection is such news, no error.
        until: What to wait for.
        timeout_s: The longest time, in seconds.

    Returns:
        How the job ended; None if what was waited for came without its end.

    Raises:
        NotFoundError: There is no such job (any more), which `deleted` waits for.
        TimedOutError: It did not happen in time.
    """
    pace, end, told = Pace(), time.monotonic() + timeout_s, ""
    while True:
        state = None
        try:
            state = gather.observe(cluster, name, deep=False)
            line = _line(state, pace)
        except NotFoundError:
            if until == "deleted":
                return None
            raise
        except UnreachableError as error:
            # The job does not depend on this machine's connection, and neither does waiting.
            line = f"connection lost, trying again: {error}"
        if line != told:
            tell(line)
            told = line
        word = "" if state is None else phase.of_job(state.job, state.pods)
        if until == "running" and word in ("Running", "Succeeded"):
            return None
        if state is not None and word in phase.OVER and until != "deleted":
            finding = diagnose(gather.observe(cluster, name, deep=True))
            return Ending(state.job.succeeded, finding)
        if time.monotonic() + _EVERY_S > end:
            not_yet = f"{name} is not {_NOT_YET[until]} yet"
            raise TimedOutError(f"{not_yet}; `launcher why {name}` says why")
        time.sleep(_EVERY_S)


def _line(state: State, pace: Pace) -> str:
    word = phase.of_job(state.job, state.pods)
    line = f"{state.job.name}: {word}, {phase.ready(state.job, state.pods)} workers"
    if state.prediction is not None:
        line += f", {pace.text(state.prediction, state.now, over=word in phase.OVER)}"
    progress = state.progress
    if word == "Running" and progress is not None and progress.total_steps:
        line += f", step {progress.step:,} of {progress.total_steps:,}"
    return line
