"""Lists of images: CSV, TSV, semicolons, JSON lines or plain lines, with or without a header.

One reader for all commands. What is wrong with one entry is that entry's fault and never ends the
reading; what makes all entries doubtful, as an unknown header, is an error.
"""

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, TextIO

from job import storage
from job.contract.errors import DataError
from job.contract.wording import shown_name
from job.images.file_kinds import name_fault
from job.images.list_cells import (
    LINE_ENDINGS,
    PLAIN_ENDINGS,
    TABLE_ENDINGS,
    TableReader,
    decoded,
    objects,
)
from job.images.list_columns import Columns, Places, of_header, of_keys, of_positions

__all__ = ["ENDINGS", "Columns", "Row", "location_of", "read_list", "rows_of", "split_named"]

ENDINGS = (*TABLE_ENDINGS, *LINE_ENDINGS, *PLAIN_ENDINGS)
"""Of files that are taken for lists."""

_TRAIN_NAMES = frozenset(("train", "training"))
_TEST_NAMES = frozenset(
    ("test", "testing", "val", "valid", "validation", "eval", "evaluation", "dev", "holdout")
)
_LONGEST_PATH, _LONGEST_NAME, _LONGEST_LABEL = 4096, 255, 255


@dataclass(frozen=True, slots=True)
class Row:
    """One entry of a list.

    `path` is as the list has it, with forward slashes; `split` is train, test or None where the
    list names none. A `fault` says why the entry cannot be used.
    """

    line: int
    path: str
    label: str = ""
    split: str | None = None
    fault: str = ""


def split_named(text: str) -> str | None:
    """Tell which split a name means, as `Train` or `valid`; None if it is no split's name."""
    name = text.strip().lower()
    return "train" if name in _TRAIN_NAMES else "test" if name in _TEST_NAMES else None


def read_list(path: str, columns: Columns, *, labelled: bool) -> Iterator[Row]:
    """Yield the entries of a list, in their order.

    Args:
        path: The list, local or gs://; its ending tells the format.
        columns: Columns that were asked for.
        labelled: Whether every entry needs a label.

    Raises:
        InputMissingError: There is no such list.
        DataError: No column of the header is known, or the file is not text.
    """
    with storage.open_for_reading(path) as file:
        yield from rows_of(file, path, columns, labelled=labelled)


def rows_of(file: BinaryIO, name: str, columns: Columns, *, labelled: bool) -> Iterator[Row]:
    """Yield the entries of an open file as `read_list` does; `name` is the list's, for messages."""
    rows = _of_objects if name.lower().endswith(LINE_ENDINGS) else _of_table
    try:
        with decoded(file, name) as text:
            yield from rows(text, name, columns, labelled)
    except UnicodeError as error:
        raise DataError(f"{name} is not in UTF-8: {error}; save it as UTF-8") from error


def location_of(list_path: str, image: str) -> str:
    """Locate an image that a list names: absolute, or relative to the folder of the list."""
    folder = list_path.rpartition("/")[0] or ("/" if list_path.startswith("/") else "")
    if "://" in image or image.startswith("/") or not folder:
        return image
    return storage.join(folder, image)


def _of_table(text: TextIO, name: str, columns: Columns, labelled: bool) -> Iterator[Row]:
    table = TableReader(text, name, labelled=labelled)
    places: Places | None = None
    for line, cells in table.rows():
        if places is None:
            places = of_header(name, cells, columns, labelled=labelled)
            if places is not None:
                continue
            places = of_positions(name, cells, columns, labelled=labelled)
        found = cells

        def cell(place: Any) -> Any:
            return found[place] if place < len(found) else ""  # noqa: B023 (used at once)

        yield _row(line, places, cell)


def _of_objects(text: TextIO, name: str, columns: Columns, labelled: bool) -> Iterator[Row]:
    places: Places | None = None
    good = 0
    for line, value in objects(text):
        if isinstance(value, dict) and places is None:
            try:
                places = of_keys(name, value, columns, labelled=labelled)
            except DataError:
                if not good:
                    raise
        if isinstance(value, dict) and places is not None:
            yield _row(line, places, value.get)
        elif isinstance(value, str) and not labelled:
            yield _row(line, Places(0), lambda _, found=value: found)  # type: ignore[misc]
        else:
            wanted = "an object with path and label" if labelled else "a path or an object with one"
            yield Row(line, f"line {line}", fault=f"line {line}: its JSON is not {wanted}")
            continue
        good += 1


def _row(line: int, places: Places, cell: Callable[[Any], Any]) -> Row:
    """Make a row of cells; what is wrong with it becomes its fault."""
    path = _text(cell(places.path))
    label = "" if places.label is None else _text(cell(places.label))
    split = None
    fault = _fault_of_path(path) or (places.label is not None and _fault_of_label(label)) or ""
    if not fault and places.split is not None:
        said = _text(cell(places.split)) or ""
        split = split_named(said)
        if split is None:
            fault = (
                f"split must be train or test (or val, validation), not {shown_name(said[:50])!r}"
            )
    if fault:
        return Row(line, path or f"line {line}", fault=f"line {line}: {fault}")
    assert path is not None
    assert label is not None
    return Row(line, _normal(path), label, split)


def _text(value: object) -> str | None:
    """Give a cell as text, numbers as people write them; None for what is no text."""
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float) else None


def _fault_of_path(path: str | None) -> str:
    if path is None:
        return "its path is no text"
    if not path:
        return "its path is missing"
    if len(path) > _LONGEST_PATH or any(len(p) > _LONGEST_NAME for p in path.split("/")):
        return f"its path is longer than a file's can be ({len(path):,} characters)"
    return name_fault(path)


def _fault_of_label(label: str | None) -> str:
    if label is None:
        return "its label is neither text nor a number"
    if not label:
        return "its label is missing"
    if len(label) > _LONGEST_LABEL:
        return f"its label is longer than {_LONGEST_LABEL} characters"
    return name_fault(label).replace("the name", "its label")


def _normal(path: str) -> str:
    """Write a path in one way: Windows' separators, `./` and doubled slashes go."""
    if "\\" in path and "/" not in path:
        path = path.replace("\\", "/")
    return path if "://" in path else posixpath.normpath(path)
