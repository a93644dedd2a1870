"""What a dataset's description says that sizes a job: how many images, how many bytes."""

import dataclasses
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from job.contract import layout, schema
from job.contract.errors import (
    ConfigError,
    DataError,
    InputMissingError,
    JobError,
    StorageUnreachableError,
)
from launcher.errors import UsageError

REMOTE = "gs://"
_PATIENCE_S = 5.0


@dataclass(frozen=True)
class DatasetFacts:
    """The size of a dataset; `source` says how it is known."""

    train_examples: int
    classes: int
    shard_bytes: int
    source: str
    known: bool = True
    missing: bool = False
    """Whether it is certain that there is no dataset."""


FOOD101 = DatasetFacts(75_750, 101, 5_500_000_000, "assumed to be Food-101", known=False)
"""Food-101 with its photographs as they were published; smaller where they were shrunk."""


def read(data: str) -> DatasetFacts:
    """Read dataset.json, or assume Food-101 and say why.

    Storage that does not answer within 5 s counts as unreadable: a laptop may well have no
    access to the bucket that the job will read.

    Raises:
        ConfigError: The path cannot be one.
        UsageError: There is a dataset.json that describes no dataset.
    """
    path = layout.dataset_file(data)
    found: list[Any] = []
    reader = threading.Thread(target=_try_to_read, args=(path, found), daemon=True)
    reader.start()
    reader.join(_PATIENCE_S)
    content = found[0] if found else StorageUnreachableError("no answer in time")
    if isinstance(content, ConfigError):
        raise content
    if isinstance(content, DataError):
        raise UsageError(str(content)) from content
    if isinstance(content, Exception):
        missing = isinstance(content, InputMissingError | FileNotFoundError)
        why = f"{FOOD101.source}: {_why(content, path)}"
        return dataclasses.replace(FOOD101, source=why, missing=missing)
    return _facts(content, path)


def _try_to_read(path: str, found: list[Any]) -> None:
    """Put the parsed file, or the error that kept it from being read, into `found`."""
    try:
        if path.startswith(REMOTE):
            from job import storage
            from launcher.observe import quick_storage

            quick_storage.be_brief()
            text = storage.read_bytes(path)
        else:
            with open(path, "rb") as file:
                text = file.read()
        found.append(schema.read(text, _Description, what=path))
    except (JobError, OSError, ImportError) as error:
        found.append(error)


def _why(error: Exception, path: str) -> str:
    if isinstance(error, InputMissingError | FileNotFoundError):
        return f"there is no {path}"
    if isinstance(error, StorageUnreachableError):
        return "storage does not answer from here"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"{path} cannot be read here ({text})"


@dataclass(frozen=True, kw_only=True)
class _Shard:
    bytes: schema.Count


@dataclass(frozen=True, kw_only=True)
class _Split:
    examples: schema.Count
    shards: tuple[_Shard, ...]


@dataclass(frozen=True, kw_only=True)
class _Description:
    """What of dataset.json sizes a job."""

    classes: tuple[str, ...]
    splits: Mapping[str, _Split]


def _facts(content: _Description, path: str) -> DatasetFacts:
    if "train" not in content.splits:
        raise UsageError(f"{path} is not a dataset's description: it has no split 'train'")
    return DatasetFacts(
        train_examples=content.splits["train"].examples,
        classes=len(content.classes),
        shard_bytes=sum(shard.bytes for split in content.splits.values() for shard in split.shards),
        source="from dataset.json",
    )
