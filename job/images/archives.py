"""Tar archives, compressed or not: as a stream, or listed once and then read at any place."""

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from job import storage
from job.images import tar_members
from job.images.compression import decompressed
from job.storage.local import atomic_file, errors_of
from job.storage.stream import ReadAhead

TAR_ENDINGS = (
    ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".tar.zst", ".tzst"
)  # fmt: skip
ENDINGS = (*TAR_ENDINGS, ".zip")
_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file of an archive; `start` is its first byte once compression is undone."""

    name: str
    size: int
    start: int


def is_compressed(path: str) -> bool:
    """Whether a tar archive's name says that it is compressed."""
    return not path.lower().endswith(".tar")


def members(path: str) -> Iterator[Member]:
    """Yield the regular files of an archive, in its order; memory does not depend on its size.

    Raises:
        DataError: It is damaged, cut short or no archive.
    """
    with opened(path) as stream:
        for member in tar_members.files(stream, path):
            yield Member(member.name, member.size, member.start)


def unpack(path: str, target: str) -> None:
    """Undo the compression of an archive into a local file.

    Raises:
        DataError: It is damaged or cut short, or unpacks beyond measure.
        NoSpaceError: The disk is too small for it.
    """
    with opened(path) as stream, errors_of(target), atomic_file(target) as file:
        shutil.copyfileobj(stream, file, _COPY_BYTES)


@contextmanager
def opened(path: str, on_read: Callable[[int], None] | None = None) -> Iterator[BinaryIO]:
    """Give an archive as a stream, local or in a bucket, its compression undone.

    Args:
        path: The archive.
        on_read: Told, at each read, how many bytes of the file were read so far.

    Raises:
        DataError: Its compression is damaged, also where the stream is read; it unpacks beyond
            measure.
    """
    raw = ReadAhead(path) if storage.is_remote(path) else storage.open_for_reading(path)
    with (
        io.BufferedReader(cast("io.RawIOBase", raw), _COPY_BYTES) as file,
        decompressed(file, path) as stream,
    ):
        yield stream if on_read is None else cast("BinaryIO", _Told(stream, file, on_read))


class _Told:
    """A stream that tells how far its file was read."""

    def __init__(
        self, stream: BinaryIO, file: "io.BufferedReader[Any]", on_read: Callable[[int], None]
    ) -> None:
        self._stream = stream
        self._file = file
        self._on_read = on_read

    def read(self, size: int) -> bytes:
        """Read on."""
        self._on_read(self._file.tell())
        return self._stream.read(size)
