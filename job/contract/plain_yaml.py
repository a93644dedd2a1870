"""One YAML document that nobody vouches for -> plain data, bounded in size, depth and aliases.

Only what JSON knows comes out: mappings with texts for keys, lists, texts, numbers, true, false and
null. A date stays the text that it is. Numbers are those of YAML 1.2, so that `1e-06`, as Python
writes it, is a number, and `0o17` or `12:30` are not.
"""

import re
from typing import Any, ClassVar

import yaml

MOST_CHARACTERS = 4 << 20
_DEEPEST = 64
_MOST_NODES = 200_000
"""With every alias counted as what it stands for: a few lines of them can mean billions."""
_LONGEST_NUMBER = 400

_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = ("str", "int", "float", "bool", "null", "seq", "map", "!")
_INTEGER = re.compile(r"[-+]?[0-9]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_BOOLEAN = re.compile(r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF")
_NUMBER_BEGINS_WITH = list("-+.0123456789")

_CLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class NotPlainError(ValueError):
    """A text that is not one YAML document of plain data; `line` counts from 1, if it is known."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line


class _Loader(_CLoader):  # type: ignore[misc, valid-type]
    """The safe loader without its dates, octals and base 60."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


for _tag, _form, _first in (
    ("bool", _BOOLEAN, list("yYnNtTfFoO")),
    ("int", _INTEGER, list("-+0123456789")),
    ("float", _FLOAT, _NUMBER_BEGINS_WITH),
    ("float", _NOT_FINITE, list("-+.")),
    ("merge", re.compile(r"<<"), ["<"]),
    ("null", re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""]),
):
    _Loader.add_implicit_resolver(
        f"{_TAG}{_tag}", re.compile(f"(?:{_form.pattern})\\Z", re.ASCII), _first
    )


def load(text: str) -> Any:
    """Parse one document.

    Raises:
        NotPlainError: It is not YAML, too large, too deep, or holds what is no plain data.
    """
    if len(text) > MOST_CHARACTERS:
        raise NotPlainError(f"{len(text):,} characters, more than {MOST_CHARACTERS:,}")
    try:
        _measure(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise NotPlainError(str(problem), mark.line + 1 if mark else None) from error
    except NotPlainError:
        raise
    except UnicodeEncodeError as error:
        raise NotPlainError("half of a surrogate pair, which is no character") from error
    except (ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
        # What a tag such as !!int makes of a text that is none.
        raise NotPlainError(f"a value that its tag does not fit ({error})") from error


def _measure(text: str) -> None:
    """Walk through the document without building it, and refuse what would be too much.

    Raises:
        NotPlainError: It is too deep, or too large once aliases are what they stand for.
    """
    seen = _Seen()
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.NodeEvent):
            seen.node(event, line)
        elif isinstance(event, yaml.CollectionEndEvent):
            seen.end()
        if seen.total > _MOST_NODES:
            raise NotPlainError(f"more than {_MOST_NODES:,} values, aliases counted", line)


class _Seen:
    """What a walk through a document has met."""

    def __init__(self) -> None:
        self.total = 0
        self._sizes: dict[str, int] = {}
        self._open: list[tuple[str | None, int]] = []

    def node(self, event: yaml.NodeEvent, line: int) -> None:
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in self._open):
                raise NotPlainError(f"*{event.anchor} stands within itself", line)
            self.total += self._sizes.get(str(event.anchor), 1)
            return
        _check_tag(getattr(event, "tag", None), line)
        if isinstance(event, yaml.CollectionStartEvent):
            self._open.append((event.anchor, self.total))
            if len(self._open) > _DEEPEST:
                raise NotPlainError(f"more than {_DEEPEST} levels deep", line)
        elif event.anchor:
            self._sizes[event.anchor] = 1
        self.total += 1

    def end(self) -> None:
        anchor, before = self._open.pop()
        if anchor:
            self._sizes[anchor] = self.total - before


def _check_tag(tag: str | None, line: int) -> None:
    if tag and tag.removeprefix(_TAG) not in _PLAIN_TAGS:
        raise NotPlainError(f"the tag {tag!r} is not one of plain data", line)


def _integer(loader: Any, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    if len(text) > _LONGEST_NUMBER:
        raise NotPlainError(f"a number of {len(text):,} digits", node.start_mark.line + 1)
    return int(text)  # In tens: PyYAML would take 012 for ten.


_Loader.add_constructor(f"{_TAG}int", _integer)
