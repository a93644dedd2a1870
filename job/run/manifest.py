"""What a run's checkpoints are, by their manifests: which steps there are, and of which files."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from job import storage
from job.contract import layout, schema
from job.contract.errors import DataError, InputMissingError
from job.contract.schema import Count, FormatNumber, PlainName, Sha256, Word
from job.run.state import RunState

PREFIX = "model"
"""What the names of a checkpoint's files begin with, before `.index` and `.data-00000-of-00001`."""
STATE_FILE = "checkpoint"
"""TensorFlow's own note of the prefix, for people who load a copied checkpoint by its folder."""

GLOBAL_STEP = "global_step"


FORMAT = 2
"""Of MANIFEST.json. Before it had one, its state was a set of numbers, and it held the metrics."""


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """What a manifest says of a file: its size in bytes and its checksums.

    `crc32c` is by what a file in a bucket is known without reading it.
    """

    bytes: Count
    sha256: Sha256
    crc32c: Word | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What makes a checkpoint complete.

    Attributes:
        step: Steps taken until here.
        files: Its other files, by name.
        dataset: Fingerprint of what it was trained on.
        writer: Number of the lease that it was written under.
        state: What training goes on from beside the variables.
        metrics: Of its evaluation, where that came first, as it did before format 2.
        format: Of this file.
    """

    step: Count
    files: Mapping[PlainName, FileFacts]
    dataset: Word = ""
    writer: Count = 0
    state: RunState = field(default_factory=RunState)
    metrics: Mapping[Word, float] = field(default_factory=dict)
    format: int = FORMAT


@dataclass(frozen=True, kw_only=True)
class _UnnumberedManifest:
    step: Count
    files: Mapping[PlainName, FileFacts]
    dataset: Word = ""
    writer: Count = 0
    metrics: Mapping[Word, float | None] = field(default_factory=dict)
    state: Mapping[Word, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckpointDir:
    """A committed checkpoint: its step, its directory and its manifest.

    `verified` says that its files were compared with the manifest's checksums already.
    """

    step: int
    path: str
    manifest: Manifest
    verified: bool = False


def parse(content: bytes, path: str) -> Manifest:
    """Read the content of a MANIFEST.json, of any format so far, which is from `path`.

    Raises:
        DataError: It is none.
    """
    if schema.read(content, FormatNumber, what=path).format is not None:
        return schema.read(content, Manifest, what=path, formats=(FORMAT,))
    old = schema.read(content, _UnnumberedManifest, what=path)
    return Manifest(
        step=old.step,
        files=old.files,
        dataset=old.dataset,
        writer=old.writer,
        state=RunState.from_numbers(old.state),
        metrics={name: value for name, value in old.metrics.items() if value is not None},
    )


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


def highest_writer(run: str) -> int:
    """Give the highest number of a lease that a checkpoint was written under; 0 without any."""
    numbers = [0]
    for step in committed_steps(run):
        with contextlib.suppress(DataError, InputMissingError):
            numbers.append(read_checkpoint(run, step).manifest.writer)
    return max(numbers)


def read_checkpoint(run: str, step: int) -> CheckpointDir:
    """Read a checkpoint's manifest and compare its files with it, as far as storage tells.

    Of a file in a bucket that is its size and its crc32c, of a local one its size.

    Raises:
        InputMissingError: There is no such checkpoint.
        DataError: The manifest cannot be read, or a file is missing or is another one.
    """
    path = layout.checkpoint_dir(run, step)
    try:
        content = storage.read_bytes(layout.manifest_file(path))
    except InputMissingError as error:
        raise InputMissingError(f"no checkpoint of step {step} in {run}") from error
    manifest = parse(content, layout.manifest_file(path))
    if manifest.step != step:
        raise DataError(f"{layout.manifest_file(path)} speaks of step {manifest.step}")
    stats = {stat.path.split("/")[-1]: stat for stat in storage.list_files(path)}
    for name, expected in manifest.files.items():
        found = stats.get(name)
        if found is None or found.size != expected.bytes:
            is_there = f"{found.size} bytes" if found else "missing"
            raise DataError(
                f"{path}/{name} is {is_there}; its manifest says {expected.bytes} bytes"
            )
        if found.crc32c and (expected.crc32c or found.crc32c) != found.crc32c:
            raise DataError(f"{path}/{name} was altered: its crc32c is {found.crc32c}")
    return CheckpointDir(step, path, manifest)
