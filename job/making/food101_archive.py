"""The Food-101 archive as a stream: read from front to back, never unpacked, never held whole."""

import io
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO, cast

from zlib_ng import gzip_ng

from job import storage
from job.contract.errors import DataError
from job.images import tar_members, unpacked
from job.making.catalogue import ImageCatalogue, PlannedImage
from job.making.food101 import apply_meta, image_of, meta_file_of
from job.storage.stream import ReadAhead

_GZIP = b"\x1f\x8b"
_MAX_META_BYTES = 256 << 20
_BUFFER = 1 << 18

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
        closing(_decompressed(file, path)) as stream,
    ):
        for member in tar_members.files(stream, path):
            progress(file.tell())
            yield Member(member.name, member.size, member.read)


def _open(path: str) -> io.BufferedReader:
    raw = ReadAhead(path) if storage.is_remote(path) else storage.open_for_reading(path)
    # The buffer is what lets a stream that cannot seek be looked into.
    return io.BufferedReader(cast("io.RawIOBase", raw), _BUFFER)


def _decompressed(file: io.BufferedReader, path: str) -> BinaryIO:
    start = file.peek(len(_GZIP))[: len(_GZIP)]
    # zlib-ng inflates twice as fast as zlib: this is the one thing that cannot be parallel.
    if start != _GZIP:
        return file
    inflated = gzip_ng.GzipNGFile(fileobj=file)  # type: ignore[no-untyped-call]
    return unpacked.limited(inflated, file.tell, path)
