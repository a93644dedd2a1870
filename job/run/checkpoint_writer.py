"""Saving checkpoints, and recording their evaluations, while training goes on.

`save` takes a snapshot and returns; a thread writes, hashes and commits it.
The snapshot costs nothing at first: TensorFlow's variables copy on write while somebody else holds
their buffer, so the next step makes the copies, on all cores. The thread yields to those.
"""

import contextlib
import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import tensorflow as tf

from job.contract import layout
from job.contract.errors import DeniedError, JobError, LeaseLostError, NoSpaceError
from job.contract.evaluation_file import EvaluationNote
from job.run.commit import commit
from job.run.evaluations import EvaluationRecords
from job.run.lease import RunLease
from job.run.manifest import GLOBAL_STEP, Manifest, committed_steps
from job.run.state import RunState
from job.storage import atomic_folder

_LOWER_PRIORITY = 10  # A tenth of the time of a core that somebody else wants too.
_MOST_SAVES = 2  # The memory of two snapshots.
_log = logging.getLogger(__name__)


class CheckpointWriter:
    """Writes one run's checkpoints and evaluations in order, and deletes what is no longer needed.

    Only the holder of the run's lease does, and it is asked before and after each commit whether
    it still holds it: one that was stopped in between takes back what it has written since.

    What fails is reported and training goes on, unless more than `allowed_failures` saves in a row
    failed; then, and at `close`, the error is raised.

    Args:
        lease: Of the run directory.
        records: Of its evaluations; made anew if not given.
        keep: Newest checkpoints to keep, beside the best one.
        first_step: The step that training goes on from.
        dataset: Fingerprint of the training data, noted in each manifest.
        allowed_failures: Saves in a row whose failure is only reported.
    """

    def __init__(
        self,
        lease: RunLease,
        *,
        keep: int,
        records: EvaluationRecords | None = None,
        first_step: int = 0,
        dataset: str = "",
        allowed_failures: int = 2,
    ) -> None:
        self._lease = lease
        self._records = records or EvaluationRecords(lease, first_step)
        self._keep = keep
        self._dataset = dataset
        self._allowed_failures = allowed_failures
        self._failures = 0
        self._pending: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(1, "checkpoint", initializer=_yield_to_training)
        committed = committed_steps(lease.run)
        # Retention deletes what this process wrote or found at its start, nothing else.
        self._own = {step for step in committed if step <= first_step}
        # Newer than what training goes on from: they were found damaged, and get replaced.
        self._damaged = {step for step in committed if step > first_step}
        # What an attempt may have left undone; and until then nobody knows what must be kept.
        self._submit(lambda: self._records.move_best(self._own))

    @property
    def busy(self) -> bool:
        """Whether a save is still being written."""
        return any(not pending.done() for pending in self._pending)

    @property
    def has_committed(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return bool(self._own)

    def save(
        self, step: int, variables: Mapping[str, tf.Variable], *, state: RunState | None = None
    ) -> None:
        """Take a snapshot now and commit it in the background.

        Waits first if the saves before are still being written, all but the last of them. The best
        checkpoint is kept whatever its age, until a better one is committed.
        """
        self._settle(most=_MOST_SAVES - 1)
        with tf.device("CPU:0"):
            tensors = {name: tf.identity(variable) for name, variable in variables.items()}
        tensors[GLOBAL_STEP] = tf.constant(step, tf.int64)
        manifest = Manifest(
            step=step,
            files={},
            dataset=self._dataset,
            writer=self._lease.number,
            state=state or RunState(),
        )
        self._submit(lambda: self._write(manifest, tensors))

    def record(self, evaluation: EvaluationNote) -> None:
        """Record the evaluation of a step, in the background, once that step is committed."""
        self._submit(lambda: self._record(evaluation))

    def wait(self) -> None:
        """Wait for everything under way; a failure is reported, repeated failure raised."""
        self._settle(most=0)

    def close(self) -> None:
        """Wait for everything under way; its failure is raised."""
        self._allowed_failures = 0
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def _submit(self, work: Callable[[], None]) -> None:
        self._pending.append(self._thread.submit(work))

    def _settle(self, most: int) -> None:
        """Learn how what is done has ended, and wait until at most so much is left."""
        while self._pending and (len(self._pending) > most or self._pending[0].done()):
            pending = self._pending.popleft()
            try:
                pending.result()
                self._failures = 0
            except (NoSpaceError, DeniedError, LeaseLostError):
                raise  # None of them mends itself, and training on would only lose more work.
            except JobError as error:
                self._failures += 1
                if self._failures > self._allowed_failures:
                    raise
                _log.warning("a checkpoint could not be saved, training goes on: %s", error)

    def _write(self, manifest: Manifest, tensors: Mapping[str, tf.Tensor]) -> None:
        commit(self._lease, manifest, tensors, damaged=self._damaged)
        self._damaged.discard(manifest.step)
        self._own.add(manifest.step)
        self._delete_old()

    def _record(self, evaluation: EvaluationNote) -> None:
        self._records.record(evaluation)
        self._records.move_best(self._own)
        self._delete_old()

    def _delete_old(self) -> None:
        newest = sorted(self._own, reverse=True)
        for step in newest[self._keep :]:
            if step != self._records.best_step:
                self._lease.check()
                folder = layout.checkpoint_dir(self._lease.run, step)
                atomic_folder.delete_folder(folder, layout.MANIFEST_FILE)
                self._own.discard(step)


def _yield_to_training() -> None:
    """Lower the priority of this thread, and so of those that it starts to send files.

    Nothing waits for a checkpoint but the next one. Once training has ended the cores are free.
    """
    if sys.platform == "linux":  # Here nice values belong to threads, elsewhere to processes.
        with contextlib.suppress(OSError):
            os.nice(_LOWER_PRIORITY)
