"""Accuracy, intervals and calibration are what their definitions say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from job.evaluation.counts import count, empty_tally
from job.evaluation.metrics import Share, judge, most_confused

shares = st.integers(1, 10**7).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(shares)
def test_the_interval_holds_its_share_within_0_and_1(hits_and_examples) -> None:
    share = Share(*hits_and_examples)
    lower, upper = share.interval
    assert 0.0 <= lower <= share.value <= upper <= 1.0
    assert lower < upper


@given(shares)
def test_the_interval_of_misses_mirrors_that_of_hits(hits_and_examples) -> None:
    hits, examples = hits_and_examples
    lower, upper = Share(hits, examples).interval
    mirrored_lower, mirrored_upper = Share(examples - hits, examples).interval
    assert lower == pytest.approx(1 - mirrored_upper, abs=1e-12)
    assert upper == pytest.approx(1 - mirrored_lower, abs=1e-12)


@given(shares)
def test_wilson_bounds_solve_the_score_equation(hits_and_examples) -> None:
    """At a bound p the observed share lies exactly 1.96 standard errors of p away."""
    hits, examples = hits_and_examples
    share = hits / examples
    for bound in Share(hits, examples).interval:
        distance = abs(share - bound)
        expected = 1.959963984540054 * math.sqrt(bound * (1 - bound) / examples)
        assert distance == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_a_published_interval_is_met() -> None:
    """Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662."""
    lower, upper = Share(81, 263).interval
    assert (round(lower, 4), round(upper, 4)) == (0.2553, 0.3662)


def test_no_examples_mean_no_value_and_no_knowledge() -> None:
    assert Share(0, 0).value is None
    assert Share(0, 0).interval == (0.0, 1.0)
    quality = judge(empty_tally(3))
    assert quality.examples == 0
    assert quality.loss is None
    assert quality.ece is None
    assert quality.top1.value is None
    assert [entry.f1 for entry in quality.classes] == [None, None, None]


def _example() -> tuple[np.ndarray, np.ndarray]:
    predicted = np.array([0, 0, 1, 1, 1, 2, 0])
    labels = np.array([0, 0, 0, 1, 1, 1, 2])
    return np.eye(4, dtype=np.float32)[predicted] * 4, labels


def test_precision_recall_and_f1_of_each_class() -> None:
    quality = judge(count(*_example()))
    recalls = [entry.recall.value for entry in quality.classes]
    precisions = [entry.precision.value for entry in quality.classes]
    assert recalls == [2 / 3, 2 / 3, 0.0, None]
    assert precisions == [2 / 3, 2 / 3, 0.0, None]
    assert [entry.f1 for entry in quality.classes] == [2 / 3, 2 / 3, 0.0, None]
    assert quality.top1.value == 4 / 7
    assert quality.top5.value == 1.0


def test_the_commonest_mistake_comes_first_and_knows_its_reverse() -> None:
    predicted = np.array([1, 1, 0, 2, 2, 0])
    labels = np.array([0, 0, 1, 2, 0, 2])
    pairs = most_confused(count(np.eye(3, dtype=np.float32)[predicted], labels), 10)
    assert (pairs[0].truth, pairs[0].predicted, pairs[0].examples) == (0, 1, 2)
    assert pairs[0].share == 2 / 3
    assert pairs[0].reverse == 1
    assert len(pairs) == 4
    assert most_confused(count(np.eye(3, dtype=np.float32)[predicted], labels), 1) == pairs[:1]


def test_a_perfect_classifier_has_no_confusions() -> None:
    labels = np.arange(5)
    tally = count(np.eye(5, dtype=np.float32) * 100, labels)
    assert most_confused(tally, 10) == []
    assert judge(tally).ece == pytest.approx(0.0, abs=1e-9)


def test_ece_is_zero_where_confidence_is_accuracy_and_the_gap_where_it_is_not() -> None:
    # Confidence 0.75 on all: right for three of four is calibrated, for none is off by 0.75.
    logits = np.log(np.tile(np.array([[0.75, 0.25]]), (4, 1)))
    calibrated = judge(count(logits, np.array([0, 0, 0, 1])))
    wrong = judge(count(logits, np.array([1, 1, 1, 1])))
    assert calibrated.ece == pytest.approx(0.0, abs=1e-9)
    assert wrong.ece == pytest.approx(0.75, abs=1e-9)
    assert wrong.mean_confidence == pytest.approx(0.75, abs=1e-9)


@given(
    hnp.arrays(np.float32, (40, 6), elements=st.floats(-8, 8, width=32)),
    hnp.arrays(np.int32, (40,), elements=st.integers(0, 5)),
)
def test_shares_agree_with_each_other(logits, labels) -> None:
    quality = judge(count(logits, labels))
    assert sum(entry.examples for entry in quality.classes) == quality.examples
    assert sum(entry.predicted for entry in quality.classes) == quality.examples
    assert sum(entry.recall.hits for entry in quality.classes) == quality.top1.hits
    assert sum(entry.examples for entry in quality.bins) == quality.examples
    assert sum(entry.accuracy.hits for entry in quality.bins) == quality.top1.hits
    assert quality.top1.hits <= quality.top5.hits
    assert 0.0 <= quality.ece <= 1.0
