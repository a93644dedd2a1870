"""The files of a source before anyone knows what they mean: names on disk, counts by folder."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from job.images.file_kinds import FileKind, ending_of, unicode_forms

_CACHE_KIB = 32 * 1024


@dataclass(slots=True)
class FolderCount:
    """What lies directly in a folder, and how many images are anywhere below it."""

    images: int = 0
    others: int = 0
    below: int = 0
    children: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file; `ordinal` is its place among all members of its container."""

    ordinal: int
    name: str
    size: int
    location: str
    kind: FileKind


class SourceTree:
    """All files of a source; a context manager over a private database.

    Memory grows with the number of folders, not with that of files.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute(
            "CREATE TABLE files (ordinal INTEGER PRIMARY KEY, name TEXT, size INTEGER, "
            "location TEXT, kind TEXT, taken INTEGER DEFAULT 0)"
        )
        self._database.execute("BEGIN")
        self.folders: dict[str, FolderCount] = {"": FolderCount()}
        """By path within the source, without slashes at its ends."""
        self.texts: dict[str, bytes] = {}
        """Content of the small files that may say what the images are, by name."""
        self.endings: Counter[str] = Counter()
        """Number of files by their ending."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add(self, file: TreeFile) -> None:
        """Take a file in."""
        self._database.execute(
            "INSERT INTO files (ordinal, name, size, location, kind) VALUES (?, ?, ?, ?, ?)",
            (file.ordinal, file.name, file.size, file.location, file.kind.value),
        )
        self.endings[ending_of(file.name)] += 1
        is_image = file.kind in (FileKind.IMAGE, FileKind.UNDECODED)
        folder = file.name.rpartition("/")[0]
        count = self._count(folder)
        if is_image:
            count.images += 1
            while folder:
                self.folders[folder].below += 1
                folder = folder.rpartition("/")[0]
            self.folders[""].below += 1
        else:
            count.others += 1

    def files(self) -> Iterator[TreeFile]:
        """Yield all files in the order of their container."""
        return self._files("1 ORDER BY ordinal", ())

    def find(self, name: str) -> TreeFile | None:
        """Find a file by its name, in the Unicode form that it has there."""
        self._database.execute("CREATE INDEX IF NOT EXISTS by_name ON files (name)")
        for form in unicode_forms(name):
            for file in self._files("name = ? LIMIT 1", (form,)):
                return file
        return None

    def take(self, file: TreeFile) -> bool:
        """Mark a file; False if it was marked already."""
        return bool(
            self._database.execute(
                "UPDATE files SET taken = 1 WHERE ordinal = ? AND NOT taken", (file.ordinal,)
            ).rowcount
        )

    def left(self) -> Iterator[TreeFile]:
        """Yield the files that nobody took, in their order."""
        return self._files("NOT taken ORDER BY ordinal", ())

    def _files(self, condition: str, values: tuple[object, ...]) -> Iterator[TreeFile]:
        rows = self._database.execute(
            f"SELECT ordinal, name, size, location, kind FROM files WHERE {condition}",  # noqa: S608
            values,
        )
        for ordinal, name, size, location, kind in rows:
            yield TreeFile(ordinal, name, size, location, FileKind(kind))

    def filled(self, folder: str) -> list[str]:
        """List the folders directly in a folder that have images somewhere below, sorted."""
        prefix = folder + "/" if folder else ""
        children = self.folders[folder].children if folder in self.folders else set()
        return sorted(one for one in children if self.folders[prefix + one].below)

    def without_images(self, folder: str) -> list[str]:
        """List the folders directly in a folder that have files below, but no images, sorted."""
        children = self.folders[folder].children if folder in self.folders else set()
        return sorted(children - set(self.filled(folder)))

    def images_in(self, folder: str) -> int:
        """Count the images directly in a folder."""
        return self.folders[folder].images if folder in self.folders else 0

    def _count(self, folder: str) -> FolderCount:
        found = self.folders.setdefault(folder, FolderCount())
        while folder:
            parent, _, name = folder.rpartition("/")
            known = parent in self.folders
            self.folders.setdefault(parent, FolderCount()).children.add(name)
            if known:
                break
            folder = parent
        return found
