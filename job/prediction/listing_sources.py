"""What --images can be, and how each kind is listed: a stream of entries, sorted by name.

Folders and bucket prefixes come sorted from storage. Lists are sorted, and freed of repetitions,
in a temporary SQLite file, so that no listing has to fit into memory.
"""

import contextlib
import functools
import itertools
import os
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice

from job import storage
from job.contract import layout
from job.contract.errors import InputMissingError
from job.contract.wording import shown_name
from job.dataset.description import load_dataset
from job.images import archives, lists, tar_members
from job.images.file_kinds import (
    CONTENT_BYTES,
    FileKind,
    is_image_content,
    kind_of,
    unicode_forms,
)
from job.images.zip_archive import ZipArchive
from job.prediction.listing import Entry, Found, Tally, same_path
from job.storage.interface import NotFoundError, Stat

_SHARD_ENDING = ".tfrecord"
_WILDCARDS = re.compile(r"[*?\[]")
_STATS_AT_ONCE = 32
LISTED_AGAIN = "(listed again)"
"""What stands for an ending where repetitions in a list are counted."""


def find(images: str, path_column: str = "") -> Found:
    """Recognise what was given and list it.

    Args:
        images: What --images named.
        path_column: The column of a list that holds the paths; empty finds it.

    Raises:
        InputMissingError: There is nothing of that name.
        DataError: A list or an archive that cannot be read.
    """
    images = same_path(images)
    lower = images.lower()
    tally = Tally()
    if lower.endswith(".zip"):
        return Found("zip", _of_zip(images, tally), tally)
    if lower.endswith(archives.TAR_ENDINGS):
        return Found("archive", _of_archive(images, tally), tally)
    if lower.endswith(lists.ENDINGS):
        return Found("list", _of_list(images, path_column, tally), tally)
    if lower.endswith(_SHARD_ENDING) and not _WILDCARDS.search(images):
        return Found("shard", _of_shard(images), tally)
    if storage.exists(layout.dataset_file(images)):
        return Found("dataset", _of_dataset(images), tally)
    if _WILDCARDS.search(images) and not os.path.exists(images):
        return Found("glob", _of_glob(images), tally)
    return Found("folder", _of_folder(images, tally), tally)


def glob_expression(pattern: str) -> re.Pattern[str]:
    """Translate a glob: `*` and `?` stay within a folder, `**` does not, `[…]` is a choice."""
    parts: list[str] = []
    for piece in re.findall(r"\*\*/?|\*|\?|\[[^\]/]+\]|.", pattern, re.DOTALL):
        if piece == "**/":
            parts.append("(?:.*/)?")
        elif piece == "**":
            parts.append(".*")
        elif piece == "*":
            parts.append("[^/]*")
        elif piece == "?":
            parts.append("[^/]")
        elif piece.startswith("[") and len(piece) > 1:
            inside = piece[1:-1].replace("\\", r"\\")
            parts.append(f"[{'^' + inside[1:] if inside.startswith('!') else inside}]")
        else:
            parts.append(re.escape(piece))
    return re.compile("".join(parts), re.DOTALL)


def _of_folder(folder: str, tally: Tally) -> Iterator[Entry]:
    """List a folder, or all objects whose names begin so where no folder of that name is."""
    if storage.is_remote(folder) or os.path.isdir(folder):
        found = storage.list_files(folder)
    else:
        yield _entry(storage.stat(folder))  # One image, or the error that names it.
        return
    first = next(found, None)
    if first is None and storage.is_remote(folder):
        parent = folder.rpartition("/")[0]
        if parent not in ("gs:/", "gs:"):
            found = (stat for stat in storage.list_files(parent) if stat.path.startswith(folder))
    elif first is not None:
        found = itertools.chain([first], found)
    for stat in found:
        name = stat.path.removeprefix(folder).lstrip("/")
        if _is_wanted(name, tally, functools.partial(storage.read_bytes, stat.path, 0)):
            yield _entry(stat)


def _is_wanted(name: str, tally: Tally, read: Callable[[int], bytes]) -> bool:
    """Whether a file of a folder or archive is to be classified; else it is counted.

    An image without a decoder is: it becomes a reject that says so.
    """
    kind = kind_of(name)
    if kind is FileKind.COMPANION or (
        kind is FileKind.UNKNOWN and not is_image_content(read(CONTENT_BYTES))
    ):
        tally.pass_over(name)
        return False
    return True


def _of_glob(pattern: str) -> Iterator[Entry]:
    wildcard = _WILDCARDS.search(pattern)
    assert wildcard is not None
    base = pattern[: wildcard.start()].rpartition("/")[0]
    expression = glob_expression(pattern if base or pattern.startswith("/") else f"./{pattern}")
    for stat in storage.list_files(base or ("/" if pattern.startswith("/") else ".")):
        if expression.fullmatch(stat.path):
            yield _entry(stat)


def _entry(stat: Stat) -> Entry:
    return Entry(stat.path, stat.size, stat.generation)


def _of_archive(path: str, tally: Tally) -> Iterator[Entry]:
    generation = storage.stat(path).generation
    with archives.opened(path) as stream:
        for member in tar_members.files(stream, path):
            if _is_wanted(_inner(member.name), tally, member.read):
                yield Entry(f"{path}#{member.name}", member.size, generation, member.start)


def _of_zip(path: str, tally: Tally) -> Iterator[Entry]:
    generation = storage.stat(path).generation
    with ZipArchive(path) as archive:
        for member in archive.members():
            if _is_wanted(
                _inner(member.name), tally, functools.partial(archive.read, member.number)
            ):
                yield Entry(f"{path}#{member.name}", member.size, generation, member.number)


def _inner(name: str) -> str:
    """Give a member's name without what would make it hidden: a folder `.` or `..`."""
    return "/".join(part for part in name.split("/") if part not in (".", ".."))


def _of_dataset(path: str) -> Iterator[Entry]:
    dataset = load_dataset(path)
    for name in sorted(dataset.splits):
        for shard in dataset.splits[name].shards:
            yield from _records(dataset.shard_path(shard), shard.records)


def _of_shard(path: str) -> Iterator[Entry]:
    from job.dataset.tfrecord import ShardReader

    with tempfile.TemporaryDirectory(prefix="shard-") as folder:
        local = path
        if storage.is_remote(path):
            local = os.path.join(folder, "shard")
            storage.download(path, local)
        records = len(ShardReader(local))
    yield from _records(path, records)


def _records(path: str, count: int) -> Iterator[Entry]:
    generation = storage.stat(path).generation
    for number in range(count):
        yield Entry(f"{path}#{number}", None, generation, number)


def _of_list(path: str, path_column: str, tally: Tally) -> Iterator[Entry]:
    """Sort a list's names, drop repetitions, and look up the generations of what is there."""
    if not storage.exists(path):
        raise InputMissingError(f"the list {path} is not there")
    with tempfile.TemporaryDirectory(prefix="listing-") as folder:
        database = sqlite3.connect(os.path.join(folder, "names"), check_same_thread=False)
        with closing(database):
            database.execute("PRAGMA synchronous = OFF")
            database.execute("PRAGMA journal_mode = OFF")
            read = _Counted(_listed_names(path, path_column))
            database.execute("CREATE TABLE names (name BLOB PRIMARY KEY, good) WITHOUT ROWID")
            database.executemany(
                "INSERT OR IGNORE INTO names VALUES (?, ?)",
                ((name.encode("utf-8", "surrogateescape"), good) for name, good in read),
            )
            (unique,) = database.execute("SELECT count(*) FROM names").fetchone()
            tally.passed_over[LISTED_AGAIN] += read.count - unique
            rows = database.execute("SELECT name, good FROM names ORDER BY name")
            yield from _with_stats(
                (name.decode("utf-8", "surrogateescape"), bool(good)) for name, good in rows
            )


class _Counted(Iterator[tuple[str, bool]]):
    """Counts what goes through."""

    def __init__(self, items: Iterator[tuple[str, bool]]) -> None:
        self._items = items
        self.count = 0

    def __next__(self) -> tuple[str, bool]:
        item = next(self._items)
        self.count += 1
        return item


def _listed_names(path: str, path_column: str) -> Iterator[tuple[str, bool]]:
    """Yield (name, whether it can be that of a file) of each entry of a list."""
    for row in lists.read_list(path, lists.Columns(path=path_column), labelled=False):
        if row.fault:
            yield f"{path}#{shown_name(row.fault)}", False
        else:
            yield lists.location_of(path, row.path), True


def _with_stats(names: Iterator[tuple[str, bool]]) -> Iterator[Entry]:
    with ThreadPoolExecutor(_STATS_AT_ONCE, thread_name_prefix="stat") as threads:
        while chunk := list(islice(names, 16 * _STATS_AT_ONCE)):
            yield from threads.map(_stat_or_missing, chunk)


def _stat_or_missing(listed: tuple[str, bool]) -> Entry:
    name, good = listed
    for form in unicode_forms(name) if good else ():
        with contextlib.suppress(NotFoundError):
            found = storage.stat(form)
            return Entry(form, found.size, found.generation)
    return Entry(name)
