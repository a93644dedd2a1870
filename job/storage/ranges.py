"""A remote file as a seekable stream: every read is one ranged request.

Every byte is of the generation that was there when it was opened.
"""

import io
import os
from collections.abc import Callable
from typing import BinaryIO, cast

from job.storage import content_encoding
from job.storage.interface import Stat

_BUFFER_BYTES = 8 << 20


def open_ranges(source: Stat, read: Callable[[Stat, int, int], bytes]) -> BinaryIO:
    """Open the file that `source` describes; `read` gives its stored bytes [start, end)."""
    ranges: io.RawIOBase = _Ranges(source, read)
    stored = io.BufferedReader(ranges, _BUFFER_BYTES)
    if not content_encoding.is_packed(source.path, source.encoding):
        return cast("BinaryIO", stored)
    return cast("BinaryIO", io.BufferedReader(content_encoding.Unpacked(source.path, stored)))


class _Ranges(io.RawIOBase):
    """The stored bytes of an object."""

    def __init__(self, source: Stat, read: Callable[[Stat, int, int], bytes]) -> None:
        self._source = source
        self._read = read
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._source.size}
        self._position = max(0, origin[whence] + offset)
        return self._position

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        end = min(self._position + len(buffer), self._source.size)
        if end <= self._position:
            return 0
        data = self._read(self._source, self._position, end)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
