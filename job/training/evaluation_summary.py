"""What TensorBoard shows of an evaluation: curves, per-class accuracy, confusion, mistakes."""

import io
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image

from job.contract.configs import TrainConfig
from job.dataset.description import Dataset
from job.evaluation.class_labels import drawable, families, markdown
from job.evaluation.passes import EvaluationResult
from job.evaluation.shown_examples import Exhibit, Gallery, hardest
from job.training.tensorboard import Picture, Summaries

_log = logging.getLogger(__name__)

_HARDEST = 8
_INCHES, _DPI = 6.4, 150


def write(
    summaries: Summaries,
    step: int,
    result: EvaluationResult,
    dataset: Dataset,
    config: TrainConfig,
) -> None:
    """Write one evaluation under logs/test; the hardest images are those of this worker's share."""
    summaries.scalars("test", step, dict(result.metrics))
    summaries.text("test", step, "per_class_accuracy", _per_class(result))
    _write_confusion(summaries, step, result)
    with Gallery(
        dataset,
        "test",
        result.predictions,
        image_size_px=config.image_size_px,
        cache_dir=config.cache_dir,
        cache_size_gb=config.cache_size_gb,
    ) as gallery:
        exhibits = gallery.show(hardest(result.predictions, _HARDEST))
    pictures = [Picture(one.pixels, _caption(one, result.classes)) for one in exhibits]
    summaries.pictures("test", step, "hardest", pictures)


def _write_confusion(summaries: Summaries, step: int, result: EvaluationResult) -> None:
    """Draw the confusion matrix; a picture that cannot be drawn is no reason to end a run."""
    try:
        pixels = confusion_picture(result.tally.confusion, result.classes)
    except (ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        _log.warning("the confusion matrix could not be drawn, training goes on: %s", error)
        return
    confusion = Picture(pixels, "rows: true, columns: predicted")
    summaries.pictures("test", step, "confusion_matrix", [confusion])


def _caption(exhibit: Exhibit, classes: Sequence[str]) -> str:
    guess, probability = exhibit.guesses[0]
    truth, said = markdown(classes[exhibit.truth]), markdown(classes[guess])
    return f"{truth}, said {said} ({100 * probability:.0f} %)"


def _per_class(result: EvaluationResult) -> str:
    """Tabulate top-1 of each class, worst first, as Markdown."""
    confusion = result.tally.confusion
    totals = confusion.sum(axis=1)
    shares = np.diag(confusion) / np.maximum(totals, 1)
    rows = [
        f"|{markdown(result.classes[label])}|{100 * shares[label]:.1f} %|{totals[label]}|"
        for label in np.argsort(shares, kind="stable")
        if totals[label]
    ]
    return "\n".join(["|class|top-1|examples|", "|-|-|-|", *rows])


def confusion_picture(
    confusion: npt.NDArray[np.int64], classes: Sequence[str]
) -> npt.NDArray[np.uint8]:
    """Draw a confusion matrix, each row as shares of its true class, with the classes' names.

    Args:
        confusion: Examples by true and by predicted class [classes, classes].
        classes: Their names, whatever is in them.

    Returns:
        RGB pixels [height, width, 3].
    """
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(_INCHES, _INCHES), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, interpolation="nearest")
    places, labels = range(len(classes)), drawable(classes)
    style: dict[str, Any] = {
        "fontsize": max(3.0, min(9.0, 250.0 / len(classes))),
        "fontfamily": list(families()),
        "parse_math": False,  # A dollar is a letter here.
    }
    axes.set_xticks(places, labels, rotation=90, **style)
    axes.set_yticks(places, labels, **style)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB"))
