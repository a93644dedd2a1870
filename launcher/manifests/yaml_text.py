"""YAML in and out, with no surprises."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import yaml

from job.contract import plain_yaml
from job.contract.wording import printable
from launcher.errors import UsageError

if TYPE_CHECKING:
    _BaseDumper = yaml.SafeDumper
else:
    _BaseDumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_BaseDumper):
    """Never writes anchors and indents lists as people do."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


# Kubernetes' YAML reads 1e3, 0o17 or 12:30 as numbers where PyYAML writes them without quotes: a
# text goes plain only if it begins like a word, a path or a flag and cannot be a word of YAML.
_PLAIN = re.compile(r"(--?|/)?[A-Za-z][A-Za-z0-9_./=:@ -]*", re.ASCII)
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"))


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")  # YAML has no half surrogates.
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    style = None if plain else "'" if '"' in text and text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.SequenceNode:
    short = bool(items) and all(type(item) is int for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=short)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


def load(text: str, source: str) -> Any:
    """Parse one YAML document.

    Raises:
        UsageError: The text is not YAML of plain data; the message names `source` and the line.
    """
    try:
        return plain_yaml.load(text)
    except plain_yaml.NotPlainError as error:
        where = f"{source}:{error.line}" if error.line else source
        raise UsageError(f"{where}: not valid YAML: {error.problem}") from error


def dump(data: Any) -> str:
    """Write plain data as one YAML document, in the order of its keys."""
    text = _dumped(data, allow_unicode=True)
    return text if printable(text) == text else _dumped(data, allow_unicode=False)


def _dumped(data: Any, *, allow_unicode: bool) -> str:
    return str(
        yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=allow_unicode, width=100)
    )


def dump_all(documents: Sequence[Any]) -> str:
    """Write several documents, separated by `---`."""
    return "---\n".join(dump(document) for document in documents)
