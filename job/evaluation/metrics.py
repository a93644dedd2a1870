"""What a classifier is worth, from a tally: accuracy, calibration, and which classes it mixes up.

Pure functions of `job/evaluation/counts.py`'s sums; numpy is all they need.
"""

import math
from dataclasses import dataclass

import numpy as np

from job.evaluation.counts import CONFIDENCE_UNIT, RELIABILITY_BINS, Int64Array, Tally

_Z_95 = 1.959963984540054  # the normal distribution's 97.5 % quantile


@dataclass(frozen=True)
class Share:
    """A share of examples, with what it says about the share among all such examples."""

    hits: int
    examples: int

    @property
    def value(self) -> float | None:
        """Hits by examples; None without examples."""
        return self.hits / self.examples if self.examples else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % confidence interval; (0, 1) without examples.

        E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.
        Unlike the normal approximation it stays within 0 and 1 and has a width at 0 and 1.
        """
        if not self.examples:
            return 0.0, 1.0
        n, share, z2 = self.examples, self.hits / self.examples, _Z_95**2
        middle = (share + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
        # Rounding must not push a bound past the share itself.
        return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))


@dataclass(frozen=True)
class ClassQuality:
    """How well one class is found."""

    index: int
    examples: int
    predicted: int
    recall: Share
    precision: Share
    top5: Share

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None if the class is neither there nor named."""
        total = self.examples + self.predicted
        return 2 * self.recall.hits / total if total else None


@dataclass(frozen=True)
class Bin:
    """Examples whose confidence lies in (lower, upper]."""

    lower: float
    upper: float
    examples: int
    confidence: float | None
    accuracy: Share


@dataclass(frozen=True)
class Confusion:
    """A true class and the class that was named instead."""

    truth: int
    predicted: int
    examples: int
    share: float
    reverse: int


@dataclass(frozen=True)
class Quality:
    """Everything `judge` says about a tally.

    `ece` is the expected calibration error, the mean distance between confidence and accuracy
    over equally wide bins, weighted by examples (Guo et al., On calibration of modern neural
    networks, 2017).
    """

    examples: int
    loss: float | None
    top1: Share
    top5: Share
    ece: float | None
    mean_confidence: float | None
    bins: tuple[Bin, ...]
    classes: tuple[ClassQuality, ...]


def judge(tally: Tally) -> Quality:
    """Turn sums into accuracy, calibration and each class's quality."""
    examples, confusion = tally.examples, tally.confusion
    supports, predictions = confusion.sum(axis=1), confusion.sum(axis=0)
    bins = tuple(_bin(tally.bins[:, i], i) for i in range(RELIABILITY_BINS))
    gap = np.abs(tally.bins[1] - tally.bins[2] * CONFIDENCE_UNIT).sum()
    return Quality(
        examples=examples,
        loss=tally.loss / examples if examples else None,
        top1=Share(int(np.trace(confusion)), examples),
        top5=Share(int(tally.top5_hits.sum()), examples),
        ece=float(gap) / examples if examples else None,
        mean_confidence=(
            float(tally.bins[2].sum()) * CONFIDENCE_UNIT / examples if examples else None
        ),
        bins=bins,
        classes=tuple(
            ClassQuality(
                index=i,
                examples=int(supports[i]),
                predicted=int(predictions[i]),
                recall=Share(int(confusion[i, i]), int(supports[i])),
                precision=Share(int(confusion[i, i]), int(predictions[i])),
                top5=Share(int(tally.top5_hits[i]), int(supports[i])),
            )
            for i in range(tally.num_classes)
        ),
    )


def _bin(sums: Int64Array, index: int) -> Bin:
    examples, hits, confidence = (int(value) for value in sums)
    return Bin(
        lower=index / RELIABILITY_BINS,
        upper=(index + 1) / RELIABILITY_BINS,
        examples=examples,
        confidence=confidence * CONFIDENCE_UNIT / examples if examples else None,
        accuracy=Share(hits, examples),
    )


def most_confused(tally: Tally, limit: int) -> list[Confusion]:
    """List the commonest mistakes, each as a true class and the class named instead.

    Of equally common ones that with the larger share of its true class comes first.
    """
    confusion = tally.confusion
    supports = confusion.sum(axis=1)
    wrong = confusion - np.diag(np.diag(confusion))
    pairs = [
        Confusion(
            truth=int(truth),
            predicted=int(predicted),
            examples=int(wrong[truth, predicted]),
            share=float(wrong[truth, predicted] / supports[truth]),
            reverse=int(wrong[predicted, truth]),
        )
        for truth, predicted in np.argwhere(wrong)
    ]
    pairs.sort(key=lambda pair: (-pair.examples, -pair.share, pair.truth, pair.predicted))
    return pairs[:limit]
