"""Checkpoints of a run: which exist, whether they are whole, and reading them.

A checkpoint is `checkpoints/step-00000040/` with TensorFlow's own files under slim's variable
names, and it exists once its MANIFEST.json does. The manifest is written last and holds size and
SHA-256 of every file, so that a torn or altered checkpoint is recognised and skipped.
"""

import contextlib
import dataclasses
import hashlib
import logging
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping

import tensorflow as tf

from job import storage
from job.contract import layout
from job.contract.errors import ConfigError, DataError, InputMissingError
from job.run import evaluations, lease_file
from job.run.manifest import CheckpointDir as CheckpointDir
from job.run.manifest import FileFacts
from job.run.manifest import committed_steps as committed_steps
from job.run.manifest import read_checkpoint as read_checkpoint

_INDEX = ".index"
_log = logging.getLogger(__name__)


def newest_committed(run: str) -> CheckpointDir | None:
    """Find the newest checkpoint that is whole by its sizes; damaged ones are named and skipped."""
    for step, checkpoint in _newest_first(run):
        if isinstance(checkpoint, CheckpointDir):
            return checkpoint
        _log.warning("skipping the checkpoint of step %d: %s", step, checkpoint)
    return None


def _newest_first(run: str) -> Iterator[tuple[int, CheckpointDir | DataError]]:
    """Yield the checkpoints that count, or what is wrong with them."""
    steps = committed_steps(run)
    lease = lease_file.read(run) if steps else None
    for step in steps:
        try:
            checkpoint = read_checkpoint(run, step)
        except DataError as error:
            yield step, error
        except InputMissingError:
            continue  # Deleted meanwhile.
        else:
            if lease is None or lease.counts(checkpoint.manifest.writer, step):
                yield step, checkpoint


def find_checkpoint(run: str, which: str) -> CheckpointDir:
    """Find the checkpoint a user means.

    Args:
        run: The run directory.
        which: "latest", "best" (the latest, if none was evaluated yet) or a step.

    Raises:
        ConfigError: `which` is something else.
        InputMissingError: The run has no such checkpoint; the message lists those it has.
    """
    if which in ("best", "latest"):
        best = evaluations.best_step(run) if which == "best" else None
        found = read_checkpoint(run, best) if best is not None else newest_committed(run)
        if found is None:
            raise InputMissingError(f"no checkpoint in {layout.checkpoints_dir(run)}")
        return found
    if not which.isdecimal():
        raise ConfigError(f"checkpoint must be best, latest or a step, not {which!r}")
    steps = committed_steps(run)
    if int(which) not in steps:
        have = ", ".join(map(str, sorted(steps))) or "none"
        raise InputMissingError(f"no checkpoint of step {which} in {run}; it has: {have}")
    return read_checkpoint(run, int(which))


@contextlib.contextmanager
def local_copy(checkpoint: CheckpointDir) -> Iterator[str]:
    """Give the prefix of a local copy that is whole by its checksums.

    Raises:
        DataError: A file's content is not what the manifest says.
    """
    with contextlib.ExitStack() as stack:
        folder = checkpoint.path
        if storage.is_remote(folder):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="checkpoint-"))
        for name, facts in checkpoint.manifest.files.items():
            local, remote = os.path.join(folder, _plain(name)), layout.join(checkpoint.path, name)
            if storage.is_remote(remote):
                _fetch(remote, local, facts)
            elif not checkpoint.verified:
                _verify(remote, local, facts)
        yield os.path.join(folder, _prefix(checkpoint))


def _fetch(remote: str, local: str, facts: FileFacts) -> None:
    """Download one file of a checkpoint; what arrives is hashed once."""
    crc32c = storage.download(remote, local).crc32c
    if facts.crc32c is None or crc32c is None:
        _verify(remote, local, facts)
    elif crc32c != facts.crc32c:
        raise DataError(f"{remote} was altered: its crc32c is {crc32c}")


def _verify(shown: str, local: str, facts: FileFacts) -> None:
    if sha256_of_file(local) != facts.sha256:
        raise DataError(f"{shown} was altered: its SHA-256 is wrong")


def _prefix(checkpoint: CheckpointDir) -> str:
    for name in checkpoint.manifest.files:
        if name.endswith(_INDEX):
            return name.removesuffix(_INDEX)
    raise DataError(f"{layout.manifest_file(checkpoint.path)} names no {_INDEX} file")


def _plain(name: str) -> str:
    if name != os.path.basename(name) or name in ("", ".", ".."):
        raise DataError(f"a checkpoint's manifest names {name!r}, which is not a plain file name")
    return name


def load_variables(
    checkpoint: CheckpointDir,
    variables: Mapping[str, tf.Variable],
    *,
    optional: Collection[str] = (),
) -> list[str]:
    """Assign every variable its value in a checkpoint.

    Args:
        checkpoint: Holds the values.
        variables: By the names that they have there.
        optional: Names of those that may be missing there; they stay as they are.

    Returns:
        The names that were missing.

    Raises:
        DataError: The checkpoint is damaged; nothing was assigned.
        ConfigError: Variables are missing or have other shapes; one error names them all, and
            nothing was assigned.
    """
    with local_copy(checkpoint) as prefix:
        reader = tf.train.load_checkpoint(prefix)
        shapes = reader.get_variable_to_shape_map()
        missing = [name for name in variables if name in optional and name not in shapes]
        wrong = [
            f"{name} {'is missing' if name not in shapes else f'has shape {shapes[name]}'}"
            f" (expected {variable.shape.as_list()})"
            for name, variable in variables.items()
            if name not in missing and shapes.get(name) != variable.shape.as_list()
        ]
        if wrong:
            raise ConfigError(f"{checkpoint.path} does not fit this network: {'; '.join(wrong)}")
        for name, variable in variables.items():
            if name not in missing:
                variable.assign(reader.get_tensor(name))
    return missing


def newest_whole(run: str) -> CheckpointDir | None:
    """Find the newest checkpoint whose content is whole by its checksums; None in a new run.

    A truncated or altered one is named in a warning, and the one before it is taken. What was
    written behind a fence of the lease does not count.

    Raises:
        DataError: There are checkpoints, but none is whole.
    """
    damaged = []
    for step, checkpoint in _newest_first(run):
        try:
            if isinstance(checkpoint, DataError):
                raise checkpoint
            if not _compared_by_content(checkpoint):
                with local_copy(checkpoint):
                    pass
        except DataError as error:
            _log.warning("skipping the checkpoint of step %d: %s", step, error)
            damaged.append(step)
        else:
            return dataclasses.replace(checkpoint, verified=True)
    if damaged:
        raise DataError(
            f"none of the {len(damaged)} checkpoints in {layout.checkpoints_dir(run)} is whole; "
            "start again with --overwrite or in another run directory"
        )
    return None


def _compared_by_content(checkpoint: CheckpointDir) -> bool:
    """Whether reading the manifest has compared the files by a checksum that storage keeps."""
    files = checkpoint.manifest.files.values()
    return storage.is_remote(checkpoint.path) and all(facts.crc32c for facts in files)


def sha256_of_file(path: str) -> str:
    """Hash a local file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
