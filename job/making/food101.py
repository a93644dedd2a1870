"""The Food-101 layout: `images/<class>/<id>.jpg` and `meta/{classes,train,test}.txt`.

Used alike for an unpacked folder, which is read here, and for the archive
(`job/making/food101_archive.py`). An image is known by `<class>/<id>`, as the official lists name
it.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping

from job import storage
from job.contract.errors import DataError
from job.making.catalogue import ImageCatalogue, SourceImage

CLASSES, TRAIN, TEST = "classes.txt", "train.txt", "test.txt"
META_FILES = (CLASSES, TRAIN, TEST)

_IMAGE = re.compile(r"(?:^|/)images/(?P<class>[^/]+)/(?P<stem>[^/]+?)(?:\.[^./]*)?$")
_META = re.compile(r"(?:^|/)meta/(?P<file>classes\.txt|train\.txt|test\.txt)$")


def image_of(name: str, size: int | None, location: str) -> SourceImage | None:
    """Read class and id from the name of a file in the layout; None for what is no image.

    Names are only ever compared and copied into records: none becomes a path to write to.
    """
    match = _IMAGE.search(name)
    if match is None or match["stem"].startswith(".") or match["class"].startswith("."):
        return None
    source_id = f"{match['class']}/{match['stem']}"
    filename = f"{match['class']}/{posixpath.basename(name)}"
    return SourceImage(source_id, filename, location, match["class"], None, size)


def meta_file_of(name: str) -> str | None:
    """Tell which of `META_FILES` a file in the layout is, if any."""
    match = _META.search(name)
    return match["file"] if match else None


def apply_meta(catalogue: ImageCatalogue, meta: Mapping[str, bytes], where: str) -> list[str]:
    """Give the catalogue's images their official split; return the classes in label order.

    Raises:
        DataError: An official list is missing or contradicts another one.
    """
    for file in META_FILES:
        if file not in meta:
            raise DataError(
                f"{where} has no meta/{file}; it is not in the Food-101 layout, or not complete"
            )
    classes = list(_lines(meta[CLASSES], where, CLASSES))
    for file, split in ((TRAIN, "train"), (TEST, "test")):
        twice = catalogue.set_official(split, _lines(meta[file], where, file))
        if twice is not None:
            raise DataError(f"{where}: meta/{TRAIN} and meta/{TEST} both name {twice!r}")
    catalogue.apply_official()
    return classes


class Food101Folder:
    """An unpacked Food-101 folder, local or in a bucket."""

    kind = "Food-101 folder"

    def __init__(self, path: str) -> None:
        self._path = path

    @staticmethod
    def root_of(path: str) -> str | None:
        """Find the folder that holds meta/: `path` itself or `path`/food-101; None if neither."""
        for root in (path, storage.join(path, "food-101")):
            if storage.exists(storage.join(root, "meta", TRAIN)):
                return root
        return None

    def list_into(self, catalogue: ImageCatalogue) -> list[str]:
        """Fill the catalogue; return the classes in label order."""
        images = storage.join(self._path, "images")
        for found in storage.list_files(images):
            image = image_of(found.path[len(self._path) :], found.size, found.path)
            if image is not None:
                catalogue.add(image)
        paths = {file: storage.join(self._path, "meta", file) for file in META_FILES}
        meta = {
            file: storage.read_bytes(path) for file, path in paths.items() if storage.exists(path)
        }
        return apply_meta(catalogue, meta, self._path)


def _lines(content: bytes, where: str, file: str) -> Iterator[str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: meta/{file} is not UTF-8") from error
    return (line.strip() for line in text.splitlines() if line.strip())
