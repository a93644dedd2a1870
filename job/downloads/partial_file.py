"""A local file that comes piece by piece, over several processes' lives.

It grows as NAME.part beside NAME.part.json, which remembers what it is of. It gets its name once
it is whole and checked; what fails the check is kept as NAME.corrupt.
"""

import errno
import fcntl
import hashlib
import os
import shutil
from dataclasses import dataclass
from typing import Self

from job.contract import schema
from job.contract.errors import ConfigError, DataError, NoSpaceError
from job.contract.schema import Count, Word
from job.process.progress_bar import WorkProgress

_HASH_BYTES = 4 << 20


@dataclass(frozen=True)
class Expected:
    """What a file must be; None and empty where nobody knows."""

    bytes: int | None = None
    sha256: str = ""


@dataclass(frozen=True)
class Origin:
    """What the part is of: where from, its ETag or date there, its whole length."""

    url: Word
    validator: Word = ""
    total: Count | None = None


class PartialFile:
    """The part of one file; a context manager that keeps other processes away.

    Args:
        path: The file that it will be.

    Raises:
        ConfigError: Another process writes it right now.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._part = f"{path}.part"
        self._notes = f"{path}.part.json"
        self._file = open(self._part, "ab", buffering=0)  # noqa: SIM115 (closed in __exit__)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise ConfigError(f"another process is downloading {path} right now") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._file:
            if not self.size:
                _remove_if_there(self._notes)
                _remove_if_there(self._part)

    @property
    def size(self) -> int:
        """How many bytes are here."""
        return self._file.tell()

    def append(self, piece: bytes) -> None:
        """Write the next bytes.

        Raises:
            NoSpaceError: The disk is full; what is here stays.
        """
        rest = memoryview(piece)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise NoSpaceError(
                    f"no space left for {self.path} ({error.strerror}); free some and start "
                    f"again: it goes on after the {self.size / 1e6:.1f} MB that are here"
                ) from error
            raise

    def start_over(self) -> None:
        """Throw away what is here."""
        self._file.seek(0)
        self._file.truncate()

    def remember(self, origin: Origin) -> None:
        """Note what the part is of."""
        with open(self._notes, "wb") as file:
            file.write(schema.write(origin))

    def recall(self, url: str) -> Origin:
        """Say what the part is of; a part of something else than `url` is thrown away."""
        try:
            with open(self._notes, "rb") as file:
                origin = schema.read(file.read(schema.MAX_BYTES + 1), Origin, what=self._notes)
        except (OSError, DataError):
            origin = Origin(url="")
        if origin.url == url and (origin.total is None or self.size <= origin.total):
            return origin
        self.start_over()
        return Origin(url)

    def check_room(self, missing: int) -> None:
        """Raise NoSpaceError unless the disk has room for so many bytes more."""
        folder = os.path.dirname(os.path.abspath(self.path))
        free = shutil.disk_usage(folder).free
        if missing > free:
            raise NoSpaceError(
                f"{folder} has {free / 1e9:.2f} GB left, {os.path.basename(self.path)} needs "
                f"{missing / 1e9:.2f} GB more; free some or choose another --output"
            )

    def finish(self, expected: Expected) -> None:
        """Check the whole file and give it its name; DataError if it is not what it must be."""
        os.fsync(self._file.fileno())
        check_file(self._part, expected, shown_as=self.path)
        os.replace(self._part, self.path)
        _remove_if_there(self._notes)


def check_file(path: str, expected: Expected, shown_as: str) -> None:
    """Hold a whole file against what it must be.

    Raises:
        DataError: It is something else; it has been set aside.
    """
    size = os.path.getsize(path)
    wrong = ""
    if expected.bytes is not None and size != expected.bytes:
        wrong = f"has {size:,} bytes instead of {expected.bytes:,}"
    elif expected.sha256 and (found := _sha256(path)) != expected.sha256:
        wrong = f"has sha256 {found[:12]}... instead of {expected.sha256[:12]}..."
    if wrong:
        raise set_aside(path, f"{shown_as} {wrong}", shown_as)


def set_aside(path: str, what_is_wrong: str, shown_as: str) -> DataError:
    """Rename a file that must not be used, and give the error that says so."""
    kept = f"{shown_as}.corrupt"
    os.replace(path, kept)
    _remove_if_there(f"{shown_as}.part.json")
    return DataError(
        f"{what_is_wrong}; it is kept as {kept} and not used. Start again, or name another "
        "mirror by --url"
    )


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    size = os.path.getsize(path)
    with open(path, "rb") as file, WorkProgress("checking", "checked", size, "B") as progress:
        while piece := file.read(_HASH_BYTES):
            digest.update(piece)
            progress.advance(len(piece))
    return digest.hexdigest()


def _remove_if_there(path: str) -> None:
    if os.path.exists(path):
        os.remove(path)
