"""Images inside a .tar or .tar.gz: listed in one pass, then read at any place, in any order."""

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

from zlib_ng import gzip_ng

from job import storage
from job.images import tar_members, unpacked
from job.storage.local import atomic_file, errors_of
from job.storage.stream import ReadAhead

ENDINGS = (".tar", ".tar.gz", ".tgz")
_GZIP = b"\x1f\x8b"
_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file of an archive; `start` is its first byte once gzip is undone."""

    name: str
    size: int
    start: int


def is_compressed(path: str) -> bool:
    """Whether an archive's name says that it is gzip-compressed."""
    return path.lower().endswith(("gz",))


def members(path: str) -> Iterator[Member]:
    """Yield the regular files of an archive, in its order; memory does not depend on its size.

    Raises:
        DataError: It is damaged, cut short or no archive.
    """
    with opened(path) as stream:
        for member in tar_members.files(stream, path):
            yield Member(member.name, member.size, member.start)


def unpack_gzip(path: str, target: str) -> None:
    """Undo the compression of an archive into a local file.

    Raises:
        DataError: It is damaged or cut short, or unpacks beyond measure.
        NoSpaceError: The disk is too small for it.
    """
    with opened(path) as stream, errors_of(target), atomic_file(target) as file:
        shutil.copyfileobj(stream, file, _COPY_BYTES)


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """Give an archive as a stream, local or in a bucket, its gzip undone.

    Raises:
        DataError: Its compression is damaged, also where the stream is read; it unpacks beyond
            measure.
    """
    raw = ReadAhead(path) if storage.is_remote(path) else storage.open_for_reading(path)
    with io.BufferedReader(cast("io.RawIOBase", raw), _COPY_BYTES) as file:
        if file.peek(len(_GZIP)).startswith(_GZIP):
            # zlib-ng inflates twice as fast as zlib.
            inflated = gzip_ng.GzipNGFile(fileobj=file)  # type: ignore[no-untyped-call]
            with unpacked.limited(inflated, file.tell, path) as stream:
                yield stream
        else:
            yield file
