"""One interface over local paths and gs:// URLs.

Paths are plain strings: a local path, or `gs://bucket/name`. Folders need not be made before
something is written into them. All writes are atomic, all transfers are verified by checksum,
and all failures are the errors of `job.storage.interface`.
"""

import dataclasses
import os
import re
import threading
from collections.abc import Iterator
from typing import BinaryIO

from job.contract.errors import ConfigError
from job.contract.layout import join
from job.storage.interface import (
    ABSENT,
    Backend,
    ChangedError,
    NotFoundError,
    Patience,
    PreconditionError,
    Stat,
)
from job.storage.local import LocalStorage, open_regular
from job.storage.ranges import open_ranges

__all__ = [
    "ABSENT",
    "ChangedError",
    "NotFoundError",
    "Patience",
    "PreconditionError",
    "Stat",
    "check_folder",
    "configure",
    "delete",
    "download",
    "exists",
    "is_remote",
    "join",
    "list_files",
    "list_folders",
    "open_for_reading",
    "read_bytes",
    "read_stored",
    "reconnect",
    "request_counts",
    "stat",
    "upload",
    "write_bytes",
]

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")


def is_remote(path: str) -> bool:
    """Whether `path` lies in a bucket; raises ConfigError for a scheme that is not supported."""
    scheme = _SCHEME.match(path)
    if scheme is None:
        return False
    if scheme[1] != "gs":
        raise ConfigError(
            f"{path}: {scheme[1]}:// is not supported; use gs://bucket/prefix or a local path"
        )
    return True


def list_files(prefix_dir: str) -> Iterator[Stat]:
    """Yield every file below a folder, recursively, sorted by path.

    A folder that does not exist has no files; a bucket that does not exist is a NotFoundError.
    """
    return _backend(prefix_dir).list_files(prefix_dir)


def list_folders(directory: str) -> Iterator[str]:
    """Yield the paths of the folders directly in a folder, sorted; nothing where nothing is."""
    return _backend(directory).list_folders(directory)


def exists(path: str) -> bool:
    """Whether there is a file (not a folder) at `path`."""
    try:
        stat(path)
    except NotFoundError:
        return False
    return True


def check_folder(path: str, flag: str) -> None:
    """Refuse a path to write below where a file stands, at it or above it.

    Raises:
        ConfigError: Names that file and the flag that chose it.
    """
    if is_remote(path):
        return
    there = path.rstrip("/") or path
    while there and not os.path.lexists(there):
        there = os.path.dirname(there)
    if there and os.path.exists(there) and not os.path.isdir(there):
        raise ConfigError(f"{there} is a file, and {flag} must be a folder; choose another one")


def stat(path: str) -> Stat:
    """Describe the file at `path`; NotFoundError if there is none."""
    return _backend(path).stat(path)


def read_bytes(
    path: str, start: int = 0, end: int | None = None, *, generation: int | None = None
) -> bytes:
    """Return the bytes [start, end) of a file, fewer where the file ends earlier.

    With `generation` (of an earlier Stat) of that one only: ChangedError when it was replaced.
    """
    return _backend(path).read_bytes(path, start, end, generation)


def read_stored(source: Stat, start: int, end: int) -> bytes:
    """Return exactly the stored bytes [start, end) of a file as it was when `source` was taken.

    Where `source.encoding` is set they are not yet unpacked. ChangedError if the file was replaced.
    """
    return _backend(source.path).read_stored(source, start, end)


def write_bytes(
    path: str, data: bytes, *, if_absent: bool = False, if_generation_match: int | None = None
) -> Stat:
    """Write a whole file, atomically.

    With `if_absent` the path must be free, with `if_generation_match` it must still hold that
    generation (of an earlier Stat); PreconditionError otherwise.
    """
    condition = _condition(if_absent=if_absent, if_generation_match=if_generation_match)
    return _backend(path).write_bytes(path, data, condition)


def download(path: str, local_file: str) -> Stat:
    """Copy a file to this machine, atomically and verified; the source's Stat is returned."""
    return _backend(path).download(path, local_file)


def upload(
    local_file: str,
    path: str,
    *,
    if_absent: bool = False,
    if_generation_match: int | None = None,
    crc32c: str | None = None,
) -> Stat:
    """Copy a file of this machine to `path`; conditions as in `write_bytes`.

    A bucket checks what arrives against `crc32c`; without it the file is read once more for it.
    """
    condition = _condition(if_absent=if_absent, if_generation_match=if_generation_match)
    return _backend(path).upload(local_file, path, condition, crc32c)


def delete(path: str, *, if_generation_match: int | None = None) -> None:
    """Remove a file, of that generation alone if one is given; a file already gone is no error.

    Raises:
        PreconditionError: It is of another generation.
    """
    _backend(path).delete(path, if_generation_match)


def open_for_reading(path: str) -> BinaryIO:
    """Open a file as a seekable stream; a remote one is read in ranges, never whole.

    All that is read is of the file that is there now; ChangedError once that is gone.
    """
    if is_remote(path):
        return open_ranges(stat(path), read_stored)
    return open_regular(path)


def request_counts() -> dict[str, int]:
    """Return the requests sent by this process, by kind: list, stat, read, write, delete."""
    return _remote.request_counts() if _remote else {}


def reconnect(patience: Patience | None = None) -> None:
    """Let the next use of a bucket look for endpoint and credentials anew, and count from 0.

    With `patience`, failing requests are repeated for that long from then on.
    """
    global _remote, _patience
    with _connecting:
        if _remote is not None:
            _remote.close()
        _remote = None
        _patience = patience or _patience


def configure(*, deadline_s: float | None = None, billing_project: str = "") -> None:
    """Set, from now on and for all buckets, how they are asked.

    Args:
        deadline_s: For how long failing requests are repeated, in seconds; None leaves it.
        billing_project: Google Cloud project that pays where a bucket has the requester pay.
    """
    global _billing_project
    _billing_project = billing_project
    reconnect(
        _patience if deadline_s is None else dataclasses.replace(_patience, deadline_s=deadline_s)
    )


def _condition(*, if_absent: bool, if_generation_match: int | None) -> int | None:
    return ABSENT if if_absent else if_generation_match


def _backend(path: str) -> Backend:
    return _gcs() if is_remote(path) else _LOCAL


_LOCAL = LocalStorage()


_remote: Backend | None = None
_patience = Patience()
_billing_project = ""
_connecting = threading.Lock()


def _gcs() -> Backend:
    # Imported when first used: the client costs a second, and local runs do not need it.
    from job.storage.gcs import GcsStorage

    global _remote
    with _connecting:
        if _remote is None:
            _remote = GcsStorage(_patience, billing_project=_billing_project)
        return _remote
