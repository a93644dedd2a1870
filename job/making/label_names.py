"""The names of classes that are stored as numbers: as Hugging Face's datasets describe features.

Parquet files carry the description in their schema's metadata, under the key `huggingface`; beside
files it is `dataset_info.json` or `dataset_infos.json` (one description for each configuration).
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from job.contract.errors import DataError
from job.contract.wording import shown_name

FEATURE_FILES = ("dataset_info.json", "dataset_infos.json")
_LONGEST = 255


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
