"""The Food-101 archive as a stream: read from front to back, never unpacked, never held whole."""

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

from zlib_ng import gzip_ng, zlib_ng

from job import storage
from job.contract.errors import DataError
from job.making.catalogue import ImageCatalogue, PlannedImage
from job.making.food101 import apply_meta, image_of, meta_file_of
from job.storage.stream import ReadAhead

_GZIP = b"\x1f\x8b"
_MAX_META_BYTES = 256 << 20
_BLOCK = 1 << 14
_BUFFER = 1 << 18
# zlib-ng's stub calls its exception class an instance.
_INFLATE_ERROR = cast("type[Exception]", zlib_ng.error)
_DAMAGE = (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, _INFLATE_ERROR)

Progress = Callable[[int], None]
"""Told the number of bytes of the archive that were read so far."""


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file in an archive. `read(limit)` works until the next member is asked for."""

    name: str
    size: int
    read: Callable[[int], bytes]


class Food101Archive:
    """A .tar or .tar.gz in the Food-101 layout, local or in a bucket."""

    kind = "Food-101 archive"

    def __init__(self, path: str) -> None:
        self._path = path
        self.bytes = storage.stat(path).size

    def list_into(
        self, catalogue: ImageCatalogue, progress: Progress = lambda _: None
    ) -> list[str]:
        """Fill the catalogue in one pass; return the classes in label order.

        Raises:
            DataError: The archive is damaged, cut short, or not in the Food-101 layout.
        """
        meta: dict[str, bytes] = {}
        for member in members(self._path, progress):
            image = image_of(member.name, member.size, member.name)
            meta_file = meta_file_of(member.name)
            if image is not None:
                catalogue.add(image)
            elif meta_file is not None and member.size <= _MAX_META_BYTES:
                meta.setdefault(meta_file, member.read(member.size))
        return apply_meta(catalogue, meta, self._path)

    def read_images(
        self, wanted: Iterator[PlannedImage], max_bytes: int
    ) -> Iterator[tuple[PlannedImage, bytes]]:
        """Read images in a second pass, at most `max_bytes` of each.

        Args:
            wanted: In the order in which the first pass listed them.
            max_bytes: More are never taken into memory.

        Raises:
            DataError: The archive is not the one of the first pass any more.
        """
        image = next(wanted, None)
        ordinal = 0
        for member in members(self._path):
            if image is None:
                return
            if image_of(member.name, member.size, member.name) is None:
                continue
            if ordinal == image.ordinal:
                if member.name != image.location:
                    break
                yield image, member.read(max_bytes)
                image = next(wanted, None)
            ordinal += 1
        if image is not None:
            raise DataError(f"{self._path} has changed while it was read; start again")


def members(path: str, progress: Progress = lambda _: None) -> Iterator[Member]:
    """Yield the regular files of a tar archive, gzip-compressed or not.

    Links, devices and folders are passed over. Memory does not depend on the archive's size.

    Raises:
        DataError: The archive is damaged or ends too early.
    """
    with (
        _open(path) as file,
        _damage_named(path),
        closing(_decompressed(file)) as stream,
    ):
        yield from _members(stream, path, lambda: progress(file.tell()))
        _check_rest(stream, path)


def _open(path: str) -> io.BufferedReader:
    raw = ReadAhead(path) if storage.is_remote(path) else storage.open_for_reading(path)
    # The buffer is what lets a stream that cannot seek be looked into.
    return io.BufferedReader(cast("io.RawIOBase", raw), _BUFFER)


def _decompressed(file: io.BufferedReader) -> BinaryIO:
    start = file.peek(len(_GZIP))[: len(_GZIP)]
    # zlib-ng inflates twice as fast as zlib: this is the one thing that cannot be parallel.
    if start != _GZIP:
        return file
    return cast("BinaryIO", gzip_ng.GzipNGFile(fileobj=file))  # type: ignore[no-untyped-call]


def _members(stream: BinaryIO, path: str, progress: Callable[[], None]) -> Iterator[Member]:
    with tarfile.open(fileobj=stream, mode="r|", bufsize=_BLOCK) as archive:
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
    except _DAMAGE as error:
        raise DataError(
            f"{path} is damaged, cut short or no archive ({error}); get it again: "
            "python -m job.download continues a broken download"
        ) from error


def _check_rest(stream: BinaryIO, path: str) -> None:
    """Read to the end: it verifies gzip's checksum, and tarfile takes a damaged header for one."""
    while rest := stream.read(_BLOCK):
        if rest.strip(b"\0"):
            raise DataError(f"{path} is damaged: there is data behind its end; get it again")
