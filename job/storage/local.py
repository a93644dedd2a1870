"""Local folders as storage: atomic writes, and errors that say which path and why."""

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from typing import BinaryIO

from job.contract.errors import DeniedError, NoSpaceError, StorageUnreachableError
from job.storage import walk
from job.storage.interface import ABSENT, ChangedError, NotFoundError, PreconditionError, Stat

_PARTIAL = ".partial"
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


class LocalStorage:
    """The `Backend` of paths on this machine (or mounted into it)."""

    def list_files(self, directory: str) -> Iterator[Stat]:
        """Yield every file below `directory`, sorted by path; nothing where nothing is.

        What is no regular file has no generation: it can be counted, but not read.
        """
        try:
            for one in walk.files_below(directory):
                if not _is_partial(os.path.basename(one.path)):
                    yield _stat_of(one.path, one.found) if one.found else Stat(one.path, 0)
        except OSError as error:
            raise _typed(error.filename or directory, error) from error

    def list_folders(self, directory: str) -> Iterator[str]:
        """Yield the paths of the folders directly in `directory`; nothing where nothing is."""
        with contextlib.suppress(NotFoundError), errors_of(directory):
            with os.scandir(directory) as entries:
                names = sorted(entry.name for entry in entries if entry.is_dir())
            yield from (os.path.join(directory, name) for name in names)

    def stat(self, path: str) -> Stat:
        """Describe the file at `path`; a folder is not a file."""
        with errors_of(path):
            found = os.stat(path)
        _check_regular(path, found)
        return _stat_of(path, found)

    def read_bytes(
        self, path: str, start: int, end: int | None, generation: int | None = None
    ) -> bytes:
        """Return the bytes [start, end) of a file, or all from `start` on."""
        with open_regular(path) as file, errors_of(path):
            if generation is not None and generation != os.fstat(file.fileno()).st_mtime_ns:
                raise ChangedError.of(path, generation)
            file.seek(start)
            return file.read() if end is None else file.read(max(0, end - start))

    def read_stored(self, source: Stat, start: int, end: int) -> bytes:
        """Return exactly the bytes [start, end) of a file as it was when `source` was taken."""
        return self.read_bytes(source.path, start, end, source.generation)

    def write_bytes(self, path: str, data: bytes, if_generation_match: int | None) -> Stat:
        """Write a whole file."""
        with errors_of(path):
            return self._publish(path, lambda file: _write_all(file, data), if_generation_match)

    def download(self, path: str, local_file: str) -> Stat:
        """Copy `path` to `local_file`, atomically."""
        self.upload(path, local_file, None)
        return self.stat(path)

    def upload(
        self,
        local_file: str,
        path: str,
        if_generation_match: int | None,
        crc32c: str | None = None,  # noqa: ARG002 (nobody keeps it here)
    ) -> Stat:
        """Copy `local_file` to `path`, atomically."""
        with open_regular(local_file) as source, errors_of(path):
            return self._publish(
                path, lambda file: shutil.copyfileobj(source, file, 1 << 20), if_generation_match
            )

    def delete(self, path: str, if_generation_match: int | None = None) -> None:
        """Remove a file, of that generation alone if one is given; one already gone is no error."""
        with contextlib.suppress(NotFoundError), errors_of(path):
            if if_generation_match is None:
                os.remove(path)
                return
            with _folder_lock(os.path.dirname(path) or "."):
                _check_generation(path, os.stat(path).st_mtime_ns, if_generation_match)
                os.remove(path)

    def request_counts(self) -> dict[str, int]:
        """Local files take no requests."""
        return {}

    def close(self) -> None:
        """Local files have no connections."""

    def _publish(
        self, path: str, fill: Callable[[BinaryIO], None], if_generation_match: int | None
    ) -> Stat:
        with contextlib.ExitStack() as stack:
            with atomic_file(path, commit=_commit_of(if_generation_match)) as file:
                fill(file)
                # What is described in the end is this file, whoever has replaced it meanwhile.
                own = os.dup(file.fileno())
                stack.callback(os.close, own)
            return _stat_of(path, os.fstat(own))


@contextlib.contextmanager
def errors_of(path: str) -> Iterator[None]:
    """Turn the OSErrors of what is done to `path` into the errors of `job.storage.interface`."""
    try:
        yield
    except OSError as error:
        raise _typed(path, error) from error
    except ValueError as error:
        if _can_be_a_name(path):
            raise
        raise NotFoundError(f"{path!r:.200} can be no file's name") from error


def open_regular(path: str) -> BinaryIO:
    """Open a file for reading; what is none is never waited for.

    Raises:
        NotFoundError: It is not there, or is a folder, a pipe, a device or a socket.
        JobError: As for any file.
    """
    with errors_of(path):
        _check_regular(path, os.stat(path))
        # Should it become a pipe just now, opening must not wait until somebody writes into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    file = os.fdopen(descriptor, "rb")
    try:
        _check_regular(path, os.fstat(file.fileno()))
    except BaseException:
        file.close()
        raise
    return file


@contextlib.contextmanager
def atomic_file(
    path: str, *, commit: Callable[[str, str], None] = os.replace, durable: bool = True
) -> Iterator[BinaryIO]:
    """Open a file that appears at `path` complete, or not at all.

    `commit(temporary, path)` gives the finished file its name. The temporary file lies in the
    same folder, because a rename is atomic within one file system only. A `durable` file is on
    disk before it appears; a copy of something that is kept elsewhere need not be.
    """
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".{os.path.basename(path)}.{uuid.uuid4().hex}{_PARTIAL}")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        commit(temporary, path)
        if durable:
            _sync_folder(folder)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)


def _commit_of(if_generation_match: int | None) -> Callable[[str, str], None]:
    if if_generation_match is None:
        return os.replace
    if if_generation_match == ABSENT:
        return _link_if_absent

    def replace_if_unchanged(temporary: str, path: str) -> None:
        with _folder_lock(os.path.dirname(path) or "."):
            found = os.stat(path).st_mtime_ns if os.path.exists(path) else ABSENT
            _check_generation(path, found, if_generation_match)
            _make_newer(temporary, found)
            os.replace(temporary, path)

    return replace_if_unchanged


def _check_generation(path: str, found: int, expected: int) -> None:
    if found != expected:
        raise PreconditionError(f"{path} has changed: generation {found}, expected {expected}")


def _make_newer(temporary: str, generation: int) -> None:
    """Let a file's time differ from that of the one it replaces: clocks of disks tick slowly."""
    if os.stat(temporary).st_mtime_ns <= generation:
        os.utime(temporary, ns=(generation + 1, generation + 1))


def _link_if_absent(temporary: str, path: str) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError as error:
        raise PreconditionError(f"{path} is already there") from error
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # Network and FUSE file systems without hard links: claim the name, then fill it.
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError as exists:
            raise PreconditionError(f"{path} is already there") from exists
        os.replace(temporary, path)


@contextlib.contextmanager
def _folder_lock(folder: str) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def _stat_of(path: str, found: os.stat_result) -> Stat:
    return Stat(path, found.st_size, found.st_mtime_ns, written_at_s=found.st_mtime)


def _is_partial(name: str) -> bool:
    return name.startswith(".") and name.endswith(_PARTIAL)


def _check_regular(path: str, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise NotFoundError(f"{path} is a folder, not a file")
    if not stat.S_ISREG(found.st_mode):
        raise NotFoundError(f"{path} is a pipe, a device or a socket, not a file")


def _can_be_a_name(path: str) -> bool:
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _typed(path: str, error: OSError) -> Exception:
    reason = error.strerror or str(error)
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return NotFoundError(f"{path} does not exist")
        case errno.EISDIR:
            return NotFoundError(f"{path} is a folder, not a file")
        case errno.ENXIO | errno.ENODEV:
            return NotFoundError(f"{path} is a pipe, a device or a socket, not a file")
        case errno.ENAMETOOLONG:
            return NotFoundError(f"{path:.200}... is longer than a file's name can be")
        case errno.ELOOP:
            return NotFoundError(f"{path} is a link that leads to itself")
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return DeniedError(f"{path}: {reason.lower()}; check its owner, its mode and its mount")
        case errno.ENOSPC | errno.EDQUOT:
            return NoSpaceError(f"{path}: no space left on this disk; free some or use another one")
        case _:
            return StorageUnreachableError(f"{path}: {reason}")
