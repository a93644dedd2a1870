"""All files below a local folder, sorted by path, whatever lies there and however much.

- Memory holds the names of one folder at a time, and of a large one only runs that were sorted
  and written to a temporary file: ten million files take no more than a hundred thousand.
- A symbolic link to a folder is followed, but never into a folder that it lies in, and of two ways
  to a folder that both lead through two links only one is taken: a few links could otherwise
  describe more paths than there are atoms.
- What is no regular file is never opened here, and never by name alone: see `open_regular`.
"""

import contextlib
import heapq
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO

MOST_SORTED = 1 << 17
"""Names that are sorted in memory at once."""
_FOLDER = "/"


@dataclass(frozen=True, slots=True)
class Walked:
    """What a walk found: a regular file with its `found`, or what is none, without."""

    path: str
    found: os.stat_result | None


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder that a walk is in, with its names that are still to come."""

    path: str
    names: Iterator[str]
    above: frozenset[tuple[int, int]]
    """Identities of itself and of all folders that it lies in."""
    links: int
    """How many links led to it."""
    files: contextlib.ExitStack
    """Holds the temporary files with its names, if they are many."""


def files_below(folder: str) -> Iterator[Walked]:
    """Yield every file below a folder, in the order of the whole paths; nothing where nothing is.

    Pipes, devices, sockets, links to nothing or in circles, and names that are too long come
    without their `found`: whoever counts files counts them.

    Raises:
        OSError: A folder cannot be read, as for want of permission: nobody knows what it holds.
    """
    taken: set[tuple[int, int]] = set()
    # A stack of our own: folders can be nested deeper than Python recurses.
    inside = [_entered(folder, frozenset(), 0)]
    try:
        while inside:
            here = inside[-1]
            name = next(here.names, None)
            if name is None:
                inside.pop().files.close()
                continue
            path = os.path.join(here.path, name.removesuffix(_FOLDER))
            found = _stat(path)
            if found is not None and stat.S_ISDIR(found.st_mode):
                identity = (found.st_dev, found.st_ino)
                links = here.links + os.path.islink(path)
                if identity not in here.above and not (links > 1 and identity in taken):
                    if links > 1:
                        taken.add(identity)
                    inside.append(_entered(path, here.above, links))
                    continue
            if found is not None and stat.S_ISREG(found.st_mode):
                yield Walked(path, found)
            elif not _is_gone(path):
                yield Walked(path, None)
    finally:
        for here in inside:
            here.files.close()


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:  # A link to nothing, or one that may not be followed.
        return None


def _is_gone(path: str) -> bool:
    """Whether a file was deleted since the walk began, not one that a link misses."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except OSError:  # As where the whole path is too long.
        return False
    return False


def _entered(path: str, above: frozenset[tuple[int, int]], links: int) -> _Folder:
    files = contextlib.ExitStack()
    try:
        found = os.stat(path)
        with os.scandir(path) as entries:
            # A file sorts by its name, a folder by the name and the slash that follows it in the
            # paths of all it holds: so the order is that of whole paths, and no two folders mix.
            names = _sorted((_key(entry) for entry in entries), files)
    except (FileNotFoundError, NotADirectoryError):
        return _Folder(path, iter(()), above, links, files)
    return _Folder(path, names, above | {(found.st_dev, found.st_ino)}, links, files)


def _key(entry: "os.DirEntry[str]") -> str:
    try:
        return entry.name + _FOLDER if entry.is_dir() else entry.name
    except OSError:
        return entry.name


def _sorted(names: Iterable[str], files: contextlib.ExitStack) -> Iterator[str]:
    """Sort any number of names; memory holds MOST_SORTED of them, `files` the others."""
    runs: list[Iterator[str]] = []
    run: list[str] = []
    for name in names:
        run.append(name)
        if len(run) == MOST_SORTED:
            file = files.enter_context(tempfile.TemporaryFile(prefix="names-"))  # noqa: SIM115
            runs.append(_written(sorted(run), file))
            run = []
    return heapq.merge(*runs, sorted(run)) if runs else iter(sorted(run))


def _written(run: list[str], file: IO[bytes]) -> Iterator[str]:
    """Write a run into a file, one name between two NULs, and give it back name by name."""
    # No name holds a NUL, but any may hold a line break.
    for name in run:
        file.write(os.fsencode(name) + b"\0")
    file.seek(0)
    return _read(file)


def _read(file: IO[bytes]) -> Iterator[str]:
    rest = b""
    while piece := file.read(1 << 16):
        *names, rest = (rest + piece).split(b"\0")
        yield from map(os.fsdecode, names)
