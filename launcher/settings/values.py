"""Values of settings: from YAML, where they have types, and from flags, where they are text."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from launcher.errors import UsageError
from launcher.manifests import yaml_text

_Field = dataclasses.Field[Any]

_LARGEST = 1_000_000_000
_LONGEST_SHOWN = 120


def from_yaml(field: _Field, value: Any, where: str) -> Any:
    """Check a value of launcher.yaml against the type of its setting.

    Raises:
        UsageError: The value is of another type; the message names `where` it stands.
    """
    kind = _kind(field)
    if kind == "map":
        if not isinstance(value, dict):
            raise UsageError(f"{where} must be a mapping of names to values, not {shown(value)}")
        check = _scalar if field.name == "train" else _text
        return {str(key): check(item, f"{where}.{key}") for key, item in value.items()}
    if kind == "list":
        return _list_of_maps(value, where)
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "int" and isinstance(value, int) and not isinstance(value, bool):
        return _count(value, where)
    if kind == "text":
        text = _text(value, where)
        choices = field.metadata["choices"]
        if choices and text not in choices:
            raise UsageError(f"{where} must be one of {', '.join(choices)}, not {text!r}")
        return text
    expected = {"bool": "true or false", "int": "a whole number"}[kind]
    raise UsageError(f"{where} must be {expected}, not {shown(value)}")


def from_text(field: _Field, given: Any, where: str) -> Any:
    """Make a value from what was typed: a text, a list of K=V texts, or a bool.

    Raises:
        UsageError: The text does not fit the setting.
    """
    kind = _kind(field)
    if kind == "map":
        pairs = dict(_pair(text, where) for text in ([given] if isinstance(given, str) else given))
        if field.name == "train":
            return {key: yaml_text.load(text, where) for key, text in pairs.items()}
        return pairs
    if kind == "text" or isinstance(given, bool):
        return from_yaml(field, given, where)
    return from_yaml(field, yaml_text.load(given, where), where)


def shown(value: Any) -> str:
    """Show a value in a message as far as it fits there."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def _kind(field: _Field) -> str:
    declared = str(field.type)
    if "tuple" in declared:
        return "list"
    if "Mapping" in declared:
        return "map"
    if field.type is bool:
        return "bool"
    return "int" if "int" in declared else "text"


def _pair(text: str, where: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise UsageError(f"{where}: expected NAME=VALUE, not {shown(text)}")
    return key, value


def _text(value: Any, where: str) -> str:
    if isinstance(value, str):
        if "\0" in value:
            raise UsageError(f"{where} must not contain a NUL character")
        return value
    # 1.10 and yes would arrive as 1.1 and True: only whole numbers survive YAML unchanged.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise UsageError(f"{where} must be a text, not {shown(value)}; put it in quotes")


def _scalar(value: Any, where: str) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise UsageError(f"{where} must be a single value, not {shown(value)}")


def _count(value: int, where: str) -> int:
    if value < 0:
        raise UsageError(f"{where} must not be negative, not {shown(value)}")
    if value > _LARGEST:
        raise UsageError(f"{where} must be at most {_LARGEST:,}, not {shown(value)}")
    return value


def _list_of_maps(value: Any, where: str) -> tuple[Mapping[str, str], ...]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise UsageError(f"{where} must be a list of mappings, not {shown(value)}")
    return tuple(
        {str(key): _text(text, f"{where}[{number}].{key}") for key, text in item.items()}
        for number, item in enumerate(value)
    )
