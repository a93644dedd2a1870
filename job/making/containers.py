"""What holds a source's files: a folder, a zip, or tar archives. All give the same members.

A folder's files can be opened in any order. An archive is a stream: it is read once for its names
and once more for its images, in the same order, and is never unpacked.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from job import storage
from job.images import archives, tar_members
from job.images.zip_archive import ZipArchive

Progress = Callable[[int], None]
"""Told the number of bytes of an archive that were read so far."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a source.

    `name` is its path within the source, `location` what opens it if it can be opened in any
    order. `read(limit)` gives its first bytes, in an archive until the next member is asked for.
    """

    name: str
    size: int
    location: str
    read: Callable[[int], bytes]


class Container(Protocol):
    """Where a source's files are."""

    kind: str
    size_bytes: int
    """Of an archive, for its progress; 0 of a folder."""
    streamed: bool
    """Whether images must be read in the order of the members."""

    def members(self, progress: Progress = ...) -> Iterator[Member]:
        """Yield all files, in the same order every time."""
        ...


class Folder:
    """A folder, local or in a bucket."""

    kind = "folder"
    size_bytes = 0
    streamed = False

    def __init__(self, path: str) -> None:
        self._path = path

    def members(self, progress: Progress = lambda _: None) -> Iterator[Member]:
        """Yield all files, sorted by path."""
        for found in storage.list_files(self._path):
            progress(0)
            yield _stored(found.path[len(self._path) :].lstrip("/"), found.path, found.size)


class Tars:
    """One tar archive or several, compressed or not, local or in a bucket.

    Of several, the archive's own name stands before its members'.
    """

    streamed = True

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self.kind = "tar archive" if len(paths) == 1 else f"{len(paths):,} tar archives"
        self._sizes = [storage.stat(path).size for path in paths]
        self.size_bytes = sum(self._sizes)

    def members(self, progress: Progress = lambda _: None) -> Iterator[Member]:
        """Yield the regular files; DataError for a damaged archive."""
        before = 0
        for path, size in zip(self._paths, self._sizes, strict=True):
            prefix = "" if len(self._paths) == 1 else path.rpartition("/")[2] + "/"
            start = before
            with archives.opened(path, lambda done: progress(start + done)) as stream:  # noqa: B023
                for found in tar_members.files(stream, path):
                    name = prefix + found.name.removeprefix("./")
                    yield Member(name, found.size, name, found.read)
            before += size


class Zip:
    """A zip archive, local or in a bucket, read in ranges."""

    kind = "zip archive"
    streamed = True

    def __init__(self, path: str) -> None:
        self._path = path
        self.size_bytes = storage.stat(path).size

    def members(self, progress: Progress = lambda _: None) -> Iterator[Member]:
        """Yield the files; DataError for a damaged or encrypted archive."""
        done = 0
        with ZipArchive(self._path) as archive:
            for found in archive.members():
                progress(min(done, self.size_bytes))
                done += found.size
                read = functools.partial(archive.read, found.number)
                yield Member(found.name, found.size, found.name, read)


def open_archive(path: str) -> Container | None:
    """Recognise an archive by its name; None if it is none that can be read."""
    lower = path.lower()
    if lower.endswith(".zip"):
        return Zip(path)
    return Tars([path]) if lower.endswith(archives.TAR_ENDINGS) else None


def _stored(name: str, path: str, size: int) -> Member:
    return Member(name, size, path, lambda limit: storage.read_bytes(path, 0, limit))
