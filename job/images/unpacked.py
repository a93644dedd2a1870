"""A compressed stream that is not believed when it unpacks to more than photographs do.

Archives of photographs shrink by a few percent; a few megabytes that unpack to terabytes are an
attack or a mistake, and would fill a disk or keep a job busy for days.
"""

import io
import lzma
import zlib
from collections.abc import Callable
from typing import BinaryIO

from job.contract.errors import DataError

MOST_PER_BYTE = 256
"""Zeros shrink to a thousandth under gzip; bitmaps of one colour, tiny ones, to a hundredth."""
ALLOWANCE_BYTES = 256 << 20
_BUFFER = 1 << 18
_DAMAGE = (EOFError, zlib.error, lzma.LZMAError)
"""What decoders raise; gzip and bzip2 also raise an OSError without a number."""


def limited(stream: io.BufferedIOBase, read_so_far: Callable[[], int], archive: str) -> BinaryIO:
    """Give a stream that ends with DataError where it is damaged or unpacks beyond measure.

    Args:
        stream: What is unpacked.
        read_so_far: Tells how many compressed bytes were read for it.
        archive: What messages call it.
    """
    return io.BufferedReader(_Limited(stream, read_so_far, archive), _BUFFER)


class _Limited(io.RawIOBase):
    def __init__(
        self, stream: io.BufferedIOBase, read_so_far: Callable[[], int], archive: str
    ) -> None:
        self._stream = stream
        self._read_so_far = read_so_far
        self._archive = archive
        self._unpacked = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        try:
            count = self._stream.readinto(buffer)
        except Exception as error:
            if not _is_damage(error):
                raise
            raise DataError(
                f"{self._archive} is damaged, cut short or no archive: {error}; get it again"
            ) from error
        self._unpacked += count
        if self._unpacked > ALLOWANCE_BYTES + MOST_PER_BYTE * self._read_so_far():
            raise DataError(
                f"{self._archive} unpacks to more than {MOST_PER_BYTE} times its size, as no "
                "archive of photographs does; unpack it and give the folder"
            )
        return count

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def _is_damage(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno is None
    # zlib-ng's own error is no zlib.error, and the launcher lists archives without zlib-ng.
    return isinstance(error, _DAMAGE) or type(error).__module__.startswith("zlib_ng")
