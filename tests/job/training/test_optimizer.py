"""Momentum SGD against TF1's own optimizer, and under strategies."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from job.contract.configs import TrainConfig
from job.training.optimizer import Momentum

tf1 = tf.compat.v1
W, B = "vgg_19/fc8/weights", "vgg_19/fc8/biases"


START = {W: np.float32([[1.0, -2.0], [3.0, 4.0]]), B: np.float32([0.5, -0.5])}
GRADIENTS = {W: np.float32([[0.1, 0.2], [-0.3, 0.4]]), B: np.float32([-1.0, 2.0])}


def variables():
    return {name: tf.Variable(value, name=name) for name, value in START.items()}


def gradients(factor=1.0):
    return {name: tf.constant(value * factor) for name, value in GRADIENTS.items()}


def tf1_steps(steps, *, learning_rate, momentum, weight_decay, clip_norm):
    """What TF1's MomentumOptimizer makes of the same gradients, with slim's l2 regularizer."""
    with tf.Graph().as_default(), tf1.Session() as session:
        made = {name: tf1.get_variable(name, initializer=v) for name, v in START.items()}
        loss = sum(tf.reduce_sum(made[name] * value) for name, value in GRADIENTS.items())
        loss += weight_decay * tf.nn.l2_loss(made[W])
        optimizer = tf1.train.MomentumOptimizer(learning_rate, momentum)
        grads, names = zip(*optimizer.compute_gradients(loss, list(made.values())), strict=True)
        if clip_norm:
            grads, _ = tf.clip_by_global_norm(grads, clip_norm)
        update = optimizer.apply_gradients(zip(grads, names, strict=True))
        session.run(tf1.global_variables_initializer())
        for _ in range(steps):
            session.run(update)
        slots = {f"{name}/Momentum": optimizer.get_slot(v, "momentum") for name, v in made.items()}
        return session.run(made), session.run(slots)


@settings(max_examples=10, deadline=None)
@given(
    st.floats(0.001, 0.5),
    st.floats(0.0, 0.95),
    st.sampled_from([0.0, 0.01]),
    st.sampled_from([0.0, 0.7, 100.0]),
)
def test_it_does_what_tf1s_optimizer_does(learning_rate, momentum, weight_decay, clip_norm):
    settings_of_both = {
        "momentum": momentum,
        "weight_decay": weight_decay,
        "clip_norm": clip_norm,
    }
    mine = variables()
    optimizer = Momentum(mine, **settings_of_both)
    for _ in range(3):
        optimizer.apply(gradients(), learning_rate)
    theirs, slots = tf1_steps(3, learning_rate=learning_rate, **settings_of_both)
    for name, expected in theirs.items():
        np.testing.assert_allclose(mine[name], expected, rtol=1e-5, atol=1e-6)
    assert optimizer.slots_by_name.keys() == slots.keys()
    for name, expected in slots.items():
        np.testing.assert_allclose(optimizer.slots_by_name[name], expected, rtol=1e-5, atol=1e-6)


def test_slots_are_named_after_their_variables():
    optimizer = Momentum(variables(), momentum=0.9, weight_decay=0.0, clip_norm=0.0)
    assert [slot.name for slot in optimizer.slots_by_name.values()] == [
        f"{W}/Momentum:0",
        f"{B}/Momentum:0",
    ]


def test_weight_decay_shrinks_weights_and_not_biases():
    mine = variables()
    before = {name: variable.numpy() for name, variable in mine.items()}
    optimizer = Momentum(mine, momentum=0.0, weight_decay=0.1, clip_norm=0.0)
    optimizer.apply(gradients(0.0), 0.5)
    np.testing.assert_allclose(mine[W], before[W] * (1 - 0.5 * 0.1))
    np.testing.assert_array_equal(mine[B], before[B])


def test_the_norm_is_that_before_clipping_and_clipping_shortens_the_update():
    mine = variables()
    before = {name: variable.numpy() for name, variable in mine.items()}
    optimizer = Momentum(mine, momentum=0.9, weight_decay=0.0, clip_norm=0.25)
    norm, finite = optimizer.apply(gradients(), 1.0)
    true_norm = np.sqrt(sum(np.sum(np.square(g)) for g in gradients().values()))
    assert bool(finite)
    assert float(norm) == pytest.approx(true_norm)
    moved = np.sqrt(sum(np.sum(np.square(mine[n].numpy() - before[n])) for n in mine))
    assert moved == pytest.approx(0.25, rel=1e-5)


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")])
def test_a_gradient_that_is_not_finite_changes_nothing(poison):
    mine = variables()
    optimizer = Momentum(mine, momentum=0.9, weight_decay=0.1, clip_norm=1.0)
    optimizer.apply(gradients(), 0.1)
    state = {**mine, **optimizer.slots_by_name}
    before = {name: variable.numpy() for name, variable in state.items()}
    bad = gradients() | {B: tf.constant([poison, 1.0])}
    norm, finite = optimizer.apply(bad, 0.1)
    assert not bool(finite)
    assert not np.isfinite(norm)
    for name, expected in before.items():
        np.testing.assert_array_equal(state[name], expected)


def test_a_loss_scale_is_taken_out_of_gradients_norm_and_decay():
    plain, scaled = variables(), variables()
    options = {"momentum": 0.9, "weight_decay": 0.1, "clip_norm": 1.5}
    norm, _ = Momentum(plain, **options).apply(gradients(), 0.1)
    scaled_norm, _ = Momentum(scaled, **options).apply(gradients(1024.0), 0.1, 1024.0)
    assert float(norm) == pytest.approx(float(scaled_norm), rel=1e-6)
    for name in plain:
        np.testing.assert_allclose(plain[name], scaled[name], rtol=1e-6)


def test_multipliers_scale_the_rate_and_zero_freezes():
    mine = variables()
    before = mine[W].numpy(), mine[B].numpy()
    optimizer = Momentum(
        mine, momentum=0.0, weight_decay=0.0, clip_norm=0.0, multipliers={W: 0.0, B: 10.0}
    )
    assert optimizer.trainable == (B,)
    assert list(optimizer.slots_by_name) == [f"{B}/Momentum"]
    optimizer.apply({B: gradients()[B]}, 0.1)
    np.testing.assert_array_equal(mine[W], before[0])
    np.testing.assert_allclose(mine[B], before[1] - 0.1 * 10.0 * gradients()[B].numpy())


def test_a_run_freezes_the_layers_below_and_hurries_a_new_last_layer():
    names = ["vgg_19/conv1/conv1_1/weights", "vgg_19/conv5/conv5_1/weights", W, B]

    def made(**changes):
        config = TrainConfig(
            data="d", run="r", momentum=0.0, weight_decay=0.0, clip_norm=0.0, **changes
        )
        mine = {name: tf.Variable(1.0) for name in names}
        optimizer = Momentum.for_training(mine, config, head_is_new=bool(config.init_checkpoint))
        optimizer.apply(dict.fromkeys(optimizer.trainable, 1.0), 0.01)
        return [round(float(1.0 - mine[name]), 4) for name in names]

    assert made() == [0.01, 0.01, 0.01, 0.01]
    assert made(init_checkpoint="vgg_19.ckpt") == [0.01, 0.01, 0.1, 0.1]
    assert made(init_checkpoint="vgg_19.ckpt", freeze_below="conv5") == [0.0, 0.01, 0.1, 0.1]
    assert made(init_checkpoint="vgg_19.ckpt", freeze_below="fc8") == [0.0, 0.0, 0.1, 0.1]


_UNDER_STRATEGIES = """
import numpy as np
import tensorflow as tf
from job.training.optimizer import Momentum

def main():
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    check("workers", tf.distribute.MultiWorkerMirroredStrategy())
    check("mirrored", tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))

def make():
    mine = {"a/weights": tf.Variable([1.0, 2.0]), "a/biases": tf.Variable([3.0])}
    return mine, Momentum(mine, momentum=0.9, weight_decay=0.1, clip_norm=1.0)

def check(kind, strategy):
    gradients = {"a/weights": tf.constant([0.5, -0.5]), "a/biases": tf.constant([2.0])}
    alone, plain = make()
    with strategy.scope():
        mine, optimizer = make()
    step = tf.function(lambda: strategy.run(lambda: optimizer.apply(gradients, 0.1)))
    for _ in range(3):
        step()
        plain.apply(gradients, 0.1)
    copies = 0
    for name, variable in {**mine, **optimizer.slots_by_name}.items():
        expected = {**alone, **plain.slots_by_name}[name].numpy()
        for copy in strategy.experimental_local_results(variable):
            np.testing.assert_array_equal(copy.numpy(), expected)
            copies += 1
    graph = step.get_concrete_function().graph
    print(kind, copies, *sorted({operation.type for operation in graph.get_operations()}))

main()
"""


def test_replicas_update_their_own_copies_without_communication():
    """All copies equal those of a plain process; the graph has no collective and no host call."""
    done = subprocess.run(
        [sys.executable, "-c", _UNDER_STRATEGIES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    talking = ("Collective", "Nccl", "AllReduce", "Send", "Recv", "PyFunc", "Assign", "AddN")
    copies_of = {}
    for line in done.stdout.splitlines():
        strategy, copies, *kinds = line.split()
        copies_of[strategy] = int(copies)
        assert "ResourceApplyMomentum" in kinds
        assert [kind for kind in kinds if any(word in kind for word in talking)] == []
    assert copies_of == {"workers": 4 * 1, "mirrored": 4 * 2}
