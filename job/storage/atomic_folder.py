"""Folders that appear whole or not at all, locally and in a bucket.

Locally the folder is filled beside its place and renamed into it. A bucket has no rename, so the
manifest, whose presence makes the folder exist for readers, is uploaded last, and everything on
the condition that no other attempt has put something there.
"""

import contextlib
import ctypes
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from job import storage
from job.contract import layout
from job.storage.interface import NotFoundError, PreconditionError
from job.storage.local import errors_of

_PARTIAL = ".partial"
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UPLOADS_AT_ONCE = 8


@contextlib.contextmanager
def staging_folder(target: str) -> Iterator[str]:
    """Give an empty local folder whose files `commit_folder` can move to `target`.

    What is left of it afterwards is deleted.
    """
    if storage.is_remote(target):
        with tempfile.TemporaryDirectory(prefix="staging-") as folder:
            yield folder
        return
    parent, name = os.path.split(target.rstrip("/"))
    folder = os.path.join(parent, f".{name}.{uuid.uuid4().hex}{_PARTIAL}")
    with errors_of(folder):
        os.makedirs(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def commit_folder(
    folder: str,
    target: str,
    manifest_name: str,
    manifest: bytes,
    crc32c: Mapping[str, str] | None = None,
) -> None:
    """Make the files of a staging folder, and then the manifest, appear at `target`.

    A bucket wants each file's crc32c; those that are given need not be computed again.

    Raises:
        PreconditionError: Another attempt has put something there first.
    """
    if storage.is_remote(target):
        _commit_remote(folder, target, manifest_name, manifest, crc32c or {})
    else:
        _commit_local(folder, target, manifest_name, manifest)


def replace_folder(folder: str, target: str, manifest_name: str, manifest: bytes) -> None:
    """Put the files of a staging folder and the manifest in the place of what is at `target`.

    Who reads it meanwhile finds the old folder or the new one, whole: on this machine the two
    change places. In a bucket each file is replaced, the manifest last, whose checksums tell a
    reader that has met files of both.
    """
    if storage.is_remote(target):
        names = files_below(folder)
        for deep in (True, False):
            for name in names:
                if ("/" in name) is deep:
                    storage.upload(os.path.join(folder, name), layout.join(target, name))
        storage.write_bytes(layout.join(target, manifest_name), manifest)
        kept = {layout.join(target, name) for name in (*names, manifest_name)}
        for stat in list(storage.list_files(target)):
            if stat.path not in kept:
                storage.delete(stat.path)
        return
    with errors_of(target):
        storage.write_bytes(os.path.join(folder, manifest_name), manifest)
        for name in files_below(folder):
            _sync(os.path.join(folder, name))
        if os.path.isdir(target):
            _exchange(folder, target)
            shutil.rmtree(folder, ignore_errors=True)
        else:
            os.rename(folder, target)
        _sync(os.path.dirname(target.rstrip("/")) or ".")


def _exchange(one: str, other: str) -> None:
    """Let two folders change places: at one stroke where the kernel can, else almost."""
    if _LIBC is not None and hasattr(_LIBC, "renameat2"):
        names = (os.fsencode(os.path.abspath(one)), os.fsencode(os.path.abspath(other)))
        if _LIBC.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
            return
    aside = f"{one}.old"
    os.rename(other, aside)
    os.rename(one, other)
    os.rename(aside, one)


def files_below(folder: str) -> list[str]:
    """List the files of a local folder and its subfolders, by their sorted paths within it."""
    return sorted(
        os.path.relpath(os.path.join(parent, name), folder).replace(os.sep, "/")
        for parent, _, names in os.walk(folder)
        for name in names
    )


def _commit_remote(
    folder: str, target: str, manifest_name: str, manifest: bytes, crc32c: Mapping[str, str]
) -> None:
    """Upload what is not there yet: of two attempts that overlap, at most one finds all names free.

    What is there is never replaced, since its owner may be about to write the manifest over it.
    """

    def put(name: str) -> None:
        storage.upload(
            os.path.join(folder, name),
            layout.join(target, name),
            if_absent=True,
            crc32c=crc32c.get(name),
        )

    names = files_below(folder)
    with ThreadPoolExecutor(_UPLOADS_AT_ONCE, thread_name_prefix="upload") as threads:
        # A folder's own files come after those in its subfolders, of which they may speak.
        for deep in (True, False):
            list(threads.map(put, [name for name in names if ("/" in name) is deep]))
    storage.write_bytes(layout.join(target, manifest_name), manifest, if_absent=True)


def _commit_local(folder: str, target: str, manifest_name: str, manifest: bytes) -> None:
    with errors_of(target):
        storage.write_bytes(os.path.join(folder, manifest_name), manifest)
        for name in files_below(folder):
            _sync(os.path.join(folder, name))
        if os.path.exists(os.path.join(target, manifest_name)):
            raise PreconditionError(f"{target} was committed by another attempt")
        shutil.rmtree(target, ignore_errors=True)  # Half deleted, or half written without rename.
        os.rename(folder, target)
        _sync(os.path.dirname(target.rstrip("/")) or ".")


def delete_folder(target: str, manifest_name: str) -> None:
    """Delete a committed folder: the manifest first, so that no reader takes a part for it."""
    storage.delete(layout.join(target, manifest_name))
    for stat in list(storage.list_files(target)):
        storage.delete(stat.path)
    if not storage.is_remote(target):
        shutil.rmtree(target, ignore_errors=True)


def withdraw_folder(
    target: str, manifest_name: str, names: Iterable[str], is_ours: Callable[[bytes], bool]
) -> None:
    """Take back what this attempt has committed, and nothing that another one has put there since.

    Args:
        target: The committed folder.
        manifest_name: Name of its manifest.
        names: The other files that this attempt has put there.
        is_ours: Says by a manifest's content whether it is this attempt's.
    """
    if storage.is_remote(target):
        _withdraw_remote(layout.join(target, manifest_name), is_ours)
        for name in names:
            storage.delete(layout.join(target, name))
        return
    parent, name = os.path.split(target.rstrip("/"))
    aside = os.path.join(parent, f".{name}.{uuid.uuid4().hex}{_PARTIAL}")
    with contextlib.suppress(FileNotFoundError, NotFoundError), errors_of(target):
        os.rename(target, aside)
        if not is_ours(storage.read_bytes(os.path.join(aside, manifest_name))):
            os.rename(aside, target)
    shutil.rmtree(aside, ignore_errors=True)


def _withdraw_remote(manifest: str, is_ours: Callable[[bytes], bool]) -> None:
    with contextlib.suppress(NotFoundError, PreconditionError):
        generation = storage.stat(manifest).generation
        if is_ours(storage.read_bytes(manifest, generation=generation)):
            storage.delete(manifest, if_generation_match=generation)


def delete_stale_staging(parent: str) -> None:
    """Delete the staging folders that killed processes left below a local folder."""
    if storage.is_remote(parent) or not os.path.isdir(parent):
        return
    for name in os.listdir(parent):
        if name.startswith(".") and name.endswith(_PARTIAL):
            shutil.rmtree(os.path.join(parent, name), ignore_errors=True)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
