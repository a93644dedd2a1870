"""A remote file as a stream that is fetched ahead of its reader, in parallel."""

import collections
import io
from concurrent.futures import Future, ThreadPoolExecutor

from job import storage

_BLOCKS_AHEAD = 6


class ReadAhead(io.RawIOBase):
    """Reads a file from front to back; holds at most about 50 MB of it.

    One request after the other would leave the network idle whenever the reader works, and the
    reader idle whenever the network does.

    Args:
        path: The file, in a bucket.
        block_bytes: Size of one request.
    """

    def __init__(self, path: str, block_bytes: int = 8 << 20) -> None:
        self._path = path
        self._block_bytes = block_bytes
        self._size = storage.stat(path).size
        self._requested = 0
        self._position = 0
        self._block = memoryview(b"")
        self._threads = ThreadPoolExecutor(_BLOCKS_AHEAD, thread_name_prefix="read-ahead")
        self._ahead: collections.deque[Future[bytes]] = collections.deque()

    def readable(self) -> bool:
        """Say that this is for reading."""
        return True

    def tell(self) -> int:
        """Count the bytes given to the reader."""
        return self._position

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Fill a buffer; 0 at the end of the file. Raises the errors of `job.storage`."""
        if not self._block:
            self._block = self._next_block()
        part = self._block[: len(buffer)]
        buffer[: len(part)] = part
        self._block = self._block[len(part) :]
        self._position += len(part)
        return len(part)

    def close(self) -> None:
        """Forget what was fetched ahead."""
        if not self.closed:
            self._threads.shutdown(wait=True, cancel_futures=True)
        super().close()

    def _next_block(self) -> memoryview:
        while len(self._ahead) < _BLOCKS_AHEAD and self._requested < self._size:
            end = min(self._requested + self._block_bytes, self._size)
            self._ahead.append(
                self._threads.submit(storage.read_bytes, self._path, self._requested, end)
            )
            self._requested = end
        return memoryview(self._ahead.popleft().result() if self._ahead else b"")
