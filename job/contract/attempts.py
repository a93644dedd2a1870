"""What is kept of every attempt of every worker, and which attempts count as restarts.

The same rule holds for a TFJob, a JobSet, a Job and local processes: what counts is what a worker
did itself. It does not count that it was asked to leave (preempted, drained, suspended), nor that
it lost a peer, whose own end tells. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from job.contract.errors import ExitCode, restart_may_help
from job.contract.schema import Word

FORMAT = 1

NOT_COUNTED = (ExitCode.PREEMPTED, ExitCode.PEER_LOST)
"""Ends from which a job starts again without using up its restarts."""

SHORT_LIFE_S = 600.0
"""Who has run for so long does not fail at once: what it died of later starts no longer pause."""
_FIRST_PAUSE_S = 10.0
_LONGEST_PAUSE_S = 300.0


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt of one worker, as `attempts/<n>/<replica>.json` holds it.

    Attributes:
        format: FORMAT.
        job: Which job it belongs to: one of the same name may go on with a run later.
        started: When, in seconds since 1970, as all times here.
        asked: When the worker was first asked to leave.
        ended: When its process ended; None while it runs, and for ever if its parent died with it.
        code: With which exit code, as a shell gives it.
    """

    format: int
    job: Word
    started: float
    asked: float | None = None
    ended: float | None = None
    code: int | None = None


@dataclass(frozen=True, kw_only=True)
class Numbered:
    """An attempt, with its number and the replica whose it is."""

    number: int
    replica: str
    attempt: Attempt


def counts(code: int) -> bool:
    """Whether a start after an end with this exit code uses up one of the restarts."""
    return restart_may_help(code) and code not in NOT_COUNTED


def failures(attempts: Iterable[Numbered], job: str, me: str = "") -> list[Numbered]:
    """Give the attempts of a job that count as restarts, the earliest first.

    An attempt of which no end is kept died together with its parent: by the kernel for want of
    memory, or with its node. Of another replica the newest one may still run. What befalls several
    workers at once counts once.

    Args:
        attempts: Of any replicas.
        job: Whose restarts are counted. An end that no restart follows ends the count: what comes
            after it was started anew by a person.
        me: The replica that asks, before it has an attempt of its own again.
    """
    mine = sorted(
        (each for each in attempts if each.attempt.job == job),
        key=lambda each: each.attempt.started,
    )
    newest = {each.replica: each for each in mine}
    anew = max((each.attempt.started for each in mine if _final(each.attempt)), default=0.0)
    counted = [
        each
        for each in mine
        if each.attempt.started > anew
        and _counted(each.attempt, may_run=each is newest[each.replica] and each.replica != me)
    ]
    return _first_of_each_round(counted)


def _first_of_each_round(failed: list[Numbered]) -> list[Numbered]:
    """Leave one failure of those that one thing caused: a bucket that was away, for all workers.

    A failure is another one only if its attempt began after the last one was over.
    """
    rounds: list[Numbered] = []
    over = 0.0
    for each in failed:
        ended = each.attempt.ended or each.attempt.started
        if each.attempt.started >= over:
            rounds.append(each)
        over = max(over, ended)
    return rounds


def _final(attempt: Attempt) -> bool:
    return attempt.code is not None and not restart_may_help(attempt.code)


def _counted(attempt: Attempt, *, may_run: bool) -> bool:
    if attempt.asked is not None:
        return False
    return not may_run if attempt.code is None else counts(attempt.code)


def first_start(attempts: Iterable[Numbered], job: str) -> float | None:
    """Give when a job was started first; None if it never was."""
    return min((each.attempt.started for each in attempts if each.attempt.job == job), default=None)


def pause_s(failed: list[Numbered], now: float) -> float:
    """Give how long to wait before the next attempt, in seconds.

    None for the first failure; then 10 s, 20, 40 and so on to five minutes while attempts fail
    within ten minutes of their start, as a kubelet waits for a container that keeps crashing.
    """
    in_a_row = 0
    after = now
    for each in reversed(failed):
        ended = each.attempt.ended or after
        if ended - each.attempt.started >= SHORT_LIFE_S:
            break
        in_a_row += 1
        after = each.attempt.started
    return growing_pause_s(in_a_row)


def growing_pause_s(failures_in_a_row: int) -> float:
    """Give the pause after so many short attempts that failed one after the other."""
    if failures_in_a_row <= 1:
        return 0.0
    return float(min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** (failures_in_a_row - 2)))
