"""What --source can be: which kind it is, and how the plain kinds are listed."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Protocol

from job import storage
from job.contract.errors import DataError, InputMissingError
from job.dataset.description import SPLITS
from job.making.catalogue import ImageCatalogue, SourceImage
from job.making.food101 import Food101Folder
from job.making.food101_archive import Food101Archive
from job.making.placement import split_of

_ARCHIVES = (".tar.gz", ".tgz", ".tar")
_REQUIRED = ("path", "label")


class Source(Protocol):
    """Anything that can list its images."""

    kind: str

    def list_into(self, catalogue: ImageCatalogue) -> list[str]:
        """Fill the catalogue; return the classes in label order."""
        ...


def open_source(path: str, *, seed: int, test_fraction: float) -> Source:
    """Recognise a source.

    Raises:
        InputMissingError: There is nothing at that path.
    """
    lower = path.lower()
    if lower.endswith(_ARCHIVES):
        return Food101Archive(path)
    if lower.endswith(".csv"):
        return ImageCsv(path, seed=seed, test_fraction=test_fraction)
    if (root := Food101Folder.root_of(path)) is not None:
        return Food101Folder(root)
    if next(storage.list_files(path), None) is None:
        raise InputMissingError(
            f"source {path} is not there or empty; give a folder, a .tar.gz in the Food-101 "
            "layout, or a .csv"
        )
    return ClassFolders(path, seed=seed, test_fraction=test_fraction)


class ClassFolders:
    """A folder with one folder of images for each class."""

    kind = "class folders"

    def __init__(self, path: str, *, seed: int, test_fraction: float) -> None:
        self._path = path
        self._seed = seed
        self._test_fraction = test_fraction

    def list_into(self, catalogue: ImageCatalogue) -> list[str]:
        """Fill the catalogue; return the classes, sorted. Hidden files are passed over."""
        for found in storage.list_files(self._path):
            name = found.path[len(self._path) :].strip("/")
            class_text, _, rest = name.partition("/")
            if not rest or name.startswith(".") or "/." in name:
                continue
            split = split_of(name, self._seed, self._test_fraction)
            catalogue.add(SourceImage(name, name, found.path, class_text, split, found.size))
        return catalogue.class_names()


class ImageCsv:
    """A CSV of path, label and maybe split, with or without a header line.

    Paths are absolute, gs:// or relative to the folder of the CSV. Labels that are all whole
    numbers are sorted as numbers.
    """

    kind = "CSV"

    def __init__(self, path: str, *, seed: int, test_fraction: float) -> None:
        self._path = path
        self._seed = seed
        self._test_fraction = test_fraction

    def list_into(self, catalogue: ImageCatalogue) -> list[str]:
        """Fill the catalogue; return the classes in label order.

        Raises:
            DataError: A line that lacks something, by its number.
        """
        folder = self._path.rpartition("/")[0]
        for line, row in self._rows():
            path, label, split = (row.get(name, "") for name in (*_REQUIRED, "split"))
            if not path or not label:
                raise DataError(f"{self._path}, line {line}: path or label is missing")
            if "split" not in row:
                split = split_of(path, self._seed, self._test_fraction)
            elif split not in SPLITS:
                raise DataError(
                    f"{self._path}, line {line}: split must be train or test, not {split!r}"
                )
            absolute = storage.is_remote(path) or path.startswith("/") or not folder
            location = path if absolute else storage.join(folder, path)
            catalogue.add(SourceImage(path, path, location, label, split, None))
        classes = catalogue.class_names()
        return sorted(classes, key=int) if all(map(_is_number, classes)) else classes

    def _rows(self) -> Iterator[tuple[int, Mapping[str, str]]]:
        """Yield (line number, cell by column name) of each row with content."""
        columns: list[str] | None = None
        with storage.open_for_reading(self._path) as file:
            reader = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))
            try:
                for cells in reader:
                    row = [cell.strip() for cell in cells]
                    if not any(row):
                        continue
                    if columns is None:
                        columns = self._columns(row)
                        if set(_REQUIRED) <= set(row):
                            continue
                    padded = row + [""] * (len(columns) - len(row))
                    yield reader.line_num, dict(zip(columns, padded, strict=False))
            except (csv.Error, UnicodeDecodeError) as error:
                raise DataError(
                    f"{self._path}, line {reader.line_num + 1}: not CSV in UTF-8: {error}"
                ) from error

    def _columns(self, first_row: list[str]) -> list[str]:
        if set(_REQUIRED) <= set(first_row):
            return first_row
        if len(first_row) not in (2, 3):
            raise DataError(f"{self._path}: the columns must be path,label[,split]")
        return [*_REQUIRED, "split"][: len(first_row)]


def _is_number(text: str) -> bool:
    return text.isascii() and text.removeprefix("-").isdigit()
