"""Words for people, for what the trainer and the launcher print alike."""

import json
import re

_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str, keep: str = "\n\t") -> str:
    r"""Write out what would move a terminal's cursor, or turn its writing, as an escape: \x1b.

    Names of files and of other people's jobs reach terminals and logs, and may hold anything. Half
    surrogate pairs, as undecodable bytes of a name become, could not be printed at all.

    Args:
        text: What is to be shown.
        keep: Control characters that stay; a name within a sentence should keep none.
    """
    return _UNPRINTABLE.sub(
        lambda found: found[0] if found[0] in keep else repr(found[0])[1:-1], text
    )


def shown_name(name: str) -> str:
    """Write a file's name so that it is one line of text wherever it is shown."""
    return printable(name, keep="")


def printable_json(text: str) -> str:
    """Write the same characters in a JSON document as JSON's own escapes."""
    return _UNPRINTABLE.sub(
        lambda found: found[0] if found[0] in "\n\t" else json.dumps(found[0])[1:-1], text
    )


def many(count: int, noun: str, plural: str = "") -> str:
    """Write a count with its noun: 1 worker, 2 workers, 1,000 images."""
    return f"1 {noun}" if count == 1 else f"{count:,} {plural or noun + 's'}"
