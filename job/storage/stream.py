"""A remote file as a stream that is fetched ahead of its reader, in parallel.

Every byte is of the generation that was there when it was opened.
"""

import collections
import io
from concurrent.futures import Future, ThreadPoolExecutor

from job import storage
from job.contract.errors import StorageUnreachableError
from job.storage import content_encoding
from job.storage.interface import Stat

_BLOCKS_AHEAD = 6


class ReadAhead(io.RawIOBase):
    """Reads a file from front to back, in parallel ahead of its reader; holds about 50 MB of it.

    One request after the other would leave the network idle whenever the reader works, and the
    reader idle whenever the network does. A file that was read to its end was what its checksum
    says.

    Args:
        path: The file, in a bucket.
        block_bytes: Size of one request.
    """

    def __init__(self, path: str, block_bytes: int = 8 << 20) -> None:
        source = storage.stat(path)
        stored: io.RawIOBase = _Blocks(source, block_bytes)
        self._stream = stored
        if content_encoding.is_packed(path, source.encoding):
            self._stream = content_encoding.Unpacked(path, io.BufferedReader(stored))
        self._position = 0

    def readable(self) -> bool:
        """Say that this is for reading."""
        return True

    def tell(self) -> int:
        """Count the bytes given to the reader."""
        return self._position

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Fill a buffer; 0 at the end of the file. Raises the errors of `job.storage`."""
        count = self._stream.readinto(buffer) or 0
        self._position += count
        return int(count)

    def close(self) -> None:
        """Forget what was fetched ahead."""
        self._stream.close()
        super().close()


class _Blocks(io.RawIOBase):
    """The stored bytes of an object, block by block."""

    def __init__(self, source: Stat, block_bytes: int) -> None:
        # Imported where it is needed: it brings the client of Google Cloud Storage.
        from job.storage import checksum

        self._source = source
        self._block_bytes = block_bytes
        self._requested = 0
        self._checksum = checksum.Running()
        self._block = memoryview(b"")
        self._threads = ThreadPoolExecutor(_BLOCKS_AHEAD, thread_name_prefix="read-ahead")
        self._ahead: collections.deque[Future[bytes]] = collections.deque()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        if not self._block:
            self._block = memoryview(self._next_block())
        part = self._block[: len(buffer)]
        buffer[: len(part)] = part
        self._block = self._block[len(part) :]
        return len(part)

    def close(self) -> None:
        if not self.closed:
            self._threads.shutdown(wait=True, cancel_futures=True)
        super().close()

    def _next_block(self) -> bytes:
        size = self._source.size
        while len(self._ahead) < _BLOCKS_AHEAD and self._requested < size:
            end = min(self._requested + self._block_bytes, size)
            self._ahead.append(
                self._threads.submit(storage.read_stored, self._source, self._requested, end)
            )
            self._requested = end
        if not self._ahead:
            return b""
        block = self._ahead.popleft().result()
        self._checksum.add(block)
        if self._requested == size and not self._ahead:
            self._check_content()
        return block

    def _check_content(self) -> None:
        if self._source.crc32c not in (None, self._checksum.text):
            raise StorageUnreachableError(
                f"{self._source.path} was damaged on its way: crc32c {self._checksum.text}, not "
                f"{self._source.crc32c}; start again"
            )
