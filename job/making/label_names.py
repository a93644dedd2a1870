"""The names of classes that are stored as numbers: as Hugging Face's datasets describe features.

Parquet files carry the description in their schema's metadata, under the key `huggingface`; beside
files it is `dataset_info.json` or `dataset_infos.json` (one description for each configuration).
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from job import storage
from job.contract.errors import DataError
from job.contract.wording import shown_name
from job.images.file_kinds import name_fault

FEATURE_FILES = ("dataset_info.json", "dataset_infos.json")
_LONGEST = 255
_LARGEST = (1 << 63) - 1
_NAMED = 12
_MOST_BYTES = 4 << 20


def label_text(value: Any, names: Sequence[str] | None) -> tuple[str, str]:
    """Give the class that a label means, and what is wrong with it (empty: nothing).

    Args:
        value: A number, a text, or nothing.
        names: Of the classes that numbers stand for; without them numbers name themselves.
    """
    if value is None or value == "":
        return "", "no label"
    if isinstance(value, str):
        fault = name_fault(value).replace("the name", "the label")
        return value, "the label is too long" if len(value) > _LONGEST else fault
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _LARGEST:
        return "", "the label is no text and no whole number"
    if names is None:
        return str(value), "" if value >= 0 else f"label {value} stands for none"
    if not 0 <= value < len(names):
        return "", f"label {value} has no name among {len(names):,}"
    return names[value], ""


def remark(names: Sequence[str] | None, classes: Sequence[str], *, numbers: bool) -> str:
    """Say which names no image has, or that numbers have none; see `ShardFormat`."""
    if names is None:
        return "; the labels are numbers without names" if numbers else ""
    there = set(classes)
    missing = [name for name in names if name not in there]
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    named = ", ".join(map(shown_name, missing[:_NAMED]))
    return f"; no images, so no class: {named}{more}" if missing else ""


def of_schema(metadata: Mapping[bytes, bytes] | None, column: str, where: str) -> list[str] | None:
    """Find the names of a column's classes in a schema's metadata; None if it has none."""
    text = (metadata or {}).get(b"huggingface")
    return None if text is None else of_description(text, column, where)


def of_description(text: bytes, column: str, where: str) -> list[str] | None:
    """Find the names of a column's classes in a JSON description of features; None if none.

    Raises:
        DataError: It is no JSON, its configurations disagree, or the names are no list of texts.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: the description of its features is no JSON ({error})") from error
    found: list[list[str]] = []
    for features in _features(value):
        names = _at(features, column, "names")
        if names is not None and (checked := _checked(names, column, where)) not in found:
            found.append(checked)
    if len(found) > 1:
        raise DataError(f"{where}: configurations name the classes of {column!r} differently")
    return found[0] if found else None


def of_lines(path: str) -> list[str]:
    """Read a file that names a class in each line; DataError if that is not what it holds."""
    try:
        text = storage.read_bytes(path, 0, _MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8") from error
    return _checked([line.strip() for line in text.rstrip().splitlines()], "label", path)


def _features(value: Any) -> list[Any]:
    """Find the features at the places where versions of the library put them."""
    at = [_at(value, "info", "features"), _at(value, "features")]
    if isinstance(value, Mapping):
        at += [_at(one, "features") for one in value.values()]
    return [one for one in at if one is not None]


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def _checked(names: Any, column: str, where: str) -> list[str]:
    is_list = isinstance(names, Sequence) and not isinstance(names, str)
    if not is_list or not all(isinstance(one, str) and 0 < len(one) <= _LONGEST for one in names):
        raise DataError(f"{where}: the names of the classes of {column!r} are no list of texts")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{where}: its features name class {shown_name(twice[0])} twice")
    return list(names)
