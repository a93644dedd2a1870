"""A source whose images lie with their labels in files of many: Parquet, WebDataset, TFDS.

What differs between them is how such a file is read (`ShardFormat`); what an entry becomes, and
what the files' names say of splits, is the same for all.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from job.contract.errors import DataError
from job.contract.wording import many, shown_name
from job.images.lists import split_named
from job.making.catalogue import ImageCatalogue, PlannedImage, Reject, SourceImage
from job.making.containers import Progress
from job.making.listed import Listed, SourceOptions
from job.making.placement import split_of

_FIRST_WORD = re.compile(r"[A-Za-z]+")
_OF_SEVERAL = re.compile(r"(.*?)-?([0-9]{1,9})-of-([0-9]{1,9})")
_NAMED = 3


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A file of many images: its name within the source, its path, its size, its split if any."""

    name: str
    path: str
    size: int
    split: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One labelled image of a shard, as the first pass finds it.

    Attributes:
        ordinal: Its place among all entries of the source; `Content` has the same.
        name: What names it within the source.
        filename: What its file was called, for people; may be the name.
        label: Its class.
        split: train or test, if it says so itself.
        size: Bytes of the image, maybe only about.
        fault: Why it cannot be used; empty if it can.
    """

    ordinal: int
    name: str
    filename: str
    label: str
    split: str | None
    size: int
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Companion:
    """A member of a shard that is no image of the dataset, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Content:
    """An entry in the second pass; `read(limit)` gives its first bytes until the next is due."""

    ordinal: int
    name: str
    read: Callable[[int], bytes]


class ShardFormat(Protocol):
    """How the entries of shards of one kind are read."""

    kind: str
    """What people call it."""

    def entries(self, progress: Progress) -> Iterator[Entry | Companion]:
        """Yield all entries without their images; DataError for what cannot be read."""
        ...

    def contents(self) -> Iterator[Content]:
        """Yield all entries once more, now with their images."""
        ...

    def remark(self, classes: Sequence[str]) -> str:
        """Say what else is to be known of the classes, beginning with "; "; mostly empty."""
        ...


class ShardSource:
    """Shards of one format.

    Args:
        shards: In the order of their names.
        others: Names of files beside them, which are passed over.
        form: Reads them.
        path: What --source named, for messages.
        options: How it is read.
    """

    streamed = True

    def __init__(
        self,
        shards: Sequence[ShardFile],
        others: Iterable[str],
        form: ShardFormat,
        path: str,
        options: SourceOptions,
    ) -> None:
        self._others = others
        self._form = form
        self._path = path
        self._options = options
        self._has_splits = any(shard.split for shard in shards)
        self._missing = _missing(shard.name for shard in shards)
        self.size_bytes = sum(shard.size for shard in shards)

    def list_into(self, catalogue: ImageCatalogue, progress: Progress = lambda _: None) -> Listed:
        """Fill the catalogue in one pass; see `Source`."""
        for name in self._others:
            catalogue.saw(name)
            catalogue.pass_over(shown_name(name), "no image")
        for entry in self._form.entries(progress):
            if isinstance(entry, Companion):
                catalogue.saw(shown_name(entry.name))
                catalogue.pass_over(shown_name(entry.name), entry.why)
                continue
            catalogue.saw(shown_name(entry.filename))
            if entry.fault:
                name, filename = shown_name(entry.name), shown_name(entry.filename)
                catalogue.reject(Reject(name, filename, entry.fault))
            else:
                catalogue.add(self._image(entry))
        if not catalogue.considered:
            raise DataError(f"{self._path} holds no rows")
        classes = catalogue.class_names()
        remark = self._form.remark(classes)
        how = ", split by the files' names" if self._has_splits else ""
        counted = many(len(classes), "class", "classes")
        return Listed(
            self._form.kind, classes, f"{counted} in {self._form.kind}{how}{remark}{self._missing}"
        )

    def read_images(
        self, wanted: Iterator[PlannedImage], max_bytes: int
    ) -> Iterator[tuple[PlannedImage, bytes]]:
        """Read images in a second pass; see `Source`."""
        image = next(wanted, None)
        if image is None:
            return
        for content in self._form.contents():
            if content.ordinal == image.ordinal:
                if content.name != image.location:
                    break
                yield image, content.read(max_bytes)
                image = next(wanted, None)
                if image is None:
                    return
        raise DataError(f"{self._path} has changed while it was read; start again")

    def _image(self, entry: Entry) -> SourceImage:
        return SourceImage(
            source_id=entry.name,
            filename=entry.filename,
            location=entry.name,
            class_text=entry.label,
            split=entry.split
            or split_of(entry.name, self._options.seed, self._options.test_fraction),
            bytes=entry.size,
            ordinal=entry.ordinal,
        )


def shard_files(source: str, paths: Iterable[tuple[str, int]]) -> list[ShardFile]:
    """Tell the splits of shards from their names, as `train-00000-of-00002` or `test/0.parquet`.

    Args:
        source: What --source named, for messages.
        paths: Path and size of each.

    Raises:
        DataError: Some names tell a split and others do not, or shards lie in several folders, as
            the configurations of one dataset do, which may hold the same images.
    """
    shards = []
    folders = set()
    for path, size in paths:
        name = path[len(source) :].lstrip("/") or path.rpartition("/")[2]
        *above, base = name.split("/")
        split = _split_of_file(base)
        if above and (of_folder := split_named(above[-1])):
            split = of_folder
            above.pop()
        folders.add("/".join(above))
        shards.append(ShardFile(name, path, size, split))
    without = [shard.name for shard in shards if not shard.split]
    if without and len(without) < len(shards):
        raise DataError(
            f"{source}: the names of {_listed(without)} tell no split, but those of others do; "
            "call them train-* or test-*, or move them away"
        )
    if len(folders) > 1:
        raise DataError(
            f"{source}: there are shards in {_listed(sorted(one + '/' for one in folders))}, which "
            "may hold the same images; give --source one of these folders"
        )
    return shards


def _missing(names: Iterable[str]) -> str:
    """Say how many shards are not there, by names as `train-00000-of-00002`."""
    there: dict[tuple[str, int], set[int]] = {}
    for name in names:
        if match := _OF_SEVERAL.match(name):
            there.setdefault((match[1], int(match[3])), set()).add(int(match[2]))
    return "".join(
        f"; {total - len(found):,} of {total:,} shards of {shown_name(prefix)} are missing"
        for (prefix, total), found in sorted(there.items())
        if len(found) < total
    )


def _split_of_file(base: str) -> str | None:
    words = [split for word in _FIRST_WORD.findall(base) if (split := split_named(word))]
    return words[0] if words else None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(shown_name, names[:_NAMED])) + more
