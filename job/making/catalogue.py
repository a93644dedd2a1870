"""Every image of a source and its place in the dataset, kept on disk and not in memory.

A private SQLite database that lives as long as the object: a source of ten million images takes
no more memory than one of ten thousand.
"""

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from job.contract.wording import shown_name
from job.images.file_kinds import ending_of, name_fault
from job.making.classes import class_order
from job.making.placement import order_key

_CACHE_KIB = 32 * 1024
_SCHEMA = """
CREATE TABLE images (
    source_id TEXT PRIMARY KEY, ordinal INTEGER, filename TEXT, location TEXT,
    class TEXT, split TEXT, bytes INTEGER
) WITHOUT ROWID;
CREATE TABLE official (source_id TEXT PRIMARY KEY, split TEXT) WITHOUT ROWID;
CREATE TABLE classes (label INTEGER PRIMARY KEY, class TEXT UNIQUE);
CREATE TABLE conflicts (source_id TEXT PRIMARY KEY, reason TEXT) WITHOUT ROWID;
CREATE TABLE rejects (source_id TEXT, filename TEXT, reason TEXT);
CREATE TABLE plan (
    position INTEGER PRIMARY KEY, source_id TEXT, ordinal INTEGER, filename TEXT, location TEXT,
    class TEXT, label INTEGER, split TEXT, bytes INTEGER
);
"""


@dataclass(frozen=True, slots=True)
class SourceImage:
    """An image as its source lists it.

    `source_id` names it within the source, `filename` is what its file is called there,
    `location` what opens it (a path, or a member of an archive), `bytes` its size if that is
    known, `split` train, test or None where the source's official lists will tell. `ordinal` is
    its place in a source that must be read in its own order.
    """

    source_id: str
    filename: str
    location: str
    class_text: str
    split: str | None
    bytes: int | None
    ordinal: int = 0


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """An image with its place: `position` counts from 0 through all shards of all splits."""

    position: int
    ordinal: int
    source_id: str
    filename: str
    location: str
    class_text: str
    label: int
    bytes: int | None


@dataclass(frozen=True, slots=True, order=True)
class Reject:
    """A file that is not in the dataset, and why."""

    source_id: str
    filename: str
    reason: str


class ImageCatalogue:
    """Collects a source's images, then puts them into the order of the dataset."""

    def __init__(self) -> None:
        # The empty name is SQLite's for a temporary file of its own that vanishes when closed.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.create_function("order_key", 2, order_key, deterministic=True)
        self._database.executescript(_SCHEMA)
        self._database.execute("BEGIN")
        self._considered = 0
        self.seen: Counter[str] = Counter()
        """Files and entries of the source, by ending: `saw` counts them."""
        self.passed_over: dict[str, Counter[str]] = {}
        """Those that are no images of the dataset: why, and how many by ending."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    @property
    def considered(self) -> int:
        """Images that were to be in the dataset, usable or not."""
        return self._considered

    def saw(self, name: str) -> None:
        """Count a file or an entry of a list: each ends up added, rejected or passed over."""
        self.seen[ending_of(name)] += 1

    def pass_over(self, name: str, why: str) -> None:
        """Count a file that is not to be in the dataset."""
        self.passed_over.setdefault(why, Counter())[ending_of(name)] += 1

    def add(self, image: SourceImage) -> None:
        """Take an image in; a second one of the same source_id is rejected.

        If that one has another class or split, both are rejected: which is right is not known.
        """
        texts = (image.source_id, image.filename, image.location, image.class_text)
        if any(map(name_fault, texts)):
            name = shown_name(image.filename)
            self.reject(Reject(name, name, next(filter(None, map(name_fault, texts)))))
            return
        self._considered += 1
        added = self._database.execute(
            "INSERT OR IGNORE INTO images VALUES (?, ?, ?, ?, ?, ?, ?)",
            (image.source_id, image.ordinal, *texts[1:], image.split, image.bytes),
        )
        if not added.rowcount:
            reason = self._conflict(image) or "listed a second time"
            self._reject(Reject(image.source_id, image.filename, reason))

    def _conflict(self, image: SourceImage) -> str:
        """Say in what an image differs from the one of its name, and note that for that one too."""
        (class_text, split) = self._database.execute(
            "SELECT class, split FROM images WHERE source_id = ?", (image.source_id,)
        ).fetchone()
        if class_text != image.class_text:
            reason = f"listed with two labels: {class_text} and {image.class_text}"
        elif split != image.split:
            reason = "listed for training and for testing"
        else:
            return ""
        self._database.execute(
            "INSERT OR IGNORE INTO conflicts VALUES (?, ?)", (image.source_id, reason)
        )
        return reason

    def reject(self, reject: Reject) -> None:
        """Note an image that cannot be used."""
        self._considered += 1
        self._reject(reject)

    def _reject(self, reject: Reject) -> None:
        self._database.execute(
            "INSERT INTO rejects VALUES (?, ?, ?)",
            (reject.source_id, reject.filename, reject.reason),
        )

    def set_official(self, split: str, source_ids: Iterable[str]) -> str | None:
        """Note the images of an official split; returns one that is in the other one already."""
        for source_id in source_ids:
            self._database.execute(
                "INSERT OR IGNORE INTO official VALUES (?, ?)", (source_id, split)
            )
            (found,) = self._database.execute(
                "SELECT split FROM official WHERE source_id = ?", (source_id,)
            ).fetchone()
            if found != split:
                return source_id
        return None

    def apply_official(self) -> None:
        """Give every image its official split; reject what is on one side alone."""
        run = self._database.execute
        run(
            "UPDATE images SET split = "
            "(SELECT split FROM official WHERE official.source_id = images.source_id)"
        )
        run(
            "INSERT INTO rejects SELECT source_id, filename, "
            "'in neither meta/train.txt nor meta/test.txt' FROM images WHERE split IS NULL"
        )
        missing = run(
            "INSERT INTO rejects SELECT source_id, '', 'named in meta/' || split || '.txt, but "
            "not there' FROM official WHERE source_id NOT IN (SELECT source_id FROM images)"
        ).rowcount
        self.seen[""] += missing
        self._considered += missing
        run("DELETE FROM images WHERE split IS NULL")

    def class_names(self) -> list[str]:
        """List the classes that images have, in the order of `class_order`."""
        return class_order(
            name for (name,) in self._database.execute("SELECT DISTINCT class FROM images")
        )

    def arrange(self, classes: Sequence[str], seed: int) -> None:
        """Put all images into their places: train first, each split shuffled by the seed.

        The place of an image depends on its source_id and the seed, not on the order in which
        the source listed it. Images of classes that are not in `classes` are rejected.
        """
        run = self._database.execute
        run(
            "INSERT INTO rejects SELECT source_id, filename, reason "
            "FROM images JOIN conflicts USING (source_id)"
        )
        run("DELETE FROM images WHERE source_id IN (SELECT source_id FROM conflicts)")
        self._database.executemany("INSERT INTO classes VALUES (?, ?)", enumerate(classes))
        run(
            "INSERT INTO rejects SELECT source_id, filename, 'class ' || class || ' is not in "
            "meta/classes.txt' FROM images WHERE class NOT IN (SELECT class FROM classes)"
        )
        run(
            "INSERT INTO plan SELECT row_number() OVER (ORDER BY split = 'test', "
            "order_key(source_id, ?), source_id) - 1, source_id, ordinal, filename, location, "
            "class, label, split, bytes FROM images JOIN classes USING (class)",
            (seed,),
        )
        run("CREATE INDEX by_ordinal ON plan (ordinal)")
        run("DROP TABLE images")

    def count(self, split: str) -> int:
        """Number of images of a split, once arranged."""
        (number,) = self._database.execute(
            "SELECT count(*) FROM plan WHERE split = ?", (split,)
        ).fetchone()
        return int(number)

    def planned(self, first: int, last: int) -> Iterator[PlannedImage]:
        """Yield the images at positions [first, last), in that order."""
        return self._planned("position BETWEEN ? AND ? ORDER BY position", (first, last - 1))

    def planned_as_listed(self) -> Iterator[PlannedImage]:
        """Yield all planned images in the order in which the source listed them."""
        return self._planned("1 ORDER BY ordinal", ())

    def _planned(self, condition: str, values: tuple[int, ...]) -> Iterator[PlannedImage]:
        columns = "position, ordinal, source_id, filename, location, class, label, bytes"
        rows = self._database.execute(
            f"SELECT {columns} FROM plan WHERE {condition}",  # noqa: S608 (both are ours)
            values,
        )
        return (PlannedImage(*row) for row in rows)

    def rejects(self) -> list[Reject]:
        """List what was rejected without being read, sorted."""
        rows = self._database.execute("SELECT source_id, filename, reason FROM rejects")
        return sorted(Reject(*row) for row in rows)

    def classes_without(self, split: str) -> list[str]:
        """List the classes that no image of a split has, once arranged."""
        return [
            name
            for (name,) in self._database.execute(
                "SELECT class FROM classes WHERE class NOT IN "
                "(SELECT class FROM plan WHERE split = ?)",
                (split,),
            )
        ]

    def digest(self) -> str:
        """Hash which images there are, in which order, with which labels and sizes."""
        digest = hashlib.sha256()
        for row in self._database.execute(
            "SELECT source_id, filename, class, label, split, bytes FROM plan ORDER BY position"
        ):
            digest.update(repr(row).encode())
        return digest.hexdigest()
