"""The first and the last part of a stream of bytes, in local files of bounded size."""

import os
import tempfile
import threading
from dataclasses import dataclass
from typing import IO

_MOST_PARTS = 3


@dataclass
class _Part:
    file: IO[bytes]
    size: int = 0


class BoundedLog:
    """Keeps what a process writes; of a flood the beginning and the end, and how much is missing.

    A disk that is full, or not to be written, costs lines of this log and nothing else. The files
    have no names: nothing is left behind, however the process ends. One thread may write while
    another one reads.

    Args:
        head_bytes: How much of the beginning is kept.
        tail_bytes: How much of the end is kept at least; twice as much at most.
    """

    def __init__(self, head_bytes: int = 4 << 20, tail_bytes: int = 8 << 20) -> None:
        self.seen = 0
        """Bytes that were written so far."""
        self._head_bytes = head_bytes
        self._tail_bytes = tail_bytes
        self._parts: list[_Part] = []  # The head, then one or two of the tail.
        self._left_out = 0  # Between head and tail.
        self._lost = 0  # Since the disk took something last.
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Append; never raises for what the disk does."""
        with self._lock:
            self.seen += len(data)
            rest = memoryview(data)
            try:
                if self._lost:
                    self._append(memoryview(_gap(self._lost, "the disk took nothing")))
                    self._lost = 0
                while rest:
                    rest = rest[self._append(rest) :]
            except OSError:
                self._lost += len(rest)

    def content(self) -> bytes:
        """Give all that is kept.

        Raises:
            OSError: The disk cannot be read.
        """
        with self._lock:
            kept = [os.pread(part.file.fileno(), part.size, 0) for part in self._parts]
            if self._left_out:
                kept.insert(1, _gap(self._left_out, "the log is too long"))
            if self._lost:
                kept.append(_gap(self._lost, "the disk took nothing"))
            return b"".join(kept)

    def close(self) -> None:
        """Delete all that is kept."""
        with self._lock:
            for part in self._parts:
                part.file.close()
            self._parts.clear()

    def _append(self, data: memoryview) -> int:
        """Write as much as fits into the last part, and give how much that was."""
        if not self._parts or self._parts[-1].size >= self._limit():
            self._parts.append(_Part(tempfile.TemporaryFile(buffering=0)))  # noqa: SIM115
            if len(self._parts) > _MOST_PARTS:
                dropped = self._parts.pop(1)
                dropped.file.close()
                self._left_out += dropped.size
        part = self._parts[-1]
        written = part.file.write(data[: self._limit() - part.size])
        part.size += written
        return written

    def _limit(self) -> int:
        """Give the size of a last part that is full."""
        return self._head_bytes if len(self._parts) == 1 else self._tail_bytes


def _gap(size: int, why: str) -> bytes:
    return f"\n[{size:,} bytes are missing here: {why}]\n".encode()
