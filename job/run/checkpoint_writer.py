"""Saving checkpoints while training goes on.

`save` takes a snapshot and returns; a thread writes, hashes and commits it.
The snapshot costs nothing at first: TensorFlow's variables copy on write while somebody else holds
their buffer, so the next step makes the copies, on all cores. The thread yields to those.
"""

import contextlib
import dataclasses
import json
import logging
import os
import sys
import uuid
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import tensorflow as tf

from job import storage
from job.contract import layout
from job.contract.errors import (
    DeniedError,
    InputMissingError,
    JobError,
    LeaseLostError,
    NoSpaceError,
)
from job.run import checkpoints
from job.run.lease import RunLease
from job.run.manifest import CRC32C, GLOBAL_STEP, PREFIX, STATE_FILE, Manifest
from job.storage import atomic_folder
from job.storage.interface import PreconditionError

_LOWER_PRIORITY = 10  # A tenth of the time of a core that somebody else wants too.
_log = logging.getLogger(__name__)


class CheckpointWriter:
    """Writes one run's checkpoints, at most one at a time, and deletes those no longer needed.

    Only the holder of the run's lease does, and it is asked before and after each commit whether
    it still holds it: one that was stopped in between takes back what it has written since.

    A save that fails is reported and training goes on, unless more than `allowed_failures` saves
    in a row failed; then, and at `close`, the error is raised.

    Args:
        lease: Of the run directory.
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
        first_step: int = 0,
        dataset: str = "",
        allowed_failures: int = 2,
    ) -> None:
        self._lease = lease
        self._run = run = lease.run
        self._keep = keep
        self._dataset = dataset
        self._allowed_failures = allowed_failures
        self._failures = 0
        self._pending: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, "checkpoint", initializer=_yield_to_training)
        # Retention deletes what this process wrote or found at its start, nothing else.
        committed = checkpoints.committed_steps(run)
        self._own = {step for step in committed if step <= first_step}
        # Newer than what training goes on from: they were found damaged, and get replaced.
        self._damaged = {step for step in committed if step > first_step}
        atomic_folder.delete_stale_staging(layout.checkpoints_dir(run))

    @property
    def busy(self) -> bool:
        """Whether a save is still being written."""
        return self._pending is not None and not self._pending.done()

    def save(
        self,
        step: int,
        variables: Mapping[str, tf.Variable],
        *,
        state: Mapping[str, float] | None = None,
        metrics: Mapping[str, float] | None = None,
        best: bool = False,
    ) -> None:
        """Take a snapshot now and commit it in the background.

        Waits first for the save before, if that is still being written. The best checkpoint is
        kept whatever its age, until a better one is committed.
        """
        self.wait()
        with tf.device("CPU:0"):
            tensors = {name: tf.identity(variable) for name, variable in variables.items()}
        tensors[GLOBAL_STEP] = tf.constant(step, tf.int64)
        manifest = Manifest(
            step,
            {},
            self._dataset,
            dict(metrics or {}),
            dict(state or {}),
            writer=self._lease.number,
        )
        self._pending = self._thread.submit(self._write, manifest, tensors, best)

    def wait(self) -> None:
        """Wait for the save under way; a failure is reported, repeated failure raised."""
        if self._pending is None:
            return
        pending, self._pending = self._pending, None
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

    def close(self) -> None:
        """Wait for the last save; its failure is raised."""
        self._allowed_failures = 0
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def _write(self, manifest: Manifest, tensors: Mapping[str, tf.Tensor], best: bool) -> None:
        step = manifest.step
        target = layout.checkpoint_dir(self._run, step)
        # An earlier attempt may have committed this step: the same bits, since steps are exact.
        while not self._is_there(step, target):
            try:
                names = _commit(target, manifest, tensors)
            except PreconditionError:
                continue  # By an attempt that lives on; what it writes now may not count.
            self._withdraw_if_lost(target, names)
        self._own.add(step)
        if best:
            content = json.dumps({"step": step, "metrics": manifest.metrics}, indent=1)
            storage.write_bytes(layout.best_file(self._run), content.encode())
        self._delete_old()

    def _is_there(self, step: int, target: str) -> bool:
        """Whether a step is committed; what stands there and does not count is deleted."""
        self._lease.check()
        try:
            content = storage.read_bytes(layout.manifest_file(target))
        except InputMissingError:
            return False
        writer = _writer_of(content)
        if step not in self._damaged and writer is not None and self._lease.counts(writer, step):
            return True
        atomic_folder.delete_folder(target, layout.MANIFEST_FILE)
        self._damaged.discard(step)
        return False

    def _withdraw_if_lost(self, target: str, names: Collection[str]) -> None:
        """Take a checkpoint back that was committed when the lease was lost already."""
        try:
            self._lease.check()
        except LeaseLostError:
            atomic_folder.withdraw_folder(
                target,
                layout.MANIFEST_FILE,
                names,
                lambda content: _writer_of(content) == self._lease.number,
            )
            raise

    def _delete_old(self) -> None:
        best = checkpoints.best_step(self._run)
        newest = sorted(self._own, reverse=True)
        for step in newest[self._keep :]:
            if step != best:
                self._lease.check()
                atomic_folder.delete_folder(
                    layout.checkpoint_dir(self._run, step), layout.MANIFEST_FILE
                )
                self._own.discard(step)


def _writer_of(manifest: bytes) -> int | None:
    """Read which lease a checkpoint was written under; None if the manifest cannot be read."""
    try:
        return int(json.loads(manifest).get("writer", 0))
    except (ValueError, TypeError, AttributeError):
        return None


def _yield_to_training() -> None:
    """Lower the priority of this thread, and so of those that it starts to send files.

    Nothing waits for a checkpoint but the next one. Once training has ended the cores are free.
    """
    if sys.platform == "linux":  # Here nice values belong to threads, elsewhere to processes.
        with contextlib.suppress(OSError):
            os.nice(_LOWER_PRIORITY)


def _commit(target: str, manifest: Manifest, tensors: Mapping[str, tf.Tensor]) -> Collection[str]:
    """Write a checkpoint and give the names of its files.

    A bucket has no rename that would keep the files of two attempts apart, so each has its own
    names there, and the manifest says whose files count.

    Raises:
        PreconditionError: Another attempt has committed the same step first.
    """
    remote = storage.is_remote(target)
    prefix = f"{PREFIX}-{uuid.uuid4().hex[:8]}" if remote else PREFIX
    with atomic_folder.staging_folder(target) as folder:
        files = write_tensors(folder, prefix, tensors)
        if remote:
            # Imported where it is needed: it brings the client of Google Cloud Storage.
            from job.storage import checksum

            for name, facts in files.items():
                facts[CRC32C] = checksum.of_file(os.path.join(folder, name))
        content = dataclasses.replace(manifest, files=files).to_json()
        try:
            atomic_folder.commit_folder(folder, target, layout.MANIFEST_FILE, content)
        except PreconditionError:
            for name in files if remote else ():
                storage.delete(layout.join(target, name))
            raise
    storage.write_bytes(layout.join(target, STATE_FILE), _state_file(prefix))
    return files


def write_tensors(
    folder: str, prefix: str, tensors: Mapping[str, tf.Tensor]
) -> dict[str, dict[str, int | str]]:
    """Write tensors in TensorFlow's checkpoint format; give each file's size and SHA-256.

    The names in the file are those given, so `tf.train.load_checkpoint(folder/prefix)` reads
    them, and slim's own tools do.
    """
    names = sorted(tensors)
    with tf.device("CPU:0"), _disk_errors(folder):
        tf.raw_ops.SaveV2(
            prefix=tf.constant(os.path.join(folder, prefix)),
            tensor_names=tf.constant(names),
            shape_and_slices=tf.constant([""] * len(names)),
            tensors=[tensors[name] for name in names],
        )
    return {
        name: {
            "bytes": os.path.getsize(os.path.join(folder, name)),
            "sha256": checkpoints.sha256_of_file(os.path.join(folder, name)),
        }
        for name in sorted(os.listdir(folder))
    }


def _state_file(prefix: str) -> bytes:
    """Write what lets TensorFlow find the checkpoint by its folder; nothing here reads it."""
    return f'model_checkpoint_path: "{prefix}"\nall_model_checkpoint_paths: "{prefix}"\n'.encode()


@contextlib.contextmanager
def _disk_errors(folder: str) -> Iterator[None]:
    """Turn what TensorFlow says of a disk into errors that a user can act on."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise NoSpaceError(
            f"no space left for a checkpoint in {folder}; free some, or lower --keep"
        ) from error
    except tf.errors.PermissionDeniedError as error:
        raise DeniedError(f"not allowed to write a checkpoint into {folder}") from error
