"""Committing a checkpoint: its files first, its manifest last, and all of it under the lease."""

import contextlib
import dataclasses
import os
import uuid
from collections.abc import Collection, Iterator, Mapping

import tensorflow as tf

from job import storage
from job.contract import layout, schema
from job.contract.errors import DataError, DeniedError, InputMissingError, NoSpaceError
from job.run import checkpoints
from job.run import manifest as manifests
from job.run.lease import RunLease
from job.run.manifest import PREFIX, STATE_FILE, FileFacts, Manifest
from job.storage import atomic_folder
from job.storage.interface import PreconditionError


def commit(
    lease: RunLease,
    manifest: Manifest,
    tensors: Mapping[str, tf.Tensor],
    *,
    damaged: Collection[int] = (),
) -> None:
    """Write a checkpoint, unless an earlier attempt has committed the same step.

    Those are the same bits then, since steps are exact. What stands there and does not count, by
    the lease or because it is damaged, is replaced.

    Args:
        lease: Of the run directory.
        manifest: Without its files.
        tensors: By the names that they have in the checkpoint.
        damaged: Steps whose checkpoint is no good.

    Raises:
        LeaseLostError: Somebody else writes into the run; nothing is left there.
        NoSpaceError, DeniedError: It cannot be written.
    """
    target = layout.checkpoint_dir(lease.run, manifest.step)
    while not _is_there(lease, manifest.step, damaged):
        damaged = ()
        try:
            names = _write(target, manifest, tensors)
        except PreconditionError:
            continue  # By an attempt that lives on; what it writes now may not count.
        lease.confirm(lambda names=names: _withdraw(lease, target, names))  # type: ignore[misc]


def _is_there(lease: RunLease, step: int, damaged: Collection[int]) -> bool:
    """Whether a step is committed; what stands there and does not count is deleted."""
    lease.check()
    target = layout.checkpoint_dir(lease.run, step)
    path = layout.manifest_file(target)
    try:
        writer = _writer_of(storage.read_bytes(path), path)
    except InputMissingError:
        return False
    if step not in damaged and writer is not None and lease.counts(writer, step):
        return True
    atomic_folder.delete_folder(target, layout.MANIFEST_FILE)
    return False


def _withdraw(lease: RunLease, target: str, names: Collection[str]) -> None:
    path = layout.manifest_file(target)
    atomic_folder.withdraw_folder(
        target,
        layout.MANIFEST_FILE,
        names,
        lambda content: _writer_of(content, path) == lease.number,
    )


def _writer_of(content: bytes, path: str) -> int | None:
    """Read which lease a checkpoint was written under; None if its manifest cannot be read."""
    try:
        return manifests.parse(content, path).writer
    except DataError:
        return None


def _write(target: str, manifest: Manifest, tensors: Mapping[str, tf.Tensor]) -> Collection[str]:
    """Write a checkpoint and give the names of its files.

    A bucket has no rename that would keep the files of two attempts apart, so each has its own
    names there, and the manifest says whose files count.

    Raises:
        PreconditionError: Another attempt has committed the same step first.
    """
    remote = storage.is_remote(target)
    prefix = f"{PREFIX}-{uuid.uuid4().hex[:8]}" if remote else PREFIX
    with atomic_folder.staging_folder(target) as folder:
        files = write_tensors(folder, prefix, tensors, crc32c=remote)
        content = schema.write(dataclasses.replace(manifest, files=files))
        try:
            atomic_folder.commit_folder(
                folder,
                target,
                layout.MANIFEST_FILE,
                content,
                {name: facts.crc32c for name, facts in files.items() if facts.crc32c},
            )
        except PreconditionError:
            for name in files if remote else ():
                storage.delete(layout.join(target, name))
            raise
    storage.write_bytes(layout.join(target, STATE_FILE), _state_file(prefix))
    return files


def write_tensors(
    folder: str, prefix: str, tensors: Mapping[str, tf.Tensor], *, crc32c: bool = False
) -> dict[str, FileFacts]:
    """Write tensors in TensorFlow's checkpoint format; give what a manifest says of each file.

    The names in the file are those given, so `tf.train.load_checkpoint(folder/prefix)` reads
    them, and slim's own tools do.

    Args:
        folder: Local folder for the files.
        prefix: What their names begin with.
        tensors: By their names.
        crc32c: Whether to compute that checksum, too.
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
        name: _facts(os.path.join(folder, name), crc32c=crc32c)
        for name in sorted(os.listdir(folder))
    }


def _facts(path: str, *, crc32c: bool) -> FileFacts:
    size = os.path.getsize(path)
    if not crc32c:
        return FileFacts(bytes=size, sha256=checkpoints.sha256_of_file(path))
    # Imported where it is needed: it brings the client of Google Cloud Storage.
    from job.storage import checksum

    crc, sha256 = checksum.of_file_with_sha256(path)
    return FileFacts(bytes=size, sha256=sha256, crc32c=crc)


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
