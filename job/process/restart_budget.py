"""May this job start again, how long must it wait first, and until when may it run?

The training operator counts no restarts under `restartPolicy: ExitCode`, and a JobSet's deadline
begins anew with every attempt. So the job counts itself, from the records of its attempts.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from job.contract import attempts
from job.contract.environment import MAX_DURATION_S, MAX_RESTARTS
from job.contract.errors import ExitCode, exit_meaning
from job.contract.lease import SUBMISSION_VARIABLE
from job.process import attempt_record

TIME_UP = "the job's longest duration is over (--max-duration), counted from its first start"
_CHIEF = "worker-0"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a job may use up.

    Attributes:
        job: Its submission: others may have gone on with the same run.
        max_restarts: None where its controller counts them.
        max_duration_s: From its first start; None where its controller sees to it.
    """

    job: str
    max_restarts: int | None = None
    max_duration_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Start:
    """What is to be done about the next attempt.

    Attributes:
        pause_s: Seconds to wait before it.
        deadline: When it must end, in seconds since 1970; None if never.
        refusal: An exit code and its reason, if it must not be.
    """

    pause_s: float = 0.0
    deadline: float | None = None
    refusal: tuple[ExitCode, str] | None = None


def read_budget(environ: Mapping[str, str]) -> Budget | None:
    """Read what the manifest says; None if it says nothing."""
    job = environ.get(SUBMISSION_VARIABLE, "")
    if not job:
        return None
    restarts, duration = environ.get(MAX_RESTARTS, ""), environ.get(MAX_DURATION_S, "")
    return Budget(
        job=job,
        max_restarts=int(restarts) if restarts.isdecimal() else None,
        max_duration_s=float(duration) if duration.isdecimal() else None,
    )


def look(run: str, replica: str, budget: Budget) -> Start:
    """Look at the attempts so far.

    The first worker counts those of all, the others their own: with many workers not every one
    need read every record.

    Raises:
        JobError: The run directory cannot be read.
    """
    known = attempt_record.read_all(run, () if replica == _CHIEF else (replica,))
    now = time.time()
    failed = attempts.failures(known, budget.job, replica)
    begun = attempts.first_start(known, budget.job)
    deadline = None
    if budget.max_duration_s is not None:
        deadline = (now if begun is None else begun) + budget.max_duration_s
    return Start(
        pause_s=attempts.pause_s(failed, now),
        deadline=deadline,
        refusal=_refusal(failed, budget, deadline, now),
    )


def _refusal(
    failed: list[attempts.Numbered], budget: Budget, deadline: float | None, now: float
) -> tuple[ExitCode, str] | None:
    if budget.max_restarts is not None and len(failed) > budget.max_restarts:
        last = failed[-1]
        return ExitCode.RESTARTS_SPENT, (
            f"{_used_up(budget.max_restarts)} (--max-restarts); {last.replica} ended last: "
            f"{_how(last.attempt.code)}"
        )
    if deadline is not None and now >= deadline:
        return ExitCode.TIME_UP, TIME_UP
    return None


def _used_up(limit: int) -> str:
    if limit == 0:
        return "no restart is allowed"
    return "the only restart is used up" if limit == 1 else f"all {limit} restarts are used up"


def _how(code: int | None) -> str:
    if code is None:
        return "killed with its parent, as for want of memory"
    return f"exit code {code}, {exit_meaning(code)}"
