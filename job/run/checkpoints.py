"""Checkpoints of a run: which exist, whether they are whole, and reading them.

A checkpoint is `checkpoints/step-00000040/` with TensorFlow's own files under slim's variable
names, and it exists once its MANIFEST.json does. The manifest is written last and holds size and
SHA-256 of every file, so that a torn or altered checkpoint is recognised and skipped.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from job import storage
from job.contract import layout
from job.contract.errors import ConfigError, DataError, InputMissingError

PREFIX = "model"
"""What the names of a checkpoint's files begin with, before `.index` and `.data-00000-of-00001`."""
STATE_FILE = "checkpoint"
"""TensorFlow's own note of the prefix, for people who load a copied checkpoint by its folder."""

CRC32C = "crc32c"
"""What a manifest calls the checksum by which a file in a bucket is known without reading it."""
GLOBAL_STEP = "global_step"
_INDEX = ".index"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Manifest:
    """What makes a checkpoint complete.

    `files` maps a name to its size in bytes, its SHA-256 and, in a bucket, its crc32c; `state`
    holds what the trainer wants back beside variables; `dataset` is the fingerprint of the data it
    was trained on.
    """

    step: int
    files: Mapping[str, Mapping[str, Any]]
    dataset: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    state: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Write the content of MANIFEST.json."""
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True).encode()


@dataclass(frozen=True)
class CheckpointDir:
    """A committed checkpoint: its step, its directory and its manifest."""

    step: int
    path: str
    manifest: Manifest


def committed_steps(run: str) -> list[int]:
    """List the steps with a manifest, newest first."""
    prefix = layout.checkpoints_dir(run)
    steps = set()
    for stat in storage.list_files(prefix):
        *_, folder, name = stat.path.split("/")
        step = layout.checkpoint_step(folder)
        if name == layout.MANIFEST_FILE and step is not None:
            steps.add(step)
    return sorted(steps, reverse=True)


def read_checkpoint(run: str, step: int) -> CheckpointDir:
    """Read a checkpoint's manifest and compare its files with it, as far as storage tells.

    Of a file in a bucket that is its size and its crc32c, of a local one its size.

    Raises:
        InputMissingError: There is no such checkpoint.
        DataError: The manifest cannot be read, or a file is missing or is another one.
    """
    path = layout.checkpoint_dir(run, step)
    try:
        content = json.loads(storage.read_bytes(layout.manifest_file(path)))
        manifest = Manifest(**content)
        expected = {name: int(facts["bytes"]) for name, facts in manifest.files.items()}
    except InputMissingError as error:
        raise InputMissingError(f"no checkpoint of step {step} in {run}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{layout.manifest_file(path)} is damaged: {error}") from error
    if manifest.step != step:
        raise DataError(f"{layout.manifest_file(path)} speaks of step {manifest.step}")
    stats = {stat.path.split("/")[-1]: stat for stat in storage.list_files(path)}
    for name, size in expected.items():
        found = stats.get(name)
        if found is None or found.size != size:
            is_there = f"{found.size} bytes" if found else "missing"
            raise DataError(f"{path}/{name} is {is_there}; its manifest says {size} bytes")
        if found.crc32c and manifest.files[name].get(CRC32C, found.crc32c) != found.crc32c:
            raise DataError(f"{path}/{name} was altered: its crc32c is {found.crc32c}")
    return CheckpointDir(step, path, manifest)


def newest_committed(run: str) -> CheckpointDir | None:
    """Find the newest checkpoint that is whole by its sizes; damaged ones are named and skipped."""
    for step in committed_steps(run):
        try:
            return read_checkpoint(run, step)
        except DataError as error:
            _log.warning("skipping a damaged checkpoint: %s", error)
    return None


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
        best = best_step(run) if which == "best" else None
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


def best_step(run: str) -> int | None:
    """Read which checkpoint evaluated best; None if none was, or it is gone."""
    step = int(_read_best(run).get("step", -1))
    if step < 0 or not storage.exists(layout.manifest_file(layout.checkpoint_dir(run, step))):
        return None
    return step


def best_metric(run: str, name: str) -> float:
    """Read a metric of the best evaluation so far; minus infinity if there was none."""
    return float(_read_best(run).get("metrics", {}).get(name, -math.inf))


def _read_best(run: str) -> dict[str, Any]:
    try:
        content = json.loads(storage.read_bytes(layout.best_file(run)))
        int(content["step"]), dict(content["metrics"])
    except InputMissingError:
        return {}
    except (ValueError, TypeError, KeyError) as error:
        _log.warning("%s is damaged and ignored: %s", layout.best_file(run), error)
        return {}
    return dict(content)


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
            for name in checkpoint.manifest.files:
                storage.download(
                    layout.join(checkpoint.path, name), os.path.join(folder, _plain(name))
                )
        for name, facts in checkpoint.manifest.files.items():
            if sha256_of_file(os.path.join(folder, _plain(name))) != facts["sha256"]:
                raise DataError(f"{checkpoint.path}/{name} was altered: its SHA-256 is wrong")
        yield os.path.join(folder, _prefix(checkpoint))


def _prefix(checkpoint: CheckpointDir) -> str:
    for name in checkpoint.manifest.files:
        if name.endswith(_INDEX):
            return name.removesuffix(_INDEX)
    raise DataError(f"{layout.manifest_file(checkpoint.path)} names no {_INDEX} file")


def _plain(name: str) -> str:
    if name != os.path.basename(name) or name in ("", ".", ".."):
        raise DataError(f"a checkpoint's manifest names {name!r}, which is not a plain file name")
    return name


def load_variables(checkpoint: CheckpointDir, variables: Mapping[str, tf.Variable]) -> None:
    """Assign every variable its value in a checkpoint.

    Raises:
        DataError: The checkpoint is damaged; nothing was assigned.
        ConfigError: Variables are missing or have other shapes; one error names them all, and
            nothing was assigned.
    """
    with local_copy(checkpoint) as prefix:
        reader = tf.train.load_checkpoint(prefix)
        shapes = reader.get_variable_to_shape_map()
        wrong = [
            f"{name} {'is missing' if name not in shapes else f'has shape {shapes[name]}'}"
            f" (expected {variable.shape.as_list()})"
            for name, variable in variables.items()
            if shapes.get(name) != variable.shape.as_list()
        ]
        if wrong:
            raise ConfigError(f"{checkpoint.path} does not fit this network: {'; '.join(wrong)}")
        for name, variable in variables.items():
            variable.assign(reader.get_tensor(name))


def newest_whole(run: str) -> CheckpointDir | None:
    """Find the newest checkpoint whose content is whole by its checksums; None in a new run.

    A truncated or altered one is named in a warning, and the one before it is taken.

    Raises:
        DataError: There are checkpoints, but none is whole.
    """
    steps = committed_steps(run)
    for step in steps:
        try:
            checkpoint = read_checkpoint(run, step)
            if not _compared_by_content(checkpoint):
                with local_copy(checkpoint):
                    pass
        except DataError as error:
            _log.warning("skipping the checkpoint of step %d: %s", step, error)
        else:
            return checkpoint
    if steps:
        raise DataError(
            f"none of the {len(steps)} checkpoints in {layout.checkpoints_dir(run)} is whole; "
            "start again with --overwrite or in another run directory"
        )
    return None


def _compared_by_content(checkpoint: CheckpointDir) -> bool:
    """Whether reading the manifest has compared the files by a checksum that storage keeps."""
    files = checkpoint.manifest.files.values()
    return storage.is_remote(checkpoint.path) and all(CRC32C in facts for facts in files)


def sha256_of_file(path: str) -> str:
    """Hash a local file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
