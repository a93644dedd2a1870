"""Images inside a .tar or .tar.gz: listed in one pass, then read at any place, in any order."""

import gzip
import io
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

from job import storage
from job.contract.errors import DataError
from job.storage.stream import ReadAhead

ENDINGS = (".tar", ".tar.gz", ".tgz")
_DAMAGE = (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error)
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
    with _damage_named(path), _opened(path) as stream:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            while (info := archive.next()) is not None:
                if info.isreg() and not info.issparse():
                    yield Member(info.name, info.size, info.offset_data)
                # tarfile remembers all members, which a stream never needs.
                archive.members.clear()  # type: ignore[attr-defined]
        while stream.read(_COPY_BYTES):
            pass  # Its checksum is at gzip's end.


def unpack_gzip(path: str, target: str) -> None:
    """Undo the compression of an archive into a local file.

    Raises:
        DataError: It is damaged or cut short.
    """
    with _damage_named(path), _opened(path) as stream, open(target, "wb") as file:
        shutil.copyfileobj(stream, file, _COPY_BYTES)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    raw = ReadAhead(path) if storage.is_remote(path) else storage.open_for_reading(path)
    with io.BufferedReader(cast("io.RawIOBase", raw), _COPY_BYTES) as file:
        if is_compressed(path):
            with gzip.GzipFile(fileobj=file) as stream:
                yield cast("BinaryIO", stream)
        else:
            yield file


@contextmanager
def _damage_named(path: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise DataError(f"{path} is damaged, cut short or no archive: {error}") from error
