"""Numbers of parts as text: `0,3-5` is 0, 3, 4, 5."""

import itertools
import re
from collections.abc import Iterable

from job.contract.errors import ConfigError

_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")


def parse(text: str) -> list[int]:
    """Read numbers, sorted, each once.

    Raises:
        ConfigError: The text is not such a list.
    """
    numbers: set[int] = set()
    for piece in text.split(","):
        match = _RANGE.fullmatch(piece.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise ConfigError(f"parts {text!r}: {piece!r} is neither a number nor a range as 3-5")
        numbers.update(range(first, last + 1))
    return sorted(numbers)


def format_numbers(numbers: Iterable[int]) -> str:
    """Write numbers so that `parse` gives them back."""
    runs = itertools.groupby(enumerate(sorted(set(numbers))), key=lambda pair: pair[1] - pair[0])
    spans = [[number for _, number in run] for _, run in runs]
    return ",".join(str(span[0]) if len(span) == 1 else f"{span[0]}-{span[-1]}" for span in spans)
