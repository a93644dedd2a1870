"""What a dataset directory says about itself: dataset.json, written last and checked when read."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from msgspec import Meta

from job import storage
from job.contract import layout, schema
from job.contract.errors import DataError, InputMissingError
from job.contract.schema import Count, Open, PlainName, Sha256, Word
from job.storage.interface import NotFoundError

FORMAT = 1
SPLITS = ("train", "test")


@dataclass(frozen=True, slots=True)
class Shard:
    """One TFRecord file: its name in the dataset directory, its content and its hash."""

    file: PlainName
    records: Count
    bytes: Count
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class Split:
    """The shards of `train` or `test`, in their order."""

    shards: tuple[Shard, ...] = ()

    @property
    def examples(self) -> int:
        """Number of examples in all shards."""
        return sum(shard.records for shard in self.shards)

    @property
    def bytes(self) -> int:
        """Size of all shards together."""
        return sum(shard.bytes for shard in self.shards)

    @property
    def shard_sizes(self) -> list[int]:
        """Number of examples of each shard."""
        return [shard.records for shard in self.shards]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A complete dataset.

    `path` is its directory, local or gs://. `classes` are in the order of the labels. `source`,
    `options`, `rejects` and `leakage` are what `job.make_tfrecords` noted when it was made.
    """

    path: str
    name: str
    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    source: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    rejects: Mapping[str, Any] = field(default_factory=dict)
    leakage: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Hash of the classes and of all shards' content: the same wherever the dataset lies."""
        hashes = {name: [s.sha256 for s in split.shards] for name, split in self.splits.items()}
        return hashlib.sha256(json.dumps([self.classes, hashes]).encode()).hexdigest()

    @property
    def identity(self) -> str:
        """Tell in a line which dataset it is, the same wherever it lies."""
        counts = ", ".join(f"{split.examples:,} {name}" for name, split in self.splits.items())
        return (
            f"{self.name}, {len(self.classes)} classes, {counts} images, "
            f"content {self.fingerprint[:16]}"
        )

    def split(self, name: str) -> Split:
        """Return a split that has examples.

        Raises:
            DataError: There is none of that name, or it is empty.
        """
        found = self.splits.get(name)
        if found is None or not found.examples:
            filled = [known for known, split in self.splits.items() if split.examples]
            raise DataError(
                f"{layout.dataset_file(self.path)} has no examples in split {name!r}; "
                f"it has some in: {', '.join(filled) or 'none'}"
            )
        return found

    def shard_path(self, shard: Shard) -> str:
        """Locate a shard's file."""
        return storage.join(self.path, shard.file)


@dataclass(frozen=True, kw_only=True)
class _StoredSplit:
    """A split as dataset.json has it: its examples are also counted for people to read."""

    examples: Count
    shards: tuple[Shard, ...]

    def __post_init__(self) -> None:
        found = sum(shard.records for shard in self.shards)
        if found != self.examples:
            raise ValueError(f"says {self.examples} examples, its shards say {found}")


@dataclass(frozen=True, kw_only=True)
class _StoredDataset:
    """The content of dataset.json."""

    format: int = FORMAT
    name: Word
    classes: Annotated[tuple[Word, ...], Meta(min_length=1)]
    splits: Mapping[PlainName, _StoredSplit]
    source: Open = field(default_factory=dict)
    options: Open = field(default_factory=dict)
    rejects: Open = field(default_factory=dict)
    leakage: Open = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("names a class twice")
        if missing := [name for name in SPLITS if name not in self.splits]:
            raise ValueError(f"has no split {missing[0]!r}")


def to_json(dataset: Dataset) -> bytes:
    """Write the content of dataset.json; `from_json` reads it back."""
    return schema.write(
        _StoredDataset(
            name=dataset.name,
            classes=dataset.classes,
            splits={
                name: _StoredSplit(examples=split.examples, shards=split.shards)
                for name, split in dataset.splits.items()
            },
            source=dataset.source,
            options=dataset.options,
            rejects=dataset.rejects,
            leakage=dataset.leakage,
        )
    )


def from_json(path: str, content: bytes) -> Dataset:
    """Read the content of dataset.json.

    Raises:
        DataError: It is not one, or what it says does not fit together.
    """
    stored = schema.read(content, _StoredDataset, what=layout.dataset_file(path), formats=(FORMAT,))
    return Dataset(
        path=path,
        name=stored.name,
        classes=stored.classes,
        splits={name: Split(split.shards) for name, split in stored.splits.items()},
        source=stored.source,
        options=stored.options,
        rejects=stored.rejects,
        leakage=stored.leakage,
    )


def load_dataset(path: str) -> Dataset:
    """Read and check the description of the dataset in a directory.

    Raises:
        InputMissingError: There is no dataset.json; the dataset is not complete.
        DataError: It is there but wrong.
    """
    try:
        content = storage.read_bytes(layout.dataset_file(path), 0, schema.MAX_BYTES + 1)
    except NotFoundError as error:
        next(storage.list_files(path), None)  # A bucket that does not exist says so here.
        raise InputMissingError(
            f"{path} is not a complete dataset: it has no {layout.DATASET_FILE}; make it with "
            f"python -m job.make_tfrecords --source=IMAGES --output={path}"
        ) from error
    return from_json(path, content)
