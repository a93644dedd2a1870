"""Which column of a list is the path, the label, the split: by the names that people give them.

Names count in any case and with any separator (`File_Name`, `file-name`). A header that names none
of them is an error that says which columns there are and which flags choose one: a guess would
make classes of what is none.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from job.contract.errors import DataError
from job.contract.wording import shown_name
from job.images.file_kinds import has_image_ending


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PATHS = _words(
    """path file filename filepath filenames filepaths image imagepath imagefile imagename
    imagefilename img imgpath imgfile imgname imagefilepath"""
)
_LABELS = _words(
    """label labels class classes classname category categoryname target labelname
    classlabel"""
)
_SPLITS = _words("split splits set subset fold dataset partition datasplit")
_PATHS_ALONE = _PATHS | _words("name uri url gcsuri imageuri imageurl")
"""What may name the path where there is no label beside it."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns that were asked for: names of a header, or numbers from 1; empty finds them."""

    path: str = ""
    label: str = ""
    split: str = ""


@dataclass(frozen=True, slots=True)
class Places:
    """Where an entry's parts stand: numbers of cells from 0, or keys of an object."""

    path: Any
    label: Any = None
    split: Any = None


def is_known(cell: str) -> bool:
    """Whether a cell is a name that some column of a header may have."""
    return _plain(cell) in _PATHS_ALONE | _LABELS | _SPLITS


def is_label(cell: str) -> bool:
    """Whether a cell is a name that a column of labels may have."""
    return _plain(cell) in _LABELS


def of_header(name: str, cells: Sequence[str], asked: Columns, *, labelled: bool) -> Places | None:
    """Find the columns by a first row; None if that row is an entry and no header.

    Raises:
        DataError: It is a header, but the columns that are needed cannot be told.
    """
    paths = _PATHS if labelled else _PATHS_ALONE
    by_name = any(one and not one.isdigit() for one in (asked.path, asked.label, asked.split))
    known = [
        cell for cell in cells if _plain(cell) in paths or (labelled and _plain(cell) in _LABELS)
    ]
    if not by_name and (not known or any(map(_looks_like_path, cells))):
        return None
    return _find(name, dict(enumerate(cells)), asked, paths, labelled)


def of_keys(name: str, value: Mapping[str, Any], asked: Columns, *, labelled: bool) -> Places:
    """Find the keys of a list of objects by its first one; DataError if that cannot be."""
    return _find(
        name, {key: key for key in value}, asked, _PATHS if labelled else _PATHS_ALONE, labelled
    )


def of_positions(name: str, cells: Sequence[str], asked: Columns, *, labelled: bool) -> Places:
    """Find the columns of a list without header: path, label, split, or as they were asked for.

    Raises:
        DataError: The first row does not look like an entry, so what it is cannot be told.
    """
    if asked.path or asked.label:
        wanted = (asked.path or "1", asked.label or "2", asked.split)
        if not all(one.isdigit() and int(one) for one in wanted if one):
            raise _unknown(name, cells, labelled)
        path, label, split = (int(one) - 1 if one else None for one in wanted)
        return Places(path, label, split) if labelled else Places(path)
    if not labelled:
        if len(cells) > 1 and not _looks_like_path(cells[0]):
            raise _unknown(name, cells, labelled)
        return Places(0)
    if len(cells) not in (2, 3) or not _looks_like_path(cells[0]):
        raise _unknown(name, cells, labelled)
    return Places(0, 1, 2 if len(cells) == 3 else None)


def _find(
    name: str,
    columns: Mapping[Any, str],
    asked: Columns,
    paths: frozenset[str],
    labelled: bool,
) -> Places:
    path = _choose(name, columns, asked.path, paths, "path")
    if not labelled:
        if path is None:
            raise _unknown(name, columns.values(), labelled)
        return Places(path)
    label = _choose(name, columns, asked.label, _LABELS, "label")
    if path is None or label is None:
        raise _unknown(name, columns.values(), labelled)
    return Places(path, label, _choose(name, columns, asked.split, _SPLITS, "split"))


def _choose(
    name: str, columns: Mapping[Any, str], asked: str, known: frozenset[str], what: str
) -> Any:
    """Give the place of the one column that was asked for or is known; None if there is none."""
    if asked:
        places = [place for place, column in columns.items() if column == asked] or [
            place for place, column in columns.items() if _plain(column) == _plain(asked)
        ]
        if not places and asked.isdigit() and 0 < int(asked) <= len(columns):
            places = [list(columns)[int(asked) - 1]]
        if not places:
            there = ", ".join(shown_name(column[:40]) for column in columns.values())
            raise DataError(f"{name} has no column {asked!r} (--{what}_column); it has {there}")
    else:
        places = [place for place, column in columns.items() if _plain(column) in known]
    if len(places) > 1:
        both = " and ".join(repr(shown_name(columns[place][:40])) for place in places)
        raise DataError(f"{name}: {both} may be the {what}; say which with --{what}_column")
    return places[0] if places else None


def _unknown(name: str, columns: Iterable[str], labelled: bool) -> DataError:
    there = ", ".join(shown_name(column[:40]) for column in columns)
    wanted, flags = (
        ("path,label[,split]", "--path_column, --label_column and --split_column")
        if labelled
        else ("path", "--path_column")
    )
    return DataError(
        f"{name}: which columns to take cannot be told; it has: {there}; call them {wanted}, or "
        f"name them with {flags}"
    )


def _looks_like_path(cell: str) -> bool:
    return "/" in cell or "\\" in cell or has_image_ending(cell)


def _plain(cell: str) -> str:
    return "".join(filter(str.isalnum, cell.lower()))
