"""What TensorBoard shows of an evaluation: curves, per-class accuracy, confusion, mistakes."""

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image

from job.contract.configs import TrainConfig
from job.dataset.description import Dataset
from job.evaluation.passes import EvaluationResult
from job.evaluation.shown_examples import Exhibit, Gallery, hardest
from job.training.tensorboard import Picture, Summaries

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
    confusion = Picture(_confusion_picture(result), "rows: true, columns: predicted")
    summaries.pictures("test", step, "confusion_matrix", [confusion])
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


def _caption(exhibit: Exhibit, classes: Sequence[str]) -> str:
    guess, probability = exhibit.guesses[0]
    return f"{classes[exhibit.truth]}, said {classes[guess]} ({100 * probability:.0f} %)"


def _per_class(result: EvaluationResult) -> str:
    """Tabulate top-1 of each class, worst first, as Markdown."""
    confusion = result.tally.confusion
    totals = confusion.sum(axis=1)
    shares = np.diag(confusion) / np.maximum(totals, 1)
    rows = [
        f"|{result.classes[label]}|{100 * shares[label]:.1f} %|{totals[label]}|"
        for label in np.argsort(shares, kind="stable")
        if totals[label]
    ]
    return "\n".join(["|class|top-1|examples|", "|-|-|-|", *rows])


def _confusion_picture(result: EvaluationResult) -> npt.NDArray[np.uint8]:
    confusion = result.tally.confusion
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(_INCHES, _INCHES), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, interpolation="nearest")
    places = range(len(result.classes))
    size = max(3.0, min(9.0, 250.0 / len(result.classes)))
    axes.set_xticks(places, result.classes, rotation=90, fontsize=size)
    axes.set_yticks(places, result.classes, fontsize=size)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB"))
