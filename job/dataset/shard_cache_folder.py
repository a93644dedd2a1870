"""A folder of verified files, shared by all processes of a machine.

Files are named by the sha256 of their content, so a file is right or damaged, never out of date,
and datasets with equal shards share them. Who uses a file holds a shared lock on it, which the
kernel drops when the process dies; what nobody uses is evicted, least recently used first.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from job.contract.errors import NoSpaceError
from job.storage.local import errors_of

_SUFFIX = ".shard"
_SPARE_BYTES = 256 << 20
_READ_BYTES = 1 << 20
_ABANDONED_AFTER_S = 3600.0
_PATIENCE_S = 2.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A verified file that is not evicted until it is released."""

    path: str
    descriptor: int

    def release(self) -> None:
        """Allow the file's eviction."""
        os.close(self.descriptor)


class ShardCacheFolder:
    """The files in `folder`, at most `size_bytes` of them (0: as much as the disk has room for).

    Safe between threads and processes; file locks need a file system that has them (local disks,
    NFS 4).
    """

    def __init__(self, folder: str, size_bytes: int = 0) -> None:
        self._folder = folder
        self._size_bytes = size_bytes
        self._reserving = threading.Condition()
        self._reserved_bytes = 0
        self._verified: dict[str, tuple[int, int]] = {}
        with errors_of(folder):
            os.makedirs(folder, exist_ok=True)

    def capacity_bytes(self) -> int:
        """Return what the cache could hold if nothing in it were in use."""
        ours = sum(entry.size for entry in self._entries()) + self._partial_bytes()
        on_disk = max(0, shutil.disk_usage(self._folder).free + ours - _SPARE_BYTES)
        return min(self._size_bytes, on_disk) if self._size_bytes else on_disk

    def hold(self, sha256: str, size: int, fetch: Callable[[str], None]) -> HeldFile:
        """Return the file with this content, calling `fetch(path)` where it is not there.

        Raises:
            ContentError: What was fetched has another content.
            NoSpaceError: Everything in the cache is in use, and there is no room for more.
        """
        path = os.path.join(self._folder, sha256 + _SUFFIX)
        with errors_of(path):
            held = self._hold_present(path, sha256)
            if held is not None:
                return held
            with self._fetch_lock(sha256):
                # Another process may have fetched it while this one waited.
                held = self._hold_present(path, sha256)
                return self._fetch(path, sha256, size, fetch) if held is None else held

    def _fetch(self, path: str, sha256: str, size: int, fetch: Callable[[str], None]) -> HeldFile:
        part = f"{path}.{uuid.uuid4().hex}"
        with self._room_for(size):
            try:
                fetch(part)
                # Locked before others can see it, so that nobody evicts it first.
                descriptor = os.open(part, os.O_RDONLY)
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                if _sha256_of(part) != sha256:
                    os.close(descriptor)
                    raise ContentError(sha256)
                os.replace(part, path)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.remove(part)
            found = os.fstat(descriptor)
            self._verified[sha256] = (found.st_ino, found.st_mtime_ns)
            return HeldFile(path, descriptor)

    def _hold_present(self, path: str, sha256: str) -> HeldFile | None:
        """Lock a file that is there and whole; a damaged one is taken for absent."""
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if self._is_whole(path, descriptor, sha256):
            # With noatime, reading leaves no trace of the file's use: note it here.
            with contextlib.suppress(PermissionError):
                os.utime(path, ns=(time.time_ns(), os.fstat(descriptor).st_mtime_ns))
            return HeldFile(path, descriptor)
        os.close(descriptor)
        return None

    def _is_whole(self, path: str, descriptor: int, sha256: str) -> bool:
        """Whether the locked file is still the one at `path`, and has the right content."""
        found = os.fstat(descriptor)
        version = (found.st_ino, found.st_mtime_ns)
        try:
            if not os.path.samestat(found, os.stat(path)):
                return False
            if self._verified.get(sha256) != version and _sha256_of(path) != sha256:
                return False
        except FileNotFoundError:
            return False  # Evicted just before it was locked.
        self._verified[sha256] = version
        return True

    @contextlib.contextmanager
    def _fetch_lock(self, sha256: str) -> Iterator[None]:
        with open(os.path.join(self._folder, sha256 + ".lock"), "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _room_for(self, size: int) -> Iterator[None]:
        """Evict until `size` bytes fit, and count them as taken until the file is there."""
        with self._reserving:
            started = time.monotonic()
            while missing := self._evict_for(size + self._reserved_bytes):
                if not self._reserved_bytes and time.monotonic() - started > _PATIENCE_S:
                    raise NoSpaceError(
                        f"{self._folder}: {missing / 1e9:.2f} GB are missing, and all that it "
                        "holds is in use; raise --cache_size_gb, or choose a larger disk by "
                        "--cache_dir"
                    )
                # What others hold, or are fetching, may be released in a moment.
                self._reserving.wait(_POLL_S)
            self._reserved_bytes += size
        try:
            yield
        finally:
            with self._reserving:
                self._reserved_bytes -= size
                self._reserving.notify_all()

    def _evict_for(self, size: int) -> int:
        """Delete unused files, the longest unused first; returns how many bytes are missing."""
        entries = sorted(self._entries())
        missing = sum(entry.size for entry in entries) + size - self.capacity_bytes()
        for entry in entries:
            if missing <= 0:
                break
            if _evict(entry.path):
                missing -= entry.size
        return max(0, missing)

    def _entries(self) -> Iterator["_Entry"]:
        """Yield what is complete; what a killed process left behind is deleted."""
        for found in os.scandir(self._folder):
            with contextlib.suppress(FileNotFoundError):
                stat = found.stat()
                if found.name.endswith(_SUFFIX):
                    yield _Entry(stat.st_atime_ns, stat.st_size, found.path)
                elif stat.st_mtime < time.time() - _ABANDONED_AFTER_S:
                    os.remove(found.path)

    def _partial_bytes(self) -> int:
        """Return what unfinished downloads take on the disk; their room is reserved already."""
        total = 0
        for found in os.scandir(self._folder):
            with contextlib.suppress(FileNotFoundError):
                if not found.name.endswith(_SUFFIX):
                    total += found.stat().st_blocks * 512
        return total


class ContentError(Exception):
    """A fetched file is not the one that was asked for."""


@dataclass(frozen=True, slots=True, order=True)
class _Entry:
    used_ns: int
    size: int
    path: str


def _evict(path: str) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.remove(path)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _sha256_of(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
    return digest.hexdigest()
