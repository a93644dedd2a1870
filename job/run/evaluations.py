"""What a run's evaluations while training gave, and which checkpoint did best.

One small file per evaluated step, and `best.json`, which follows from them: it is rebuilt where
it is missing, damaged or behind.
"""

import contextlib
import logging
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from job import storage
from job.contract import layout
from job.contract.errors import DataError, InputMissingError
from job.contract.evaluation_file import MAX_BYTES, EvaluationNote
from job.contract.schema import Count
from job.run.lease import RunLease
from job.run.manifest import Manifest
from job.storage import documents
from job.storage.interface import ABSENT, NotFoundError, PreconditionError

MEASURE = "top1"
"""The metric by which checkpoints are compared: the larger, the better."""
Metrics = Mapping[str, float | None]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Best:
    """Content of best.json."""

    step: Count
    metrics: Metrics
    format: int = 1


def best_step(run: str) -> int | None:
    """Say which checkpoint evaluated best; None if none was, or it is gone."""
    best = _read_best(run)
    if best is None:
        return None
    is_there = storage.exists(layout.manifest_file(layout.checkpoint_dir(run, best.step)))
    return best.step if is_there else None


def metrics_of(run: str, manifest: Manifest) -> Metrics:
    """Give the metrics of a checkpoint's evaluation while training; none if there was none."""
    try:
        return documents.read(
            layout.evaluation_file(run, manifest.step), EvaluationNote, max_bytes=MAX_BYTES
        ).metrics
    except InputMissingError:
        return manifest.metrics
    except DataError as error:
        _log.warning("%s", error)
        return manifest.metrics


def _read_best(run: str) -> Best | None:
    try:
        # Without a format number: that is how it was before it had one, with the same fields.
        return documents.read(layout.best_file(run), Best)
    except InputMissingError:
        return None
    except DataError as error:
        _log.warning("ignored: %s", error)
        return None


def best_of(metrics: Mapping[int, Metrics], committed: Collection[int]) -> int | None:
    """Choose the step that did best among those whose checkpoint is there, the first of equals."""
    steps = sorted(step for step in metrics if step in committed)
    return max(steps, key=lambda step: _measure(metrics[step]), default=None)


def _measure(metrics: Metrics) -> float:
    value = metrics.get(MEASURE)
    return -math.inf if value is None else value


class EvaluationRecords:
    """Writes a run's evaluations and moves its best.json; every operation can be repeated.

    Args:
        lease: Of the run directory.
        last_step: The step that training goes on from; what lies behind it does not count.
    """

    def __init__(self, lease: RunLease, last_step: int) -> None:
        self._lease = lease
        self._run = lease.run
        self._metrics: dict[int, Metrics] = {}
        self._best: int | None = None
        best = _read_best(self._run)
        if best is not None and best.step <= last_step:
            self._metrics[best.step] = best.metrics
        for stat in list(storage.list_files(layout.evaluations_dir(self._run))):
            step = layout.evaluation_step(stat.path)
            if step is not None and step <= last_step:
                self._read(stat.path, step)

    def _read(self, path: str, step: int) -> None:
        try:
            self._metrics[step] = documents.read(path, EvaluationNote, max_bytes=MAX_BYTES).metrics
        except InputMissingError:
            pass
        except DataError as error:
            _log.warning("ignored: %s", error)

    def add_older(self, manifests: Iterable[Manifest]) -> None:
        """Take the evaluations that manifests held before these had files of their own."""
        for manifest in manifests:
            if manifest.metrics:
                self._metrics.setdefault(manifest.step, manifest.metrics)

    def __contains__(self, step: int) -> bool:
        return step in self._metrics

    @property
    def best_step(self) -> int | None:
        """The step that best.json names."""
        return self._best

    @property
    def best_value(self) -> float:
        """The largest value of `MEASURE` so far; minus infinity without any."""
        return max(map(_measure, self._metrics.values()), default=-math.inf)

    def record(self, evaluation: EvaluationNote) -> None:
        """Write the evaluation of one step.

        Raises:
            LeaseLostError: Somebody else writes into the run; nothing is left there.
        """
        self._lease.check()
        path = layout.evaluation_file(self._run, evaluation.step)
        written = documents.write(path, evaluation)
        self._lease.confirm(lambda: _delete(path, written.generation))
        self._metrics[evaluation.step] = evaluation.metrics

    def move_best(self, committed: Collection[int]) -> None:
        """Let best.json name the best step among those with a checkpoint.

        It is written even if it stays the same when this is called first: a writer from before,
        that knows the file as it was, cannot replace it any more.

        Raises:
            LeaseLostError: Somebody else writes into the run.
        """
        best = best_of(self._metrics, committed)
        if best is None or best == self._best:
            return
        content = Best(step=best, metrics=self._metrics[best])
        path = layout.best_file(self._run)
        while True:
            generation = _generation(path)
            self._lease.check()  # After that: whoever holds it then has replaced the file.
            with contextlib.suppress(PreconditionError):
                documents.write(path, content, if_generation_match=generation)
                break
        self._lease.check()
        self._best = best


def _generation(path: str) -> int:
    try:
        return storage.stat(path).generation or ABSENT
    except NotFoundError:
        return ABSENT


def _delete(path: str, generation: int | None) -> None:
    with contextlib.suppress(PreconditionError):
        storage.delete(path, if_generation_match=generation)
