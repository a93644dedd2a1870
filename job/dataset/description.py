"""What a dataset directory says about itself: dataset.json, written last and checked when read."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from job import storage
from job.contract import layout
from job.contract.errors import DataError, InputMissingError
from job.storage.interface import NotFoundError

FORMAT = 1
SPLITS = ("train", "test")


@dataclass(frozen=True, slots=True)
class Shard:
    """One TFRecord file: its name in the dataset directory, its content and its hash."""

    file: str
    records: int
    bytes: int
    sha256: str


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


def to_json(dataset: Dataset) -> bytes:
    """Write the content of dataset.json; `from_json` reads it back."""
    content = {
        "format": FORMAT,
        "name": dataset.name,
        "classes": list(dataset.classes),
        "splits": {
            name: {"examples": split.examples, "shards": [asdict(shard) for shard in split.shards]}
            for name, split in dataset.splits.items()
        },
        "source": dict(dataset.source),
        "options": dict(dataset.options),
        "rejects": dict(dataset.rejects),
        "leakage": dict(dataset.leakage),
    }
    return (json.dumps(content, indent=1) + "\n").encode()


def from_json(path: str, content: bytes) -> Dataset:
    """Read the content of dataset.json.

    Raises:
        DataError: It is not one, or what it says does not fit together.
    """
    where = layout.dataset_file(path)
    try:
        raw = json.loads(content)
    except ValueError as error:
        raise DataError(f"{where} is not JSON: {error}") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        found = raw.get("format") if isinstance(raw, dict) else None
        raise DataError(f"{where} has format {found!r}, this program reads {FORMAT}")
    try:
        dataset = Dataset(
            path=path,
            name=raw["name"],
            classes=tuple(raw["classes"]),
            splits={name: _split(split) for name, split in raw["splits"].items()},
            **{key: raw.get(key, {}) for key in ("source", "options", "rejects", "leakage")},
        )
        counts = {name: split["examples"] for name, split in raw["splits"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{where} is not a dataset's description: {error!r}") from error
    _check(dataset, counts, where)
    return dataset


def load_dataset(path: str) -> Dataset:
    """Read and check the description of the dataset in a directory.

    Raises:
        InputMissingError: There is no dataset.json; the dataset is not complete.
        DataError: It is there but wrong.
    """
    try:
        content = storage.read_bytes(layout.dataset_file(path))
    except NotFoundError as error:
        next(storage.list_files(path), None)  # A bucket that does not exist says so here.
        raise InputMissingError(
            f"{path} is not a complete dataset: it has no {layout.DATASET_FILE}; make it with "
            f"python -m job.make_tfrecords --source=IMAGES --output={path}"
        ) from error
    return from_json(path, content)


def _split(raw: Mapping[str, Any]) -> Split:
    return Split(tuple(Shard(**shard) for shard in raw["shards"]))


def _check(dataset: Dataset, counts: Mapping[str, int], where: str) -> None:
    classes = dataset.classes
    if not classes or not all(isinstance(name, str) for name in classes):
        raise DataError(f"{where} names no classes")
    if len(set(classes)) != len(classes):
        raise DataError(f"{where} names a class twice")
    if missing := [name for name in SPLITS if name not in dataset.splits]:
        raise DataError(f"{where} has no split {missing[0]!r}")
    for name, split in dataset.splits.items():
        for shard in split.shards:
            _check_shard(shard, where)
        if counts[name] != split.examples:
            raise DataError(
                f"{where} says {counts[name]} examples in split {name!r}, "
                f"its shards say {split.examples}"
            )


def _check_shard(shard: Shard, where: str) -> None:
    numbers = (shard.records, shard.bytes)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise DataError(f"{where}: shard {shard.file!r} has wrong numbers: {numbers}")
    # Names become paths in caches: only a plain name may.
    if not isinstance(shard.file, str) or not shard.file or {"/", "\\", "\0"} & set(shard.file):
        raise DataError(f"{where}: {shard.file!r} is not a file name")
    if shard.file in (".", "..") or not isinstance(shard.sha256, str) or len(shard.sha256) != 64:
        raise DataError(f"{where}: shard {shard.file!r} has a wrong name or hash")
