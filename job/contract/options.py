"""How a configuration declares a field, and the checks that every field shares.

A field is a name, a type, a default, a help text with its unit, and its bounds.
`job/contract/flags.py` makes the command line from it; `validate` makes the error messages.
"""

import dataclasses
import difflib
import math
import types
import typing
from typing import Any

from job.contract.errors import ConfigError

PATH_FORMS = "a local path or gs://bucket/prefix"
PRECISIONS = ("auto", "float32", "bfloat16", "float16")


def option(
    default: Any,
    text: str,
    *,
    group: str = "options",
    unit: str = "",
    choices: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
    positional: bool = False,
    schemes: tuple[str, ...] = ("gs",),
) -> Any:
    """Declare a field: its default, its help text, its unit and what values it may take.

    Args:
        default: The only default there is; `dataclasses.MISSING` makes the field required.
        text: What the field means, as a sentence.
        group: The heading under which `--help` shows it.
        unit: The unit of a number, shown beside the default.
        choices: The only strings allowed, if any.
        low: The smallest number allowed, if any.
        high: The largest number allowed, if any.
        positional: Given on the command line without a flag's name.
        schemes: What a text may begin with before "://", if it is a path or an address.
    """
    metadata = {
        "help": text,
        "group": group,
        "unit": unit,
        "choices": choices,
        "low": low,
        "high": high,
        "positional": positional,
        "schemes": schemes,
    }
    return dataclasses.field(default=default, metadata=metadata)


def storage_deadline() -> Any:
    """Declare the field of every command that reads or writes a bucket."""
    return option(
        300.0,
        "How long requests to a bucket that fail are repeated before this process gives up.",
        group="storage",
        unit="s",
        low=1.0,
    )


def paying_project() -> Any:
    """Declare the field of every command that reads or writes a bucket."""
    return option(
        "",
        "Google Cloud project that pays for requests to buckets that have the requester pay.",
        group="storage",
    )


def value_types(config_class: type[Any]) -> dict[str, type[Any]]:
    """Name the type of each field's value, `int` for `int | None`."""
    hints = typing.get_type_hints(config_class)
    return {
        field.name: _without_none(hints[field.name]) for field in dataclasses.fields(config_class)
    }


def _without_none(hint: Any) -> type[Any]:
    if isinstance(hint, types.UnionType):
        (hint,) = (part for part in hint.__args__ if part is not types.NoneType)
    assert isinstance(hint, type)
    return hint


def is_required(field: dataclasses.Field[Any]) -> bool:
    """Whether a configuration cannot be made without a value for this field."""
    return field.default is dataclasses.MISSING


def validate(config: Any) -> None:
    """Check type, choices and bounds of every field.

    Raises:
        ConfigError: The first field that is wrong: its name, its value and what is allowed.
    """
    expected = value_types(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value is None and field.default is None:
            continue
        _check_type(field.name, value, expected[field.name])
        if isinstance(value, str):
            _check_text(field, value)
        elif isinstance(value, int | float):
            _check_bounds(field, value)


def _check_type(name: str, value: Any, expected: type[Any]) -> None:
    # bool is an int in Python, so the exact type is what counts.
    if type(value) is not expected:
        raise ConfigError(
            f"{name} must be of type {expected.__name__}, not {value!r} ({type(value).__name__})"
        )


def _check_text(field: dataclasses.Field[Any], value: str) -> None:
    choices = field.metadata["choices"]
    if choices and value not in choices:
        raise ConfigError(
            f"{field.name} must be one of {', '.join(choices)}, not {value!r}"
            + did_you_mean(value, choices)
        )
    if is_required(field) and not value.strip():
        raise ConfigError(f"{field.name} must not be empty: {field.metadata['help']}")
    scheme, separator, _ = value.partition("://")
    schemes = field.metadata["schemes"]
    if separator and scheme.isidentifier() and scheme not in schemes:
        bucket = "gs://bucket/prefix or a local path"
        use = bucket if "gs" in schemes else " or ".join(f"{name}://" for name in schemes)
        raise ConfigError(f"{field.name} {value}: {scheme}:// is not supported; use {use}")
    if "\0" in value:
        raise ConfigError(f"{field.name} must not contain a NUL character: {value!r}")


def _check_bounds(field: dataclasses.Field[Any], value: float) -> None:
    low, high = field.metadata["low"], field.metadata["high"]
    if not math.isfinite(value):
        raise ConfigError(f"{field.name} must be a finite number, not {value}")
    if low is not None and value < low:
        raise ConfigError(f"{field.name} must be at least {low:g}, not {value:g}")
    if high is not None and value > high:
        raise ConfigError(f"{field.name} must be at most {high:g}, not {value:g}")


def did_you_mean(word: str, known: typing.Iterable[str]) -> str:
    """Name the nearest known word as the tail of an error message, or nothing."""
    nearest = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
