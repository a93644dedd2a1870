"""The Content-Range header: which part of a file an answer holds (RFC 9110, 14.4)."""

import re
from dataclasses import dataclass

_FORM = re.compile(r"bytes (?:([0-9]{1,19})-([0-9]{1,19})|\*)/([0-9]{1,19}|\*)")


@dataclass(frozen=True, slots=True)
class ContentRange:
    """First and last byte, both None where nothing was sent; `size` is None if it is unknown."""

    first: int | None
    last: int | None
    size: int | None


def parse(text: str) -> ContentRange | None:
    """Read the header; None if it is none, or contradicts itself."""
    form = _FORM.fullmatch(text)
    if form is None:
        return None
    size = None if form[3] == "*" else int(form[3])
    if form[1] is None:
        return ContentRange(None, None, size)
    first, last = int(form[1]), int(form[2])
    if last < first or (size is not None and last >= size):
        return None
    return ContentRange(first, last, size)
