"""What --images can be, and how each kind is listed: a stream of entries, sorted by name.

Folders and bucket prefixes come sorted from storage. Lists are sorted, and freed of repetitions,
in a temporary SQLite file, so that no listing has to fit into memory.
"""

import csv
import io
import json
import os
import re
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice

from job import storage
from job.contract import layout
from job.contract.errors import DataError, InputMissingError
from job.dataset.description import load_dataset
from job.images import archives
from job.prediction.listing import Entry, Found
from job.storage.interface import NotFoundError, Stat

_IMAGE_ENDINGS = (
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".png",
    ".gif",
    ".bmp",
    ".webp",
    ".tif",
    ".tiff",
)
_LIST_ENDINGS = (".txt", ".csv", ".jsonl")
_SHARD_ENDING = ".tfrecord"
_WILDCARDS = re.compile(r"[*?\[]")
_COLUMNS = ("image", "path", "file", "filename", "name", "uri", "url")
_STATS_AT_ONCE = 32


def find(images: str) -> Found:
    """Recognise what was given and list it.

    Raises:
        InputMissingError: There is nothing of that name.
        DataError: A list or an archive that cannot be read.
    """
    lower = images.lower()
    if lower.endswith(archives.ENDINGS):
        return Found("archive", _of_archive(images))
    if lower.endswith(_LIST_ENDINGS):
        return Found("list", _of_list(images))
    if lower.endswith(_SHARD_ENDING) and not _WILDCARDS.search(images):
        return Found("shard", _of_shard(images))
    if storage.exists(layout.dataset_file(images)):
        return Found("dataset", _of_dataset(images))
    if _WILDCARDS.search(images) and not os.path.exists(images):
        return Found("glob", _of_glob(images))
    return Found("folder", _of_folder(images))


def looks_like_image(name: str) -> bool:
    """Whether a file of a folder or archive is to be classified.

    Hidden files are not, nor those whose ending says that they are something else. Objects in
    buckets often have no ending at all: they are.
    """
    base = name.rpartition("/")[2]
    if not base or base.startswith("."):
        return False
    dot = os.path.splitext(base)[1].lower()
    return not dot or dot in _IMAGE_ENDINGS


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


def _of_folder(folder: str) -> Iterator[Entry]:
    """List a folder, or all objects whose names begin so where no folder of that name is."""
    if storage.is_remote(folder) or os.path.isdir(folder):
        found = storage.list_files(folder)
    else:
        found = iter((storage.stat(folder),))  # One image, or the error that names it.
    first = next(found, None)
    if first is None and storage.is_remote(folder):
        parent = folder.rstrip("/").rpartition("/")[0]
        if parent not in ("gs:/", "gs:"):
            found = (stat for stat in storage.list_files(parent) if stat.path.startswith(folder))
    elif first is not None:
        yield from _images([first])
    yield from _images(found)


def _images(stats: Iterable[Stat]) -> Iterator[Entry]:
    return (_entry(stat) for stat in stats if looks_like_image(stat.path))


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


def _of_archive(path: str) -> Iterator[Entry]:
    generation = storage.stat(path).generation
    for member in archives.members(path):
        if looks_like_image(member.name):
            yield Entry(f"{path}#{member.name}", member.size, generation, member.start)


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


def _of_list(path: str) -> Iterator[Entry]:
    """Sort a list's names, drop repetitions, and look up the generations of what is there."""
    if not storage.exists(path):
        raise InputMissingError(f"the list {path} is not there")
    with tempfile.TemporaryDirectory(prefix="listing-") as folder:
        database = sqlite3.connect(os.path.join(folder, "names"), check_same_thread=False)
        with closing(database):
            database.execute("PRAGMA synchronous = OFF")
            database.execute("PRAGMA journal_mode = OFF")
            database.execute("CREATE TABLE names (name BLOB PRIMARY KEY) WITHOUT ROWID")
            database.executemany(
                "INSERT OR IGNORE INTO names VALUES (?)",
                ((name.encode("utf-8", "surrogateescape"),) for name in _listed_names(path)),
            )
            rows = database.execute("SELECT name FROM names ORDER BY name")
            yield from _with_stats(row[0].decode("utf-8", "surrogateescape") for row in rows)


def _with_stats(names: Iterator[str]) -> Iterator[Entry]:
    with ThreadPoolExecutor(_STATS_AT_ONCE, thread_name_prefix="stat") as threads:
        while chunk := list(islice(names, 16 * _STATS_AT_ONCE)):
            yield from threads.map(_stat_or_missing, chunk)


def _stat_or_missing(name: str) -> Entry:
    try:
        found = storage.stat(name)
    except NotFoundError:
        return Entry(name)
    return Entry(name, found.size, found.generation)


def _listed_names(path: str) -> Iterator[str]:
    """Yield the names of a list; relative ones are relative to the folder of the list."""
    folder = path.rpartition("/")[0]
    readers = {".txt": _lines, ".csv": _csv_cells, ".jsonl": _json_names}
    with (
        storage.open_for_reading(path) as file,
        io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text,
    ):
        read = readers[os.path.splitext(path.lower())[1]]
        try:
            for name in read(text, path):
                absolute = "://" in name or name.startswith("/") or not folder
                yield name if absolute else storage.join(folder, name)
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not in UTF-8: {error}") from error


def _lines(text: io.TextIOWrapper, _: str) -> Iterator[str]:
    return (name for line in text if (name := line.strip()))


def _csv_cells(text: io.TextIOWrapper, path: str) -> Iterator[str]:
    """Yield the cells of the column that a header names, else of the first column."""
    reader = csv.reader(text)
    column: int | None = None
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if column is None:
                known = [i for i, cell in enumerate(cells) if cell.lower() in _COLUMNS]
                column = known[0] if known else 0
                if known:
                    continue
            if column >= len(cells) or not cells[column]:
                raise DataError(f"{path}, line {reader.line_num}: the image's path is missing")
            yield cells[column]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not CSV: {error}") from error


def _json_names(text: io.TextIOWrapper, path: str) -> Iterator[str]:
    """Yield a string of each line, or the first known key of its object."""
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: not JSON: {error}") from error
        if isinstance(value, dict):
            value = next((value[key] for key in _COLUMNS if key in value), None)
        if not isinstance(value, str) or not value:
            raise DataError(
                f"{path}, line {number}: neither a path nor an object with one of "
                f"{', '.join(_COLUMNS)}"
            )
        yield value
