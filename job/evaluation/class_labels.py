"""Names of classes where something else would read them: a figure's fonts, TensorBoard's Markdown.

A class may be called anything: `$x$`, 寿司, <b>, a name of 300 letters. Names stay as they are
where they can be shown, and stay apart from each other where they cannot.
"""

import functools
import unicodedata
from collections import Counter
from collections.abc import Sequence

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

_LONGEST = 32
_FIRST_FAMILY = "DejaVu Sans"
"""matplotlib brings it; the others are drawn with where they are installed."""
_MORE_FAMILIES = (
    "Noto Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans SC",
    "Noto Sans KR", "Source Han Sans", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "IPAexGothic",
    "IPAGothic", "Droid Sans Fallback", "Arial Unicode MS", "Noto Sans Devanagari",
    "Noto Sans Thai", "Noto Sans Bengali", "Noto Sans Tamil",
)  # fmt: skip
_MISSING = "?"
_MARKDOWN = frozenset("\\`*_{}[]()<>#+-.!|$~&\"'")


@functools.cache
def families() -> tuple[str, ...]:
    """Name the installed fonts to draw names with, in order."""
    installed = {entry.name for entry in font_manager.fontManager.ttflist}
    return (_FIRST_FAMILY, *(family for family in _MORE_FAMILIES if family in installed))


def drawable(names: Sequence[str]) -> list[str]:
    """Give each class a label of one short line that `families()` can draw, unlike any other's.

    What has no glyph, or is too long, is left out; such a label begins with the class's number.
    """
    shown = [_shown(name) for name in names]
    times = Counter(shown)
    taken = {label for name, label in zip(names, shown, strict=True) if label == name}
    labels = []
    for number, (name, label) in enumerate(zip(names, shown, strict=True)):
        if label != name or times[label] > 1:
            label = f"{number} {label}"
            while label in taken:
                label = f"{number} {label}"
            taken.add(label)
        labels.append(label)
    return labels


def markdown(name: str) -> str:
    """Write a name so that Markdown shows its letters and nothing else."""
    line = " ".join(_printable(name).split()) or _MISSING
    return "".join(f"&#{ord(letter)};" if letter in _MARKDOWN else letter for letter in line)


def _shown(name: str) -> str:
    glyphs = _glyphs()
    line = "".join(
        letter if ord(letter) in glyphs else _MISSING
        for letter in " ".join(_printable(name).split())
    )
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _printable(name: str) -> str:
    return "".join(
        " " if letter.isspace() else _MISSING if unicodedata.category(letter)[0] == "C" else letter
        for letter in name
    )


@functools.cache
def _glyphs() -> frozenset[int]:
    """Collect the characters for which some installed font has a glyph."""
    found: set[int] = set()
    for family in families():
        path = font_manager.findfont(family)
        found.update(FT2Font(path).get_charmap())
    return frozenset(found)
