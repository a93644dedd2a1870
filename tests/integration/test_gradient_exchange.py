"""The gradient exchange between two real processes: exact, and as cheap as planned."""

import os
from typing import Any

import numpy as np
import pytest

from job.contract.configs import TrainConfig
from job.distributed.cluster import read_cluster
from job.distributed.exchange_plan import (
    DEFAULT_PRODUCT_GFLOPS,
    MODES,
    factor_sizes,
    is_fully_connected,
    plan_exchange,
)
from job.distributed.strategy import connect
from job.model.shapes import layer_shapes
from tests.multiprocess import call_in_workers
from tests.socket_bytes import sent_bytes

STEPS = 20
BATCH = 1
CLASSES = 5
LEARNING_RATE = 1e-4
NARROW = 0.01  # Every layer has 8 channels, or 41.
QUARTER = layer_shapes(101, "fc", 0.25)
FC6 = "vgg_19/fc6/weights"
ROUNDS = 4
Numbers = dict[str, np.ndarray]


def work() -> dict[str, Any]:
    """What each of the two processes does; the tests below look at what it returns."""
    config = TrainConfig(data="unused", run="unused")
    cluster = read_cluster(os.environ)
    strategy = connect(cluster, config, ("CPU:0",))
    from job.distributed.exchange import measure_link

    workers = [known_numbers(worker) for worker in range(cluster.num_workers)]
    return {
        "links": (measure_link(strategy), measure_link(strategy, network_gbps=7.0)),
        "weights": {mode: train(strategy, cluster.worker, mode) for mode in ("dense", "factors")},
        "exchanges": {
            mode: exchange_known_numbers(strategy, mode, workers, cluster.worker) for mode in MODES
        },
    }


def train(strategy: Any, worker: int, mode: str) -> dict[str, np.ndarray]:
    """Train a narrow VGG19 on random images, different ones on each worker."""
    import tensorflow as tf

    from job.distributed.exchange import exchange
    from job.model.vgg19 import VGG19

    with strategy.scope():
        model = VGG19(CLASSES, head="fc", width_multiplier=NARROW, dropout_rate=0.0, seed=1)
    shapes = {name: tuple(v.shape) for name, v in model.variables_by_name.items()}
    plan = plan_exchange(shapes, BATCH, strategy.num_replicas_in_sync, 10, mode)

    def replica(images: Any, labels: Any) -> None:
        variables = {n: v for n, v in model.variables_by_name.items() if n not in plan.factor_names}
        with tf.GradientTape() as tape:
            forward = model.forward(images, training=False)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, forward.logits)
            loss = tf.reduce_sum(losses) / (BATCH * plan.replicas)
        outputs = {name: forward.taps[name].outputs for name in plan.factor_names}
        gradients, deltas = tape.gradient(loss, [variables, outputs])
        inputs = {name: forward.taps[name].inputs for name in plan.factor_names}
        for name, gradient in exchange(plan, gradients, inputs, deltas).items():
            model.variables_by_name[name].assign_sub(LEARNING_RATE * gradient)

    start = model.variables_by_name[FC6].numpy()
    step = tf.function(lambda images, labels: strategy.run(replica, (images, labels)))
    random = np.random.default_rng(worker)
    for _ in range(STEPS):
        images = random.normal(0, 64, [BATCH, 224, 224, 3]).astype(np.float32)
        step(tf.constant(images), tf.constant(random.integers(0, CLASSES, [BATCH], np.int32)))
    trained = {name: v.numpy() for name, v in model.variables_by_name.items()}
    return trained | {"moved": trained[FC6] - start}


def known_numbers(worker: int) -> tuple[Numbers, Numbers, Numbers]:
    """Make the gradients of one worker, and the factors of which some are the product."""
    random = np.random.default_rng(worker)
    gradients, inputs, deltas = {}, {}, {}
    for name, shape in QUARTER.items():
        if is_fully_connected(name, shape):
            width_in, width_out = factor_sizes(shape)
            inputs[name] = random.standard_normal((32, width_in), np.float32)
            deltas[name] = random.standard_normal((32, width_out), np.float32)
            gradients[name] = (inputs[name].T @ deltas[name]).reshape(shape)
        else:
            gradients[name] = random.standard_normal(shape, np.float32)
    return gradients, inputs, deltas


def exchange_known_numbers(strategy: Any, mode: str, workers: list[Any], own: int) -> Any:
    """Exchange a quarter-width VGG19's gradients a few times; count the bytes, check the sums."""
    import tensorflow as tf

    from job.distributed.exchange import exchange

    plan = plan_exchange(QUARTER, 32, len(workers), 1, mode)
    gradients, *factors = workers[own]
    dense = {name: value for name, value in gradients.items() if name not in plan.factor_names}
    inputs, deltas = ({name: of[name] for name in plan.factor_names} for of in factors)
    given = tf.nest.map_structure(tf.constant, (dense, inputs, deltas))

    step = tf.function(
        lambda given: strategy.run(lambda *parts: exchange(plan, *parts), given), autograph=False
    )
    # A worker that has its sums may not have given the other one all of its own part yet. Once both
    # have come to the barrier, they have.
    barrier = tf.function(
        lambda: strategy.run(
            lambda: tf.distribute.get_replica_context().all_reduce("SUM", tf.constant(1.0))
        ),
        autograph=False,
    )
    step(given)
    barrier()
    before = sent_bytes()
    for _ in range(ROUNDS):
        reduced = step(given)
    barrier()
    sent = (sent_bytes() - before) / ROUNDS
    expected = {name: sum(worker[0][name] for worker in workers) for name in QUARTER}
    return {
        "sent": sent,
        "planned": plan.planned.sent_bytes,
        "differences": {
            name: np.linalg.norm(value - expected[name]) / np.linalg.norm(expected[name])
            for name, value in reduced.items()
        },
    }


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the two processes of one cluster returned."""
    return call_in_workers(
        work, num_workers=2, log_dir=tmp_path_factory.mktemp("exchange"), timeout_s=240
    )


def test_factors_train_the_same_weights_as_dense(both: list[dict[str, Any]]) -> None:
    """After 20 steps every variable agrees to 1e-5, relative to its norm; and it has moved."""
    dense, factors = both[0]["weights"]["dense"], both[0]["weights"]["factors"]
    assert dense.keys() == factors.keys()
    for name, expected in dense.items():
        difference = np.linalg.norm(factors[name] - expected)
        if name != "moved":
            assert difference <= 1e-5 * np.linalg.norm(expected), name
    # The agreement says nothing unless training moves the weights much further than that.
    assert np.linalg.norm(dense["moved"]) > 1e-4 * np.linalg.norm(dense[FC6])


@pytest.mark.parametrize("mode", ["dense", "factors"])
def test_all_workers_hold_the_same_weights(both: list[dict[str, Any]], mode: str) -> None:
    """Not nearly: the sums and products of all replicas are the same bits everywhere."""
    first, second = both[0]["weights"][mode], both[1]["weights"][mode]
    for name, weights in first.items():
        np.testing.assert_array_equal(weights, second[name], err_msg=name)


@pytest.mark.parametrize("mode", MODES)
def test_bytes_on_the_sockets_are_those_of_the_plan(both: list[dict[str, Any]], mode: str) -> None:
    """The kernel's count of what each process has sent agrees with the plan within 5 %."""
    for result in both:
        counted = result["exchanges"][mode]
        assert counted["sent"] == pytest.approx(counted["planned"], rel=0.05)


@pytest.mark.parametrize(
    ("mode", "tolerance"), [("dense", 1e-6), ("factors", 1e-6), ("auto", 1e-6), ("bfloat16", 1e-2)]
)
def test_every_gradient_is_the_sum_over_replicas(
    both: list[dict[str, Any]], mode: str, tolerance: float
) -> None:
    """In float32 up to the order of summation, in bfloat16 up to its rounding."""
    for result in both:
        differences = result["exchanges"][mode]["differences"]
        assert differences.keys() == QUARTER.keys()
        assert max(differences.values()) <= tolerance


def test_all_workers_plan_from_the_same_measurement(both: list[dict[str, Any]]) -> None:
    """What one worker measured differently would give it another plan, and all would hang."""
    assert both[0]["links"] == both[1]["links"]
    measured, given = both[0]["links"]
    assert measured.network_gbps > 0
    # What is known of the network says nothing of how fast products are.
    assert given.network_gbps == 7.0
    assert given.product_gflops != DEFAULT_PRODUCT_GFLOPS


def exchange_between_local_devices() -> dict[str, set[float]]:
    """Exchange ones and twos between two devices of one process, as between two GPUs."""
    import tensorflow as tf

    from job.distributed.exchange import exchange

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    shapes = layer_shapes(CLASSES, "fc", NARROW)

    def replica(plan: Any) -> Any:
        context = tf.distribute.get_replica_context()
        number = tf.cast(context.replica_id_in_sync_group + 1, tf.float32)
        sizes = {name: factor_sizes(shapes[name]) for name in plan.factor_names}
        return exchange(
            plan,
            {n: number * tf.ones(shape) for n, shape in shapes.items() if n not in sizes},
            {name: number * tf.ones([1, size[0]]) for name, size in sizes.items()},
            {name: tf.ones([1, size[1]]) for name, size in sizes.items()},
        )

    sums = {}
    for mode in MODES:
        plan = plan_exchange(shapes, 1, 2, 10, mode)
        reduced = tf.function(lambda plan=plan: strategy.run(replica, (plan,)), autograph=False)()
        values = [strategy.experimental_local_results(value) for value in reduced.values()]
        sums[mode] = {float(number) for pair in values for v in pair for number in np.unique(v)}
    return sums


def test_several_devices_of_one_process_exchange_the_same_way(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Training has one code path, whether replicas are GPUs of one worker or of several."""
    (sums,) = call_in_workers(
        exchange_between_local_devices,
        num_workers=1,
        log_dir=tmp_path_factory.mktemp("local"),
        timeout_s=120,
    )
    assert sums == {mode: {3.0} for mode in MODES}
