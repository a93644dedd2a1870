"""Evaluation counts every example of a split exactly once and scores it as the network does."""

import numpy as np
import pytest
import tensorflow as tf

from job.contract.configs import TrainConfig
from job.dataset.batches import evaluation_batches
from job.evaluation.passes import Scorer
from job.images.preprocess import decode_for_evaluation, subtract_mean
from job.model.vgg19 import VGG19
from tests.job.trained_run import CLASSES, WIDTH, make_dataset, make_network, noise_jpeg

SIZE_PX = 32
SHARD_SIZES = (5, 1, 7)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("data"), SHARD_SIZES)


@pytest.fixture(scope="module")
def network(dataset) -> VGG19:
    config = TrainConfig(data="x", run="x", head="gap", image_size_px=32, width_multiplier=WIDTH)
    return make_network(config, dataset, seed=3)


@pytest.fixture(scope="module")
def scorer(network) -> Scorer:
    return Scorer(network, tf.float32, tf.distribute.get_strategy(), 1)


def predict(scorer, dataset, batch_size, worker=0, num_workers=1):
    batches = evaluation_batches(
        dataset,
        "test",
        image_size_px=SIZE_PX,
        batch_size=batch_size,
        worker=worker,
        num_workers=num_workers,
    )
    return scorer.predict(batches)


@pytest.mark.parametrize("batch_size", [1, 4, 13, 64])
def test_every_example_is_scored_once_whatever_the_batch_size(scorer, dataset, batch_size) -> None:
    predictions = predict(scorer, dataset, batch_size)
    assert sorted(predictions.ids.tolist()) == list(range(13))
    np.testing.assert_array_equal(predictions.labels, predictions.ids * 3 % len(CLASSES))
    assert predictions.logits.shape == (13, len(CLASSES))


@pytest.mark.parametrize("num_workers", [2, 3, 15])
def test_workers_share_the_split_without_gap_or_overlap(scorer, dataset, num_workers) -> None:
    """15 workers are more than there are examples."""
    parts = [predict(scorer, dataset, 2, worker, num_workers) for worker in range(num_workers)]
    assert sorted(np.concatenate([part.ids for part in parts]).tolist()) == list(range(13))


def test_logits_are_those_of_the_network_on_the_decoded_image(scorer, network, dataset) -> None:
    predictions = predict(scorer, dataset, 1)
    for example_id, logits in zip(predictions.ids, predictions.logits, strict=True):
        pixels = decode_for_evaluation(noise_jpeg(int(example_id)), SIZE_PX)
        forward = network.forward(subtract_mean(pixels[None]), training=False)
        np.testing.assert_allclose(logits, forward.logits[0], atol=1e-5)


def test_a_filled_up_batch_is_scored_as_a_full_one(scorer, dataset) -> None:
    """What fills a batch up reaches neither the counts nor the scores of the others."""
    by_id = [
        dict(zip(p.ids.tolist(), p.logits, strict=True))
        for p in (predict(scorer, dataset, 13), predict(scorer, dataset, 64))
    ]
    for example_id, logits in by_id[0].items():
        np.testing.assert_allclose(logits, by_id[1][example_id], atol=1e-5)


def test_no_batches_give_no_predictions(scorer) -> None:
    predictions = scorer.predict([])
    assert predictions.ids.shape == (0,)
    assert predictions.logits.shape == (0, len(CLASSES))
