"""Counting a classifier's predictions into sums that add up exactly.

`count` turns a batch into a `Tally` of integers, and tallies of any parts add up exactly and in
any order. Workers can therefore evaluate slices and all-reduce one int64 vector: for the same
logits the result is the same to the last bit, whatever the number of workers and the batch size.
`job/evaluation/metrics.py` turns the sum into accuracy and calibration. Everything here is numpy.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from job.contract.errors import DataError, DivergedError

Int64Array = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.floating[Any]]

RELIABILITY_BINS = 15
TOP_K = 5

# Sums of probabilities and losses are kept in fixed point, because adding integers is associative
# and adding floats is not. 2**62 / 2**32 leaves room for a billion examples, and losses of up to
# 4096 nats for as many.
CONFIDENCE_UNIT = 2.0**-32
_LOSS_UNIT = 2.0**-20
_LOSS_LIMIT = 4096.0


@dataclass(frozen=True)
class Tally:
    """Integer sums over examples; adding two gives the tally of both sets of examples.

    Attributes:
        num_classes: Number of classes C.
        sums: int64 [tally_size(C)]: the confusion matrix, the top-5 hits of each true class, then
            examples, hits and confidence of each reliability bin, then the loss.
    """

    num_classes: int
    sums: Int64Array

    def __post_init__(self) -> None:
        if self.sums.shape != (tally_size(self.num_classes),):
            raise ValueError(
                f"a tally of {self.num_classes} classes has {tally_size(self.num_classes)} sums, "
                f"not {self.sums.shape}"
            )

    def __add__(self, other: "Tally") -> "Tally":
        if other.num_classes != self.num_classes:
            raise ValueError(
                f"tallies of {self.num_classes} and {other.num_classes} classes do not add up"
            )
        return Tally(self.num_classes, self.sums + other.sums)

    @property
    def examples(self) -> int:
        """Number of examples counted."""
        return int(self.confusion.sum())

    @property
    def confusion(self) -> Int64Array:
        """Examples by true class (row) and predicted class (column), [C, C]."""
        return self.sums[: self.num_classes**2].reshape(self.num_classes, self.num_classes)

    @property
    def top5_hits(self) -> Int64Array:
        """Examples of each true class that is among its five likeliest, [C]."""
        start = self.num_classes**2
        return self.sums[start : start + self.num_classes]

    @property
    def bins(self) -> Int64Array:
        """Examples, hits and confidence (in CONFIDENCE_UNIT) of each bin, [3, bins]."""
        start = self.num_classes**2 + self.num_classes
        return self.sums[start : start + 3 * RELIABILITY_BINS].reshape(3, RELIABILITY_BINS)

    @property
    def loss(self) -> float:
        """Sum of the cross-entropies, in nats."""
        return float(self.sums[-1]) * _LOSS_UNIT


def tally_size(num_classes: int) -> int:
    """Count the sums of a tally."""
    return num_classes**2 + num_classes + 3 * RELIABILITY_BINS + 1


def empty_tally(num_classes: int) -> Tally:
    """Give the tally of no examples."""
    return Tally(num_classes, np.zeros(tally_size(num_classes), np.int64))


def log_softmax(logits: FloatArray) -> npt.NDArray[np.float64]:
    """Give log probabilities in float64, [examples, classes]."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(axis=1, keepdims=True))
    return wide


def true_ranks(logits: FloatArray, labels: Int64Array) -> Int64Array:
    """Count, for each example, the classes placed before the true one, [examples].

    Of equal logits the class with the lower number comes first, as in argmax.
    """
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    earlier = np.arange(logits.shape[1])[None, :] < labels[:, None]
    ahead: Int64Array = ((logits > own) | ((logits == own) & earlier)).sum(axis=1, dtype=np.int64)
    return ahead


def count(logits: FloatArray, labels: npt.NDArray[np.integer[Any]]) -> Tally:
    """Count a batch.

    Args:
        logits: float [examples, classes].
        labels: int [examples], the true classes.

    Raises:
        DivergedError: A logit is not finite.
        DataError: A label that no class has.
    """
    num_classes = logits.shape[1]
    truth = labels.astype(np.int64)
    _check(logits, truth)
    tally = empty_tally(num_classes)
    if not len(truth):
        return tally
    log_probabilities = log_softmax(logits)
    predicted = logits.argmax(axis=1)
    np.add.at(tally.confusion, (truth, predicted), 1)
    np.add.at(tally.top5_hits, truth, true_ranks(logits, truth) < TOP_K)

    confidence = np.exp(np.take_along_axis(log_probabilities, predicted[:, None], axis=1)[:, 0])
    # Bins are (lower, upper], so that a confidence of exactly 1 has a place.
    bins = np.clip(np.ceil(confidence * RELIABILITY_BINS).astype(np.int64) - 1, 0, None)
    bins = np.minimum(bins, RELIABILITY_BINS - 1)
    np.add.at(tally.bins[0], bins, 1)
    np.add.at(tally.bins[1], bins, predicted == truth)
    np.add.at(tally.bins[2], bins, np.rint(confidence / CONFIDENCE_UNIT).astype(np.int64))

    losses = -np.take_along_axis(log_probabilities, truth[:, None], axis=1)[:, 0]
    tally.sums[-1] = np.rint(np.minimum(losses, _LOSS_LIMIT) / _LOSS_UNIT).astype(np.int64).sum()
    return tally


def _check(logits: FloatArray, labels: Int64Array) -> None:
    if not np.isfinite(logits).all():
        raise DivergedError(
            f"{int((~np.isfinite(logits)).any(axis=1).sum())} of {len(logits)} examples have "
            "logits that are not finite: the weights have diverged; use an earlier checkpoint"
        )
    wrong = labels[(labels < 0) | (labels >= logits.shape[1])]
    if len(wrong):
        raise DataError(
            f"label {wrong[0]} is outside of the model's {logits.shape[1]} classes; "
            "evaluate on the dataset that the model was trained on"
        )
