"""An evaluation for people and for programs: report.html and metrics.json.

The page is one file that asks nothing of any network: styles, script, figures and images
are inside, and its content security policy forbids the browser to fetch or to run anything else.
Everything a dataset or a configuration names is escaped by the template.
"""

import base64
import hashlib
import importlib.resources
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import markupsafe

from job import storage
from job.contract import layout
from job.evaluation.counts import Tally
from job.evaluation.figures import matrix_drawing, reliability_svg
from job.evaluation.metrics import ClassQuality, Confusion, Quality, judge, most_confused
from job.evaluation.shown_examples import Exhibit
from job.evaluation.verdicts import calibration, percent, plain_name, summary

METRICS_FORMAT = 1
LISTED_CONFUSIONS = 50


@dataclass(frozen=True)
class Subject:
    """What was evaluated, on what, and how."""

    run: str
    step: int
    checkpoint: str
    data: str
    dataset: str
    split: str
    image_size_px: int
    precision: str
    batch_size: int
    seconds: float
    finished_at: str


@dataclass(frozen=True)
class ConfusedPair:
    """A frequent mistake with some images of it."""

    confusion: Confusion
    exhibits: tuple[Exhibit, ...]


@dataclass(frozen=True)
class ClassRow:
    """A class and the mistake most often made with it, if any."""

    quality: ClassQuality
    taken_for: Confusion | None


def metrics_document(subject: Subject, classes: Sequence[str], tally: Tally) -> dict[str, Any]:
    """Give what metrics.json holds; a number that is not defined is null."""
    quality = judge(tally)
    return {
        "format": METRICS_FORMAT,
        "run": subject.run,
        "checkpoint": subject.checkpoint,
        "step": subject.step,
        "data": subject.data,
        "dataset": subject.dataset,
        "split": subject.split,
        "image_size_px": subject.image_size_px,
        "precision": subject.precision,
        "batch_size": subject.batch_size,
        "seconds": round(subject.seconds, 3),
        "finished_at": subject.finished_at,
        "examples": quality.examples,
        "top1": quality.top1.value,
        "top1_interval": list(quality.top1.interval),
        "top5": quality.top5.value,
        "top5_interval": list(quality.top5.interval),
        "loss": quality.loss,
        "ece": quality.ece,
        "mean_confidence": quality.mean_confidence,
        "per_class": [
            {
                "class": classes[entry.index],
                "examples": entry.examples,
                "predicted": entry.predicted,
                "recall": entry.recall.value,
                "recall_interval": list(entry.recall.interval),
                "precision": entry.precision.value,
                "precision_interval": list(entry.precision.interval),
                "f1": entry.f1,
                "top5": entry.top5.value,
            }
            for entry in quality.classes
        ],
        "reliability": [
            {
                "lower": entry.lower,
                "upper": entry.upper,
                "examples": entry.examples,
                "confidence": entry.confidence,
                "accuracy": entry.accuracy.value,
            }
            for entry in quality.bins
        ],
        "most_confused": [
            {
                "class": classes[pair.truth],
                "predicted": classes[pair.predicted],
                "examples": pair.examples,
                "share": pair.share,
                "reverse": pair.reverse,
            }
            for pair in most_confused(tally, LISTED_CONFUSIONS)
        ],
        "classes": list(classes),
        "confusion_matrix": tally.confusion.tolist(),
    }


def page(
    subject: Subject,
    classes: Sequence[str],
    tally: Tally,
    *,
    pairs: Sequence[ConfusedPair],
    hardest: Sequence[Exhibit],
    config: dict[str, Any],
) -> str:
    """Render report.html.

    Args:
        subject: What was evaluated.
        classes: The classes' names, by number.
        tally: The counts.
        pairs: The most frequent mistakes, worst first.
        hardest: The images whose true class was given the lowest probability, worst first.
        config: The run's configuration.
    """
    quality = judge(tally)
    style, script = _template_text("report.css"), _template_text("report.js")
    names = [plain_name(name) for name in classes]
    return (
        _environment(names)
        .get_template("report.html.jinja")
        .render(
            subject=subject,
            classes=names,
            longest_name=max(map(len, names)),
            quality=quality,
            guessing_loss=math.log(len(names)),
            summary=summary(quality, names),
            calibration=calibration(quality),
            rows=_class_rows(quality, tally),
            matrix=matrix_drawing(tally.confusion),
            pairs=pairs,
            hardest=hardest,
            config=config,
            # Files and drawings of our own, so nothing in them needs escaping.
            reliability=markupsafe.Markup(reliability_svg(quality)),  # noqa: S704
            style=markupsafe.Markup(style),  # noqa: S704
            script=markupsafe.Markup(script),  # noqa: S704
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def _environment(names: Sequence[str]) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("job.evaluation", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "name": names.__getitem__,
        "data_uri": lambda jpeg: "data:image/jpeg;base64," + base64.b64encode(jpeg).decode(),
    }
    return environment


def write(report: str, document: dict[str, Any], html: str) -> None:
    """Write both files of a report; metrics.json last, so that it stands for the whole."""
    storage.write_bytes(layout.report_file(report), html.encode())
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
    storage.write_bytes(layout.metrics_file(report), (text + "\n").encode())


def _class_rows(quality: Quality, tally: Tally) -> list[ClassRow]:
    """List the classes, weakest first, those without examples last."""
    taken_for: dict[int, Confusion] = {}
    for pair in most_confused(tally, tally.num_classes**2):
        taken_for.setdefault(pair.truth, pair)
    rows = [ClassRow(entry, taken_for.get(entry.index)) for entry in quality.classes]
    # A share is at most 1, so 2 comes after all.
    rows.sort(key=lambda row: 2.0 if (recall := row.quality.recall.value) is None else recall)
    return rows


def _template_text(name: str) -> str:
    return (importlib.resources.files("job.evaluation") / "templates" / name).read_text("utf-8")
