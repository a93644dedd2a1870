"""The examples that a report shows are the right ones, with the right images."""

import io

import numpy as np
import pytest
from PIL import Image

from job.evaluation.counts import count
from job.evaluation.metrics import most_confused
from job.evaluation.passes import Predictions
from job.evaluation.shown_examples import Gallery, hardest, of_confusion
from job.images.preprocess import decode_for_evaluation
from tests.job.trained_run import CLASSES, make_dataset, noise_jpeg


def make_predictions() -> Predictions:
    """Thirteen examples in a mixed order; the higher the id, the surer of class 0."""
    ids = np.array([7, 3, 12, 0, 5, 1, 9, 11, 2, 10, 4, 8, 6])
    labels = ids * 3 % len(CLASSES)
    logits = np.zeros((13, len(CLASSES)), np.float32)
    logits[:, 0] = ids
    return Predictions(ids, labels, logits)


def test_the_hardest_examples_come_first() -> None:
    predictions = make_predictions()
    rows = hardest(predictions, 4)
    assert predictions.ids[rows].tolist() == [12, 11, 10, 9]
    assert len(hardest(predictions, 99)) == 13


def test_of_equally_hard_examples_the_first_in_the_split_comes_first() -> None:
    predictions = make_predictions()
    same = Predictions(predictions.ids, predictions.labels, np.zeros_like(predictions.logits))
    assert same.ids[hardest(same, 3)].tolist() == [0, 1, 2]


def test_examples_of_a_mistake_are_of_that_mistake_alone() -> None:
    predictions = make_predictions()
    for confusion in most_confused(count(predictions.logits, predictions.labels), 99):
        rows = of_confusion(predictions, confusion, 99)
        assert len(rows) == confusion.examples
        assert set(predictions.labels[rows]) == {confusion.truth}
        assert set(predictions.logits[rows].argmax(axis=1)) == {confusion.predicted}
        assert len(of_confusion(predictions, confusion, 1)) == 1


@pytest.mark.parametrize("shard_sizes", [(13,), (5, 1, 7), (1,) * 13])
def test_an_exhibit_shows_what_the_model_saw(tmp_path, shard_sizes) -> None:
    dataset = make_dataset(tmp_path / "data", shard_sizes)
    predictions = make_predictions()
    with Gallery(dataset, "test", predictions, image_size_px=32) as gallery:
        exhibits = gallery.show(range(13))
    for row, exhibit in enumerate(exhibits):
        example_id = int(predictions.ids[row])
        seen = decode_for_evaluation(noise_jpeg(example_id), 32).numpy()
        np.testing.assert_array_equal(exhibit.pixels, seen)
        assert exhibit.truth == predictions.labels[row]
        assert exhibit.name == f"test/{CLASSES[exhibit.truth]}/{example_id}.jpg"
        assert exhibit.guesses[0][0] == predictions.logits[row].argmax()
        assert [share for _, share in exhibit.guesses] == sorted(
            (share for _, share in exhibit.guesses), reverse=True
        )
        assert Image.open(io.BytesIO(exhibit.jpeg())).size == (32, 32)
