"""What a run's checkpoints are, by their manifests: which steps there are, and of which files."""

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from job import storage
from job.contract import layout
from job.contract.errors import DataError, InputMissingError

PREFIX = "model"
"""What the names of a checkpoint's files begin with, before `.index` and `.data-00000-of-00001`."""
STATE_FILE = "checkpoint"
"""TensorFlow's own note of the prefix, for people who load a copied checkpoint by its folder."""

CRC32C = "crc32c"
"""What a manifest calls the checksum by which a file in a bucket is known without reading it."""
GLOBAL_STEP = "global_step"


@dataclass(frozen=True)
class Manifest:
    """What makes a checkpoint complete.

    `files` maps a name to its size in bytes, its SHA-256 and, in a bucket, its crc32c; `state`
    holds what the trainer wants back beside variables; `dataset` is the fingerprint of the data it
    was trained on; `writer` is the number of the lease that it was written under.
    """

    step: int
    files: Mapping[str, Mapping[str, Any]]
    dataset: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    state: Mapping[str, float] = field(default_factory=dict)
    writer: int = 0

    def to_json(self) -> bytes:
        """Write the content of MANIFEST.json."""
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True).encode()


@dataclass(frozen=True)
class CheckpointDir:
    """A committed checkpoint: its step, its directory and its manifest.

    `verified` says that its files were compared with the manifest's checksums already.
    """

    step: int
    path: str
    manifest: Manifest
    verified: bool = False


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
