"""A tar archive as a stream: read from front to back, never unpacked, never held whole."""

import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

from job import storage
from job.contract.errors import DataError
from job.images.compression import DAMAGE, decompressed
from job.storage.stream import ReadAhead

_BLOCK = 1 << 14
_BUFFER = 1 << 18
_DAMAGE = (tarfile.TarError, *DAMAGE)

Progress = Callable[[int], None]
"""Told the number of bytes of the archive that were read so far."""


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file in an archive. `read(limit)` works until the next member is asked for."""

    name: str
    size: int
    read: Callable[[int], bytes]


def members(path: str, progress: Progress = lambda _: None) -> Iterator[Member]:
    """Yield the regular files of a tar archive, compressed or not.

    Links, devices and folders are passed over. Memory does not depend on the archive's size.

    Raises:
        DataError: The archive is damaged or ends too early.
    """
    with (
        _open(path) as file,
        _damage_named(path),
        closing(decompressed(file)) as content,
    ):
        stream = _Tail(content)
        yield from _members(stream, path, lambda: progress(file.tell()))
        _check_rest(stream, path)


def _open(path: str) -> io.BufferedReader:
    raw = ReadAhead(path) if storage.is_remote(path) else storage.open_for_reading(path)
    # The buffer is what lets a stream that cannot seek be looked into.
    return io.BufferedReader(cast("io.RawIOBase", raw), _BUFFER)


class _Tail:
    """A stream that remembers its end: tarfile takes a lost half of an archive for its end."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.tail = b""

    def read(self, size: int) -> bytes:
        """Read on."""
        data = self._stream.read(size)
        self.tail = (self.tail + data)[-tarfile.BLOCKSIZE :] if data else self.tail
        return data


def _members(stream: _Tail, path: str, progress: Callable[[], None]) -> Iterator[Member]:
    with tarfile.open(fileobj=cast("BinaryIO", stream), mode="r|", bufsize=_BLOCK) as archive:
        while (info := archive.next()) is not None:
            progress()
            if info.isreg():
                yield Member(info.name, info.size, _reader(archive, info, path))
            # tarfile remembers all members, which a stream never needs.
            archive.members.clear()  # type: ignore[attr-defined]


def _reader(archive: tarfile.TarFile, info: tarfile.TarInfo, path: str) -> Callable[[int], bytes]:
    def read(limit: int) -> bytes:
        content = archive.extractfile(info)
        assert content is not None  # regular files have content
        with _damage_named(path):
            return content.read(limit)

    return read


@contextmanager
def _damage_named(path: str) -> Iterator[None]:
    try:
        yield
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # The disk's, not the decoder's.
        raise DataError(
            f"{path} is damaged, cut short or no archive ({error}); get it again: "
            "python -m job.download continues a broken download"
        ) from error


def _check_rest(stream: _Tail, path: str) -> None:
    """Read to the end: it verifies gzip's checksum, and tarfile takes a damaged header for one."""
    while rest := stream.read(_BLOCK):
        if rest.strip(b"\0"):
            raise DataError(f"{path} is damaged: there is data behind its end; get it again")
    if stream.tail.strip(b"\0") or len(stream.tail) < tarfile.BLOCKSIZE:
        raise DataError(f"{path} is cut short: the mark of its end is missing; get it again")
