"""The report's figures: SVG text that takes its colours from the page.

matplotlib draws the reliability diagram. The confusion matrix is a path for each shade instead,
because a hundred classes are ten thousand cells that a reader wants to point at: as paths they
stay small, sharp and legible, and the page's script can tell which cell the pointer is on.
"""

import io
import re
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from job.evaluation.counts import Int64Array
from job.evaluation.metrics import Quality

# Stand-ins that matplotlib draws with, and the CSS variables that replace them.
_INK, _MUTED, _LINE, _HIT, _MISS = "#010101", "#020202", "#030303", "#040404", "#050505"
_CSS_COLORS = {_INK: "ink", _MUTED: "muted", _LINE: "line", _HIT: "hit", _MISS: "miss"}
_STYLE = {
    "svg.fonttype": "none",  # text stays text, in the page's own font
    "svg.hashsalt": "reliability",  # the same numbers give the same bytes
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _MUTED,
    "text.color": _INK,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
}

_SHADES = 16
_STRONGEST = 0.85  # opacity of a whole row in one cell; a number on it must stay legible
_SMALLEST_CELL_PX, _LARGEST_CELL_PX, _MATRIX_PX = 9, 60, 920


def reliability_svg(quality: Quality) -> str:
    """Draw accuracy against confidence, with 95 % intervals, over the number of examples."""
    bins = [entry for entry in quality.bins if entry.examples]
    left = np.array([entry.lower for entry in bins])
    width = 1 / len(quality.bins)
    accuracy = np.array([entry.accuracy.value for entry in bins], float)
    confidence = np.array([entry.confidence for entry in bins], float)
    intervals = np.array([entry.accuracy.interval for entry in bins]).reshape(-1, 2)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.6, 4.6), layout="constrained")
        FigureCanvasSVG(figure)
        figure.patch.set_visible(False)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        upper.plot([0, 1], [0, 1], color=_MUTED, linewidth=1, linestyle=(0, (4, 3)))
        upper.bar(left, accuracy, width, align="edge", color=_HIT, alpha=0.35, edgecolor=_HIT)
        errors = np.abs(intervals.T - accuracy)
        upper.errorbar(confidence, accuracy, errors, fmt="o", color=_HIT, markersize=4, linewidth=1)
        upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share that is right")
        counts = [entry.examples for entry in bins]
        lower.bar(left, counts, width, align="edge", color=_MUTED, alpha=0.5)
        lower.set(xlabel="confidence of the prediction", ylabel="images")
        for axes in (upper, lower):
            axes.patch.set_visible(False)
            axes.grid(visible=True, color=_LINE, linewidth=0.7)
            axes.set_axisbelow(True)
        return _inline_svg(figure)


def _inline_svg(figure: Figure) -> str:
    target = io.StringIO()
    figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    text = target.getvalue()
    text = text[text.index("<svg") :]
    # What only a file of its own needs goes. Namespaces look like addresses, and a style element
    # inside an inline drawing would reach the whole page.
    text = re.sub(r"<(metadata|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    text = text.replace("xlink:href=", "href=")
    text = re.sub(r"font-family: [^;\"]*;?", "", text)
    text = re.sub(r"\s*\n\s*", " ", text)
    for stand_in, name in _CSS_COLORS.items():
        text = text.replace(stand_in, f"var(--{name})")
    return text


@dataclass(frozen=True)
class Shade:
    """All cells of one kind and strength, as one SVG path of unit squares."""

    kind: str
    opacity: float
    path: str


@dataclass(frozen=True)
class MatrixDrawing:
    """The geometry of a confusion matrix; lengths are px.

    Attributes:
        cell: Side of a cell.
        font: Size of the classes' names.
        numbers: Row, column and count of the cells large enough to hold a number.
        slanted: Whether the names above the columns are slanted, else upright.
        shades: The coloured cells.
        cells: Row, column and count of every cell that is not empty, for the page's script.
    """

    cell: int
    font: float
    slanted: bool
    shades: tuple[Shade, ...]
    cells: tuple[tuple[int, int, int], ...]
    numbers: bool


def matrix_drawing(confusion: Int64Array) -> MatrixDrawing:
    """Shade a confusion matrix by shares of the true class: hits and misses in two colours."""
    classes = len(confusion)
    cell = int(np.clip(_MATRIX_PX // max(classes, 1), _SMALLEST_CELL_PX, _LARGEST_CELL_PX))
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    # A root, so that a rare mistake is pale but not invisible.
    levels = np.ceil(np.sqrt(shares) * _SHADES).astype(int)
    diagonal = np.eye(classes, dtype=bool)
    shades = [
        Shade(kind, round(_STRONGEST * level / _SHADES, 3), _squares(cells))
        for kind, mask in (("hit", diagonal), ("miss", ~diagonal))
        for level in range(1, _SHADES + 1)
        if (cells := np.argwhere((levels == level) & mask)).size
    ]
    return MatrixDrawing(
        cell=cell,
        font=min(13.0, cell - 0.5),
        slanted=cell >= 20,
        shades=tuple(shades),
        cells=tuple(
            (int(row), int(column), int(confusion[row, column]))
            for row, column in np.argwhere(confusion)
        ),
        numbers=cell >= 26,
    )


def _squares(cells: npt.NDArray[np.int64]) -> str:
    return "".join(f"M{column} {row}h1v1h-1z" for row, column in cells)
