"""The Food-101 layout: `images/<class>/<id>.jpg` and `meta/{classes,train,test}.txt`.

An image is known by `<class>/<id>`, as the official lists name it.
"""

import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from job.contract.errors import DataError
from job.contract.wording import many, shown_name
from job.making.catalogue import ImageCatalogue
from job.making.layouts import Place

CLASSES, TRAIN, TEST = "classes.txt", "train.txt", "test.txt"
META_FILES = (CLASSES, TRAIN, TEST)


@dataclass(frozen=True, slots=True)
class Meta:
    """The official lists of a source, and the folder of its images, with a slash at its end."""

    texts: Mapping[str, bytes]
    images: str

    def place(self, name: str) -> Place | None:
        """Place an image by its name; None for what is in no folder of a class."""
        class_text, _, file = name.removeprefix(self.images).partition("/")
        if not name.startswith(self.images) or not file or "/" in file:
            return None
        stem = file.rpartition(".")[0] or file
        return Place(f"{class_text}/{stem}", f"{class_text}/{file}", class_text, None)

    def describe(self, classes: int) -> str:
        """Say in a line what a source was taken for."""
        counted = many(classes, "class", "classes")
        return f"{counted} in {shown_name(self.images)}, split by meta/{TRAIN} and meta/{TEST}"


def find_meta(texts: Mapping[str, bytes], folders: Set[str]) -> Meta | None:
    """Find the official lists and the images that they are about; None if there are none.

    The folder of the lists may lie deeper than that of the images, as some re-packed copies have
    it.
    """
    lists = sorted(name for name in texts if name.endswith(f"meta/{TRAIN}"))
    for name in lists:
        folder = posixpath.dirname(name)
        found = {file: texts[path] for file in META_FILES if (path := f"{folder}/{file}") in texts}
        while folder:
            folder = posixpath.dirname(folder)
            images = posixpath.join(folder, "images")
            if images in folders:
                return Meta(found, images + "/")
    return None


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
    if len(set(classes)) < len(classes):
        twice = next(name for name, number in Counter(classes).items() if number > 1)
        raise DataError(f"{where}: meta/{CLASSES} names {shown_name(twice)} twice")
    for file, split in ((TRAIN, "train"), (TEST, "test")):
        in_both = catalogue.set_official(split, _lines(meta[file], where, file))
        if in_both is not None:
            raise DataError(f"{where}: meta/{TRAIN} and meta/{TEST} both name {in_both!r}")
    catalogue.apply_official()
    return classes


def _lines(content: bytes, where: str, file: str) -> Iterator[str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: meta/{file} is not UTF-8") from error
    return (line.strip() for line in text.splitlines() if line.strip())
