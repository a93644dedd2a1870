"""What a run's directory tells about a job: how far it is, how good, and its old logs.

Everything is read through `job.storage`, as the user who runs the launcher.
"""

import collections
import re
from collections.abc import Mapping
from dataclasses import dataclass

from job import storage
from job.contract import attempts, layout, schema
from job.contract.errors import DataError
from job.contract.follow_up_file import FollowUps, FollowUpStep
from job.process import attempt_record
from job.storage import NotFoundError, documents
from launcher.observe import quick_storage, reading
from launcher.observe.run_facts import LastWords, Restarts, RunFacts

_MOST_LOGS = 8
_END_BYTES = 16 << 10
_LAST_LINES = 20


@dataclass(frozen=True, kw_only=True)
class ArchivedLog:
    """The log of one replica in one attempt."""

    attempt: int
    replica: str
    path: str


def read(run: str) -> RunFacts:
    """Read how far a run is; a directory that is not there yet gives nothing.

    Raises:
        JobError: The storage cannot be read.
    """
    quick_storage.be_brief()
    progress = _content(layout.progress_file(run))
    best = _best(run)
    return RunFacts(
        progress=reading.progress(progress) if progress else None,
        checkpoint_step=newest_checkpoint(run),
        follow_ups=_follow_ups(run),
        metrics={
            name: float(value) for name, value in best.items() if isinstance(value, int | float)
        },
    )


def restarts(run: str, job: str) -> Restarts:
    """Count the restarts of a job from the records of its attempts.

    Args:
        run: Its run directory.
        job: Its submission, as its containers have it.

    Raises:
        JobError: The storage cannot be read.
    """
    quick_storage.be_brief()
    known = [each for each in attempt_record.read_all(run) if each.attempt.job == job]
    starts = collections.Counter(each.replica for each in known)
    again = max(starts.values(), default=1) - 1
    counted = len(attempts.failures(known, job))
    return Restarts(counted=min(counted, again), uncounted=max(0, again - counted))


def _follow_ups(run: str) -> tuple[FollowUpStep, ...]:
    """Read what follows training; what is no such note tells of none."""
    try:
        return documents.read(layout.follow_up_file(run), FollowUps).steps
    except (NotFoundError, DataError):
        return ()


def newest_checkpoint(run: str) -> int | None:
    """Find the step of the newest complete checkpoint.

    Raises:
        JobError: The storage cannot be read.
    """
    quick_storage.be_brief()
    try:
        files = [stat.path for stat in storage.list_files(layout.checkpoints_dir(run))]
    except NotFoundError:
        return None
    complete = [path for path in files if path.endswith(f"/{layout.MANIFEST_FILE}")]
    steps = [layout.checkpoint_step(path.split("/")[-2]) for path in complete]
    return max((step for step in steps if step is not None), default=None)


def archived_logs(run: str) -> list[ArchivedLog]:
    """List the logs that the replicas left in the run directory, oldest attempts first.

    Raises:
        JobError: The storage cannot be read.
    """
    quick_storage.be_brief()
    try:
        paths = [stat.path for stat in storage.list_files(layout.attempts_dir(run))]
    except NotFoundError:
        return []
    logs = [
        ArchivedLog(attempt=parsed[0], replica=parsed[1], path=path)
        for path in paths
        if (parsed := layout.parse_attempt_log(path))
    ]
    return sorted(logs, key=lambda log: (log.attempt, _natural(log.replica)))


def last_words(run: str) -> list[LastWords]:
    """Read how the logs of the newest attempt end, of its first replicas.

    Raises:
        JobError: The storage cannot be read.
    """
    logs = archived_logs(run)
    newest = [log for log in logs if log.attempt == logs[-1].attempt][:_MOST_LOGS]
    return [words for log in newest if (words := _last_words(log))]


def _last_words(log: ArchivedLog) -> LastWords | None:
    try:
        size = storage.stat(log.path).size
        end = storage.read_bytes(log.path, max(0, size - _END_BYTES), size)
    except NotFoundError:
        return None
    lines = [line for line in end.decode("utf-8", "replace").splitlines() if line.strip()]
    if not lines:
        return None
    errors = [line for line in lines[-_LAST_LINES:] if line.startswith("error: ")]
    return LastWords(replica=log.replica, line=(errors or lines)[-1])


def _natural(name: str) -> list[str]:
    return [part.rjust(8, "0") if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _content(path: str) -> bytes:
    try:
        return storage.read_bytes(path)
    except NotFoundError:
        return b""


@dataclass(frozen=True, kw_only=True)
class _Best:
    metrics: Mapping[str, schema.Scalar]


def _best(run: str) -> Mapping[str, schema.Scalar]:
    """Read the numbers of the best evaluation; what is no such note tells none."""
    path = layout.best_file(run)
    try:
        best = schema.read(storage.read_bytes(path), _Best, what=path)
    except (NotFoundError, DataError):
        return {}
    return best.metrics
