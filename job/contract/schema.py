"""One schema layer for every file that is read back: bytes become a typed value, or a DataError.

What lies in a bucket was written by an earlier version, by a crash or by somebody else. So a
file's schema is a frozen dataclass beside the code that writes it, its fields typed with the
bounded kinds below, and nothing reads such a file but through `read`:

    @dataclass(frozen=True, kw_only=True)
    class Note:
        step: Count
        files: Mapping[PlainName, FileFacts]

    note = schema.read(content, Note, what=path)
    storage.write_bytes(path, schema.write(note))

Unknown keys are passed over, so that what a newer version adds can be read on; a missing one takes
the field's default. `__post_init__` checks what fields must hold together and raises ValueError.

The decoder is msgspec's: it validates while it parses, in C, knows dataclasses, names the key at
fault and refuses what JSON has no word for (NaN, lone surrogates). Depth and size are bounded
here. It costs 15 ms to import, so modules of the launcher import this one where they read.
"""

import re
from collections.abc import Callable, Collection, Hashable, Mapping
from functools import lru_cache
from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import Meta

from job.contract.errors import DataError

T = TypeVar("T")

MAX_BYTES = 64 << 20
"""The largest file that is read: ten times a dataset.json of 100,000 shards."""
MAX_DEPTH = 32
_LARGEST_COUNT = 2**53 - 1  # The largest integer that every reader of JSON keeps.

# A name that is joined to a folder: it must stay there, and a terminal must survive it.
_NAME = r"(?!\.{1,2}(?:/|\Z))[^/\\\x00-\x1f\x7f]{1,255}"
_PLAIN_NAME = rf"\A{_NAME}\Z"
_INNER_PATH = rf"\A(?=.{{1,1024}}\Z){_NAME}(?:/{_NAME})*\Z"
_SHA256 = r"\A[0-9a-f]{64}\Z"

PlainName = Annotated[str, Meta(pattern=_PLAIN_NAME)]
"""The name of a file in a known folder: no separator, no `..`, no control character."""
InnerPath = Annotated[str, Meta(pattern=_INNER_PATH)]
"""A path that stays below its folder: plain names joined by single slashes."""
Sha256 = Annotated[str, Meta(pattern=_SHA256)]
"""A SHA-256 as 64 lower-case hexadecimal digits: it may become part of a path."""
Count = Annotated[int, Meta(ge=0, le=_LARGEST_COUNT)]
"""A number of things, or a size in bytes."""
Word = Annotated[str, Meta(max_length=4096)]
"""Any short text. It may hold control characters: show it escaped, join it to no path."""
Scalar = bool | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | float | Word | None
"""A value of a setting. Whoever takes one checks that it is the setting's own type."""
Open = Mapping[str, Any]
"""What one version notes for people and programs, of any shape: bounded, not typed."""

_IN_WORDS = {
    _PLAIN_NAME: "a plain file name",
    _INNER_PATH: "a path that stays below its folder",
    _SHA256: "a SHA-256 of 64 hexadecimal digits",
}
_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+"|([\[{])|([\]}])', re.DOTALL)


def read(
    content: bytes,
    kind: type[T],
    *,
    what: str,
    formats: Collection[int] = (),
    max_bytes: int = MAX_BYTES,
) -> T:
    """Read a JSON file's content as a value of `kind`, whatever the bytes are.

    Args:
        content: All of the file, or its first `max_bytes + 1`.
        kind: A dataclass, or a container of such: `dict[str, Note]`.
        what: The file, for messages: its path.
        formats: The format numbers that are understood; empty does not look for one. Formats
            whose fields differ are told apart by reading `FormatNumber` first.
        max_bytes: The largest size that makes sense for this file.

    Raises:
        DataError: It is not such a value; one line names the file, the key and what is expected.
    """
    _check_bounds(content, what, max_bytes)
    if formats:
        found = _decode(content, FormatNumber, what).format
        if isinstance(found, bool) or found not in formats:
            wanted = " and ".join(map(str, sorted(formats)))
            raise DataError(f"{what} has format {found!r:.50}, this program reads {wanted}")
    return _decode(content, kind, what)


def convert(value: object, kind: type[T], *, what: str) -> T:
    """Take a value that another parser has read (YAML, an API's answer) as one of `kind`.

    Raises:
        DataError: As for `read`.
    """
    return _typed(lambda: msgspec.convert(value, kind), what)


def write(value: object) -> bytes:
    """Write a value so that `read` gives it back: indented JSON, fields in their order.

    A float that is not finite becomes null, since JSON has no word for it: where one can come, the
    field's type is `float | None`.

    Raises:
        DataError: A text holds what UTF-8 cannot (a lone surrogate, from an undecodable name).
    """
    try:
        return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
    except UnicodeEncodeError as error:
        raise DataError(f"{error.object!r:.200} cannot be written as JSON") from error


class FormatNumber(msgspec.Struct, frozen=True):
    """The format number of any file that has one; None where it has not, as before format 1."""

    format: bool | int | float | str | None = None


def _check_bounds(content: bytes, what: str, max_bytes: int) -> None:
    if len(content) > max_bytes:
        raise DataError(f"{what} is larger than the {max_bytes:,} bytes that such a file may have")
    # Parsers recurse: what nests deeper than any file of ours never reaches one.
    if content.count(b"{") + content.count(b"[") <= MAX_DEPTH:
        return
    depth = 0
    for match in _BRACKET.finditer(content):
        if match[1]:
            depth += 1
            if depth > MAX_DEPTH:
                raise DataError(f"{what} is nested deeper than {MAX_DEPTH} levels")
        elif match[2]:
            depth -= 1


@lru_cache(maxsize=64)
def _decoder(kind: Hashable) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(kind)


def _decode(content: bytes, kind: type[T], what: str) -> T:
    return _typed(lambda: cast("T", _decoder(cast("Hashable", kind)).decode(content)), what)


def _typed(make: Callable[[], T], what: str) -> T:
    try:
        return make()
    except msgspec.ValidationError as error:
        raise DataError(f"{what}: {_in_words(str(error))}") from error
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise DataError(f"{what} is not JSON: {error}") from error
    except RecursionError as error:
        raise DataError(f"{what} is nested too deeply") from error


def _in_words(message: str) -> str:
    """Turn msgspec's "Expected `int`, got `str` - at `$.a.b`" into "a.b: expected int, got str"."""
    for pattern, words in _IN_WORDS.items():
        message = message.replace(f"`str` matching regex {pattern!r}", words)
    problem, _, place = message.partition(" - at ")
    place = place.replace("`key` in `$", "a key of `$").replace("`", "").replace("$.", "")
    problem = problem.replace("`", "")
    problem = problem[:1].lower() + problem[1:]
    return " ".join(f"{place.replace('$', 'all')}: {problem}".split() if place else problem.split())
