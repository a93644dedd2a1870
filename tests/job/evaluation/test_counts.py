"""Counting is exact: the parts may be cut and ordered in any way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from job.contract.errors import DataError, DivergedError
from job.evaluation.counts import Tally, count, empty_tally, log_softmax, tally_size, true_ranks

batches = st.integers(1, 8).flatmap(
    lambda classes: st.integers(0, 30).flatmap(
        lambda examples: st.tuples(
            hnp.arrays(
                np.float32,
                (examples, classes),
                elements=st.floats(-30, 30, width=32),
            ),
            hnp.arrays(np.int32, (examples,), elements=st.integers(0, classes - 1)),
        )
    )
)


@given(batches, st.data())
def test_parts_in_any_order_add_up_to_the_whole_bit_for_bit(batch, data) -> None:
    logits, labels = batch
    order = data.draw(st.permutations(range(len(labels))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(labels)), max_size=4)))
    parts = np.split(np.array(order, np.int64), cuts)
    total = empty_tally(logits.shape[1])
    for part in parts:
        total += count(logits[part], labels[part])
    np.testing.assert_array_equal(total.sums, count(logits, labels).sums)


@given(batches)
def test_sums_agree_with_a_count_by_hand(batch) -> None:
    logits, labels = batch
    tally = count(logits, labels)
    classes = logits.shape[1]
    confusion = np.zeros((classes, classes), int)
    top5 = np.zeros(classes, int)
    for row, label in zip(logits, labels, strict=True):
        best_first = sorted(range(classes), key=lambda c: (-row[c], c))
        confusion[label, best_first[0]] += 1
        top5[label] += label in best_first[:5]
    np.testing.assert_array_equal(tally.confusion, confusion)
    np.testing.assert_array_equal(tally.top5_hits, top5)
    assert tally.examples == len(labels)
    assert tally.bins[0].sum() == len(labels)
    assert tally.bins[1].sum() == np.trace(confusion)


@given(batches)
def test_loss_and_confidence_are_those_of_floating_point_to_a_millionth(batch) -> None:
    logits, labels = batch
    tally = count(logits, labels)
    log_probabilities = log_softmax(logits)
    loss = -log_probabilities[np.arange(len(labels)), labels].sum()
    assert tally.loss == pytest.approx(loss, abs=1e-6 * max(1, len(labels)))
    confidence = np.exp(log_probabilities.max(axis=1)).sum() if len(labels) else 0.0
    assert tally.bins[2].sum() / 2**32 == pytest.approx(confidence, abs=1e-8 * (1 + len(labels)))


def test_an_example_s_bin_is_the_one_of_its_confidence() -> None:
    # Two classes with probabilities 0.8 and 0.2; 0.8 * 15 = 12: the bin (0.733, 0.8].
    logits = np.log(np.array([[0.79, 0.21], [0.05, 0.95]], np.float64))
    tally = count(logits, np.array([0, 0]))
    assert np.flatnonzero(tally.bins[0]).tolist() == [11, 14]
    assert np.flatnonzero(tally.bins[1]).tolist() == [11]


def test_full_confidence_has_a_bin() -> None:
    tally = count(np.array([[200.0, 0.0]], np.float32), np.array([0]))
    assert tally.bins[0, -1] == 1


def test_of_equal_logits_the_lower_class_comes_first() -> None:
    logits = np.zeros((3, 7), np.float32)
    assert true_ranks(logits, np.array([0, 4, 6])).tolist() == [0, 4, 6]
    tally = count(logits, np.array([0, 4, 6]))
    assert tally.confusion[:, 0].tolist() == [1, 0, 0, 0, 1, 0, 1]
    assert tally.top5_hits.tolist() == [1, 0, 0, 0, 1, 0, 0]


def test_a_vector_of_sums_travels_and_comes_back() -> None:
    tally = count(np.eye(3, dtype=np.float32), np.array([0, 1, 1]))
    again = Tally(3, tally.sums.copy())
    assert again.confusion.tolist() == tally.confusion.tolist()
    assert tally.sums.dtype == np.int64


def test_logits_that_are_not_finite_are_an_error_and_not_a_wrong_prediction() -> None:
    logits = np.array([[1.0, 2.0], [np.nan, 1.0], [np.inf, 0.0]], np.float32)
    with pytest.raises(DivergedError, match="2 of 3 examples"):
        count(logits, np.array([0, 0, 0]))


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_without_a_class_is_named(label: int) -> None:
    with pytest.raises(DataError, match=f"label {label} .* 3 classes"):
        count(np.zeros((1, 3), np.float32), np.array([label]))


def test_tallies_of_other_classes_do_not_mix() -> None:
    with pytest.raises(ValueError, match="do not add up"):
        empty_tally(2) + empty_tally(3)
    with pytest.raises(ValueError, match="sums"):
        Tally(3, np.zeros(tally_size(2), np.int64))
