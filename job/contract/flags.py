"""Configurations <-> absl flags <-> container arguments: the only place that converts.

`parse(type(c), to_args(c)) == c` holds for every configuration. Values come, in rising
precedence, from the dataclass, its preset, `--config FILE.yaml` and the command line.
"""

import dataclasses
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from absl import flags

from job.contract import configs as config_module
from job.contract.errors import ConfigError, HelpRequested, JobError
from job.contract.options import did_you_mean, is_required, value_types

ConfigT = TypeVar("ConfigT")

_CONFIG_FLAG = "config"
_DEFINERS = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_boolean,
}


def parse(
    config_class: type[ConfigT],
    args: Sequence[str],
    *,
    read: Callable[[str], bytes] = lambda path: Path(path).read_bytes(),
) -> ConfigT:
    """Make a configuration from command-line arguments (without the program's name).

    Args:
        config_class: What to make.
        args: The arguments.
        read: Gives the content of a file for `--config`; by default a local one.

    Raises:
        HelpRequested: `--help` was given.
        ConfigError: An unknown flag, a value that is not allowed, a missing one, or a
            configuration file that cannot be read.
    """
    before_separator = list(args)[: list(args).index("--")] if "--" in args else args
    if any(
        arg in ("--help", "-help", "-h", "--helpfull", "--helpshort") for arg in before_separator
    ):
        raise HelpRequested
    values = _define(config_class)
    try:
        positional = values(["", *args])[1:]
    except flags.UnrecognizedFlagError as error:
        known = [f"--{field.name}" for field in dataclasses.fields(config_class)]  # type: ignore[arg-type]
        close = did_you_mean(f"--{error.flagname}", known)
        raise ConfigError(
            f"unknown flag --{error.flagname}" + (close or "; --help lists them all")
        ) from error
    except flags.Error as error:
        raise ConfigError(" ".join(str(error).split())) from error
    given = {
        name: values[name].value for name in values if name != _CONFIG_FLAG and values[name].present
    }
    given |= _positional_values(config_class, positional)
    path = values[_CONFIG_FLAG].value
    from_file = config_module.settings_of_file(config_class, _read(path, read)) if path else {}
    return config_module.from_dict(config_class, from_file | given)


def _define(config_class: type[Any]) -> flags.FlagValues:
    values = flags.FlagValues()
    types = value_types(config_class)
    for field in dataclasses.fields(config_class):
        if field.metadata["positional"]:
            continue
        default = None if is_required(field) else field.default
        _DEFINERS[types[field.name]](
            field.name, default, field.metadata["help"], flag_values=values
        )
    flags.DEFINE_string(_CONFIG_FLAG, "", "Configuration file.", flag_values=values)
    return values


def _positional_values(config_class: type[Any], given: Sequence[str]) -> dict[str, str]:
    names = [f.name for f in dataclasses.fields(config_class) if f.metadata["positional"]]
    if len(given) > len(names):
        raise ConfigError(
            f"unexpected argument {given[len(names)]!r}; flags look like --name=value"
        )
    return dict(zip(names, given, strict=False))


def _read(path: str, read: Callable[[str], bytes]) -> dict[str, Any]:
    """Read the mapping in a YAML file, as `config.json` is one too.

    Raises:
        ConfigError: It cannot be read, or does not hold a mapping of names to values.
    """
    from job.contract import plain_yaml

    try:
        content = plain_yaml.load(read(path).decode())
    except (OSError, UnicodeDecodeError, JobError) as error:
        raise ConfigError(f"--config {path} cannot be read: {error}") from error
    except plain_yaml.NotPlainError as error:
        where = f"{path}:{error.line}" if error.line else path
        raise ConfigError(f"--config {where} is not YAML of plain data: {error.problem}") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ConfigError(f"--config {path} must hold a mapping of flag names to values")
    return content


def to_args(config: Any) -> list[str]:
    """Write a configuration as arguments, leaving out what its preset gives anyway."""
    preset = getattr(config, "preset", "")
    defaults = config_module.preset_values(type(config), preset)
    args = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.metadata["positional"]:
            args.append(value)
        elif field.name == "preset":
            if value != field.default:
                args.append(f"--preset={value}")
        elif is_required(field) or value != defaults.get(field.name, field.default):
            args.append(f"--{field.name}={_to_text(value)}")
    return args


def _to_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def help_text(config_class: type[Any], program: str, description: str) -> str:
    """Write `--help`: usage, then the flags under their groups with units and defaults."""
    fields = dataclasses.fields(config_class)
    required = [f for f in fields if is_required(f)]
    usage = " ".join(
        f"{{{','.join(f.metadata['choices'])}}}"
        if f.metadata["positional"]
        else f"--{f.name}={f.name.upper()}"
        for f in required
    )
    lines = [f"usage: {program} {usage} [flags]", "", *textwrap.wrap(description, 88)]
    for group in dict.fromkeys(f.metadata["group"] for f in fields):
        lines += ["", f"{group}:"]
        for field in fields:
            if field.metadata["group"] == group:
                lines += _flag_help(field, value_types(config_class)[field.name])
    lines += ["", "everywhere:"]
    lines += _entry("--config=FILE", "YAML file with any of these settings; flags override it.")
    lines += _entry("--help", "Show this text.")
    return "\n".join(lines)


def _flag_help(field: dataclasses.Field[Any], value_type: type[Any]) -> list[str]:
    choices = field.metadata["choices"]
    if field.metadata["positional"]:
        return _entry("|".join(choices), field.metadata["help"])
    if value_type is bool:
        head = f"--[no]{field.name}"
    else:
        head = f"--{field.name}={'|'.join(choices) or _placeholder(field, value_type)}"
    return _entry(head, f"{field.metadata['help']} {_default_text(field)}")


def _placeholder(field: dataclasses.Field[Any], value_type: type[Any]) -> str:
    if field.metadata["unit"]:
        return str(field.metadata["unit"]).upper()
    return {str: "TEXT", int: "N", float: "X"}[value_type]


def _default_text(field: dataclasses.Field[Any]) -> str:
    if is_required(field):
        return "(required)"
    if field.default is None or field.default == "":
        return ""
    shown = _to_text(field.default).removesuffix(".0")
    unit = field.metadata["unit"]
    return f"(default: {shown}{' ' + unit if unit else ''})"


def _entry(head: str, text: str) -> list[str]:
    body = textwrap.wrap(text.strip(), 66)
    indent = " " * 32
    if len(head) > 28:
        return [f"  {head}", *(indent + line for line in body)]
    return [f"  {head:<30}{body[0]}", *(indent + line for line in body[1:])]
