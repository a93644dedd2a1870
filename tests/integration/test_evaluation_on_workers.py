"""Evaluation over real workers and several replicas gives what one worker gives."""

import os

import numpy as np
import pytest

from job.evaluation.counts import Tally
from tests.job.trained_run import CLASSES, WIDTH, make_dataset
from tests.multiprocess import call_in_workers

SHARD_SIZES = (40, 1, 33)


def evaluate_in_worker(data: str, replicas: int = 1) -> tuple[np.ndarray, list[int]]:
    """Evaluate with all workers; give the counts and the examples that this one scored."""
    import tensorflow as tf

    from job.contract.configs import TrainConfig
    from job.dataset.description import load_dataset
    from job.distributed.cluster import read_cluster
    from job.distributed.strategy import connect
    from job.evaluation.passes import JointEvaluation
    from job.model import precision
    from tests.job.trained_run import make_network

    config = TrainConfig(
        data=data, run="unused", head="gap", image_size_px=32, width_multiplier=WIDTH
    )
    cluster = read_cluster(os.environ)
    if replicas > 1:
        device = tf.config.list_physical_devices("CPU")[0]
        parts = [tf.config.LogicalDeviceConfiguration()] * replicas
        tf.config.set_logical_device_configuration(device, parts)
        strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    else:
        strategy = connect(cluster, config, ("CPU:0",))
    dataset = load_dataset(data)
    with strategy.scope():
        network = make_network(config, dataset, seed=1)
    evaluation = JointEvaluation(
        network, dataset, config, precision.choose("float32"), strategy, cluster
    )
    for _ in range(2):  # A trainer evaluates again and again.
        result = evaluation.run()
    assert result.examples == sum(SHARD_SIZES)
    return result.tally.sums, result.predictions.ids.tolist()


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return make_dataset(tmp_path_factory.mktemp("data"), SHARD_SIZES).path


@pytest.fixture(scope="module")
def one_worker(data) -> np.ndarray:
    sums, ids = evaluate_in_worker(data)
    assert sorted(ids) == list(range(74))
    return sums


def assert_same_counts(sums: np.ndarray, expected: np.ndarray) -> None:
    """Predictions are the same one by one; an image's place in its batch shifts its last bits."""
    ours, theirs = Tally(len(CLASSES), sums), Tally(len(CLASSES), expected)
    np.testing.assert_array_equal(ours.confusion, theirs.confusion)
    np.testing.assert_array_equal(ours.top5_hits, theirs.top5_hits)
    np.testing.assert_array_equal(ours.bins[:2], theirs.bins[:2])
    np.testing.assert_allclose(ours.bins[2], theirs.bins[2], rtol=1e-6)
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-6)


def test_three_workers_count_what_one_does(data, one_worker, tmp_path) -> None:
    """74 examples in batches of 32: none of the three has enough for a full batch."""
    results = call_in_workers(
        evaluate_in_worker, num_workers=3, log_dir=tmp_path, timeout_s=240, data=data
    )
    for sums, _ in results:
        assert_same_counts(sums, one_worker)
    assert sorted(i for _, ids in results for i in ids) == list(range(74))
    assert all(ids for _, ids in results)


def test_several_replicas_in_one_worker_count_the_same(data, one_worker, tmp_path) -> None:
    """Three batches on two replicas: the second round has one for the first replica only."""
    ((sums, ids),) = call_in_workers(
        evaluate_in_worker, num_workers=1, log_dir=tmp_path, timeout_s=240, data=data, replicas=2
    )
    assert_same_counts(sums, one_worker)
    assert sorted(ids) == list(range(74))
